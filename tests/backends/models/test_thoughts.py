"""Thoughts: the tags of model families, prompts that open them, and the reading of replies token by token."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest

from backends.models.chat_rendering import ChatTemplate
from backends.models.thought_reader import Reader
from backends.models.thoughts import Thoughts, find_tags, template_arguments
from society.core.errors import InputError
from society.core.thoughts import PAIRS, split_thought
from society.core.types import ChatMessage, GenerateRequest, Sampling, Thinking

HEAD = "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}"
GENERATE = "{% if add_generation_prompt %}<|assistant|>\n"
FAMILIES = {
    "opens": HEAD + GENERATE + "<think>\n{% endif %}",
    "switch": HEAD + GENERATE + "{% if enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}",
    "writes": "{% for m in messages %}<|{{ m.role }}|>\n"
    "{% if m.reasoning_content %}<think>\n{{ m.reasoning_content }}\n</think>\n\n{% endif %}"
    "{{ m.content }}<|end|>\n{% endfor %}" + GENERATE + "{% endif %}",
    "strips": "{% for m in messages %}<|{{ m.role }}|>{{ m.content.split('</think>')[-1] }}<|end|>{% endfor %}"
    + GENERATE
    + "{% endif %}",
    "brackets": HEAD + "{% if m %}[THINK][/THINK]{% endif %}" + GENERATE + "{% endif %}",
    "channels": "{% for m in messages %}<|start|>{{ m.role }}{% if m.thinking %}<|channel|>analysis<|message|>"
    "{{ m.thinking }}<|end|><|start|>assistant{% endif %}{% if m.role == 'assistant' %}<|channel|>final{% endif %}"
    "<|message|>{{ m.content }}<|end|>{% endfor %}{{ '' if m else '<|channel|>final<|message|>' * 0 }}"
    "{% if add_generation_prompt %}<|start|>assistant{% endif %}",
    "phrases": HEAD + "{% if thinking %}<|system|>\nWrite 'Here is my thought process:', then 'Here is my response:'."
    "<|end|>\n{% endif %}" + GENERATE + "{% endif %}",
    "plain": HEAD + GENERATE + "{% endif %}",
}
"""Templates that do what those of families do."""
NAMES = ["<|end|>", "<|start|>", "<|channel|>", "<|message|>", "<|assistant|>", "<|user|>"]


class Signs:
    """A tokenizer with the tokens `names` and one for each other character."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(names)

    def encode(self, text: str) -> list[int]:
        pattern = "|".join([*map(re.escape, self.names), "(?s:.)"])
        return [self.names.index(part) if part in self.names else ord(part) + 100 for part in re.findall(pattern, text)]

    def plain(self, text: str) -> list[int]:
        return [ord(sign) + 100 for sign in text]

    def raw(self, ids: Sequence[int]) -> str:
        return "".join(self.names[token] if token < 100 else chr(token - 100) for token in ids)

    def text(self, ids: Sequence[int]) -> str:
        return "".join(chr(token - 100) for token in ids if token >= 100)


def make(family: str, names: Sequence[str] = ()) -> tuple[Thoughts, ChatTemplate, Signs]:
    signs, template = Signs([*NAMES, *names]), ChatTemplate(FAMILIES[family], family)
    return Thoughts(template, signs.names, signs.encode, signs.plain, signs.raw, signs.text), template, signs


def ask(budget: int | None = None, **options: object) -> GenerateRequest:
    message = (ChatMessage("user", "Why?"),)
    return GenerateRequest(message, Sampling(max_tokens=60), 1, thinking=Thinking(budget=budget, **options))  # type: ignore[arg-type]


def tail_of(template: ChatTemplate, **args: object) -> str:
    return template.text([ChatMessage("user", "?")], tuple(sorted(args.items()))).rpartition("?")[2]  # type: ignore[arg-type]


def read(family: str, drawn: str, budget: int | None = None, names: Sequence[str] = ()) -> tuple[Reader, Signs, str]:
    """Return the reader of a reply that a model draws, with forced tokens in place of the model's, and the text."""
    thoughts, template, signs = make(family, names)
    reader = thoughts.reader(tail_of(template), ask(budget))
    assert reader is not None
    model = iter(signs.encode(drawn))
    while (token := reader.forced if reader.forced is not None else next(model, None)) is not None:
        reader.ids.append(token)
        reader.add()
    text = "" if reader.thinking else reader.lead + signs.text(reader.ids[reader.count :])
    return reader, signs, text.lstrip() if reader.count else text


