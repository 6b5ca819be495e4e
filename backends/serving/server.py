"""A server of the backend's own, on a free port of loopback. It ends with the backend."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from backends.serving.config import Serving
from backends.serving.engine import Engine
from society.core.errors import BackendError, WaitedTooLongError

TAIL = 12
"""Lines of the server's log in an error."""


@dataclass(frozen=True)
class Server:
    """A server that the run has started."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path
    engine: Engine

    def check(self) -> None:
        """Raise `WaitedTooLongError` if the server has ended: nobody starts it again within the run."""
        if self.process.poll() is not None:
            raise WaitedTooLongError(
                f"The {self.engine.name} server of this run ended with status {self.process.returncode}. "
                f"{_read_end(self.log)}",
                "Run again with --resume (Python: resume=True), which starts it again; lower `context` or `gpu_share` "
                "if memory ran out.",
            )


@asynccontextmanager
async def serve(config: Serving, folder: Path) -> AsyncIterator[Server]:
    """Start a server for the model in `folder`, and yield it once it answers."""
    engine = config.engine()
    with tempfile.TemporaryDirectory(prefix=f"society-{config.kind}-") as place, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        log = Path(place) / "log"
        keeper = [sys.executable, str(Path(__file__).with_name("keeper.py"))]
        command = [*keeper, *engine.find_program(), *engine.options(config, folder, port, Path(place))]
        with log.open("wb") as out:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=out,
                env=os.environ | engine.environment(config),
                start_new_session=True,
            )
        try:
            server = Server(f"http://127.0.0.1:{port}/v1", process, log, engine)
            await _wait(server, config.start_seconds)
            yield server
        finally:
            await asyncio.to_thread(_end, process)


async def _wait(server: Server, seconds: float) -> None:
    """Return once the server is healthy. Raises `BackendError` with the end of its log if it ends or takes too long."""
    import httpx

    process, health = server.process, f"{server.url.removesuffix('/v1')}/health"
    deadline = asyncio.get_running_loop().time() + seconds
    async with httpx.AsyncClient(trust_env=False, timeout=5.0) as client:
        while process.poll() is None and asyncio.get_running_loop().time() < deadline:
            try:
                if (await client.get(health)).status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            await asyncio.sleep(0.2)
    ended = "took too long to start" if process.poll() is None else f"ended with status {process.returncode}"
    remedy = "Correct the cause, for example a smaller `context` or `gpu_share`, or raise `start_seconds`."
    raise BackendError(f"{server.engine.name} {ended}. {_read_end(server.log)}", remedy)


def _read_end(log: Path) -> str:
    """Return the last lines of the server's log."""
    lines = log.read_text("utf-8", "replace").splitlines()[-TAIL:]
    return "The end of its log:\n" + "\n".join(f"    {line[:300]}" for line in lines)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Close the keeper's standard input, which ends the server."""
    assert process.stdin is not None
    process.stdin.close()
    process.wait()
