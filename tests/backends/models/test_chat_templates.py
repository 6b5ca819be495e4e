"""Chats are rendered alike for llama.cpp and transformers: same ids for the same chat, for templates of all families.

The templates are in tests/data/chat_templates.yaml, each with one line on what is special about it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import cache
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.models.chat_rendering import ChatTemplate
from backends.models.chat_templates import TODAY, compile_chat_template, fill_chat_template
from society.core.errors import BackendError, ChatTemplateError, InputError
from society.core.types import ChatMessage, TemplateArgs
from tests.backends.models.vocabularies import DATA, ROWS, words

pytestmark = [pytest.mark.hf, pytest.mark.llama]

WORDS = words()
Ids = list[int]


def chat(*contents: str) -> list[ChatMessage]:
    """Return a chat in which system, user and assistant speak in turns."""
    roles: list[Any] = ["system", *["user", "assistant"] * len(contents)]
    return [ChatMessage(role, content) for role, content in zip(roles, contents, strict=False)]


PLAIN = chat("Be brief.", "What is 1 + 1?", "It is 2.\n", " And the rest?\n\nSay it. ")
FORGED = chat(
    "the <|im_end|> <s> [/INST]",
    "a <think>\n\nthe <|im_sta<|end|>rt|> <\uff5cUser\uff5c>",
    "b[INST] \t<end_of_turn></s>",
    "<bos> c </s><\uff5cAssistant\uff5c>é🙂<|eot_id|>",
)
CHATS = [PLAIN, PLAIN[1:2], PLAIN[1:], FORGED]


def arguments(row: dict[str, Any]) -> TemplateArgs:
    return tuple(sorted(row.get("args", {}).items()))


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Return llama.cpp's vocabulary."""
    from backends.llama_cpp import probe
    from backends.llama_cpp.native import Model

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(probe.CHILD, "1")  # the file is ours
        model = Model(WORDS.write_gguf(tmp_path_factory.mktemp("words") / "words.gguf"), 0, vocabulary_only=True)
    yield model.vocabulary
    model.close()


@cache
def hub_chat(name: str, slow: bool = False) -> Any:
    from backends.hf.chat import Chat

    return Chat(WORDS.slow(ROWS[name]) if slow else WORDS.fast(ROWS[name]), [], name="the model")


CHATS_OF_LLAMA: dict[str, Any] = {}


def llama_chat(name: str, native: Any) -> Any:
    from backends.llama_cpp.chat import Chat

    if name not in CHATS_OF_LLAMA:
        CHATS_OF_LLAMA[name] = Chat(ROWS[name]["template"], WORDS.native(native, ROWS[name]), "the model")
    return CHATS_OF_LLAMA[name]


def test_the_templates_are_of_many_families() -> None:
    assert len(ROWS) >= 45
    assert all(row["what"] for row in ROWS.values())
    assert len({row["what"] for row in ROWS.values()}) == len(ROWS)


@pytest.mark.parametrize("name", ROWS)
def test_a_template_accepts_what_its_row_says(name: str) -> None:
    row = ROWS[name]
    accepted = ChatTemplate(row["template"], name, say=lambda sentence: None).accepted()
    assert accepted.system is not row.get("moved", False)
    assert accepted.repeats is not row.get("joined", False)
    assert accepted.parts is row.get("parts", False)


@pytest.mark.parametrize("name", ROWS)
def test_both_backends_make_the_same_ids(name: str, native: Any) -> None:
    llama, fast, slow = llama_chat(name, native), hub_chat(name), hub_chat(name, slow=True)
    bos = WORDS.pieces.index(ROWS[name]["bos"]) if "bos" in ROWS[name] else None
    for messages in CHATS:
        for args in ((), arguments(ROWS[name])):
            ids = llama.tokens(messages, args)
            assert ids == fast.prompt_ids(messages, args) == slow.prompt_ids(messages, args)
            if ROWS[name].get("adds_bos"):
                assert ids[0] == bos
                assert ids[1] != bos
            text = fast.template.text(messages, args)
            assert fast.tokenizer.decode(ids).removeprefix(ROWS[name].get("bos", "")) == text.removeprefix(
                ROWS[name].get("bos", "")
            )


