"""HTTP servers for tests, on loopback and a free port, each in a thread: a scripted server, and a proxy with faults.

Every request takes one connection. A handler returns the bytes of the answer, or None to close the connection.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self

Fault = Literal["500", "503", "429", "reset", "lost", "silent", "slow", "truncated", "half", "garbage", "null"]
FAULTS: tuple[Fault, ...] = (
    "500",
    "503",
    "429",
    "reset",
    "lost",
    "silent",
    "slow",
    "truncated",
    "half",
    "garbage",
    "null",
)


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    raw: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Handler = Callable[[Request], Awaitable[bytes | None]]


def reply(data: object, status: int = 200, **headers: str) -> bytes:
    """Return an HTTP answer; bytes are sent as they are, everything else as JSON."""
    body = data if isinstance(data, bytes) else json.dumps(data).encode()
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class HttpServer:
    """A server that answers with `handler` until the block ends."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.requests: list[Request] = []
        self.failed: list[BaseException] = []
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._serve()))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        assert not self._thread.is_alive()
        self._loop.close()
        assert not self.failed

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        tasks: set[asyncio.Task[None]] = set()

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.create_task(self._connection(reader, writer))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await _read(reader)
            self.requests.append(request)
            answer = await self.handler(request)
            if answer is None:
                writer.transport.abort()
                return
            writer.write(answer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client went away
        except Exception as error:
            self.failed.append(error)
        finally:
            writer.close()


async def _read(reader: asyncio.StreamReader) -> Request:
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines) if name}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    method, path, _ = first.split(" ")
    return Request(method, path, headers, body, head + body)


class Proxy(HttpServer):
    """A proxy to a server on another port; `plan` chooses the fault of each attempt at a request.

    `silent` never answers, `lost` closes the connection after the server has answered, `truncated` ends before its
    Content-Length, `half` sends half of the JSON, and `null` omits required fields.
    """

    def __init__(self, port: int, plan: Callable[[Request, int], Fault | None]) -> None:
        super().__init__(self._pass_on)
        self.target = port
        self.plan = plan
        self.attempts: Counter[bytes] = Counter()
        self.injected: Counter[str] = Counter()

    async def _pass_on(self, request: Request) -> bytes | None:
        fault = self.plan(request, self.attempts[request.body])
        self.attempts[request.body] += 1
        if fault is None:
            return await self._forward(request)
        self.injected[fault] += 1
        return await self._fail(fault, request)

    async def _fail(self, fault: Fault, request: Request) -> bytes | None:
        if fault in ("500", "503", "429"):
            headers = {"Retry_After": "0"} if fault == "429" else {}
            return reply({"error": {"message": "injected"}}, int(fault), **headers)
        if fault == "silent":
            await self._stop.wait()
        if fault in ("reset", "silent"):
            return None
        if fault == "garbage":
            return reply(b"<html>\xff\x00 not what you asked for</html>")
        if fault == "null":
            return reply({"choices": [], "usage": None})
        return _damaged(fault, await self._forward(request))

    async def _forward(self, request: Request) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.target)
        try:
            head, _, body = request.raw.partition(b"\r\n\r\n")
            lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"connection:")]
            writer.write(b"\r\n".join([*lines, b"Connection: close"]) + b"\r\n\r\n" + body)
            await writer.drain()
            return await reader.read()
        finally:
            writer.close()


def _damaged(fault: Fault, answer: bytes) -> bytes | None:
    head, _, body = answer.partition(b"\r\n\r\n")
    if fault == "lost":
        return None
    if fault == "truncated":
        return answer[: len(head) + 4 + len(body) // 2]
    return reply(body[: len(body) // 2]) if fault == "half" else answer
