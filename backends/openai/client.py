"""One connection pool to one server. It returns checked responses or raises errors, and sends the key in one header.

It retries nothing and follows no redirects, so a key goes only to its server.
"""

from __future__ import annotations

import asyncio
import json
import socket
import zlib
from collections.abc import Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from pydantic import BaseModel, ValidationError

from backends.openai.config import OpenAI
from backends.openai.failures import NoAnswerError, WebPageError, failure, hidden_failure, is_page, read_problem
from backends.openai.keys import find_key, is_local
from backends.openai.streams import BrokenStreamError, is_stream, join
from backends.openai.wire import ModelList
from society.core.errors import BackendError, MissingExtraError, TransientError, UnavailableError

CONNECT_SECONDS = 10.0
"""Maximum seconds to open a connection."""
IDLE_SECONDS = 4.0
"""Maximum idle seconds of a reused connection: many servers close connections after five seconds."""
LONGEST_BODY = 64 << 20
"""Maximum bytes of a reply, after decoding."""
LONGEST_OTHER = 8 << 20
"""Maximum bytes of every other response: a list of models, an error."""
SECRET = 12
"""Minimum characters of a secret key, which is redacted in responses. Shorter keys are placeholders for local servers,
such as `EMPTY`, and a reply may contain them."""

Answered = TypeVar("Answered", bound=BaseModel)


class Stream(Protocol):
    """Follows a response with status 200 as it arrives."""

    def add(self, line: bytes) -> None:
        """Handle the next line."""

    def whole(self, data: bytes) -> bytes:
        """Return the body of the response without a stream. Raises `TransientError` if the stream is cut off."""


class UnreachableError(UnavailableError):
    """No server accepts connections at the address, or a tunnel does and closes them."""


class UnknownHostError(UnreachableError):
    """The name in the address does not resolve."""


class ClosedError(TransientError):
    """A connection that was closed before any response: the server is gone, or the request made it crash."""


