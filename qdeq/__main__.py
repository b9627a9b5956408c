"""``python -m qdeq`` is the same as ``qdeq``."""

from qdeq.cli import main

main()
