"""Batches of requests to a replica: each request has its own answer, failure and cancellation.

The tests need no cluster: an actor is any object with `submit` and `collect`.
"""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from ray.exceptions import ActorDiedError

from society.core.errors import BackendError
from society.executors.ray_calls import ReplicaLostError
from society.executors.request_batches import Connection, Dispatcher


class Unsendable:
    def __reduce__(self) -> Any:
        raise RuntimeError("cannot be sent")


class Unreadable:
    """An object that can be pickled but not unpickled."""

    def __reduce__(self) -> Any:
        return int, ("no number",)


class Owner:
    """The methods of a replica, controlled by the test."""

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
    """A method of an actor's handle that counts its calls, and fails once the actor is dead."""

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
        box = Dispatcher(self.owner)
        self.submit, self.collect = Method(box.submit, self.death), Method(box.collect, self.death)


def run_test(test: Callable[[Actor, Connection], Coroutine[Any, Any, None]]) -> None:
    async def play() -> None:
        actor = Actor()
        connection = Connection(actor)
        try:
            await asyncio.wait_for(test(actor, connection), 30)
        finally:
            await connection.close()
            if actor.death.done():
                actor.death.exception()

    asyncio.run(play())


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(10_000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("the condition never held")


def test_simultaneous_requests_share_a_call() -> None:
    async def test(actor: Actor, connection: Connection) -> None:
        answers = await asyncio.gather(*(connection.ask("echo", i) for i in range(100)))
        assert answers == list(range(100))
        assert actor.submit.calls == 1
        assert actor.collect.calls <= 2

    run_test(test)


def test_no_request_waits_for_a_slower_one() -> None:
    async def test(actor: Actor, connection: Connection) -> None:
        slow, quick = (
            asyncio.ensure_future(connection.ask("wait", "slow")),
            asyncio.ensure_future(connection.ask("echo", "quick")),
        )
        assert await quick == "quick"
        assert await connection.ask("echo", "later") == "later"
        assert not slow.done()
        actor.owner.doors["slow"].set()
        assert await slow == "slow"

    run_test(test)


def test_a_cancelled_request_is_cancelled_in_the_replica() -> None:
    async def test(actor: Actor, connection: Connection) -> None:
        gone, stays = (
            asyncio.ensure_future(connection.ask("wait", "gone")),
            asyncio.ensure_future(connection.ask("wait", "stays")),
        )
        await until(lambda: len(actor.owner.begun) == 2)
        gone.cancel()
        await until(lambda: actor.owner.ended == ["gone"])
        actor.owner.doors["stays"].set()
        assert await stays == "stays"

    run_test(test)


def test_a_request_cancelled_before_it_is_sent() -> None:
    async def test(actor: Actor, connection: Connection) -> None:
        gone = asyncio.ensure_future(connection.ask("wait", "gone"))
        await asyncio.sleep(0)
        gone.cancel()
        assert await connection.ask("echo", 1) == 1
        await until(lambda: actor.owner.ended == actor.owner.begun[:-1])

    run_test(test)


@pytest.mark.parametrize(
    ("method", "arguments", "said"),
    [
        ("fail", (), "ValueError: no such thing"),
        ("make", (Unsendable,), "RuntimeError: cannot be sent"),
        ("make", (Unreadable,), "Cannot read a replica's answer: invalid literal"),
        ("absent", (), "AttributeError"),
        ("echo", (1, 2, 3), "TypeError"),
        ("echo", (Unreadable(),), "ValueError: invalid literal"),
    ],
)
def test_a_failure_affects_one_request_only(method: str, arguments: tuple[Any, ...], said: str) -> None:
    async def test(actor: Actor, connection: Connection) -> None:
        broken, whole = await asyncio.gather(connection.ask(method, *arguments), connection.ask("echo", "whole"))
        assert isinstance(broken, BackendError)
        assert said in broken.cause
        assert whole == "whole"
        assert await connection.ask("echo", "later") == "later"

    run_test(test)


def test_arguments_that_cannot_be_pickled_raise_at_once() -> None:
    async def test(actor: Actor, connection: Connection) -> None:
        with pytest.raises(RuntimeError, match="cannot be sent"):
            await connection.ask("echo", Unsendable())
        assert await connection.ask("echo", 1) == 1

    run_test(test)


@pytest.mark.parametrize(
    ("error", "seen"), [(ActorDiedError(), ActorDiedError), (OSError("no way there"), ReplicaLostError)]
)
def test_pending_and_later_requests_raise_when_the_actor_dies(error: Exception, seen: type[Exception]) -> None:
    async def test(actor: Actor, connection: Connection) -> None:
        waiting = [asyncio.ensure_future(connection.ask("wait", i)) for i in range(5)]
        await until(lambda: len(actor.owner.begun) == 5)
        actor.death.set_exception(error)
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(result) for result in results] == [seen] * 5
        with pytest.raises(seen):
            await connection.ask("echo", 1)
        assert len(actor.owner.begun) == 5  # no request was repeated

    run_test(test)


def test_closing_ends_pending_requests() -> None:
    async def test(actor: Actor, connection: Connection) -> None:
        waiting = asyncio.ensure_future(connection.ask("wait", 1))
        await until(lambda: actor.owner.begun == [1])
        await connection.close()
        with pytest.raises(BackendError, match="closed"):
            await waiting

    run_test(test)
