"""An answer from a backend that may fail: a time limit, a look at what came back, another try where that may help.

What a failure is, and what becomes of it:

    TransientError, timeouts, lost connections, no memory   tried again, with growing waits; then the turn has failed
    any other error of the backend, its bugs included       the turn has failed, with the cause
    what is no reply: None, bytes, over `LONGEST`           the turn has failed, with the cause
    NULs and lone surrogates in a reply                     replaced by U+FFFD before anybody reads them
    an empty reply, one cut at `max_tokens`                 replies: the same request would give the same again
    InputError, ContextOverflowError, StoreError            the end of the run: a person must change something
"""

from __future__ import annotations

import asyncio
import logging
import re
from dataclasses import replace
from typing import TYPE_CHECKING, get_args

from society.core.errors import BackendError, SocietyError, TransientError, describe_error
from society.core.identity import derive_seed
from society.core.types import FinishReason, GenerateOutput, GenerateRequest, Usage
from society.simulation.clock import Stopwatch

if TYPE_CHECKING:
    from backends.base import Backend

log = logging.getLogger(__name__)

TRIES = 6
"""Attempts at a turn whose failure may pass."""
FIRST_WAIT = 0.5
"""Seconds that the first wait between attempts takes at most; each further one may be twice as long."""
LONGEST_WAIT = 600.0
"""Seconds: a server that asks for a longer wait than this is not waited for."""
LONGEST = 10_000_000
"""Characters of the longest reply that is taken for one."""
MAX_ROUNDING = 1e-3
"""Maximum amount by which rounding may lift the sum of log-probabilities above 0."""
MAX_LOGPROB = 1e300
"""Maximum absolute value of a log-probability that a store holds."""
FINISH_REASONS = get_args(FinishReason)
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


async def ask(backend: Backend, request: GenerateRequest, timeout: float | None, watch: Stopwatch) -> GenerateOutput:
    """Return the backend's reply, fit to be stored. `timeout` is in seconds, for each attempt.

    The seconds of its usage are those that `watch` has charged for all attempts, whatever the backend has measured.
    Raises `BackendError` when there is no reply, other errors of ours as they are.
    """
    for attempt in range(TRIES):
        try:
            with watch.running():
                output = await _attempt(backend, request, timeout)
            output = checked(output)
            return replace(output, usage=replace(output.usage, seconds=watch.seconds))
        except TransientError as error:
            after = max(0.0, error.after or 0.0)
            if attempt == TRIES - 1 or after > LONGEST_WAIT:
                raise
            await asyncio.sleep(after + jitter(request.seed, attempt))
    raise AssertionError("unreachable: the last attempt returns or raises")


def jitter(seed: int, attempt: int) -> float:
    """Seconds to wait after this attempt (from 0): uniform up to a limit that doubles each time, so that those who
    failed together do not come back together. Drawn from the turn's own seed."""
    return float(FIRST_WAIT * 2**attempt * derive_seed(seed, "wait", attempt) / 2**31)


async def _attempt(backend: Backend, request: GenerateRequest, timeout: float | None) -> GenerateOutput:
    """One call, its failures told as errors of ours."""
    try:
        if timeout is None:
            return await backend.generate(request)
        async with asyncio.timeout(timeout) as limit:
            return await backend.generate(request)
    except SocietyError:
        raise
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        # Nobody cancelled us: left alone, it would end the debate without a word.
        raise TransientError("The backend cancelled its own work.", "Run again with --resume.") from None
    except TimeoutError as error:
        if timeout is not None and limit.expired():
            raise TransientError(f"No reply within {timeout:g} s.", "Raise `timeout`, or ask for less.") from None
        raise TransientError(
            f"The backend waited too long: {describe_error(error)}.", "Look at what it waits for."
        ) from error
    except ConnectionError as error:
        raise TransientError(
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


def storable(text: str) -> str:
    """The text with U+FFFD for what a store, a tokenizer or a page cannot hold: NULs and lone surrogates."""
    return text if text.isprintable() else _UNSTORABLE.sub("\ufffd", text)


def checked(output: GenerateOutput) -> GenerateOutput:
    """The output, its text cleaned of what cannot be stored. Raises `BackendError` if it is no reply."""
    if not isinstance(output, GenerateOutput) or not isinstance(output.text, str):
        what = type(output.text if isinstance(output, GenerateOutput) else output).__name__
        raise _broken(f"it gave {what}, not a GenerateOutput with text")
    if len(output.text) > LONGEST:
        raise _broken(f"its reply has {len(output.text):,} characters, more than {LONGEST:,}")
    if output.finish_reason not in FINISH_REASONS or not _is_usage(output.usage):
        raise _broken(f"its finish_reason or usage is none: {output.finish_reason!r:.80}, {output.usage!r:.200}")
    if not _are_tokens(output.tokens):
        raise _broken("its tokens are no tuple of whole numbers from 0 to 2**31 - 1")
    if (text := storable(output.text)) != output.text:
        output = replace(output, text=text)
    return replace(output, logprob=_clean_logprob(output.logprob))


def _clean_logprob(logprob: float | None) -> float | None:
    """Return the log-probability, without a rounding error above 0; None where it is no log-probability."""
    if logprob is None or not -MAX_LOGPROB <= logprob <= MAX_ROUNDING:  # NaN fails both
        return None
    return min(logprob, 0.0)


def _is_usage(usage: object) -> bool:
    if not isinstance(usage, Usage):
        return False
    counts = (usage.prompt_tokens, usage.generated_tokens, usage.cached_tokens)
    return all(type(count) is int and count >= 0 for count in counts)


def _are_tokens(tokens: object) -> bool:
    if tokens is None:
        return True
    return isinstance(tokens, tuple) and all(type(token) is int and 0 <= token < 2**31 for token in tokens)


def _broken(how: str) -> BackendError:
    return BackendError(f"The backend broke its contract: {how}.", "Run `backends.contract` on it.")
