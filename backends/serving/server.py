"""A server of the backend's own, on a free port of loopback. It ends with the backend."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from backends.openai.client import ClosedError, UnreachableError
from backends.serving.config import Serving
from backends.serving.engine import Engine
from society.core.errors import BackendError, WaitedTooLongError

END_SECONDS = 5.0
"""Maximum seconds between the last connection of a server that ends and the end of its process."""
TAIL = 12
"""Maximum number of lines from the end of the server's log in an error."""
_ERROR = re.compile(r"^(?!.*\b(?:WARNING|INFO|DEBUG)\b).*\b[A-Z]\w*(?:Error|Exception): ")
"""A line of a log with the message of an exception."""
_LENGTH = 300
"""Maximum number of characters of a line of the log in an error."""


@dataclass
class Server:
    """A server that the run has started."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path
    engine: Engine
    failed: bool = False
    """True once an error names the log, which is then kept."""

    @asynccontextmanager
    async def used(self) -> AsyncIterator[None]:
        """Raise `WaitedTooLongError` if the server is gone within the block: nobody starts it again within the run."""
        try:
            yield
        except (UnreachableError, ClosedError):
            with suppress(subprocess.TimeoutExpired):  # a server closes its connections before its process ends
                await asyncio.to_thread(self.process.wait, END_SECONDS)
            self._check()
            raise

    def _check(self) -> None:
        if self.process.poll() is not None:
            raise WaitedTooLongError(
                f"The {self.engine.name} server of this run ended with status {self.process.returncode}. "
                f"{self.read_log()}",
                "Run again with --resume (Python: resume=True), which starts it again; lower `context` or `gpu_share` "
                "if memory ran out.",
            )

    def read_log(self) -> str:
        """Return the first error and the last lines of the log, and its path. The log is kept."""
        self.failed = True
        lines = self.log.read_text("utf-8", "replace").splitlines()
        end = lines[-TAIL:]
        shown = [f"The end of its log, {self.log}:", *(f"    {line[:_LENGTH]}" for line in end)]
        first = _find_error(lines)
        if first and first not in end:
            shown = ["The first error of its log:", f"    {first[: 2 * _LENGTH]}", *shown]
        return "\n".join(shown)


@asynccontextmanager
async def serve(config: Serving, folder: Path) -> AsyncIterator[Server]:
    """Start a server for the model in `folder`, and yield it once it answers."""
    engine = config.engine()
    prefix = f"society-{config.kind}-"
    with tempfile.TemporaryDirectory(prefix=prefix) as place, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        handle, name = tempfile.mkstemp(".log", prefix)
        keeper = [sys.executable, str(Path(__file__).with_name("keeper.py"))]
        command = [*keeper, *engine.find_program(), *engine.options(config, folder, port, Path(place))]
        with os.fdopen(handle, "wb") as out:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=out,
                env=os.environ | engine.environment(config),
                start_new_session=True,
            )
        server = Server(f"http://127.0.0.1:{port}/v1", process, Path(name), engine)
        try:
            await _wait(server, config.start_seconds)
            yield server
        finally:
            await asyncio.to_thread(_end, process)
            if not server.failed:
                server.log.unlink(missing_ok=True)


async def _wait(server: Server, seconds: float) -> None:
    """Return once the server is healthy. Raises `BackendError` with parts of its log if it ends or takes too long."""
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
    said = server.read_log()
    remedy = "Correct the cause, for example a smaller `context`, or raise `start_seconds`."
    if "memory" in said.lower():
        remedy = (
            "Free memory, lower `context`, or set another `gpu_share`, such as 0.5: the server's share of the GPU's "
            "memory, on a CPU of main memory."
        )
    raise BackendError(f"{server.engine.name} {ended}. {said}", remedy)


def _find_error(lines: Sequence[str]) -> str:
    """Return the first line with an exception's message, else the first with the level ERROR, else ""."""
    messages = (line for line in lines if _ERROR.search(line))
    return next(messages, None) or next((line for line in lines if re.search(r"\bERROR\b", line)), "")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Close the keeper's standard input, which ends the server."""
    assert process.stdin is not None
    process.stdin.close()
    process.wait()
