"""Requests to a backend that may fail: a time limit, a check of the reply, and retries with exponential back-off.

Kinds of failures, and their consequences:

    UnavailableError, refused connections                   the run waits for the backend: see `outages`
    other TransientErrors, timeouts, no memory              retried with growing waits; then the turn fails
    any other error of the backend, including its bugs      the turn fails, with the cause
    no valid reply: None, bytes, over `MAX_CHARACTERS`      the turn fails, with the cause
    NULs and lone surrogates in a reply                     replaced by U+FFFD before the reply is used
    an empty reply, or one cut off at `max_tokens`          valid: the same request would give the same reply again
    InputError and its kinds, ContextOverflowError, StoreError   the run ends: the user must change something
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, get_args

from society.core.errors import (
    BackendError,
    DroppedError,
    SocietyError,
    TransientError,
    UnavailableError,
    WaitedTooLongError,
    describe_error,
)
from society.core.identity import derive_seed
from society.core.pieces import OnPiece, Piece
from society.core.plain import storable
from society.core.types import FinishReason, GenerateOutput, GenerateRequest, ToolCall, Usage, with_seconds, with_usage
from society.simulation.clock import Stopwatch
from society.simulation.outages import Availability

if TYPE_CHECKING:
    from backends.base import Backend

log = logging.getLogger(__name__)

FIRST_WAIT = 0.5
"""Maximum seconds of the first wait between attempts; the maximum doubles with each further wait."""
REFUSALS = 3
"""Number of further waits up to which a request waits longer each time that the server was unavailable."""
MAX_CHARACTERS = 10_000_000
"""Maximum number of characters of a valid reply."""
MAX_ROUNDING = 1e-3
"""Maximum amount by which rounding may raise the sum of log-probabilities above 0."""
MAX_LOGPROB = 1e300
"""Maximum absolute value of a log-probability that a store holds."""
FINISH_REASONS = get_args(FinishReason)


@dataclass(frozen=True)
class Patience:
    """The bounds of the attempts at one turn.

    `tries`: maximum number of attempts after transient failures. `rest` is the context of waits between them, and
    `give_up` stops the run because the backend was unavailable for too long. `during` is the context of each attempt.
    """

    availability: Availability
    tries: int
    rest: Callable[[], AbstractAsyncContextManager[None]]
    give_up: Callable[[WaitedTooLongError], None]
    during: Callable[[], AbstractContextManager[None]] = nullcontext

    @property
    def longest(self) -> float:
        """Maximum seconds that a server may ask to wait before the next attempt."""
        return 60 * self.availability.minutes


async def ask(
    backend: Backend,
    request: GenerateRequest,
    timeout: float | None,
    watch: Stopwatch,
    patience: Patience,
    on_piece: OnPiece | None = None,
) -> GenerateOutput:
    """Return the backend's reply, checked and cleaned for the store. `timeout`: seconds for each attempt.

    `on_piece` receives the pieces of the reply, if the backend can stream; each attempt takes back those before it.
    The seconds of its usage are those that `watch` measured over all attempts. Raises `BackendError` if there is no
    valid reply. Other errors with a remedy pass unchanged.
    """
    tries = refusals = 0
    availability = patience.availability
    while True:
        probes = await _wait_for(patience) if availability.lost else False
        wait = 0.0
        try:
            with watch, patience.during():
                output = await _attempt(backend, request, timeout, on_piece)
            availability.answer()
            output = checked(output)
            seconds = 0.0 if backend.asks_people else watch.seconds
            return with_usage(output, with_seconds(output.usage, seconds))
        except DroppedError:
            pass
        except UnavailableError as error:
            if (late := availability.fail(error)) is not None:
                patience.give_up(late)
            wait = jitter(request.seed, min(refusals, REFUSALS))
            refusals += 1
        except TransientError as error:
            availability.answer()
            after = max(0.0, error.after or 0.0)
            tries += 1
            if tries == patience.tries or after > patience.longest:
                raise
            wait = after + jitter(request.seed, tries - 1)
        except BackendError:
            availability.answer()
            raise
        finally:
            if probes:
                availability.probed()
        async with patience.rest():
            await asyncio.sleep(wait)


async def _wait_for(patience: Patience) -> bool:
    """Wait for the end of an outage, or until this request is its probe. Return whether it is."""
    async with patience.rest():
        return await patience.availability.wait()


def jitter(seed: int, attempt: int) -> float:
    """Return the seconds to wait after this attempt (from 0): uniform up to a limit that doubles each time.

    So requests that failed together do not return together. The draw depends on the turn's seed.
    """
    return float(FIRST_WAIT * 2**attempt * derive_seed(seed, "wait", attempt) / 2**31)


async def _attempt(
    backend: Backend, request: GenerateRequest, timeout: float | None, on_piece: OnPiece | None = None
) -> GenerateOutput:
    """Call the backend once. Raise its failures as `BackendError` or `TransientError`."""
    generate = backend.generate
    if backend.asks_people:  # they have a limit of their own
        timeout = None
    if on_piece is not None and backend.streaming is not None:
        generate = partial(backend.streaming.stream, on_piece=_only_now(on_piece))
    try:
        if timeout is None:
            return await generate(request)
        async with asyncio.timeout(timeout) as limit:
            return await generate(request)
    except SocietyError:
        raise
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        # This task was not cancelled: the error would end the debate without a message.
        raise TransientError(
            "The backend cancelled its own work.", "Run again with --resume (Python: resume=True)."
        ) from None
    except TimeoutError as error:
        if timeout is not None and limit.expired():
            raise TransientError(f"No reply within {timeout:g} s.", "Raise `timeout`, or lower max_tokens.") from None
        raise TransientError(
            f"The backend waited too long: {describe_error(error)}.", "Check what the backend waits for."
        ) from error
    except ConnectionError as error:
        raise UnavailableError(
            f"The backend's connection failed: {describe_error(error)}.", "Is it reachable?"
        ) from error
    except Exception as error:
        log.debug("A backend broke", exc_info=True)
        if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
            raise TransientError(
                f"The backend ran out of memory: {describe_error(error)}.",
                "Lower its batch or context, or the scenario's concurrency.",
            ) from error
        raise BackendError(
            f"The backend broke: {describe_error(error)}.", "This is a fault of its own code."
        ) from error


def _only_now(on_piece: OnPiece) -> OnPiece:
    """Return a function for the pieces of one attempt. The first one takes back what an earlier attempt sent."""
    fresh = True

    def send(piece: Piece) -> None:
        nonlocal fresh
        if fresh:
            fresh = False
            on_piece(Piece("", 0, thought=True))
            on_piece(Piece("", 0))
        on_piece(piece)

    return send


def checked(output: GenerateOutput) -> GenerateOutput:
    """Return the output with thought and text that can be stored. Raises `BackendError` if it is no valid reply."""
    if not isinstance(output, GenerateOutput):
        raise _broken(f"it returned {type(output).__name__}, not a GenerateOutput with text")
    for part in (output.text, output.thought):
        if not isinstance(part, str):
            raise _broken(f"it returned {type(part).__name__}, not a GenerateOutput with text")
        if len(part) > MAX_CHARACTERS:
            raise _broken(f"its reply has {len(part):,} characters, more than {MAX_CHARACTERS:,}")
    if output.finish_reason not in FINISH_REASONS or not _is_usage(output.usage):
        raise _broken(f"its finish_reason or usage is invalid: {output.finish_reason!r:.80}, {output.usage!r:.200}")
    if not (isinstance(output.calls, tuple) and all(isinstance(call, ToolCall) for call in output.calls)):
        raise _broken("its calls are not a tuple of ToolCall")
    if not _are_tokens(output.tokens):
        raise _broken("its tokens are not a tuple of whole numbers from 0 to 2**31 - 1")
    thought, text, logprob = storable(output.thought), storable(output.text), _clean_logprob(output.logprob)
    calls = tuple(map(_clean_call, output.calls)) if output.calls else ()
    if (thought, text, logprob, calls) == (output.thought, output.text, output.logprob, output.calls):
        return output
    return replace(output, thought=thought, text=text, logprob=logprob, calls=calls)


def _clean_call(call: ToolCall) -> ToolCall:
    return replace(call, tool=storable(call.tool), given=storable(call.given), parameter=storable(call.parameter))


def _clean_logprob(logprob: float | None) -> float | None:
    """Return the log-probability, without a rounding error above 0; None if it is no log-probability."""
    if logprob is None or not -MAX_LOGPROB <= logprob <= MAX_ROUNDING:  # NaN fails both
        return None
    return min(logprob, 0.0)


def _is_usage(usage: object) -> bool:
    if not isinstance(usage, Usage):
        return False
    counts = (usage.prompt_tokens, usage.generated_tokens, usage.cached_tokens, usage.thought_tokens)
    return all(type(count) is int and count >= 0 for count in counts)


def _are_tokens(tokens: object) -> bool:
    if tokens is None:
        return True
    return isinstance(tokens, tuple) and all(type(token) is int and 0 <= token < 2**31 for token in tokens)


def _broken(how: str) -> BackendError:
    return BackendError(f"The backend broke its contract: {how}.", "Run `backends.contract` on it.")
