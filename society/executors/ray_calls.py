"""Calls to Ray: awaiting and cancelling them, and distinguishing their errors."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from society.executors.file_transfer import read_chunks

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_RAISED = re.compile(r"[\w.]+(Error|Exception|Exit|Interrupt): ")


def put_chunks(path: Path) -> list[Any]:
    """Put a file or folder into Ray's object store. Return references to its chunks."""
    import ray

    return [ray.put(chunk) for chunk in read_chunks(path)]


class ReplicaLostError(Exception):
    """A replica cannot be reached any more, and Ray raised none of its own errors for that."""


async def call(reference: Any) -> Any:
    """Return the value of a reference. Cancelling this coroutine cancels the work."""
    try:
        return await reference
    except asyncio.CancelledError:
        import ray

        if ray.is_initialized():  # otherwise Ray would start a cluster
            with suppress(Exception):  # an error here would hide the cancellation
                ray.cancel(reference)
        raise


def worker_errors() -> tuple[type[Exception], ...]:
    """Return the errors of a lost worker, machine or object. The work can be tried on another worker."""
    from ray.exceptions import NodeDiedError, ObjectLostError, OutOfMemoryError, RayActorError, WorkerCrashedError

    return (RayActorError, WorkerCrashedError, NodeDiedError, ObjectLostError, OutOfMemoryError, ReplicaLostError)


def describe_cause(error: BaseException) -> str:
    """Return an error's message on one line. Ray puts the exception of a worker at the end of a long text."""
    lines = [line.strip() for line in _COLOURS.sub("", str(error)).splitlines() if line.strip()]
    raised = [line for line in lines if _RAISED.match(line)]
    lines.append(type(error).__name__)
    return (raised[-1] if raised else lines[0])[:300]
