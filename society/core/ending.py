"""Ends the process of a command that is stopped while it imports or loads a model: neither heeds a request to stop.

In a script or a notebook, the process is the caller's, and goes on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

end_process: Callable[[Any], object] | None = None
"""Ends this process at once, given the `Interrupted` to report. The entry point of the command line sets it.

None in scripts, in notebooks and in a chat, which go on after a stop.
"""
CLOSING = 5.0
"""Maximum seconds in which a run that was loading closes what it had opened, such as servers and Ray."""
ORDERLY = 0.5
"""Seconds that a process has to end by itself after a run that was loading has closed what it had opened."""


def end_soon(error: BaseException, closed: threading.Event, seconds: float, is_loading: Callable[[], bool]) -> None:
    """End the process of a command unless it ends by itself, or `is_loading` has become false.

    `closed` is set once the run has closed what it had opened, which is waited for during at most `seconds`.
    """

    def end() -> None:
        closed.wait(seconds)
        time.sleep(ORDERLY)
        if end_process is not None and is_loading():
            end_process(error)

    if end_process is not None:
        threading.Thread(target=end, name="end", daemon=True).start()
