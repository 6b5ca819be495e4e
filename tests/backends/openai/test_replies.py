"""Replies of servers: thoughts under every name, why they end, tokens that nobody counted, streams, hidden errors."""

from __future__ import annotations

import json
from typing import Any

import pytest

from backends.contract_tools import ask
from backends.openai.dialects import OTHER, VLLM, Dialect
from backends.openai.estimating import Estimator, rough_count
from backends.openai.failures import failure, hidden_failure
from backends.openai.replies import read_reply
from backends.openai.served import Served
from backends.openai.streams import is_stream, join
from backends.openai.wire import Completion
from society.core.errors import BackendError, ContextOverflowError, TransientError
from society.core.types import ChatMessage, GenerateOutput, GenerateRequest, Sampling, Usage

ESTIMATOR = Estimator("nobody/nothing", None)


def completed(
    message: dict[str, Any] | None = None, finish: str | None = "stop", usage: Any = (9, 4), **choice: Any
) -> Completion:
    """Return a chat completion; `usage` are its counts, or None."""
    counts = {"prompt_tokens": usage[0], "completion_tokens": usage[1]} if isinstance(usage, tuple) else usage
    choices = [{"message": message or {"content": "Paris."}, "finish_reason": finish, **choice}]
    return Completion.model_validate({"choices": choices, "usage": counts})


def read(
    completion: Completion,
    request: GenerateRequest | None = None,
    dialect: Dialect = VLLM,
    context: int | None = None,
) -> GenerateOutput:
    served = Served("m", "", dialect, context)
    return read_reply(completion, request or ask("What?"), served, ESTIMATOR)


# Thoughts


@pytest.mark.parametrize(
    "message",
    [
        {"reasoning_content": "plan", "content": "Paris."},
        {"reasoning": "plan", "content": "Paris."},
        {"thinking": "plan", "content": "Paris."},
        {"reasoning": "plan", "reasoning_content": {"summary": []}, "content": "Paris.", "tool_calls": []},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "plan"}]}, {"text": "Paris."}]},
        {"content": [{"type": "thinking", "thinking": "plan"}, {"type": "text", "text": "Paris."}]},
    ],
)
def test_a_thought_is_found_under_every_name(message: dict[str, Any]) -> None:
    output = read(completed(message))
    assert (output.thought, output.text, output.finish_reason) == ("plan", "Paris.", "stop")


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
def test_a_reply_that_is_cut_off_while_thinking_has_a_thought_and_no_text(name: str) -> None:
    """D2-1 and D2-2 of the cases."""
    output = read(completed({"content": None, name: "one two"}, "length", (9, 8)))
    assert (output.thought, output.text, output.finish_reason) == ("one two", "", "length")
    assert output.usage.thought_tokens == output.usage.generated_tokens == 8


def test_the_log_probability_is_that_of_the_text_alone() -> None:
    tokens = [("plan", -1.0), ("</think>", -2.0), ("\n\n", -4.0), ("Par", -0.25), ("is.", -0.5), ("", -0.125)]
    logprobs = {"content": [{"token": token, "logprob": value} for token, value in tokens]}
    output = read(completed({"reasoning": "plan", "content": "Paris."}, usage=(9, 6), logprobs=logprobs))
    assert output.logprob == -0.875
    assert output.usage.thought_tokens == 3
    mute = read(completed({"reasoning": "plan", "content": None}, "length", (9, 8), logprobs=logprobs))
    assert mute.logprob is None
    raw = read(completed({"content": "plan</think>\n\nParis."}, usage=(9, 6), logprobs=logprobs))
    assert (raw.thought, raw.text, raw.logprob, raw.usage.thought_tokens) == ("plan", "Paris.", -0.875, 3)


def test_hidden_thoughts_are_counted() -> None:
    details = {"prompt_tokens": 9, "completion_tokens": 30, "completion_tokens_details": {"reasoning_tokens": 26}}
    assert read(completed(usage=details), ask("What?", max_tokens=64)).usage == Usage(9, 30, thought_tokens=26)
    beyond = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 39}
    assert read(completed(usage=beyond), ask("What?", max_tokens=64)).usage.generated_tokens == 30


