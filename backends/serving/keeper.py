"""Runs a command until standard input ends, and then ends it with all its processes.

The backend holds the other end of standard input, so a killed run leaves no server and no occupied GPU behind. The
process is in a session of its own: a Ctrl-C on the terminal reaches the run alone, which finishes its replies first.

    python keeper.py COMMAND ...
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress

ENDING_SECONDS = 20.0
"""Seconds for the command to end by itself after SIGTERM."""


def main(command: list[str]) -> int:
    """Run the command, and return its status."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    threading.Thread(target=_watch, args=(process,), daemon=True).start()
    status = process.wait()
    _signal(process, signal.SIGKILL)  # workers that outlive it
    return status if status >= 0 else 1


def _watch(process: subprocess.Popen[bytes]) -> None:
    """End the process group once standard input ends."""
    while os.read(sys.stdin.fileno(), 4096):
        pass
    _signal(process, signal.SIGTERM)
    try:
        process.wait(ENDING_SECONDS)
    except subprocess.TimeoutExpired:
        _signal(process, signal.SIGKILL)


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
