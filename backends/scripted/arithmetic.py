"""Values of arithmetic expressions in texts, for scripted agents. Nothing is executed."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from operator import add, mul, neg, pos, sub, truediv

LONGEST = 200
"""Maximum number of characters of an expression."""
_EXPRESSION = re.compile(r"[-(]{0,20}\d[\d \t.+*/()-]*")
_BINARY: dict[type[ast.operator], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: add,
    ast.Sub: sub,
    ast.Mult: mul,
    ast.Div: truediv,
}
_UNARY: dict[type[ast.unaryop], Callable[[Fraction], Fraction]] = {ast.USub: neg, ast.UAdd: pos}


@lru_cache(maxsize=4096)
def find_value(text: str) -> Fraction | None:
    """Return the value of the last expression in `text` (numbers, + - * /, parentheses), or None."""
    for found in reversed(_EXPRESSION.findall(text)):
        value = evaluate(_trim(found))
        if value is not None:
            return value
    return None


def _trim(found: str) -> str:
    """Return the expression without the punctuation of the sentence around it."""
    found = found.rstrip(" \t.+-*/(")
    while found.endswith(")") and found.count(")") > found.count("("):
        found = found[:-1].rstrip()
    return found.lstrip("(") if found.count("(") > found.count(")") else found


def evaluate(expression: str) -> Fraction | None:
    """Return the exact value; None if the text is no calculation, is too long, or divides by zero."""
    if len(expression) > LONGEST:
        return None
    try:
        tree = ast.parse(expression, mode="eval").body
        return _value(tree) if isinstance(tree, ast.BinOp) else None
    except (SyntaxError, ValueError, ZeroDivisionError, RecursionError, MemoryError):
        return None


def _value(node: ast.expr) -> Fraction:
    if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
        return _BINARY[type(node.op)](_value(node.left), _value(node.right))
    if isinstance(node, ast.UnaryOp) and type(node.op) in _UNARY:
        return _UNARY[type(node.op)](_value(node.operand))
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return Fraction(str(node.value))
    raise ValueError(f"{type(node).__name__} is no arithmetic")


def show(value: Fraction) -> str:
    """Return a whole number without decimals, and any other number as the nearest double."""
    return str(value.numerator) if value.denominator == 1 else repr(float(value))
