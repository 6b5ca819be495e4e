"""The entry point of the command `society` and of `python -m society`."""

import gc
import sys
import traceback

COLLECT_AFTER = 50_000
"""Number of new objects between garbage collections. With the default, they take a fifth of the start-up time."""


def run() -> None:
    """Run the command line and end the process with its exit status."""
    gc.set_threshold(COLLECT_AFTER, *gc.get_threshold()[1:])
    from society.cli import end, main
    from society.core import ending
    from society.core.errors import SocietyError

    ending.end_process = end

    try:
        status = main()
    except Exception:
        traceback.print_exc()
        status = SocietyError.status  # Python's own is 1, which means that turns failed
    sys.exit(status)


if __name__ == "__main__":
    run()
