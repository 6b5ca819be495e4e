"""Requests to a replica travel together, and each one's answer, failure and end is its own. No cluster is needed: an
actor is what has `take` and `give` here."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from ray.exceptions import ActorDiedError

from society.core.errors import BackendError
from society.executors.ray_calls import Lost
from society.executors.request_batches import Line, Mailbox


class Unsendable:
    def __reduce__(self) -> Any:
        raise RuntimeError("cannot be sent")


class Unreadable:
    """Pickles, and breaks whoever reads it."""

    def __reduce__(self) -> Any:
        return int, ("no number",)


class Owner:
    """What a replica does, under the test's control."""

    def __init__(self) -> None:
        self.begun: list[Any] = []
        self.ended: list[Any] = []
        self.doors: dict[Any, asyncio.Event] = {}

    async def wait(self, name: Any) -> Any:
        self.begun.append(name)
        try:
            await self.doors.setdefault(name, asyncio.Event()).wait()
        finally:
            self.ended.append(name)
        return name

    async def echo(self, value: Any) -> Any:
        self.begun.append(value)
        return value

    async def make(self, kind: type) -> Any:
        return kind()

    async def fail(self) -> None:
        raise ValueError("no such thing")


class Method:
    """As a method of an actor's handle: counts its calls, and fails once the actor is dead."""

    def __init__(self, function: Callable[..., Any], death: asyncio.Future[None]) -> None:
        self.function, self.death, self.calls = function, death, 0

    async def _run(self, arguments: Any) -> Any:
        done = self.function(*pickle.loads(pickle.dumps(arguments)))
        return await done if asyncio.iscoroutine(done) else done

    def remote(self, *arguments: Any) -> Any:
        self.calls += 1

        async def race() -> Any:
            work = asyncio.ensure_future(self._run(arguments))
            await asyncio.wait([work, self.death], return_when="FIRST_COMPLETED")
            if self.death.done():
                work.cancel()
            return self.death.result() if self.death.done() else work.result()

        return race()


class Actor:
    def __init__(self) -> None:
        self.owner = Owner()
        self.death: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        box = Mailbox(self.owner)
        self.take, self.give = Method(box.take, self.death), Method(box.give, self.death)


def played(test: Callable[[Actor, Line], Coroutine[Any, Any, None]]) -> None:
    async def play() -> None:
        actor = Actor()
        line = Line(actor)
        try:
            await asyncio.wait_for(test(actor, line), 30)
        finally:
            await line.close()
            if actor.death.done():
                actor.death.exception()

    asyncio.run(play())


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(10_000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came")


def test_what_is_asked_in_one_moment_travels_together() -> None:
    async def test(actor: Actor, line: Line) -> None:
        answers = await asyncio.gather(*(line.ask("echo", i) for i in range(100)))
        assert answers == list(range(100))
        assert actor.take.calls == 1
        assert actor.give.calls <= 2

    played(test)


def test_nobody_waits_for_the_slowest() -> None:
    async def test(actor: Actor, line: Line) -> None:
        slow, quick = asyncio.ensure_future(line.ask("wait", "slow")), asyncio.ensure_future(line.ask("echo", "quick"))
        assert await quick == "quick"
        assert await line.ask("echo", "later") == "later"
        assert not slow.done()
        actor.owner.doors["slow"].set()
        assert await slow == "slow"

    played(test)


def test_a_request_given_up_is_given_up_there_and_no_other() -> None:
    async def test(actor: Actor, line: Line) -> None:
        gone, stays = asyncio.ensure_future(line.ask("wait", "gone")), asyncio.ensure_future(line.ask("wait", "stays"))
        await until(lambda: len(actor.owner.begun) == 2)
        gone.cancel()
        await until(lambda: actor.owner.ended == ["gone"])
        actor.owner.doors["stays"].set()
        assert await stays == "stays"

    played(test)


def test_one_given_up_before_it_was_sent() -> None:
    async def test(actor: Actor, line: Line) -> None:
        gone = asyncio.ensure_future(line.ask("wait", "gone"))
        await asyncio.sleep(0)
        gone.cancel()
        assert await line.ask("echo", 1) == 1
        await until(lambda: actor.owner.ended == actor.owner.begun[:-1])

    played(test)


@pytest.mark.parametrize(
    ("method", "arguments", "said"),
    [
        ("fail", (), "ValueError: no such thing"),
        ("make", (Unsendable,), "RuntimeError: cannot be sent"),
        ("make", (Unreadable,), "cannot be read: invalid literal"),
        ("absent", (), "AttributeError"),
        ("echo", (1, 2, 3), "TypeError"),
        ("echo", (Unreadable(),), "ValueError: invalid literal"),
    ],
)
def test_a_failure_is_one_requests_alone(method: str, arguments: tuple[Any, ...], said: str) -> None:
    async def test(actor: Actor, line: Line) -> None:
        broken, whole = await asyncio.gather(line.ask(method, *arguments), line.ask("echo", "whole"))
        assert isinstance(broken, BackendError)
        assert said in broken.cause
        assert whole == "whole"
        assert await line.ask("echo", "later") == "later"

    played(test)


def test_what_cannot_be_sent_is_refused_at_once() -> None:
    async def test(actor: Actor, line: Line) -> None:
        with pytest.raises(RuntimeError, match="cannot be sent"):
            await line.ask("echo", Unsendable())
        assert await line.ask("echo", 1) == 1

    played(test)


@pytest.mark.parametrize(("error", "seen"), [(ActorDiedError(), ActorDiedError), (OSError("no way there"), Lost)])
def test_a_death_is_told_to_all_who_wait_and_ask_later(error: Exception, seen: type[Exception]) -> None:
    async def test(actor: Actor, line: Line) -> None:
        waiting = [asyncio.ensure_future(line.ask("wait", i)) for i in range(5)]
        await until(lambda: len(actor.owner.begun) == 5)
        actor.death.set_exception(error)
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(result) for result in results] == [seen] * 5
        with pytest.raises(seen):
            await line.ask("echo", 1)
        assert len(actor.owner.begun) == 5  # nothing was asked twice

    played(test)


def test_closing_leaves_nobody_waiting() -> None:
    async def test(actor: Actor, line: Line) -> None:
        waiting = asyncio.ensure_future(line.ask("wait", 1))
        await until(lambda: actor.owner.begun == [1])
        await line.close()
        with pytest.raises(BackendError, match="closed"):
            await waiting

    played(test)
