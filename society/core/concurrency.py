"""Concurrent coroutines: all results, or the first cause of failure with the others cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")


async def gather(coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Return the result of each coroutine, in their order.

    If one fails, the others are cancelled and its exception is raised, without a group around it.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(coroutine) for coroutine in coroutines]
    except* Exception as failed:
        raise first_cause(failed) from None
    return [task.result() for task in tasks]


def first_cause(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first cause in a group of failures: the one to show to people."""
    error = group.exceptions[0]
    return first_cause(error) if isinstance(error, BaseExceptionGroup) else error