class Client:
    """An open connection pool, as an async context manager. Raises `InputError` if the key is missing."""

    def __init__(self, config: OpenAI) -> None:
        try:
            import httpx
        except ImportError:
            raise MissingExtraError("The openai backend", "httpx", "openai") from None
        self.url = config.url
        self.root = root_of(config.url)
        self._errors = (httpx.HTTPError, httpx.InvalidURL)
        self._refused = (httpx.ConnectError, httpx.ConnectTimeout)
        self._closed = (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)
        self._timeout = config.timeout
        key = find_key(config)
        self._key = key.encode() if key and len(key) >= SECRET else None
        self._http = httpx.AsyncClient(
            timeout=httpx.Timeout(None, connect=min(CONNECT_SECONDS, config.timeout)),
            limits=httpx.Limits(max_keepalive_connections=config.concurrency, keepalive_expiry=IDLE_SECONDS),
            **settings(config, key),
        )

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def get(self, url: str, kind: type[Answered]) -> Answered:
        """Return the server's response at `url`. Raises `BackendError`."""
        return self._read(await self.send("GET", url), kind, f"GET {url}")

    async def list_models(self) -> ModelList:
        """Return the server's models. Raises `BackendError`.

        A server whose page of models is closed twice without a response is unreachable: a tunnel accepts connections
        for a server that is gone.
        """
        page = f"{self.url}/models"
        try:
            try:
                return await self.get(page, ModelList)
            except ClosedError:
                return await self.get(page, ModelList)
        except ClosedError as error:
            raise UnreachableError(
                f"No server answers at {page}: {error.cause}", "Start the server, and the tunnel to it if there is one."
            ) from None

    async def command(self, url: str, body: dict[str, Any] | None = None) -> bytes:
        """Return the body of the response to a command that changes the server. Raises `BackendError`.

        A server that closes the connection, and is then gone, is unreachable.
        """
        try:
            return await self.send("POST", url, body)
        except ClosedError:
            await self.check_presence()
            raise

    async def check_presence(self) -> None:
        """Raise `UnavailableError` if the server is gone. Any other response shows that it is there."""
        try:
            await self.list_models()
        except UnavailableError:
            raise
        except BackendError:
            pass

    async def post(
        self, url: str, body: dict[str, Any], kind: type[Answered], stream: Stream | None = None
    ) -> Answered:
        """Return the server's response to `body`; `stream` follows it as it arrives. Raises `BackendError`."""
        data = await self.send("POST", url, body, stream)
        return self._read(data if stream is None else stream.whole(data), kind, f"POST {url}")

    async def send(
        self, method: str, url: str, body: dict[str, Any] | None = None, stream: Stream | None = None
    ) -> bytes:
        """Return the body of a response with status 200. Raises `BackendError` for any other."""
        where = f"{method} {url}"
        try:
            async with asyncio.timeout(self._timeout):
                status, headers, data = await self._exchange(method, url, body, stream)
        except TimeoutError:
            raise NoAnswerError(
                f"{where} was not answered within {self._timeout:g} s.", "Raise `timeout`, or lower `concurrency`."
            ) from None
        except self._refused as error:
            kind = UnknownHostError if _is_unresolved(error) else UnreachableError
            raise kind(f"No server answers at {url}: {_reason(error)}.", "Start the server.") from None
        except self._errors as error:
            broken = TransientError if stream is None else BrokenStreamError
            raise broken(f"{where} was interrupted: {_reason(error)}.", "Look into the server's log.") from None
        if status != 200:
            raise failure(status, headers, data, where, _longest_answer(body))
        return data

    async def _exchange(
        self, method: str, url: str, body: dict[str, Any] | None, stream: Stream | None
    ) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body, with the key redacted. JSON is sent in ASCII, so lone surrogates pass."""
        content = None if body is None else json.dumps(body).encode()
        sent = self._http.stream(method, url, content=content, headers={"Content-Type": "application/json"})
        data = bytearray()
        told = 0  # bytes of the lines that the stream knows
        async with AsyncExitStack() as stack:
            try:
                response = await stack.enter_async_context(sent)
            except self._closed as error:
                if _is_garbage(error):
                    raise
                cause = f"{method} {url} was closed before any response: {_reason(error)}."
                raise ClosedError(cause, "Look into the server's log.") from None
            most = LONGEST_BODY if method == "POST" and response.status_code == 200 else LONGEST_OTHER
            decode = _decoder(response.headers.get("content-encoding", ""), f"{method} {url}")
            async for block in response.aiter_raw():
                data += decode(block, most + 1 - len(data))
                if len(data) > most:
                    raise TransientError(f"The response to {method} {url} is too long.", "Look into the server's log.")
                if stream is not None and response.status_code == 200:
                    end = data.rfind(b"\n", told) + 1 or told
                    for line in data[told:end].splitlines():
                        stream.add(self._hidden(bytes(line)))
                    told = end
        headers = {name: self._hidden(value.encode()).decode() for name, value in response.headers.items()}
        return response.status_code, headers, self._hidden(bytes(data))

    def _hidden(self, data: bytes) -> bytes:
        return data.replace(self._key, b"[key]") if self._key else data

    def _read(self, data: bytes, kind: type[Answered], where: str) -> Answered:
        if is_page(data):
            raise WebPageError(
                f"{where} did not return a response but {read_problem(data).message}.",
                "Check `url`: it usually ends in /v1. A login page or a proxy may stand in between.",
            )
        if is_stream(data):
            data = self._hidden(join(data))
        if (failed := hidden_failure(data, where)) is not None:
            raise failed
        try:
            return kind.model_validate_json(data)
        except ValidationError as error:
            what = error.errors(include_url=False, include_input=False)[0]["msg"]
            raise TransientError(
                f"Unexpected response to {where}: no {kind.__name__} ({what}).", "Look into the server's log."
            ) from None


def settings(config: OpenAI, key: str | None) -> dict[str, Any]:
    """Return the settings of every connection: the key, no redirects, and no proxy for this machine itself."""
    headers = {"Accept-Encoding": "identity", **({"Authorization": f"Bearer {key}"} if key else {})}
    return {"headers": headers, "trust_env": not is_local(config.url), "follow_redirects": False}


def _decoder(encoding: str, where: str) -> Callable[[bytes, int], bytes]:
    """Return a function of a block and a limit in bytes that decodes the block. Some proxies compress unasked."""
    if encoding.lower() in ("", "identity"):
        return lambda block, most: block
    if encoding.lower() not in ("gzip", "x-gzip"):
        raise TransientError(f"The response to {where} is encoded as {encoding!r:.60}.", "Look into the proxy's log.")
    decoder = zlib.decompressobj(zlib.MAX_WBITS | 16)

    def decode(block: bytes, most: int) -> bytes:
        try:
            return decoder.decompress(block, most)
        except zlib.error:
            raise TransientError(f"The response to {where} is no gzip.", "Look into the proxy's log.") from None

    return decode


def root_of(url: str) -> str:
    """Return the root of the server, for paths beyond the standard."""
    return url.removesuffix("/v1")


def _reason(error: Exception) -> str:
    """Return the message of a library's error, or its type if the message is empty."""
    return str(error).rstrip(".") or type(error).__name__


def _is_unresolved(error: BaseException | None) -> bool:
    """Return whether the resolver of names caused the library's error."""
    while error is not None and not isinstance(error, socket.gaierror):
        error = error.__cause__ or error.__context__
    return error is not None


def _is_garbage(error: Exception) -> bool:
    """Return whether the library's error is about a response that is no HTTP, and not about one that is missing."""
    return type(error).__name__ == "RemoteProtocolError" and "disconnected" not in str(error)


def _longest_answer(body: dict[str, Any] | None) -> int:
    limits = (body or {}).get("max_tokens"), (body or {}).get("max_completion_tokens")
    return next((limit for limit in limits if isinstance(limit, int)), 0)