@pytest.mark.parametrize("names", [(), ("<think>", "</think>", "[THINK]", "[/THINK]")], ids=["text", "tokens"])
@pytest.mark.parametrize(
    ("family", "drawn", "thought", "text"),
    [
        ("opens", "So.\n</think>\n\nYes.", "So.", "Yes."),
        ("opens", "</think>Yes.", "", "Yes."),
        ("opens", "So it", "So it", ""),
        ("switch", "<think>\nSo.\n</think>\n\nYes.", "So.", "Yes."),
        ("switch", "\n <think>So", "So", ""),
        ("switch", "<think>a</think>Say </think> again", "a", "Say </think> again"),
        ("strips", "So.</think>Yes.", "So.", "Yes."),
        ("writes", "Yes, I think so.", "", "Yes, I think so."),
        ("writes", "<thin", "", "<thin"),
        ("brackets", "[THINK]a[/THINK]b", "a", "b"),
        ("phrases", "Here is my thought process: a\n\nHere is my response: b", "a", "b"),
    ],
)
def test_a_reply_is_read_as_thought_and_text(
    family: str, drawn: str, thought: str, text: str, names: Sequence[str]
) -> None:
    if "</think> again" in drawn and names:
        text = "Say  again"  # the name of a control token is no text
    reader, signs, said = read(family, drawn, names=names)
    assert (reader.thought, said) == (thought, text)
    assert signs.raw(reader.ids) == drawn


@pytest.mark.parametrize(
    ("drawn", "thought", "text"),
    [
        ("<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>b", "a", "b"),
        ("<|channel|>final<|message|>b", "", "b"),
        ("<|channel|>analysis<|message|>a", "a", ""),
    ],
)
def test_channels_hold_the_thought_and_the_text(drawn: str, thought: str, text: str) -> None:
    reader, _, said = read("channels", drawn)
    assert (reader.thought, said) == (thought, text)


def test_the_end_of_a_channel_is_no_end_of_the_turn() -> None:
    reader, signs, _ = read("channels", "<|channel|>analysis<|message|>a")
    assert reader.belongs(signs.encode("<|end|>")[0])
    assert not reader.belongs(signs.encode("<|user|>")[0])


@pytest.mark.parametrize(
    ("family", "drawn", "budget", "whole"),
    [
        ("opens", "abcdefghij", 4, "abcd\n</think>\n\nefghij"),
        ("opens", "abcdefghij", 0, "\n</think>\n\nabcdefghij"),
        ("opens", "abc\nd", 4, "abc\n</think>\n\nd"),  # the line break is there already
        ("opens", "ab</think>cdefgh", 20, "ab</think>cdefgh"),
        ("switch", "<think>abcdefgh", 3, "<think>abc\n</think>\n\ndefgh"),
        ("switch", "abcdefgh", 3, "abcdefgh"),
        ("writes", "<think>abcdefgh", 2, "<think>ab\n</think>\n\ncdefgh"),
        (
            "channels",
            "<|channel|>analysis<|message|>abcdef",
            2,
            "<|channel|>analysis<|message|>ab<|end|><|start|>assistant<|channel|>final<|message|>cdef",
        ),
        (
            "channels",
            "<|channel|>analysis<|message|>a<|end|>bc",
            2,
            "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>bc",
        ),
    ],
)
def test_a_thought_is_closed_at_its_budget_as_the_template_closes_it(
    family: str, drawn: str, budget: int, whole: str
) -> None:
    reader, signs, _ = read(family, drawn, budget)
    assert signs.raw(reader.ids) == whole
    assert reader.count <= len(reader.opening) + budget + len(reader.marks.ending)


def test_a_closing_tag_is_text_after_a_prompt_that_closed_the_thought() -> None:
    thoughts, template, signs = make("switch")
    reader = thoughts.reader(tail_of(template, enable_thinking=False), ask())
    assert reader is not None
    for token in signs.encode("a</think>b"):
        reader.ids.append(token)
        reader.add()
    assert (reader.count, reader.thought) == (0, "")


def test_tokens_may_be_forced_only_at_the_budget() -> None:
    thoughts, template, _ = make("opens")
    reader = thoughts.reader(tail_of(template), ask(3))
    assert reader is not None
    assert [reader.may_force(drawn) for drawn in range(5)] == [False, False, False, True, True]


def test_a_thought_before_a_choice_leaves_room_for_it() -> None:
    thoughts, template, _ = make("opens")
    request = ask()
    reader = thoughts.reader(tail_of(template), request, depth=10)
    assert reader is not None
    assert reader.longest + 10 == request.sampling.max_tokens
    assert thoughts.reader("", ask(enabled=False), depth=10) is None


@pytest.mark.parametrize("pair", PAIRS)
def test_tags_are_found_in_the_template_or_else_in_the_vocabulary(pair: tuple[str, str]) -> None:
    written = ChatTemplate(HEAD + "{{ '" + pair[0] + "' }}{{ '" + pair[1] + "' }}", "m")
    plain = ChatTemplate(FAMILIES["plain"], "m")
    for template, names in ((written, []), (plain, pair)):
        tags = find_tags(template, names)
        assert tags is not None
        assert (tags.open, tags.close) == pair
        assert pair[1] in tags.ending
    assert find_tags(plain, NAMES) is None
    assert find_tags(plain, NAMES, pair) is not None


def test_the_texts_around_a_thought_are_those_of_the_template() -> None:
    tags = find_tags(ChatTemplate(FAMILIES["writes"], "m"), ())
    assert tags is not None
    assert (tags.beginning, tags.ending) == ("<think>\n", "\n</think>\n\n")
    tags = find_tags(ChatTemplate(FAMILIES["channels"], "m"), ())
    assert tags is not None
    assert tags.ending == "<|end|><|start|>assistant<|channel|>final<|message|>"


