"""Child processes for the tests of `society.answers.worker`, selected by the environment variable JUDGE."""

from __future__ import annotations

import os
import signal
import time
from functools import partial
from pathlib import Path

from society.answers import worker


def burn(seconds: float) -> None:
    """Use as much processor time as an import on a slow machine."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def slow_to_start(text: str) -> bool:
    """Use three times a question's quick limit at the first question, before any verdict."""
    if not loaded:
        burn(3 * worker.QUICK_SECONDS)
        loaded.append(True)
    return text == "right"


def slow_at_times(text: str) -> bool:
    """Use more processor time than the quick limit allows, but little work."""
    burn(2 * worker.QUICK_SECONDS)
    return text == "right"


def endless(text: str) -> bool:
    """Run endlessly on every request but the first."""
    while text != "right":
        len(text)
    return True


def cannot_import(text: str) -> bool:
    raise ImportError("No module named 'sympy'")


def always_wrong(text: str) -> bool:
    return False


def dies_once(text: str) -> bool:
    """Die at the first request of all processes together, like a process that the system kills for its memory."""
    mark = Path(os.environ["MARK"])
    if text != "right" and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return True


def stops_once(text: str) -> bool:
    """Stop like a suspended process at the first request of all processes together."""
    mark = Path(os.environ["MARK"])
    if text != "right" and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGSTOP)
    return True


def dies_always(text: str) -> bool:
    if text != "right":
        os.kill(os.getpid(), signal.SIGKILL)
    return True


loaded: list[bool] = []

if __name__ == "__main__":
    judge = globals()[os.environ["JUDGE"]]
    worker.serve(partial(worker.judge_in_time, judge), ("right",))
