"""A calculator with exact numbers. It walks the syntax tree of an expression; nothing is executed."""

from __future__ import annotations

import ast
import math
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from inspect import signature
from typing import ClassVar, Literal, Self

from society.components.tools.base import Tool, ToolError, ToolSession
from society.components.tools.notation import rewrite
from society.core.plain import count

LONGEST = 1000
"""Maximum number of characters of an expression."""
MOST_BITS = 14_000
"""Maximum size of a number, in bits: about 4,200 digits, as many as Python turns into text."""
CLOSE = 1e-9
"""Maximum distance of a rounded number from a whole one that it may be, relative to its size."""
DIGITS = 15
"""Number of significant digits of a number that is no fraction of whole numbers."""


class Calculator(Tool):
    """Computes arithmetic exactly: whole numbers and fractions have no rounding errors. Nothing is executed."""

    kind: Literal["calculator"] = "calculator"

    about: ClassVar[str] = (
        "Computes an arithmetic expression exactly. It knows + - * / // % ** and brackets, and the functions abs, "
        "ceil, comb, factorial, floor, gcd, lcm, max, min, round, sqrt."
    )
    example: ClassVar[str] = "12 * (3 + 4)"
    takes: ClassVar[str] = "expression"

    async def call(self, given: str, session: ToolSession) -> str:
        return show(evaluate(given))


def evaluate(expression: str) -> Fraction | float:
    """Return the value of an expression: a fraction, or a float where a square root is irrational.

    Raises `ToolError` for a text that is no arithmetic, a division by zero, and numbers above `MOST_BITS`.
    """
    if len(expression) > LONGEST:
        raise ToolError(f"The expression has more than {LONGEST} characters.")
    try:
        text = rewrite(expression.strip().rstrip("=? \t"))
        with warnings.catch_warnings(action="ignore"):  # Python warns of syntax such as `1if`
            tree = ast.parse(text, mode="eval")
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, float):
                node.kind = ast.get_source_segment(text, node)  # the decimals as written, which the float has not
        return _value(tree.body)
    except ZeroDivisionError:
        raise ToolError("Division by zero.") from None
    except (SyntaxError, ValueError, TypeError, OverflowError, RecursionError, MemoryError) as error:
        raise ToolError(f"{expression.strip()!r:.100} is no arithmetic: {getattr(error, 'msg', error)}.") from None


def show(value: Fraction | float) -> str:
    """Return a value as text: a whole number, a finite decimal, or a fraction with its approximation."""
    if isinstance(value, float):
        return f"{value:.{DIGITS}g} (rounded)"
    if value.denominator == 1:
        return str(value.numerator)
    twos, fives = (_power(value.denominator, base) for base in (2, 5))
    places = max(twos, fives)
    if value.denominator == 2**twos * 5**fives and places <= DIGITS:
        sign, digits = "-" * (value < 0), f"{abs(value) * 10**places}".zfill(places + 1)
        return f"{sign}{digits[:-places]}.{digits[-places:]}"
    return f"{value.numerator}/{value.denominator} (about {_approximate(value)})"


def _power(number: int, base: int) -> int:
    power = 0
    while number % base == 0:
        number, power = number // base, power + 1
    return power


def _approximate(value: Fraction) -> str:
    try:
        return f"{float(value):.{DIGITS}g}"
    except OverflowError:
        return f"a number of {len(str(abs(value.numerator // value.denominator)))} digits"


Number = Fraction | float
_BINARY: Mapping[type[ast.operator], Callable[[Number, Number], Number]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
    ast.FloorDiv: lambda a, b: _whole_part(math.floor, a / b),
    ast.Mod: lambda a, b: a % b,
    ast.Pow: lambda a, b: _raise_to(a, b),
}


def _value(node: ast.expr) -> Number:
    match node:
        case ast.Constant(value=int() | float()) if not isinstance(node.value, bool):
            return _bounded(_read_number(node))
        case ast.UnaryOp(op=ast.USub()):
            return -_value(node.operand)
        case ast.UnaryOp(op=ast.UAdd()):
            return _value(node.operand)
        case ast.BinOp() if type(node.op) in _BINARY:
            return _bounded(_BINARY[type(node.op)](_value(node.left), _value(node.right)))
        case ast.Call(func=ast.Name(id=name), keywords=[]) if name in _FUNCTIONS:
            return _bounded(_apply(name, [*map(_value, node.args)]))
        case ast.Name(id="pi" | "e"):
            return math.pi if node.id == "pi" else math.e
    raise ValueError(f"the calculator does not know {ast.unparse(node)!r:.60}")


def _apply(name: str, values: Sequence[Number]) -> Number:
    """Return the value of a function. Raises `ValueError` for a wrong number of arguments."""
    try:
        signature(_FUNCTIONS[name]).bind(*values)
    except TypeError:
        raise ValueError(f"{name} does not take {count(len(values), 'number')}") from None
    return _FUNCTIONS[name](*values)