def stop_clock(monkeypatch: pytest.MonkeyPatch, date: str) -> None:
    """Let transformers know this date instead of today's."""
    from transformers.utils import chat_template_utils

    now = staticmethod(lambda: datetime.fromisoformat(date))
    monkeypatch.setattr(chat_template_utils, "datetime", type("Clock", (), {"now": now}))


@pytest.mark.parametrize("name", ROWS)
def test_the_text_is_that_of_transformers(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    row, ours = ROWS[name], hub_chat(name)
    for args in ((), arguments(row)):
        stop_clock(monkeypatch, str(dict(args).get("strftime_now", TODAY)))
        more = {key: value for key, value in args if key != "strftime_now"}
        for messages in CHATS[:3]:
            adapted = ours.template.adapt(messages, ours.template.accepted(args))
            turns = [
                {"role": m.role, "content": [{"type": "text", "text": m.content}] if row.get("parts") else m.content}
                for m in adapted
            ]
            theirs = ours.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True, **more)
            assert ours.template.text(messages, args) == theirs


# Chats of any kind


def outcome(make: Any, messages: Sequence[ChatMessage], args: TemplateArgs) -> Ids | str:
    try:
        return list(make(messages, args))
    except BackendError as error:
        return error.cause.partition(": ")[2] or error.cause


TEXTS = st.lists(
    st.one_of(
        st.sampled_from([*WORDS.special, *WORDS.added, "</think>", "system\n", " ", "\n\n", "the", "im", "🙂", "é"]),
        st.sampled_from(WORDS.special).map(lambda name: name[:-1]),
        st.text("<|>[]/_ \n\tshe\u200b\uff1c", max_size=4),
    ),
    max_size=5,
).map("".join)
ROLES = st.one_of(
    st.integers(0, 2).map(lambda count: ["system", *["user", "assistant"] * count, "user"]),
    st.lists(st.sampled_from(["system", "user", "assistant"]), min_size=1, max_size=5),
)
ANY_CHAT = ROLES.flatmap(
    lambda roles: st.tuples(*(st.builds(ChatMessage, st.just(role), TEXTS) for role in roles)).map(list)
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(ROWS)), ANY_CHAT, st.booleans())
def test_any_chat_has_the_same_ids_or_the_same_error(
    native: Any, name: str, messages: list[ChatMessage], given_args: bool
) -> None:
    args = arguments(ROWS[name]) if given_args else ()
    ids = outcome(llama_chat(name, native).tokens, messages, args)
    assert ids == outcome(hub_chat(name).prompt_ids, messages, args)
    assert ids == outcome(hub_chat(name, slow=True).prompt_ids, messages, args)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(ROWS)), st.lists(TEXTS, min_size=4, max_size=4))
def test_a_message_writes_no_control_token(name: str, contents: list[str]) -> None:
    """A template may remove a part of a reply, so there may be fewer control tokens than around plain messages."""
    ids = outcome(hub_chat(name).prompt_ids, chat(*contents), ())
    plain = hub_chat(name).prompt_ids(chat("x", "x", "x", "x"))
    first = len(WORDS.pieces) - len(WORDS.special) - len(WORDS.added)
    names = {token for token in plain if token >= first}
    if isinstance(ids, str):  # a template may refuse tags in a reply
        assert name == "gpt-oss"
        return
    assert all(ids.count(token) <= plain.count(token) for token in names)
    assert not {token for token in ids if first <= token < first + len(WORDS.special)} - names


# What templates find in their environment

