"""What a run looks like to a reader: tables and plots, made from its files."""
