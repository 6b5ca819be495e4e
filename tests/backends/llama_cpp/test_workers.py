"""Which worker gets a request, on workers that only take notes."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import numpy as np
import pytest

from backends.llama_cpp.workers import PREFIX_BONUS, WorkerPool
from society.core.errors import InputError


class FakeJob:
    """A request as far as a pool looks at it."""

    def __init__(self, prompt: list[int], adapter: str | None = None) -> None:
        self.prompt, self.adapter = np.array(prompt, np.int32), adapter
        self.future: Future[None] = Future()


class Note:
    """A worker that keeps what it is given; orders are run in a thread of its own."""

    def __init__(self) -> None:
        self.jobs: list[FakeJob] = []
        self.ended = False
        self.threads: list[threading.Thread] = []

    def submit(self, job: FakeJob) -> None:
        self.jobs.append(job)

    def call(self, function: Callable[[], object]) -> None:
        if self.ended:
            raise InputError("This worker has ended.", "")
        self.threads.append(threading.Thread(target=self._run, args=(function,)))
        self.threads[-1].start()

    def _run(self, function: Callable[[], object]) -> None:
        try:
            function()
        except threading.BrokenBarrierError:
            self.ended = True


def prompt(question: int, agent: int = 0, length: int = 100) -> list[int]:
    """40 tokens that all share, a question, and what an agent said."""
    return [*range(40), *[1000 + question] * 60, *[2000 + agent] * (length - 100)]


def team_of(count: int) -> tuple[Any, list[Note]]:
    workers = [Note() for _ in range(count)]
    return WorkerPool(workers), workers  # type: ignore[arg-type]


def test_agents_of_one_question_share_a_worker_and_questions_are_spread() -> None:
    pool, workers = team_of(2)
    for question in range(12):
        for _ in range(3):
            pool.submit(FakeJob(prompt(question)))
    assert abs(len(workers[0].jobs) - len(workers[1].jobs)) <= PREFIX_BONUS
    questions = [{job.prompt[60] for job in worker.jobs} for worker in workers]
    assert len(questions[0] & questions[1]) <= 1


def test_a_second_round_goes_where_the_first_was() -> None:
    pool, workers = team_of(3)
    first = [FakeJob(prompt(question)) for question in range(9)]
    for job in first:
        pool.submit(job)
    placed = {int(job.prompt[60]): worker for worker in workers for job in worker.jobs}
    for job in first:
        job.future.set_result(None)
    for question in range(9):
        pool.submit(FakeJob(prompt(question, 1, 300)))
        assert placed[1000 + question].jobs[-1].prompt[60] == 1000 + question


def test_what_is_known_does_not_outweigh_a_crowd() -> None:
    pool, workers = team_of(2)
    for agent in range(40):
        pool.submit(FakeJob(prompt(0, agent, 200)))
    assert abs(len(workers[0].jobs) - len(workers[1].jobs)) <= PREFIX_BONUS + 1


def test_finished_requests_make_room() -> None:
    pool, workers = team_of(2)
    for question in range(10):
        pool.submit(FakeJob(prompt(question)))
    for job in workers[1].jobs:
        job.future.set_result(None)
    before = len(workers[1].jobs)
    for question in range(20, 24):
        pool.submit(FakeJob([question * 100 + i for i in range(64)]))
    assert len(workers[1].jobs) == before + 4


def test_adapters_are_kept_together() -> None:
    pool, workers = team_of(2)
    for question in range(24):
        for adapter in "abc":
            pool.submit(FakeJob(prompt(question), adapter))
    counts = [Counter(job.adapter for job in worker.jobs) for worker in workers]
    assert sorted(max(count[adapter] for count in counts) for adapter in "abc")[1:] == [24, 24]
    assert abs(counts[0].total() - counts[1].total()) <= 12


def test_all_workers_rest_while_something_is_done_once() -> None:
    pool, _ = team_of(3)
    done: list[int] = []
    pool.call(lambda: done.append(1)).result(10)
    assert done == [1]


def test_the_error_of_what_was_done_comes_back_and_the_workers_go_on() -> None:
    def fail() -> None:
        raise InputError("No such adapter.", "")

    pool, workers = team_of(2)
    with pytest.raises(InputError, match="No such adapter"):
        pool.call(fail).result(10)
    pool.call(lambda: None).result(10)
    assert not any(worker.ended for worker in workers)


def test_a_worker_that_has_ended_keeps_nobody_waiting() -> None:
    pool, workers = team_of(2)
    workers[1].ended = True
    with pytest.raises(InputError, match="has ended"):
        pool.call(lambda: None)
    workers[0].threads[0].join(10)
    assert not workers[0].threads[0].is_alive()
