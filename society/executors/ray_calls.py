"""Calls to the cluster as the rest of this folder needs them: awaited, cancelled, and their failures told apart."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from society.executors.file_transfer import pack

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_RAISED = re.compile(r"[\w.]+(Error|Exception|Exit|Interrupt): ")


def put(path: Path) -> list[Any]:
    """A file or folder in Ray's object store, as references to its pieces."""
    import ray

    return [ray.put(piece) for piece in pack(path)]


class Lost(Exception):  # noqa: N818 - named like Ray's own
    """A replica can be reached no more, for a cause that Ray has no name for."""


async def call(reference: Any) -> Any:
    """The value of a reference; cancelling the wait cancels the work."""
    try:
        return await reference
    except asyncio.CancelledError:
        import ray

        if ray.is_initialized():  # else Ray would start a cluster to cancel it on
            with suppress(Exception):  # a second cause would hide the first
                ray.cancel(reference)
        raise


def dead() -> tuple[type[Exception], ...]:
    """What Ray raises when a worker, its machine or what it held is gone: worth trying elsewhere."""
    from ray.exceptions import NodeDiedError, ObjectLostError, OutOfMemoryError, RayActorError, WorkerCrashedError

    return (RayActorError, WorkerCrashedError, NodeDiedError, ObjectLostError, OutOfMemoryError, Lost)


def cause(error: BaseException) -> str:
    """What an error says, in short: Ray puts the exception of a worker at the end of a page of its own words."""
    lines = [line.strip() for line in _COLOURS.sub("", str(error)).splitlines() if line.strip()]
    raised = [line for line in lines if _RAISED.match(line)]
    return (raised[-1] if raised else lines[0] if lines else type(error).__name__)[:300]
