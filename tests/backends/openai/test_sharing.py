"""Four runs share a server with eight slots: each gets its share, nobody starves, and the queue stays bounded.

The clock of the event loop jumps, so minutes take no time.
"""

from __future__ import annotations

import asyncio
from collections import deque
from random import Random
from typing import Any

import pytest

from backends.base import Backend
from backends.contract_tools import ask, run
from backends.openai import OpenAI
from backends.openai.crowding import SGLANG, VLLM, Crowding, Queue, find_work, read_metrics
from backends.openai.limit import Limit
from backends.openai.wire import Completion
from tests.backends.openai.test_http import completion, models
from tests.faults.proxy import HttpServer, Request, reply
from tests.simulation.virtual_time import run_in_virtual_time

SLOTS, CLIENTS, CONCURRENCY = 8, 4, 64
WARM, END = 60.0, 240.0
"""Seconds after which shares are measured, and the end."""


class Server:
    """Works on eight requests at a time, in the order of arrival. Each takes between half a second and 1.5 s."""

    def __init__(self) -> None:
        self.running = 0
        self.waiting: deque[asyncio.Future[None]] = deque()
        self.longest = 0  # of the queue, after the start
        self.random = Random(1)
        self.busy = 0.0

    async def answer(self) -> float:
        """Return the seconds of work on a request."""
        loop = asyncio.get_running_loop()
        if self.running == SLOTS:
            turn = loop.create_future()
            self.waiting.append(turn)
            if loop.time() > WARM:
                self.longest = max(self.longest, len(self.waiting))
            await turn
        else:
            self.running += 1
        work = self.random.uniform(0.5, 1.5)
        await asyncio.sleep(work)
        if WARM < loop.time() <= END:
            self.busy += work
        if self.waiting:
            self.waiting.popleft().set_result(None)
        else:
            self.running -= 1
        return work

    async def look(self) -> Queue:
        return Queue(self.running, len(self.waiting))


async def play(server: Server, tells: str, starts: tuple[float, ...], adapts: bool = True) -> list[int]:
    """Return the replies of each client after the start. Each has more requests than it may send."""
    done = [0] * CLIENTS
    loop = asyncio.get_running_loop()

    async def client(number: int) -> None:
        await asyncio.sleep(starts[number])
        crowding = Crowding(server.look if tells == "metrics" else None)
        limit = Limit(CONCURRENCY, judge=crowding.judge) if adapts else Limit(CONCURRENCY)

        async def request() -> None:
            while loop.time() < END:
                async with limit.place():
                    began = loop.time()
                    if began >= END:
                        return
                    work = await server.answer()
                    crowding.reply(loop.time() - began, work if tells == "timings" else None)
                if loop.time() > WARM:
                    done[number] += 1

        await asyncio.gather(*(request() for _ in range(CONCURRENCY)))

    await asyncio.gather(*map(client, range(CLIENTS)))
    return done


@pytest.mark.parametrize("tells", ["metrics", "timings"])
@pytest.mark.parametrize("starts", [(0, 0, 0, 0), (0, 5, 10, 30)], ids=["together", "one after another"])
def test_four_runs_share_eight_slots(tells: str, starts: tuple[float, ...]) -> None:
    server = Server()
    done, _ = run_in_virtual_time(play(server, tells, starts))
    fairness = sum(done) ** 2 / (CLIENTS * sum(count**2 for count in done))  # Jain's index: 1 where all are equal
    assert fairness > 0.95
    assert min(done) > 0.6 * sum(done) / CLIENTS
    assert server.longest <= 4 * SLOTS
    assert server.busy > 0.95 * SLOTS * (END - WARM)


def test_without_signals_the_queue_is_as_long_as_the_runs_allow() -> None:
    """The comparison: this is what the signals prevent."""
    server = Server()
    run_in_virtual_time(play(server, "nothing", (0, 0, 0, 0), adapts=False))
    assert server.longest == CLIENTS * CONCURRENCY - SLOTS


def test_one_run_alone_uses_all_slots() -> None:
    server = Server()
    done, _ = run_in_virtual_time(play(server, "timings", (0, END, END, END)))
    assert server.busy > 0.97 * SLOTS * (END - WARM)
    assert done[1:] == [0, 0, 0]


PAGE = """
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 8.0
vllm:num_requests_running{engine="1",model_name="m"} 4.0
vllm:num_requests_waiting{engine="0",model_name="m"} 20.0
vllm:num_requests_waiting{engine="1",model_name="m"} 1e1
vllm:num_requests_waiting_by_reason{engine="1",model_name="m"} 7
"""


def test_metrics_are_read_over_all_engines() -> None:
    assert read_metrics(PAGE, VLLM) == Queue(12, 30)
    assert read_metrics(PAGE, SGLANG) is None
    assert read_metrics("vllm:num_requests_running 1", VLLM) is None
    assert read_metrics("", VLLM) is None


@pytest.mark.parametrize(
    ("timings", "work"),
    [
        ({"prompt_ms": 100, "predicted_ms": 400.0}, 0.5),
        ({"prompt_ms": 100}, None),
        ({"prompt_ms": "100", "predicted_ms": 4}, None),
        ({"prompt_ms": -1, "predicted_ms": 4}, None),
        ("fast", None),
        (None, None),
    ],
)
def test_odd_timings_are_no_timings(timings: Any, work: float | None) -> None:
    assert find_work(Completion.model_validate(completion(timings=timings))) == work


def crowd(owner: str, page: bytes, timings: dict[str, float]) -> tuple[float, int]:
    """Return the limit after 40 requests in a row to a server with this page, and how often it was read."""

    async def answer(request: Request) -> bytes:
        if request.path == "/metrics":
            return page
        if request.path == "/v1/models":
            return models("m", owner=owner)
        if request.method == "GET":
            return reply({"default_generation_settings": {}, "total_slots": 32} if "props" in request.path else [])
        if not request.path.endswith("/chat/completions"):
            return reply({"detail": "Not Found"}, 404)
        return reply(completion(timings=timings))

    async def use(backend: Backend) -> float:
        for seed in range(40):
            await backend.generate(ask("What?", seed=seed))
            await asyncio.sleep(0)
        await asyncio.sleep(0.05)
        await backend.generate(ask("What?"))
        return float(backend._connection.limit.size)  # type: ignore[attr-defined]

    with HttpServer(answer) as server:
        size = run(OpenAI(url=server.url), use)
        return size, sum(request.path == "/metrics" for request in server.requests)


def test_a_crowded_server_makes_the_window_small() -> None:
    crowded = reply_text(PAGE)
    size, looks = crowd("vllm", crowded, {})
    assert size < 8
    assert looks >= 1
    free = reply_text(PAGE.replace("20.0", "0").replace("1e1", "0"))
    assert crowd("vllm", free, {})[0] > 8


def test_a_server_without_the_page_is_asked_once_and_used_as_before() -> None:
    size, looks = crowd("vllm", reply({"detail": "Not Found"}, 404), {})
    assert (size > 30, looks) == (True, 1)


def reply_text(text: str) -> bytes:
    body = text.encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (
        len(body),
        body,
    )