# The end of replies


@pytest.mark.parametrize(
    ("given", "expected"),
    [("stop", "stop"), ("eos_token", "stop"), ("end_turn", "stop"), ("STOP", "stop"), ("stop_sequence", "stop_text")],
)
def test_whole_replies(given: str, expected: str) -> None:
    assert read(completed(finish=given)).finish_reason == expected


@pytest.mark.parametrize("finish", [None, "", "abort", "error", "network_error"])
def test_an_interrupted_reply_is_none(finish: str | None) -> None:
    with pytest.raises(TransientError, match="finish_reason") as caught:
        read(completed(finish=finish))
    assert caught.value.remedy


def test_a_filter_and_calls_of_tools_have_no_text() -> None:
    filtered = read(completed({"content": "It is"}, "content_filter"))
    assert (filtered.text, filtered.finish_reason) == ("", "filter")
    for finish in ("tool_calls", "stop"):
        called = read(completed({"content": None, "tool_calls": [{"id": "1"}]}, finish))
        assert (called.text, called.finish_reason) == ("", "tools")
    assert read(completed({"content": "Paris.", "tool_calls": [{"id": "1"}]}, "stop")).finish_reason == "stop"


@pytest.mark.parametrize(("context", "shown"), [(None, 4096), (4096, 4096)])
def test_a_full_context_is_an_error_whether_or_not_its_size_is_known(context: int | None, shown: int) -> None:
    """D5-1 and D5-3 of the cases."""
    with pytest.raises(ContextOverflowError) as caught:
        read(completed(finish="length", usage=(200, 3896)), ask("What?", max_tokens=8000), OTHER, context)
    assert (caught.value.prompt, caught.value.answer, caught.value.context) == (200, 8000, shown)
    with pytest.raises(ContextOverflowError):
        read(completed(finish="model_length", usage=(200, 3896)), ask("What?", max_tokens=8000))


def test_a_reply_of_all_tokens_that_ends_with_a_stop_is_doubtful_on_an_unknown_server() -> None:
    """D4-1 and D4-3 of the cases."""
    assert read(completed(usage=(9, 8)), dialect=OTHER).finish_reason == "length"
    assert read(completed(usage=(9, 5)), dialect=OTHER).finish_reason == "stop"
    assert read(completed(usage=(9, 8)), dialect=VLLM).finish_reason == "stop"


def test_a_stop_text_that_the_server_ignores_ends_the_reply() -> None:
    request = ask("What?", max_tokens=64, stop=("\n\n", "END"))
    output = read(completed({"content": "Paris. END And\n\nmore"}, "length", (9, 64)), request)
    assert (output.text, output.finish_reason) == ("Paris. ", "stop_text")
    named = completed(stop_reason="END")
    assert read(named, request).finish_reason == "stop_text"
    assert read(completed(stop_reason=None), request).finish_reason == "stop"
    assert read(completed(), request, OTHER).finish_reason == "stop_text"


# Tokens that the server does not count


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": None}, {"prompt_tokens": 0, "completion_tokens": 0}])
def test_missing_counts_are_estimated_and_marked(usage: Any) -> None:
    counts = read(completed({"content": "It is Paris, I think."}, usage=usage)).usage
    assert counts.estimated
    assert (counts.prompt_tokens, counts.generated_tokens) == (4 + 2 + 4, 6)
    assert (Usage() + counts).estimated


def test_log_probabilities_count_the_generated_tokens() -> None:
    logprobs = {"content": [{"token": "a", "logprob": -1.0}] * 3}
    assert read(completed({"content": "aaa"}, usage=None, logprobs=logprobs)).usage.generated_tokens == 3


def test_an_estimated_count_never_makes_a_full_context() -> None:
    output = read(completed(finish="length", usage=None), ask("What?", max_tokens=8000))
    assert output.finish_reason == "length"


