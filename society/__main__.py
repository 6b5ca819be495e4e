"""`python -m society`, and what the command `society` starts."""

import sys


def run() -> None:
    """Run the command line and end the process with its exit status."""
    from society.cli import main

    sys.exit(main())


if __name__ == "__main__":
    run()
