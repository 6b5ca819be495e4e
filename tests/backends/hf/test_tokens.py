"""The tokens that are trained and scored are those that were drawn, not those that the text would be split into."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.contract_tools import ask, run
from backends.hf import HuggingFace
from backends.training import Training, TrainSettings
from society.core.errors import BackendError
from society.core.types import ChatMessage, Example, GenerateOutput, GenerateRequest, Sampling, Turn, TurnId
from society.store import Store
from society.training.selection import make_example
from tests.backends.hf.tiny import make_model

torch = pytest.importorskip("torch")

from backends.hf.chat import Chat  # noqa: E402
from backends.hf.examples import encode, render  # noqa: E402
from backends.hf.loading import load_chat  # noqa: E402
from backends.hf.rows import Row  # noqa: E402
from backends.hf.scoring import collate  # noqa: E402

QUESTION = (ChatMessage("user", "the cat ?"),)
SOURCE = TurnId(0, "q", "debate", 1, "a")
SETTINGS = TrainSettings(epochs=2, batch_size=4, accumulation=1, learning_rate=1e-2, rank=4)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("hf") / "model", seed=1)


@pytest.fixture(scope="module")
def chat(model: Path) -> Chat:
    return load_chat(model, None, "model")


def ids(chat: Chat, *pieces: str) -> list[int]:
    """Return the tokens of these names in the vocabulary."""
    found = chat.tokenizer.convert_tokens_to_ids(list(pieces))
    return list(found)


def drawn(chat: Chat, tokens: list[int], sampling: Sampling, choices: tuple[str, ...] = ()) -> GenerateOutput:
    """Return the reply of a model that draws these tokens."""
    row = Row(GenerateRequest(QUESTION, sampling, 1, choices=choices), chat.prompt_ids(QUESTION), chat)
    for token in tokens:
        assert row.finish is None
        row.add(token, -1.0)
    assert row.finish is not None
    return row.output()


def learn(output: GenerateOutput) -> Example:
    """Return the training row of a reply to QUESTION."""
    return make_example(
        Turn(SOURCE, "key", QUESTION, output.text, None, output.finish_reason, output.usage, tokens=output.tokens),
        "test",
    )


def labels(chat: Chat, example: Example) -> list[int]:
    """Return the tokens that a loss is computed on."""
    found = collate(encode(chat, [example], TrainSettings()).rows)["labels"][0].tolist()
    return [token for token in found if token != -100]


# What generation returns


def test_the_end_that_was_drawn_is_among_the_tokens(chat):
    tokens = ids(chat, "c", "a", "t", " ", "dog", "<|end|>")
    output = drawn(chat, tokens, Sampling(max_tokens=20))
    assert (output.text, output.finish_reason) == ("cat dog", "stop")
    assert output.tokens == tuple(tokens)
    assert chat.reply_ids(output.text) != tokens  # else this would test nothing


def test_a_reply_that_is_cut_has_no_end(chat):
    tokens = ids(chat, "d", "o", "g")
    output = drawn(chat, tokens, Sampling(max_tokens=3))
    assert (output.text, output.finish_reason, output.tokens) == ("dog", "length", tuple(tokens))


def test_a_stop_text_is_among_the_tokens_and_not_in_the_text(chat):
    tokens = ids(chat, "red", " ", ".", "\n")
    output = drawn(chat, tokens, Sampling(max_tokens=20, stop=("\n",)))
    assert (output.text, output.finish_reason, output.tokens) == ("red .", "stop_text", tuple(tokens))


def test_a_choice_has_the_tokens_of_all_of_it(chat):
    output = drawn(chat, ids(chat, "red", " ", "dog"), Sampling(), ("red", "red dog", "red cat"))
    assert output.text == "red dog"
    assert output.tokens == tuple(ids(chat, "red", " ", "dog", "<|end|>"))
    assert output.usage.generated_tokens == 3
    shortest = drawn(chat, ids(chat, "red", "<|end|>"), Sampling(), ("red", "red dog", "red cat"))
    assert (shortest.text, shortest.tokens) == ("red", tuple(ids(chat, "red", "<|end|>")))


# What is learned


@pytest.mark.parametrize(
    ("pieces", "sampling"),
    [
        (("c", "a", "t", "<|end|>"), Sampling(max_tokens=9)),
        (("red", ".", "\n"), Sampling(max_tokens=9, stop=(".\n",))),
        (("t", "w", "o", ".", "red", "\n"), Sampling(max_tokens=9, stop=("\n",))),
        (("red", "<|pad|>"), Sampling(max_tokens=9)),  # another token that ends a reply
        (("red", "<|user|>", "dog", "<|end|>"), Sampling(max_tokens=9)),  # a control token in mid-reply
    ],
)
def test_learned_tokens_are_the_drawn_ones(chat, pieces, sampling):
    tokens = ids(chat, *pieces)
    other = Chat(chat.tokenizer, [0])
    output = drawn(other, tokens, sampling)
    example = learn(output)
    assert labels(other, example) == tokens
    row, start = encode(other, [example], TrainSettings()).rows[0]
    assert row == chat.prompt_ids(QUESTION) + tokens
    assert start == len(row) - len(tokens)
    shown = "".join(text for text, learned in render(other, example, TrainSettings()) if learned)
    assert shown == "".join(pieces)


def test_a_cut_leaves_the_drawn_tokens_whole(chat):
    tokens = ids(chat, "c", "a", "t", "<|end|>")
    long = Example((ChatMessage("user", "dog " * 40), ChatMessage("assistant", "cat")), SOURCE, "r", tuple(tokens))
    rows = encode(chat, [long], TrainSettings(max_length=30, too_long="cut"))
    assert rows.cut == 1
    [(row, start)] = rows.rows
    assert (len(row), row[start:]) == (30, tokens)


def test_without_tokens_no_end_is_learned_that_was_not_drawn_and_it_is_counted(chat):
    message = (*QUESTION, ChatMessage("assistant", "red ."))
    ended = Example(message, SOURCE, "r")
    stopped = Example(message, SOURCE, "r", finish_reason="stop_text")
    known = Example(message, SOURCE, "r", tuple(ids(chat, "red", "<|end|>")))
    assert labels(chat, ended) == ids(chat, "red", " ", ".", "<|end|>")
    assert labels(chat, stopped) == ids(chat, "red", " ", ".")
    assert encode(chat, [ended, stopped, known], TrainSettings()).retokenized == 2


@pytest.mark.parametrize("token", [-1, 100_000])
def test_tokens_outside_the_vocabulary_are_refused(model, chat, token):
    bad = Example((*QUESTION, ChatMessage("assistant", "red")), SOURCE, "r", (5, token))
    with pytest.raises(BackendError, match="token ids that the model does not have"):
        encode(chat, [bad], TrainSettings())
    with pytest.raises(BackendError, match="token ids that the model does not have"):
        run(HuggingFace(model=str(model)), lambda b: b.likelihood.logprob(QUESTION, "red", None, (5, token)))


def test_the_vocabulary_is_the_models_where_its_tokenizer_has_fewer_tokens(tmp_path):
    padded = make_model(tmp_path / "padded", vocab_size=200)
    assert load_chat(padded, None).vocabulary == 200 > len(load_chat(padded, None).tokenizer)


# Metamorphic


def reply_all(config: HuggingFace, requests: list[GenerateRequest], together: bool = True) -> list[GenerateOutput]:
    async def use(backend: Any) -> list[GenerateOutput]:
        if together:
            return await asyncio.gather(*map(backend.generate, requests))
        return [await backend.generate(request) for request in requests]

    outputs: list[GenerateOutput] = run(config, use)
    return outputs


def train(config: HuggingFace, examples: list[Example], folder: Path, settings: TrainSettings = SETTINGS) -> Training:
    async def use(backend: Any) -> Training:
        return await backend.trainer.train(examples, settings, None, folder, seed=1)

    trained: Training = run(config, use)
    return trained


def replies(config: HuggingFace) -> list[GenerateOutput]:
    """Return replies at a high temperature, some of which have another tokenization."""
    requests = [
        GenerateRequest(QUESTION, Sampling(1.5, max_tokens=12, stop=("e",) if seed % 2 else ()), seed)
        for seed in range(24)
    ]
    return reply_all(config, requests)


@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_rows_from_the_store_train_as_rows_from_generation(model, chat, tmp_path, dtype, method):
    config = HuggingFace(model=str(model), device="cpu", dtype=dtype)
    outputs = replies(config)
    assert any(chat.reply_ids(o.text, o.finish_reason == "stop") != list(o.tokens or ()) for o in outputs)
    turns = [
        Turn(
            TurnId(0, f"{i}", "debate", 1, "a"),
            "key",
            QUESTION,
            output.text,
            None,
            output.finish_reason,
            output.usage,
            output.logprob,
            tokens=output.tokens,
        )
        for i, output in enumerate(outputs)
    ]

    async def keep() -> None:
        with Store(tmp_path / "store.sqlite") as store:
            await asyncio.gather(*map(store.add, turns))

    asyncio.run(keep())
    with Store(tmp_path / "store.sqlite", read_only=True) as store:
        stored = {turn.id: turn for turn in store.turns()}
    direct = [make_example(turn, "r") for turn in turns]
    again = [make_example(stored[turn.id], "r") for turn in turns]
    assert again == direct
    few = TrainSettings(method="full", epochs=1, batch_size=4, accumulation=1) if method == "full" else SETTINGS
    first, second = (train(config, rows, tmp_path / name, few) for name, rows in (("a", direct), ("b", again)))
    assert (first.adapter.hash, first.losses) == (second.adapter.hash, second.losses)
    assert first.retokenized == 0
    blind = [Example(e.messages, e.source, e.rule, finish_reason=e.finish_reason) for e in direct]
    third = train(config, blind, tmp_path / "c", few)
    assert third.retokenized == len(direct)
    assert third.losses != first.losses  # another tokenization is another training


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_what_was_drawn_scores_what_generation_said(model, dtype):
    config = HuggingFace(model=str(model), device="cpu", dtype=dtype)

    async def use(backend: Any) -> list[tuple[GenerateOutput, tuple[float, int]]]:
        outputs = await asyncio.gather(*(backend.generate(ask("red", seed=s, temperature=1.5)) for s in range(12)))
        score = backend.likelihood.logprob
        return [(o, await score((ChatMessage("user", "red"),), o.text, None, o.tokens)) for o in outputs]

    close = 1e-3 if dtype == "float32" else 0.3
    for output, (logprob, count) in run(config, use):
        assert count == output.usage.generated_tokens == len(output.tokens)
        assert logprob == pytest.approx(output.logprob, abs=close)


@settings(max_examples=10, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 14), st.integers(0, 5)), min_size=2, max_size=9))
def test_company_changes_no_drawn_token(model, shapes):
    requests = [ask("dog " * words, seed=seed, max_tokens=limit, temperature=1.2) for words, limit, seed in shapes]
    config = HuggingFace(model=str(model), device="cpu", dtype="float32", batch=3)
    together = [output.tokens for output in reply_all(config, requests)]
    alone = [output.tokens for output in reply_all(config, requests, together=False)]
    assert together == alone


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 120), min_size=1, max_size=12), st.sampled_from(["", "e", "\n", " a", "cat"]))
def test_any_tokens_are_learned_as_they_were_drawn(chat, tokens, stop):
    """Whatever is drawn, up to where the reply ends."""
    sampling = Sampling(max_tokens=len(tokens), stop=(stop,) if stop else ())
    row = Row(GenerateRequest(QUESTION, sampling, 1), chat.prompt_ids(QUESTION), chat)
    for token in tokens:
        row.add(token, -1.0)
        if row.finish:
            break
    output = row.output()
    assert output.tokens == tuple(tokens[: len(output.tokens or ())])
    assert labels(chat, learn(output)) == list(output.tokens)
    assert chat.decode(output.tokens).startswith(output.text)
