"""Bounds on the cost of an answer for SymPy, computed from its text alone."""

from __future__ import annotations

import re

MAX_LENGTH = 400
MAX_DEPTH = 12
MAX_DIGITS = 40
MAX_EXPONENT = 10_000

_TOWER = re.compile(r"\^[\s({\[+-]*[0-9.]+[\s)}\]]*(?:\^|!)")
_EXPONENT = re.compile(r"([)\]}])?\^[\s({\[+-]*([0-9]+)")
_BIG_FACTORIAL = re.compile(r"[0-9]{4,}[\s)}\]]*!|[)\]}!]\s*!")
_BIG_ARGUMENT = re.compile(r"\\(?:d|t)?(?:binom|Gamma|prod|sum|choose)|\\operatorname|\\int(?![a-z])")
_NESTED_POWER = re.compile(r"\^\s*\{[^{}]*\^")
_FORBIDDEN = re.compile(r"__|\\(?:input|write|def|include|csname|catcode)|[`;@\"]|import|lambda")


def is_tame(answer: str) -> bool:
    """Return whether SymPy may process `answer`, in the normal form of `society.answers.latex.simplify`."""
    return is_formula(answer) and _is_cheap(answer)


def is_formula(answer: str) -> bool:
    """Return whether `answer` may be mathematics: it is not too long, too deep, or similar to code."""
    if len(answer) > MAX_LENGTH or _depth(answer) > MAX_DEPTH:
        return False
    return not _FORBIDDEN.search(answer)


def _is_cheap(answer: str) -> bool:
    """Return whether SymPy computes `answer` in bounded time."""
    if re.search(rf"[0-9]{{{MAX_DIGITS},}}", answer) or _TOWER.search(answer) or _BIG_FACTORIAL.search(answer):
        return False
    # SymPy evaluates a sum term by term and integrates by trial: both may exceed any limit of calls.
    if _BIG_ARGUMENT.search(answer) and (re.search(r"[0-9]{4,}", answer) or _NESTED_POWER.search(answer)):
        return False
    product = 1
    for bracket, exponent in _EXPONENT.findall(answer):
        if int(exponent) > MAX_EXPONENT:
            return False
        product *= int(exponent) if bracket else 1
    return product <= MAX_EXPONENT


def _depth(answer: str) -> int:
    """Return the maximum nesting of brackets."""
    depth = deepest = 0
    for char in answer:
        depth += (char in "([{") - (char in ")]}")
        deepest = max(deepest, depth)
    return deepest
