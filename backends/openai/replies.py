"""Reads a server's reply: thought, text, the reason of its end, tokens and log-probability.

stop, eos_token, end_turn ...       a whole reply
length, max_tokens                  cut off at `max_tokens`; with fewer tokens than that, the context is full
content_filter, safety ...          `filter`, without the text until then
tool_calls without content          `tools`
null, abort, error ...              an interrupted reply: `TransientError`
"""

from __future__ import annotations

import math

from backends.openai.choices import read_choice
from backends.openai.estimating import Estimator
from backends.openai.served import Served
from backends.openai.thinking import separate
from backends.openai.tools import read_tool_calls
from backends.openai.wire import Choice, Completion, Message, TokenLogprob
from society.core.errors import BackendError, ContextOverflowError, TransientError
from society.core.thoughts import split_thought
from society.core.types import FinishReason, GenerateOutput, GenerateRequest, Usage

_ENDS: dict[str, FinishReason] = {
    **dict.fromkeys(("stop", "eos", "eos_token", "end_turn", "complete", "completed", "done"), "stop"),
    **dict.fromkeys(("stop_sequence", "stop_text"), "stop_text"),
    **dict.fromkeys(("length", "max_tokens", "max_output_tokens", "max_length"), "length"),
    **dict.fromkeys(("model_length", "model_context_window_exceeded"), "context"),
    **dict.fromkeys(("content_filter", "safety", "sensitive", "recitation", "prohibited_content"), "filter"),
    **dict.fromkeys(("tool_calls", "function_call", "tool_use"), "tools"),
}
"""Our finish reasons by those of servers, in lower case."""
LARGER = (
    "The server's context is full, or the server limits replies: give it a larger context, or lower "
    "sampling.max_tokens or `edges.window`."
)


def read_reply(
    completion: Completion, request: GenerateRequest, served: Served, estimator: Estimator, opened: bool = False
) -> GenerateOutput:
    """Return the output of a completion. `opened`: the prompt opened a thought.

    Raises `ContextOverflowError` if the context was full, `TransientError` if the reply was interrupted, and
    `BackendError` if it is no valid reply.
    """
    choice = completion.choices[0]
    thought, text = read_message(choice.message, request, opened)
    finish = find_end(choice, served.dialect.name)
    logprob, texts = _logprob(choice, thought, text)
    usage = _usage(completion, request, estimator, thought, text, texts)
    tokens = None if completion.tokens is None else tuple(completion.tokens)
    if request.choices:
        return GenerateOutput(_chosen(text, request.choices), "stop", usage, logprob, tokens, thought)
    limit = request.sampling.max_tokens
    if finish == "context" or (finish == "length" and not usage.estimated and usage.generated_tokens < limit):
        used = usage.prompt_tokens + usage.generated_tokens
        raise ContextOverflowError(usage.prompt_tokens, limit, min(used, served.context or used), LARGER)
    if finish == "stop" and not served.dialect.tells_end and usage.generated_tokens >= limit:
        finish = "length"  # some servers call every end a stop: it is doubtful, so no training row is made of it
    if thought:
        text = text.strip()
    text, finish = _stopped(text, finish, choice, request, served)
    if finish == "filter":
        text = ""
    calls = read_tool_calls(choice.message.tool_calls or (), request.tools) if request.tools else ()
    return GenerateOutput(text, finish, usage, logprob, tokens, thought, calls)


def read_message(message: Message, request: GenerateRequest, opened: bool) -> tuple[str, str]:
    """Return thought and text of a message, which may still be arriving. `opened`: see `read_reply`."""
    thought, text = message.thought.strip(), message.text or message.refusal or ""
    if not request.choices:
        thought, text = separate(thought, text, opened, request.thinking.tags)
        if not thought:
            thought, text = split_thought(text, request.thinking.tags)
    return thought, text


