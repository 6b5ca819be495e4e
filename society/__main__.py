"""`python -m society`, and what the command `society` starts."""

import gc
import sys

COLLECT_AFTER = 50_000
"""New objects until Python collects cyclic garbage: what is made at start-up stays, and looking takes a fifth of it."""


def run() -> None:
    """Run the command line and end the process with its exit status."""
    gc.set_threshold(COLLECT_AFTER, *gc.get_threshold()[1:])
    from society.cli import main

    sys.exit(main())


if __name__ == "__main__":
    run()
