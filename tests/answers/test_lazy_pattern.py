"""Patterns that are compiled on first use: they match as compiled ones do, and none is wrong."""

from __future__ import annotations

import copy
import re
from importlib import import_module

import pytest

from society.answers.lazy_pattern import LazyPattern, compile_later

MODULES = [
    "ballots",
    "choice",
    "confidence",
    "equal",
    "latex",
    "number_finder",
    "numbers",
    "quantities",
    "stance",
    "statements",
    "structures",
]
PATTERNS = {
    f"{module}.{name}": value
    for module in MODULES
    for name, value in vars(import_module(f"society.answers.{module}")).items()
    if isinstance(value, LazyPattern)
}


@pytest.mark.parametrize("name", PATTERNS)
def test_every_pattern_compiles(name: str) -> None:
    assert isinstance(re.compile(PATTERNS[name].pattern, PATTERNS[name]._flags), re.Pattern)


def test_it_has_what_a_compiled_pattern_has() -> None:
    lazy, compiled = compile_later("(?P<letter>b)C", re.IGNORECASE), re.compile("(?P<letter>b)C", re.IGNORECASE)
    assert [match.span("letter") for match in lazy.finditer("abc BC")] == [(1, 2), (4, 5)]
    assert lazy.sub("x", "abc") == compiled.sub("x", "abc") == "ax"
    assert (lazy.pattern, lazy.flags, lazy.groupindex) == (compiled.pattern, compiled.flags, compiled.groupindex)
    assert copy.copy(lazy).search("bc")
    with pytest.raises(AttributeError):
        _ = lazy.nothing  # type: ignore[attr-defined]


def test_a_pattern_is_compiled_when_it_is_used() -> None:
    wrong = compile_later("(")
    with pytest.raises(re.error, match="missing \\)"):
        wrong.search("")
    assert len(PATTERNS) > 100