def find_end(choice: Choice, server: str) -> FinishReason:
    """Return why the reply ended. Raises `TransientError` if the server does not say, or broke it off."""
    if choice.message.tool_calls and not choice.message.text:
        return "tools"
    reason = (choice.finish_reason or "").lower()
    if reason in _ENDS:
        return _ENDS[reason]
    if not reason:
        raise TransientError(
            f"{server} returned a reply without a finish_reason, so it may be incomplete.",
            "Look into the server's log. A gateway that never sends the reason cannot be used: connect to its server.",
        )
    raise TransientError(f"{server} broke the reply off: finish_reason {reason!r:.60}.", "Look into the server's log.")


def _stopped(
    text: str, finish: FinishReason, choice: Choice, request: GenerateRequest, served: Served
) -> tuple[str, FinishReason]:
    """Return the text before the first stop text, which some servers ignore or include, and the finish reason.

    Most servers do not distinguish a stop text from the end of the turn, so with stop texts the reason is `stop_text`.
    """
    places = [place for stop in request.sampling.stop if (place := text.find(stop)) >= 0]
    if places:
        return text[: min(places)], "stop_text"
    if finish != "stop" or not request.sampling.stop:
        return text, finish
    named = choice.stop_reason if choice.stop_reason is not None else choice.matched_stop
    return text, "stop" if served.dialect.names_stop and not isinstance(named, str) else "stop_text"


def _chosen(text: str, choices: tuple[str, ...]) -> str:
    chosen = read_choice(text, choices)
    if chosen is None:
        raise BackendError(
            f"The server did not restrict the reply to the choices: it replied {text[:80]!r}.",
            "Use a server with structured output, or let the agents vote in their own words.",
        )
    return chosen


def _usage(
    completion: Completion,
    request: GenerateRequest,
    estimator: Estimator,
    thought: str,
    text: str,
    texts: list[TokenLogprob] | None,
) -> Usage:
    """Return the server's count of tokens, or an estimate of what it does not count. `texts`: tokens of the text."""
    counts, choice = completion.usage, completion.choices[0]
    prompt = (counts.prompt_tokens if counts else None) or 0
    generated = counts.generated if counts else 0
    wrote = bool(thought or text)
    estimated = not prompt or (wrote and not generated)
    if not prompt:
        prompt = estimator.count_prompt(request.messages)
    if wrote and not generated:
        every = choice.logprobs.content if choice.logprobs else None
        generated = len(every) if every else estimator.count(thought) + estimator.count(text)
    cached = min(counts.cached if counts else 0, prompt)
    if thought and texts is not None:
        thinking = generated - len(texts)  # with its tags, which servers leave out of their count
    else:
        counted = counts.reasoning if counts else None
        thinking = _share(thought, text, generated) if counted is None else counted
    return Usage(prompt, generated, cached, thought_tokens=min(max(thinking, 0), generated), estimated=estimated)


def _share(thought: str, text: str, generated: int) -> int:
    """Return the tokens of the thought by its share of the characters: few servers count them."""
    return round(generated * len(thought) / (len(thought) + len(text))) if thought else 0


def _logprob(choice: Choice, thought: str, text: str) -> tuple[float | None, list[TokenLogprob] | None]:
    """Return the sum over the text's tokens, None if the server left one out, and these tokens if they are known."""
    content = choice.logprobs.content if choice.logprobs else None
    if not content:
        return None, None
    tokens = _after_thought(content, text) if thought else content
    if not tokens:
        return None, tokens
    known = [one.logprob for one in tokens if one.logprob is not None and math.isfinite(one.logprob)]
    return (min(0.0, math.fsum(known)) if len(known) == len(tokens) else None), tokens


def _after_thought(tokens: list[TokenLogprob], text: str) -> list[TokenLogprob] | None:
    """Return the last tokens that make up the text; None if they do not. Servers list those of the thought as well."""
    if not text.strip():
        return []
    ending = ""
    for start in range(len(tokens) - 1, -1, -1):
        ending = (tokens[start].token or "") + ending
        if text.strip() in ending:
            return tokens[start:]
    return None
