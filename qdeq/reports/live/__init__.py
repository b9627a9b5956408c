"""What is shown while something runs: a bar where someone watches a terminal, lines where output is kept."""
