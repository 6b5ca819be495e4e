"""Coroutines side by side: all results, or the first cause of failure with the others ended."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")


async def gather(coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """What each returns, in their order. When one fails the others are cancelled, and its exception is raised as it
    is, not in a group."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(coroutine) for coroutine in coroutines]
    except* Exception as failed:
        raise first_cause(failed) from None
    return [task.result() for task in tasks]


def first_cause(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first cause in a group of failures: the one that a person needs to hear."""
    error = group.exceptions[0]
    return first_cause(error) if isinstance(error, BaseExceptionGroup) else error