def test_messages_open_no_thought() -> None:
    template = ChatTemplate(FAMILIES["opens"], "m")
    tags = find_tags(template, ())
    assert tags is not None
    assert tags.left_open(tail_of(template)) is True
    assert tags.left_open("<|assistant|>\n<think>\n\n</think>\n\n") is False
    assert tags.left_open("<|assistant|>\n") is None


def test_a_text_without_tokens_gets_the_tags_of_its_thought() -> None:
    thoughts, template, signs = make("opens")
    opened = tail_of(template)
    assert signs.raw(thoughts.before_text(opened, Thinking())) == "\n</think>\n\n"
    assert signs.raw(thoughts.before_text(opened, Thinking(), "a")) == "a\n</think>\n\n"
    assert signs.raw(thoughts.before_text("", Thinking(), "a")) == "<think>\na\n</think>\n\n"
    assert thoughts.before_text("", Thinking()) == []


def test_arguments_reach_the_template_and_others_are_refused() -> None:
    template = ChatTemplate(FAMILIES["switch"], "m")
    assert template_arguments(template, Thinking(enabled=False), ()) == (("enable_thinking", False),)
    given = (("enable_thinking", True),)
    assert template_arguments(template, Thinking(enabled=False), given) == given
    with pytest.raises(InputError, match="does not read template_args: effort") as caught:
        template_arguments(template, Thinking(), (("effort", "low"),))
    assert "enable_thinking" in caught.value.remedy
    with pytest.raises(InputError, match="cannot switch thinking") as caught:
        template_arguments(ChatTemplate(FAMILIES["opens"], "m"), Thinking(enabled=False), ())
    assert "budget: 0" in caught.value.remedy
    assert template_arguments(ChatTemplate(FAMILIES["phrases"], "m"), Thinking(enabled=True), ()) == (
        ("thinking", True),
    )


@pytest.mark.parametrize("tags", [("a", "a"), (" ", "b"), ("a", " ")])
def test_tags_are_two_texts(tags: tuple[str, str]) -> None:
    with pytest.raises(InputError, match="two different texts"):
        make("plain")[0].marks(Thinking(tags=tags))


def test_a_tokenizer_that_lacks_the_characters_of_tags_writes_no_thoughts() -> None:
    _, template, signs = make("opens")
    thoughts = Thoughts(template, (), lambda text: [0], signs.plain, signs.raw, signs.text)
    assert thoughts.reader("", ask()) is None
    with pytest.raises(InputError, match="cannot spell"):
        thoughts.marks(Thinking(tags=("<a>", "</a>")))


@pytest.mark.parametrize(
    ("source", "variables"),
    [
        ("{% if a %}{% set said = 1 %}{% endif %}{{ said }}", {"a"}),
        ("{% set a = a | default(true) %}{{ a }}", {"a"}),
        ("{% if a is not defined %}{% set a = 1 %}{% endif %}{{ a }}", {"a"}),
        ("{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}", set()),
    ],
)
def test_variables_are_those_from_outside(source: str, variables: set[str]) -> None:
    assert ChatTemplate(source, "m").variables == variables


def test_a_switch_makes_a_difference() -> None:
    template = ChatTemplate(HEAD + "{% if messages[0].x %}{{ thinking }}{% endif %}" + GENERATE + "{% endif %}", "m")
    with pytest.raises(InputError, match="cannot switch"):
        template_arguments(template, Thinking(enabled=True), ())


@pytest.mark.parametrize(
    ("close", "ending"),
    [
        ("<|channel|>final<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
        ("</think>", "\n</think>\n\n"),
        ("[/THINK]", "[/THINK]"),
    ],
)
def test_tags_have_their_usual_ending_where_a_template_writes_no_thoughts(close: str, ending: str) -> None:
    pair = next(pair for pair in PAIRS if pair[1] == close)
    tags = find_tags(ChatTemplate(FAMILIES["plain"], "m"), (), pair)
    assert tags is not None
    assert tags.ending == ending
    assert tags.beginning.startswith(tags.open)


def test_a_budget_needs_tags() -> None:
    thoughts, *_ = make("plain")
    with pytest.raises(InputError, match="no known tags") as caught:
        thoughts.check(Thinking(budget=5), ())
    assert "thinking.tags" in caught.value.remedy
    thoughts.check(Thinking(budget=5, tags=("<a>", "</a>")), ())
    assert thoughts.reader("", ask()) is None


@pytest.mark.parametrize("pair", [pair for pair in PAIRS if not pair[0].isascii() or not pair[0][0].isalpha()])
def test_the_engine_knows_the_tags_of_all_families(pair: tuple[str, str]) -> None:
    """A reply whose tags no backend separated is split alike. Plain phrases are left: any text may contain them."""
    assert split_thought(f"{pair[0]}Hm.{pair[1]}Yes.") == ("Hm.", "Yes.")
