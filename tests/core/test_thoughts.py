"""Thoughts that a backend left in the text of a reply."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from society.core.thoughts import split_thought

REPLIES = {
    "<think>a</think>b": ("a", "b"),
    "<think>\na\n</think>\n\nb": ("a", "b"),
    "a\n</think>\n\nb": ("a", "b"),  # the template opened the thought
    "a</think>b</think>c": ("a\nb", "c"),
    "<think>a</think>b<think>c</think>d": ("a\nc", "bd"),
    "<think>a": ("a", ""),  # cut off while thinking
    "Well.\n<think>\na": ("a", "Well."),
    "<think>\n\n</think>\n\nb": ("", "b"),
    "<THINKING>a</THINKING>b": ("a", "b"),
    "[THINK]a[/THINK]b": ("a", "b"),
    "◁think▷a◁/think▷b": ("a", "b"),
    "<seed:think>a</seed:think>b": ("a", "b"),
    "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>b": ("a", "b"),
    "<|channel|>analysis<|message|>a": ("a", ""),
    "<|channel>thought\na<channel|>b": ("a", "b"),
    "<|START_THINKING|>a<|END_THINKING|><|START_RESPONSE|>b": ("a", "b"),
    "<|inner_prefix|>a<|inner_suffix|>b": ("a", "b"),
    "Use <think> tags.": ("", "Use <think> tags."),
    " b \n": ("", " b \n"),
    "": ("", ""),
}


@pytest.mark.parametrize(("reply", "parts"), REPLIES.items())
def test_a_thought_is_taken_out_of_the_text(reply: str, parts: tuple[str, str]) -> None:
    assert split_thought(reply) == parts


def test_own_tags_replace_the_usual_ones() -> None:
    assert split_thought("(hm) a (so) b", ("(hm)", "(so)")) == ("a", "b")
    assert split_thought("<think>a</think>b", ("(hm)", "(so)")) == ("", "<think>a</think>b")


@given(st.text(alphabet="ab \n<>"), st.text(alphabet="ab \n<>"))
def test_splitting_again_changes_nothing(thought: str, text: str) -> None:
    found = split_thought(f"<think>{thought}</think>{text}")
    assert found == (thought.strip(), text.strip())
    assert split_thought(found[1]) == ("", found[1])
