"""Errors of responses: transient or permanent, with remedies. The engine retries transient errors.

429, 503                            `BusyError`: the run waits, and sends fewer requests from now on
502, 504                            `UnavailableError`: the run waits
closed before any response          `ClosedError`: as above if the list of models cannot be had either, else transient
timeouts                            `NoAnswerError`: transient, and fewer requests from now on
other 5xx, breaks, invalid bodies   `TransientError`; a web page is a `WebPageError`
a prompt too long                   `ContextOverflowError`
401, 403, 404, quota, all others    `BackendError` with a remedy
"""

from __future__ import annotations

import email.utils
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from backends.openai.wire import Problem
from society.core.errors import BackendError, ContextOverflowError, TransientError, UnavailableError
from society.core.plain import shorten

SHOWN = 300
"""Maximum characters of a server's message in an error."""
_PAGE = 20_000
"""Maximum characters of a web page that are searched for its title."""
LARGER = "Give the server a larger context, or lower sampling.max_tokens or `edges.window`."
_PASSING = frozenset({408, 409, 425})
_CONTEXT = re.compile(r"context (?:length|size|window)\D{0,24}(\d{1,9})(?!\d)", re.I)
_PROMPT = (
    re.compile(r"\((\d{1,9}) in the messages", re.I),
    re.compile(r"(?<!\d)(\d{1,9}) (?:tokens from the input|input tokens)", re.I),
    re.compile(r"(?:resulted in|request|input) \(?(\d{1,9}) tokens", re.I),
    re.compile(r"input \((\d{1,9}) tokens", re.I),
)
_TOO_LONG = re.compile(r"context_length_exceeded|exceed_context_size|context (?:length|size|window)", re.I)


class BusyError(UnavailableError):
    """The server is overloaded: retry, with fewer requests at the same time."""


class NoAnswerError(TransientError):
    """No response within the scenario's timeout. A reply may be too long for it, so attempts are counted."""


class WebPageError(TransientError):
    """A web page instead of a response: a wrong address, a login page, or the error page of a proxy."""


_KINDS = {502: UnavailableError, 503: BusyError, 504: UnavailableError}
"""Errors of statuses that say that no request can be answered now. A proxy answers for a server that is gone."""


def failure(status: int, headers: Mapping[str, str], body: bytes, where: str, max_tokens: int = 0) -> BackendError:
    """Return the error for a response. `where`: method and URL; `max_tokens`: the longest answer of the request."""
    problem = read_problem(body)
    cause = f"{where} returned {status}: {problem.message or 'without a reason'}"
    if status == 429 and problem.code != "insufficient_quota":
        return BusyError(cause, "Lower `concurrency`, or wait.", after=retry_after(headers))
    if status >= 500 or status in _PASSING:
        kind = _KINDS.get(status, TransientError)
        return kind(cause, "Look into the server's log.", after=retry_after(headers))
    if status in (400, 413, 422) and _TOO_LONG.search(f"{problem.code} {problem.type} {problem.message}"):
        return _overflow(problem, max_tokens) or BackendError(cause, LARGER)
    return BackendError(cause, _remedy(status, headers, problem))


def hidden_failure(body: bytes, where: str) -> BackendError | None:
    """Return the error in a response with status 200, as gateways such as OpenRouter send it; None if there is none."""
    if b'"error"' not in body:
        return None
    try:
        data = _json(body)
    except ValueError:
        return None
    choices = data.get("choices") if isinstance(data, dict) else None
    holders = [data, *(choices if isinstance(choices, list) else [])]
    found = next((one["error"] for one in holders if isinstance(one, dict) and one.get("error")), None)
    if found is None:
        return None
    code = found.get("code") if isinstance(found, dict) else None
    status = code if isinstance(code, int) and 400 <= code < 600 else 500
    return failure(status, {}, json.dumps({"error": found}).encode(), where)


def _remedy(status: int, headers: Mapping[str, str], problem: Problem) -> str:
    if status == 407:
        return "A proxy asks for a password: set NO_PROXY for this host, or give the proxy's password to HTTPS_PROXY."
    if status == 402:
        return "The account has no credit left: its owner must add some."
    if status in (401, 403):
        return "Name the environment variable that holds the key as `key_env`, and check that the key is right."
    if status == 429:
        return "The account has no quota left: its owner must add credit."
    if status == 404:
        return "Check `url` (it usually ends in /v1) and `model`."
    if 300 <= status < 400:
        return f"The server moved to {headers.get('location', '')[:SHOWN]}. Give this address as `url`."
    return "Change the option that the server refuses, or leave it out."


def _overflow(problem: Problem, max_tokens: int) -> ContextOverflowError | None:
    """Return the error with all lengths, or None if the server does not report them."""
    context, prompt = problem.n_ctx, problem.n_prompt_tokens
    if context is None and (found := _CONTEXT.search(problem.message)):
        context = int(found[1])
    if prompt is None:
        prompt = next((int(found[1]) for pattern in _PROMPT if (found := pattern.search(problem.message))), None)
    if context is None or prompt is None:
        return None
    return ContextOverflowError(prompt, max_tokens, context, LARGER)


def read_problem(body: bytes) -> Problem:
    """Return the server's `error` object, or the beginning of any other body."""
    try:
        data: Any = _json(body)
        data = data.get("error", data) if isinstance(data, dict) else data
        if isinstance(data, dict):
            message = data.get("message") or data.get("detail") or data.get("error_message") or ""
            return Problem.model_validate({**data, "message": _shortened(str(message))})
    except (ValueError, ValidationError):
        data = body.decode("utf-8", "replace")
        if is_page(body):
            return Problem(message=_page_title(data))
    return Problem(message=_shortened(str(data)))


def is_page(body: bytes) -> bool:
    """Return whether a body is a web page."""
    return body.lstrip()[:1] == b"<"


def _page_title(page: str) -> str:
    page = page[:_PAGE]
    title = re.search(r"<title>(.*?)</title>|<h1>(.*?)</h1>", page, re.I | re.S)
    words = (title[1] or title[2]) if title else re.sub(r"<[^>]*>", " ", page)
    return f"a web page, {_shortened(words.strip())!r}"


def _json(body: bytes) -> Any:
    from pydantic_core import from_json

    return from_json(body)


def _shortened(text: str) -> str:
    """Return printable text on one line, of at most `SHOWN` characters."""
    return shorten("".join(c if c.isprintable() else " " for c in text), SHOWN)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of a Retry-After header, which holds seconds or a date; None if it cannot be read.

    A date is by the server's clock, so it is compared with the response's own, where it has one.
    """
    value = headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", value):
        return float(value)
    date, sent = _read_date(value), _read_date(headers.get("date", ""))
    return None if date is None else max(0.0, (date - (sent or datetime.now(UTC))).total_seconds())


def _read_date(value: str) -> datetime | None:
    """Return the date in a header; None if it cannot be read."""
    try:
        date = email.utils.parsedate_to_datetime(value)
        return date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
    except (ValueError, OverflowError):  # OverflowError: no date of the calendar in UTC
        return None