def _read_number(node: ast.Constant) -> Fraction:
    """Return the number that an expression writes."""
    if isinstance(node.value, int):
        return Fraction(node.value)
    written = str(node.kind)
    exponent = re.search("[eE]([-+]?[0-9]+)$", written)
    if exponent and abs(int(exponent[1])) > MOST_BITS // 4:
        raise OverflowError("a number is too large or too small")
    return Fraction(written)


class _Root(float):
    """The rounded square root of a fraction that has no exact one. `square` is the fraction."""

    square: Fraction

    def __new__(cls, square: Fraction) -> Self:
        root = super().__new__(cls, math.sqrt(square))
        root.square = square
        return root


def _whole_part(round_to: Callable[[Number], int], value: Number) -> Number:
    """Return the value rounded by `math.floor` or `math.ceil`: a float if the value is rounded already."""
    if isinstance(value, Fraction):
        return Fraction(round_to(value))
    if not isinstance(value, _Root):
        near = round(value)
        return float(near if math.isclose(value, near, rel_tol=CLOSE, abs_tol=CLOSE) else round_to(value))
    if round_to is math.floor:
        return Fraction(math.isqrt(math.floor(value.square)))
    return Fraction(math.isqrt(math.ceil(value.square) - 1) + 1)


def _bounded(value: Number) -> Number:
    """Return the value. Raises `OverflowError` for one that is too large."""
    if isinstance(value, float):
        if not math.isfinite(value):
            raise OverflowError("the result is too large")
        return value
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > MOST_BITS:
        raise OverflowError("a number is too large")
    return value


def _raise_to(base: Number, exponent: Number) -> Number:
    if isinstance(base, _Root) and isinstance(exponent, Fraction) and exponent % 2 == 0:
        base, exponent = base.square, exponent / 2
    if isinstance(base, float) or isinstance(exponent, float) or exponent.denominator != 1:
        if isinstance(exponent, Fraction) and exponent == Fraction(1, 2):
            return _root(base)
        if isinstance(base, Fraction) and isinstance(exponent, Fraction) and base > 0:
            over, under = (_whole_root(part, exponent.denominator) for part in (base.numerator, base.denominator))
            if over is not None and under is not None:
                return _raise_to(Fraction(over, under), Fraction(exponent.numerator))
        found = float(base) ** float(exponent)
        if isinstance(found, complex):
            raise ValueError("the result is no real number")
        return float(found)
    size = max(base.numerator.bit_length(), base.denominator.bit_length())
    if size * abs(exponent) > 2 * MOST_BITS and abs(base) not in (0, 1):
        raise OverflowError("a number is too large")
    return base ** int(exponent)


def _whole_root(number: int, degree: int) -> int | None:
    """Return the positive whole number whose power is `number`, or None."""
    if degree > number.bit_length():  # 2 to this power is larger; computing it may take more than all memory
        return 1 if number == 1 else None
    low, high = 1, 1 << (number.bit_length() // degree + 1)
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if middle**degree < number else (low, middle)
    return low if low**degree == number else None


def _root(value: Number) -> Number:
    """Return the square root: exact if it is a fraction."""
    if value < 0:
        raise ValueError("the square root of a negative number is no real number")
    if isinstance(value, Fraction):
        found = Fraction(math.isqrt(value.numerator), math.isqrt(value.denominator))
        return found if found * found == value else _Root(value)
    return math.sqrt(value)


def _round(value: Number, places: Number = Fraction(0)) -> Number:
    """Round half to even, as Python does, but on the exact value."""
    digits = _whole(places)
    if abs(digits) > 1000:
        raise OverflowError("too many places")
    found = round(Fraction(value), digits)
    return float(found) if isinstance(value, float) else found


def _whole(value: Number) -> int:
    if isinstance(value, float) or value.denominator != 1:
        raise ValueError(f"{show(value)} is not exactly a whole number")
    return int(value)


def _factorial(value: Number) -> Number:
    number = _whole(value)
    if not 0 <= number <= 1500:
        raise OverflowError("factorial takes whole numbers from 0 to 1500")
    return Fraction(math.factorial(number))


def _choose(n: Number, k: Number) -> Number:
    if max(_whole(n), _whole(k)) > 10_000:
        raise OverflowError("comb takes whole numbers up to 10000")
    return Fraction(math.comb(_whole(n), _whole(k)))


_FUNCTIONS: Mapping[str, Callable[..., Number]] = {
    "abs": abs,
    "ceil": lambda value: _whole_part(math.ceil, value),
    "comb": _choose,
    "factorial": _factorial,
    "floor": lambda value: _whole_part(math.floor, value),
    "gcd": lambda *values: Fraction(math.gcd(*map(_whole, values))),
    "lcm": lambda *values: Fraction(math.lcm(*map(_whole, values))),
    "max": lambda first, *more: max(first, *more) if more else first,
    "min": lambda first, *more: min(first, *more) if more else first,
    "round": _round,
    "sqrt": _root,
}
