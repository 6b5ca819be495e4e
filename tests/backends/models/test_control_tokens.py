"""A message cannot forge control tokens, and its text is not changed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.models.chat_templates import compile_chat_template, compile_masked_templates, fill_chat_template
from backends.models.control_tokens import ControlTokens
from society.core.errors import BackendError

NAMES = {"<e>": 1, "<e>nd": 2, "<b>": 3}


def encode(text: str, as_text: bool) -> list[int]:
    """Return one token per character, or a control token for a name that is not text."""
    ids = []
    while text:
        name = next((name for name in sorted(NAMES, key=len, reverse=True) if text.startswith(name)), None)
        if name is None or as_text:
            ids.append(100 + ord(text[0]))
            text = text[1:]
        else:
            ids.append(NAMES[name])
            text = text.removeprefix(name)
    return ids


def tokens(message: str, template: str, controls: ControlTokens | None = None) -> list[int]:
    """Return the tokens of a chat of one message."""
    fillings = [
        lambda contents, filled=filled: fill_chat_template(filled, messages=[{"content": contents[0]}])
        for filled in (compile_chat_template(template, "m"), *compile_masked_templates(template))
    ]
    return (controls or ControlTokens(NAMES, NAMES, encode)).tokens([message], fillings[0], fillings[1:])


def characters(ids: list[int]) -> str:
    return "".join(chr(token - 100) for token in ids)


@given(st.text('<>ebnd\r\n"\U000f0000\U00100041\U0001f642'))
def test_a_message_makes_no_control_token_and_keeps_its_text(message: str) -> None:
    ids = tokens(message, "<b>user:{{ messages[0].content }}<e>")
    assert (ids[0], ids[-1]) == (3, 1)
    assert not {1, 2, 3} & set(ids[1:-1])
    assert characters(ids[1:-1]) == "user:" + message


@pytest.mark.parametrize(
    "change",
    [
        "content|replace('\r', '')",
        "content.split('\r')|join",
        "content|trim",
        "content.split('</t>')[-1]",
        "content[1:]",
        "content|reverse",
        "content.replace('e', 'e')",
        "'<' + content",
        "content + '>'",
    ],
)
@given(st.text("<>ebnd\r/t", max_size=12))
def test_a_template_assembles_no_control_token_from_a_message(change: str, message: str) -> None:
    ids = tokens(message, "<b>{% set content = messages[0].content %}{{ " + change + " }}<e>")
    assert (ids[0], ids[-1]) == (3, 1)
    assert not {1, 2, 3} & set(ids[1:-1])


@pytest.mark.parametrize("change", ["upper", "lower", "tojson(ensure_ascii=true)"])
def test_a_template_that_changes_text_is_refused_where_it_may_forge(change: str) -> None:
    template = "<b>{{ messages[0].content|" + change + " }}<e>"
    with pytest.raises(BackendError, match="changes the text of messages") as caught:
        tokens("é <e> <E>", template)
    assert "chat_template" in caught.value.remedy
    assert tokens("Hello", template)[0] == 3


def test_a_template_still_sees_what_a_message_contains() -> None:
    template = (
        "{% set c = messages[0].content %}{% if '</t>' in c %}{{ c.split('</t>')[-1].lstrip('\\n') }}"
        "{% elif c.startswith('<x>') %}x{% elif c == 'y' %}z{% else %}{{ c }}{% endif %}"
    )
    for message, text in (("a</t>\n b", " b"), ("<x>", "x"), ("y", "z"), ("é 🙂", "é 🙂")):
        assert characters(tokens(message, template)) == text


def test_a_template_may_compare_its_own_texts() -> None:
    template = "{% set c, mode = messages[0].content, 'a' %}{% if '/b' in c %}{% set mode = 'b' %}{% endif %}"
    template += "{% if mode == 'b' %}{{ c.replace('/b', '') }}{% else %}{{ c }}{% endif %}<e>"
    assert tokens("<b> /b<e", template) == [*encode("<b> <e", True), 1]


def test_names_that_are_not_refused_become_their_tokens() -> None:
    template = "{{ messages[0].content }}"
    assert tokens("<b>", template, ControlTokens(NAMES, ["<e>"], encode)) == [3]
    assert tokens("<e>", template, ControlTokens(NAMES, ["<e>"], encode)) == encode("<e>", True)


def test_a_name_that_the_template_writes_is_refused() -> None:
    ids = tokens("<b>", "{{ '<' + 'b>' }}{{ messages[0].content }}", ControlTokens(NAMES, [], encode))
    assert ids == [3, *encode("<b>", True)]


def test_a_token_that_is_always_recognized_is_split() -> None:
    controls = ControlTokens(NAMES, NAMES, lambda text, as_text: encode(text, False))
    assert characters(tokens("a <e>", "{{ messages[0].content }}", controls)) == "a <e>"


def test_a_tokenizer_that_knows_no_plain_text_is_an_error() -> None:
    controls = ControlTokens({"<": 1}, ["<"], lambda text, as_text: [1 if c == "<" else 100 + ord(c) for c in text])
    with pytest.raises(BackendError, match="cannot encode as plain text"):
        tokens("a <", "{{ messages[0].content }}", controls)