def test_the_models_own_tokenizer_counts_where_it_is_here(tmp_path: Any) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel({"Paris": 0, "is": 1, "[UNK]": 2}, unk_token="[UNK]"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made.save(str(tmp_path / "tokenizer.json"))
    own = Estimator("m", str(tmp_path))
    assert own.count("Paris is Paris") == 3
    assert own.count_prompt([ChatMessage("user", "Paris")]) == 4 + 1 + 4
    (tmp_path / "tokenizer.json").write_text("broken")
    assert Estimator("m", str(tmp_path)).count("Paris is Paris") == 4
    assert rough_count("北京是首都") == 5


# Streams, and errors that look like replies


def stream(*parts: Any, end: str = "data: [DONE]\n\n") -> bytes:
    return ("".join(f"data: {json.dumps(part)}\n\n" for part in parts) + end).encode()


def delta(finish: str | None = None, **message: str) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": message, "finish_reason": finish}]}


@pytest.mark.parametrize("name", ["reasoning_content", "thinking"])
def test_a_stream_is_read_as_one_reply(name: str) -> None:
    parts = [
        delta(**{name: "pl"}),
        delta(**{name: "an"}),
        delta(content="Par"),
        delta("stop", content="is."),
    ]
    data = stream(*parts, {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 4}})
    assert is_stream(data)
    output = read(Completion.model_validate_json(join(data)))
    assert (output.thought, output.text, output.usage.generated_tokens) == ("plan", "Paris.", 4)


@pytest.mark.parametrize("data", [stream(delta(content="Par"), end=""), b"data: {half\n\n", b"data: [1]\n\n"])
def test_a_stream_without_its_end_is_no_reply(data: bytes) -> None:
    with pytest.raises(TransientError, match="stream"):
        join(data)


def _nested(depth: int) -> bytes:
    return b'data: {"choices": [{"delta": {"tool_calls": [' + b"[" * depth + b"]" * depth + b"]}}]}\n\n"


@pytest.mark.parametrize(
    "data",
    [
        *(stream({"choices": choices}) for choices in (5, "text", [5], {"a": 1})),
        *(stream({"choices": [{"delta": given}]}) for given in ([1], "text", {"tool_calls": 7})),
        *(stream({"choices": [{"logprobs": given}]}) for given in ("text", {"content": 7}, [1])),
        b"data: " + b"[" * 200_000 + b"\n\n",
        *(_nested(depth) + b"data: [DONE]\n\n" for depth in (200_000, 3_000)),
        b'data: {"usage": ' + b"9" * 5_000 + b"}\n\n",
    ],
    ids=lambda data: data[:60].decode(),
)
def test_a_hostile_stream_is_the_servers_fault(data: bytes) -> None:
    with pytest.raises(TransientError):
        read(Completion.model_validate_json(join(data)))


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        ({"error": {"code": 429, "message": "slow down"}}, TransientError, "slow down"),
        ({"error": {"code": 402, "message": "Insufficient credits"}}, BackendError, "credit"),
        ({"choices": [{"error": {"code": 502, "message": "Provider broke"}}]}, TransientError, "Provider broke"),
        ({"error": "boom"}, TransientError, "boom"),
    ],
)
def test_an_error_with_status_200_is_an_error(body: Any, kind: type[BackendError], words: str) -> None:
    error = hidden_failure(json.dumps(body).encode(), "POST x")
    assert isinstance(error, kind)
    assert isinstance(error, TransientError) == (kind is TransientError)
    assert words in str(error)


@pytest.mark.parametrize("body", [{"choices": []}, {"error": None, "choices": []}, [1], {"choices": [{"error": None}]}])
def test_a_reply_is_no_error(body: Any) -> None:
    assert hidden_failure(json.dumps(body).encode(), "POST x") is None


def test_the_page_of_a_proxy_is_named_by_its_title() -> None:
    error = failure(502, {}, b"<html><head><title>502 Bad Gateway</title></head></html>", "POST x")
    assert "a web page, '502 Bad Gateway'" in error.cause


def test_choices_are_read_from_their_object() -> None:
    request = GenerateRequest((ChatMessage("user", "Choose."),), Sampling(), 1, choices=("yes", "no"))
    output = read(completed({"content": '{"choice": "no"}', "reasoning": "plan"}), request)
    assert (output.text, output.thought) == ("no", "plan")
