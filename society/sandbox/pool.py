"""Programs in the sandbox from the event loop: at most one for each processor at the same time.

Each thread keeps a child that was started ahead, so a call waits for the start of one interpreter in place of two.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from society.sandbox.limits import Limits
from society.sandbox.process import Jail, Outcome, run_python

RunCode = Callable[[Mapping[str, str], Limits, str], Awaitable[Outcome]]
"""Runs a program: files by name, limits, standard input."""
_spares: dict[int, Jail] = {}
"""The child that each thread has started ahead, by the thread's identity."""


async def run_code(files: Mapping[str, str], limits: Limits, stdin: str = "") -> Outcome:
    """Run a program in the sandbox. See `run_python`."""
    return await asyncio.get_running_loop().run_in_executor(_threads(), _run, files, limits, stdin)


def _run(files: Mapping[str, str], limits: Limits, stdin: str) -> Outcome:
    thread = threading.get_ident()
    spare = _spares.pop(thread, None)
    if spare is not None and not spare.is_alive:
        spare.close()
        spare = None
    outcome = run_python(files, limits, stdin, spare)
    _spares[thread] = Jail()  # by the thread that will use it: a child ends with the thread that started it
    return outcome


@cache
def _threads() -> ThreadPoolExecutor:
    atexit.register(_close)
    return ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="sandbox")


def _close() -> None:
    for jail in [*_spares.values()]:
        jail.close()
    _spares.clear()
