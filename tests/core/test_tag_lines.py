"""Prompt templates: lines with only tags are removed, and words on different lines stay separate."""

from __future__ import annotations

from typing import Any

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from society.core.templating.prompts import parse_template, render
from society.core.templating.tag_lines import TagLineLexer

VARIABLES: dict[str, Any] = {"a": True, "b": False, "x": "X", "items": ["1", "2"]}


@pytest.mark.parametrize(
    ("source", "text"),
    [
        # text and a tag on one line: the line break stays
        ("Hello {% if a %}there{% endif %}\nHow are you?", "Hello there\nHow are you?"),
        ("Hello {% if b %}there{% endif %}\nHow are you?", "Hello \nHow are you?"),
        ("one{# a note #}\ntwo", "one\ntwo"),
        ("one {% set y = 1 %}\ntwo {{ y }}", "one \ntwo 1"),
        ("{% if a %}yes{% endif %}\n{% if a %}no{% endif %}", "yes\nno"),
        ("{{ x }}{% if a %}{% endif %}\nnext", "X\nnext"),
        ("Say\n    {% if a %}indented{% endif %}\nend", "Say\n    indented\nend"),
        # lines that hold only tags vanish, blanks around them too
        ("a\n{% if a %}\nb\n{% endif %}\nc", "a\nb\nc"),
        ("a\n  {% if a %}  \nb\n\t{% endif %}\t\nc", "a\nb\nc"),
        ("a\n{% if a %} {% if a %}\nb\n{% endif %}{% endif %}\nc", "a\nb\nc"),
        ("a\n{# a\nlong\nnote #}\nb", "a\nb"),
        ("a\n{% if a\n   and not b %}\nb\n{% endif %}\nc", "a\nb\nc"),
        ("a\n{% for i in items %}\n- {{ i }}\n{% endfor %}\nb", "a\n- 1\n- 2\nb"),
        ("a\n\n{% if a %}\n\nb\n{% endif %}\n\nc", "a\n\n\nb\n\nc"),
        ("a\n{% raw %}\n{{ x }}{% no %}\n{% endraw %}\nb", "a\n{{ x }}{% no %}\nb"),
        ('a\n{% set y = "%}" %}\n{{ y }}', "a\n%}"),
        # signs work as Jinja2 describes them
        ("a\n{%- if a %}\nb{% endif %}", "a\nb"),
        ("a {%- if a -%}  \n b{% endif %}", "ab"),
        ("a\n{% if a +%}\nb\n{% endif %}", "a\n\nb"),
        ("a\n  {%+ if a %}{% endif %}\nb", "a\n  \nb"),
        # other line breaks
        ("a\r\n{% if a %}\r\nb {% endif %}\r\nc", "a\nb \nc"),
        ("a\u2028{% if a %}b{% endif %}\nc", "a\u2028b\nc"),
    ],
)
def test_only_lines_of_tags_vanish(source: str, text: str) -> None:
    assert render(source, VARIABLES) == text


PIECES = st.sampled_from(["{# n #}", "{{ x }}", "word", " ", "  ", "\n", "\n\n", "{% set z = 1 %}", "end."])
TEMPLATES = st.recursive(
    st.lists(PIECES, max_size=6).map("".join),
    lambda inner: st.tuples(inner, inner, inner).map(lambda t: f"{t[0]}{{% if a %}}{t[1]}{{% endif %}}{t[2]}"),
    max_leaves=6,
)


@given(TEMPLATES)
def test_no_two_words_of_different_lines_are_joined(source: str) -> None:
    """The text has the words of the template on the same lines; only lines without words may be missing."""
    plain = source.replace("{{ x }}", "X")
    for tag in ("{% if a %}", "{% endif %}", "{# n #}", "{% set z = 1 %}"):
        plain = plain.replace(tag, "")
    made = render(source, VARIABLES)
    assert [line for line in made.split("\n") if line.split()] == [
        line for line in plain.strip().split("\n") if line.split()
    ]


def test_lines_are_counted_as_in_the_file() -> None:
    with pytest.raises(jinja2.TemplateSyntaxError) as caught:
        parse_template("a\n{% if a %}\n{% endif %}\n\n{% for %}")
    assert caught.value.lineno == 5


def test_an_environment_that_trims_itself_is_refused() -> None:
    with pytest.raises(ValueError, match="trim"):
        TagLineLexer(jinja2.Environment(trim_blocks=True))
