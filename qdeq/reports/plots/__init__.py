"""Pictures of results, by matplotlib: ``draw_...`` returns a figure, and ``style`` writes it to a file."""
