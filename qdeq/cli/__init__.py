"""The command line: parses, calls, prints."""

from qdeq.interrupts import CODE, Interrupts, tell


def main() -> None:
    """Run the command line. Ctrl-C is watched from here on: the imports are what takes the first second."""
    interrupts = Interrupts()
    interrupts.watch()
    try:
        from qdeq.cli.commands import run

        run()
    except KeyboardInterrupt:  # before the command, or behind it
        tell()
        raise SystemExit(CODE) from None
    finally:
        interrupts.finish()
