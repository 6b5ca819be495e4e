"""Finds out whether requests wait at a server that others use, too, so that each client keeps to its share.

    llama.cpp, Ollama    each reply has the time of work on it; the rest of its time was spent waiting
    vLLM, SGLang         the page /metrics has the numbers of running and of waiting requests
    others               unknown: only a refused request says that the server is busy

Requests wait too long if they wait for as long as the server works on one: about as many wait as are worked on.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from backends.openai.wire import Completion
from society.core.errors import TransientError

log = logging.getLogger(__name__)

EVERY = 1.0
"""Minimum seconds between two looks at the page /metrics."""
_WEIGHT = 0.1
"""Weight of a reply in the average time of work."""
_VALUE = re.compile(r"^(\w+(?::\w+)?)(?:\{[^}]*\})? ([0-9.eE+]+)$", re.M)


class Queue(NamedTuple):
    """Names or numbers of a server's requests: those that it works on, and those that wait."""

    running: float
    waiting: float


class Names(NamedTuple):
    """Names of the metrics with the numbers of a server's requests."""

    running: str
    waiting: str


VLLM = Names("vllm:num_requests_running", "vllm:num_requests_waiting")
SGLANG = Names("sglang:num_running_reqs", "sglang:num_queue_reqs")


def read_metrics(page: str, names: Names) -> Queue | None:
    """Return the numbers of requests in a page of Prometheus, over all engines; None if it does not have them."""
    found: dict[str, float] = {}
    for name, value in _VALUE.findall(page):
        if name in names:
            try:
                found[name] = found.get(name, 0.0) + float(value)
            except ValueError:
                return None
    return Queue(found[names.running], found[names.waiting]) if len(found) == len(names) else None


def find_work(completion: Completion) -> float | None:
    """Return the seconds of work on a reply, without its wait for a place; None if the server does not say."""
    timings = completion.timings
    if not isinstance(timings, Mapping):
        return None
    parts = [timings.get(name) for name in ("prompt_ms", "predicted_ms")]
    numbers = [part for part in parts if isinstance(part, int | float) and 0 <= part < 1e12]
    return sum(numbers) / 1000 if len(numbers) == len(parts) else None


class Crowding:
    """A record of whether requests wait at a server.

    `look` returns the numbers of its requests, where a page has them.
    """

    def __init__(self, look: Callable[[], Awaitable[Queue | None]] | None = None) -> None:
        self._look = look
        self._crowded = False
        self._work = 0.0  # average seconds of work on a reply
        self._looked = float("-inf")
        self._steps = 0.0
        self._task: asyncio.Task[None] | None = None

    def reply(self, seconds: float, work: float | None) -> None:
        """Record a reply that took these seconds in all. `work`: seconds that the server worked on it."""
        if work is not None:
            self._work = work if not self._work else self._work + _WEIGHT * (work - self._work)
            self._crowded = seconds - work > self._work
        elif self._look is not None and self._task is None:
            now = asyncio.get_running_loop().time()
            if now - self._looked >= EVERY:
                self._looked = now
                self._task = asyncio.ensure_future(self._read(self._look))

    def judge(self, size: float) -> bool | None:
        """Return whether a window of this size should shrink or may grow; None to leave it.

        Between two looks at a server's page, a window can at most double.
        """
        if self._look is None or self._crowded:
            return self._crowded
        self._steps -= 1
        return False if self._steps >= -size else None

    def close(self) -> None:
        """Stop looking."""
        if self._task is not None:
            self._task.cancel()

    async def _read(self, look: Callable[[], Awaitable[Queue | None]]) -> None:
        try:
            queue = await look()
            if queue is None:
                self._look = None
            else:
                self._crowded, self._steps = queue.waiting > max(1.0, queue.running), 0.0
        except TransientError:
            log.debug("The page /metrics could not be read", exc_info=True)
        finally:
            self._task = None