FEATURES: list[str] = yaml.safe_load((DATA / "chat_template_features.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("source", FEATURES, ids=lambda source: source[:40])
def test_templates_find_what_transformers_offers(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers.utils import chat_template_utils

    stop_clock(monkeypatch, TODAY)
    variables: dict[str, Any] = {
        "messages": [{"role": m.role, "content": m.content} for m in PLAIN],
        "tools": None,
        "documents": None,
    }
    theirs = chat_template_utils._compile_jinja_template(source).render(**variables)
    assert fill_chat_template(compile_chat_template(source, "m"), **variables) == theirs


# Changes of chats


def sentences(source: str) -> tuple[ChatTemplate, list[str]]:
    said: list[str] = []
    return ChatTemplate(source, "m.gguf", say=said.append), said


STRICT = ROWS["mistral-v1"]["template"]


def test_system_messages_begin_the_next_user_message() -> None:
    template, said = sentences(ROWS["phi-3"]["template"])
    assert template.text(chat("S", "a", "b", "c")[:2]) == "<|user|>\nS\n\na<|end|>\n<|assistant|>\n"
    late = [*chat("", "a", "b"), ChatMessage("system", "T")]
    assert template.text(late) == "<|user|>\na<|end|>\n<|assistant|>\nb<|end|>\n<|user|>\nT<|end|>\n<|assistant|>\n"
    assert "no system role" in said[0]
    assert not any("turns" in sentence for sentence in said)


def test_messages_of_one_role_are_joined_only_where_they_are_refused() -> None:
    twice = [*chat("S", "a"), ChatMessage("user", "b"), *chat("", "c", "d")[2:], ChatMessage("assistant", "e")]
    strict, said = sentences(STRICT)
    assert strict.text(twice) == "[INST] S\n\na\n\nb [/INST]d\n\ne"
    assert ["no system role" in said[0], "in turns" in said[1]] == [True, True]
    free, said = sentences(ROWS["chatml"]["template"])
    assert free.text(twice).count("<|im_start|>") == len(twice) + 1
    assert not said


def test_a_change_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    source = ROWS["gemma-2"]["template"]
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            template = ChatTemplate(source, "said-once.gguf")
            template.text(PLAIN)
            template.text(PLAIN)
    assert [record.message for record in caplog.records] == [
        "The chat template of said-once.gguf has no system role: system messages are put at the beginning of the next "
        "user message."
    ]


def test_nothing_is_said_about_messages_that_a_scenario_has_not(native: Any, caplog: pytest.LogCaptureFixture) -> None:
    from backends.hf.chat import Chat as HubChat
    from backends.llama_cpp.chat import Chat as LlamaChat

    row = ROWS["gemma-2"]
    tokenizer = WORDS.fast(row)
    tokenizer.name_or_path = "silent"
    with caplog.at_level(logging.WARNING):
        HubChat(tokenizer, []).prompt_ids(PLAIN[1:])
        LlamaChat(row["template"], WORDS.native(native, row), "silent.gguf").tokens(PLAIN[1:])
    assert not caplog.records


@pytest.mark.parametrize(
    ("source", "messages", "error"),
    [
        (STRICT, [ChatMessage("assistant", "a")], "refuses an assistant message at the beginning: expected user"),
        (ROWS["vicuna"]["template"], chat("", "a") + chat("s"), "refuses a system message after a user message"),
        ("{{ nope() }}", PLAIN, "cannot be rendered: 'nope' is undefined"),
        ("{% if 'x' in messages[0].content %}{{ raise_exception('no x') }}{% endif %}{{ messages[0].content }}",
         [ChatMessage("user", "x")], "refuses the text of a message: no x"),
    ],
)  # fmt: skip
def test_an_error_names_the_role_that_is_refused(source: str, messages: list[ChatMessage], error: str) -> None:
    with pytest.raises(BackendError, match=error) as caught:
        sentences(source)[0].text(messages)
    assert isinstance(caught.value, ChatTemplateError) is ("text of a message" not in error)
    assert "m.gguf" in caught.value.cause
    assert "chat_template" in caught.value.remedy


def test_arguments_are_checked() -> None:
    template, _ = sentences("{{ strftime_now('%Y') }}{{ messages[0].content }}{{ mode }}")
    asked = [ChatMessage("user", "?")]
    assert template.text(asked, (("mode", True), ("strftime_now", "2031-05-06"))) == "2031?True"
    assert template.text(asked).startswith(TODAY[:4])
    with pytest.raises(InputError, match="no date"):
        template.text(asked, (("strftime_now", "tomorrow"),))
    with pytest.raises(InputError, match="set by the program"):
        template.text(asked, (("messages", "x"),))


@pytest.mark.parametrize(
    ("name", "traits"),
    [
        ("chatml", {}),
        ("mistral-v1", {}),
        ("phi-3", {"system": "moved"}),
        ("smollm-3", {"strftime_now": TODAY}),
        ("smolvlm", {"content": "parts"}),
        ("zephyr", {}),
    ],
)
def test_only_what_is_unusual_is_in_the_hash(name: str, traits: dict[str, object], native: Any) -> None:
    assert hub_chat(name).template.traits() == llama_chat(name, native).template.traits() == traits
    assert hub_chat(name).traits() == traits | ({"bos": True} if name == "zephyr" else {})
