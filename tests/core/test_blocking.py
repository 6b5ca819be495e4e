"""Coroutines from synchronous code, with and without a running event loop."""

from __future__ import annotations

import asyncio
import contextvars
import threading

import pytest

from society.core.blocking import run_blocking

CELL: contextvars.ContextVar[str] = contextvars.ContextVar("CELL")


async def where(fails: bool = False) -> tuple[int, str]:
    await asyncio.sleep(0)
    if fails:
        raise LookupError("not there")
    return threading.get_ident(), CELL.get("none")


async def nested(fails: bool = False) -> tuple[int, str]:
    CELL.set("third")
    return run_blocking(where(fails))


def test_without_a_loop_it_runs_in_this_thread() -> None:
    assert run_blocking(where()) == (threading.get_ident(), "none")


def test_within_a_loop_it_runs_in_another_thread_with_the_same_context() -> None:
    thread, cell = asyncio.run(nested())
    assert thread != threading.get_ident()
    assert cell == "third"
    assert not [thread for thread in threading.enumerate() if thread.name == "society"]


@pytest.mark.parametrize("call", [where, nested])
def test_exceptions_come_back_alone(call: object) -> None:
    with pytest.raises(LookupError, match="not there") as raised:
        run_blocking(call(fails=True))  # type: ignore[operator]
    assert raised.value.__context__ is None  # no "During handling of the above exception"
