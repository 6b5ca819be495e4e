"""A message cannot forge control tokens, and its text is not changed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.models.control_tokens import END, START, ControlTokens
from society.core.errors import BackendError

NAMES = {"<e>": 1, "<e>nd": 2, "<b>": 3}


def encode(text: str, as_text: bool) -> list[int]:
    """One token a character, or a control token where its name is not to be text."""
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


@given(st.text("<>ebnd\n" + START + END))
def test_a_message_makes_no_control_token_and_keeps_its_text(message: str) -> None:
    ids = ControlTokens(NAMES, NAMES, encode).encode(f"<b>user:{ControlTokens(NAMES, NAMES, encode).mark(message)}<e>")
    assert (ids[0], ids[-1]) == (3, 1)
    assert not {1, 2, 3} & set(ids[1:-1])
    assert "".join(chr(token - 100) for token in ids[1:-1]) == "user:" + message.replace(START, "").replace(END, "")


def test_names_that_are_not_refused_become_their_tokens() -> None:
    controls = ControlTokens(NAMES, ["<e>"], encode)
    assert controls.encode(controls.mark("<b>")) == [3]
    assert controls.encode(controls.mark("<e>")) == encode("<e>", True)


def test_a_tokenizer_that_knows_no_plain_text_is_an_error() -> None:
    controls = ControlTokens(NAMES, NAMES, lambda text, as_text: encode(text, False))
    with pytest.raises(BackendError, match="cannot encode as plain text"):
        controls.encode(controls.mark("a <e>"))
