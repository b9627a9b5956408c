"""Drawings of circuits: as text for terminals and documentation, as a matplotlib figure for papers and reports."""
