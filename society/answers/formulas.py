"""Equality of two SymPy objects. Runs in the worker process.

Formulas are compared by their values at fixed points, to many digits, and equations and inequalities by their
solutions. Numbers without a decimal point must be equal, other numbers within the tolerance. `None` means that this
module does not support the kind of the objects, and that the caller asks math-verify.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import sympy
from sympy.core.relational import Relational

DIGITS = 40
"""Significant decimal digits of each value."""
MAX_DIGITS = 400
"""Precision, in decimal digits, at which a difference of two constants counts as zero."""
MAX_SYMBOLS = 12
EXACT = sympy.Float("1e-25", DIGITS)
"""Maximum relative difference of equal values of formulas without decimal points."""

_POINTS = (
    ("37/29", "53/31", "71/43", "97/61", "29/59", "83/73", "11/67", "101/79", "5/3", "31/13", "41/97", "89/53"),
    ("5/7", "11/3", "3/13", "17/5", "23/9", "2/19", "8/3", "29/4", "13/17", "6/31", "43/7", "9/23"),
    ("-19/11", "7/17", "-13/23", "31/8", "-3/29", "47/6", "-9/37", "15/41", "-25/3", "1/53", "-4/59", "61/10"),
    ("41/6", "-22/7", "9/41", "-5/43", "37/3", "-8/47", "51/5", "-27/61", "2/67", "-33/2", "19/71", "-7/73"),
    ("-3/5", "-14/9", "-23/12", "-1/7", "-29/16", "-11/4", "-6/19", "-17/21", "-35/8", "-13/27", "-4/33", "-10/3"),
    ("23/2", "19/6", "33/14", "7/20", "45/8", "3/22", "27/25", "55/12", "16/9", "2/35", "39/38", "12/41"),
)
"""Values of the symbols of a formula, by the alphabet."""


def same(a: Any, b: Any, tolerance: float) -> bool | None:
    """Return whether two parsed answers are equal, or None if this module does not support them."""
    if _is_formula(a) and _is_formula(b):
        return same_formula(a, b, tolerance)
    if _is_relation(a) and _is_relation(b):
        return same_relation(a, b, tolerance)
    for relation, other in ((a, b), (b, a)):
        if _is_relation(relation) and isinstance(other, sympy.Set):
            return _same_set(_solutions(relation), other, tolerance)
        if _is_relation(relation) and _is_formula(other):
            return False
    return None


def _is_formula(a: Any) -> bool:
    return isinstance(a, sympy.Expr) and not isinstance(a, sympy.MatrixExpr)


def _is_relation(a: Any) -> bool:
    return isinstance(a, Relational) or (isinstance(a, sympy.And) and all(isinstance(r, Relational) for r in a.args))


def same_formula(a: sympy.Expr, b: sympy.Expr, tolerance: float) -> bool | None:
    """Return whether two formulas are equal at all points where both are real, or None with too few such points."""
    if a == b:
        return True
    if any(infinite in (a, b) for infinite in (sympy.oo, -sympy.oo, sympy.zoo, sympy.nan)):
        return False
    if not _names(a, b) and not a.has(sympy.Float) and not b.has(sympy.Float):
        return _same_constant(a, b)
    verdicts = []
    for verdict in _compared(a, b, tolerance):
        if not verdict:
            return False
        verdicts.append(verdict)
    enough = 3 if _names(a, b) else 1
    return True if len(verdicts) >= enough else None


def _same_constant(a: sympy.Expr, b: sympy.Expr) -> bool | None:
    """Return whether two exact constants are equal: exactly if rational, else to `MAX_DIGITS` digits."""
    x, y = a.doit(), b.doit()
    if x.is_Rational and y.is_Rational:
        return bool(x == y)
    difference = sympy.N(x - y, DIGITS, maxn=MAX_DIGITS)
    if not isinstance(difference, sympy.Expr) or difference.has(sympy.nan, sympy.zoo, sympy.oo):
        return None
    parts = [_cleared(part) for part in difference.as_real_imag()]
    return parts == [0, 0] if all(part.is_Number for part in parts) else None


def _names(*objects: Any) -> list[str]:
    return sorted({symbol.name for each in objects for symbol in each.free_symbols})


def _compared(a: sympy.Expr, b: sympy.Expr, tolerance: float) -> Iterator[bool]:
    """Yield, for each point where both formulas have a value, whether the values are equal."""
    names = _names(a, b)
    if len(names) > MAX_SYMBOLS:
        return
    bound = sympy.Float(str(tolerance)) if a.has(sympy.Float) or b.has(sympy.Float) else EXACT
    is_complex = a.has(sympy.I) or b.has(sympy.I)
    for point in _POINTS if names else _POINTS[:1]:
        values = [_value(each, dict(zip(names, point, strict=False))) for each in (a, b)]
        if None in values:
            continue
        real = [value.is_real for value in values]
        if not names or is_complex or all(real):
            yield _close(values[0], values[1], bound)
        elif any(real):  # one has a value here where the other has none
            yield False


def _value(expression: Any, point: dict[str, str]) -> Any:
    """Return the value at a point, to `DIGITS` digits; None if it has none."""
    if expression.has(sympy.Derivative):
        expression = expression.doit()
    at = {symbol: sympy.Rational(point[symbol.name]) for symbol in expression.free_symbols}
    value = sympy.N(expression.xreplace(at), DIGITS)
    if not isinstance(value, sympy.Expr) or not value.is_number or value.has(sympy.nan, sympy.zoo, sympy.oo):
        return None
    real, imaginary = (_cleared(part) for part in value.as_real_imag())
    if not (real.is_Number and imaginary.is_Number):
        return None
    return real + imaginary * sympy.I


def _cleared(part: Any) -> Any:
    """Return a part of a value, or 0 if none of its digits is significant."""
    return sympy.S.Zero if isinstance(part, sympy.Float) and part._prec < 8 else part


def _close(x: Any, y: Any, bound: Any) -> bool:
    return bool(abs(x - y) <= bound * max(abs(x), abs(y)))


def same_relation(a: Any, b: Any, tolerance: float) -> bool | None:
    """Return whether two equations or inequalities are equivalent: multiples, or with equal solutions."""
    if _names(a) != _names(b):
        return False
    first, second = _single(a), _single(b)
    if first and second and _are_multiples(first, second, tolerance):
        return True
    if isinstance(a, sympy.Eq) and isinstance(b, sympy.Eq):
        return _same_roots(a, b, tolerance)
    if len(_names(a)) == 1:
        return _same_set(_solutions(a), _solutions(b), tolerance)
    return _same_chains(a, b, tolerance)


def _single(relation: Any) -> tuple[type, sympy.Expr] | None:
    """Return kind and difference of a relation with "greater" in place of "less"; None for a chain of relations."""
    if not isinstance(relation, Relational) or not (_is_formula(relation.lhs) and _is_formula(relation.rhs)):
        return None
    difference = relation.lhs - relation.rhs
    if isinstance(relation, sympy.StrictLessThan):
        return sympy.StrictGreaterThan, -difference
    if isinstance(relation, sympy.LessThan):
        return sympy.GreaterThan, -difference
    return type(relation), difference


def _are_multiples(a: tuple[type, sympy.Expr], b: tuple[type, sympy.Expr], tolerance: float) -> bool:
    """Return whether one difference is a fixed multiple of the other, a positive one for inequalities."""
    if a[0] is not b[0]:
        return False
    names = _names(a[1], b[1])
    bound = sympy.Float(str(tolerance)) if a[1].has(sympy.Float) or b[1].has(sympy.Float) else EXACT
    ratios = []
    for point in _POINTS:
        x, y = (_value(each[1], dict(zip(names, point, strict=False))) for each in (a, b))
        if x is not None and y is not None and x != 0 and y != 0:
            ratios.append(x / y)
    if len(ratios) < 3 or not all(_close(ratio, ratios[0], bound) for ratio in ratios):
        return False
    return issubclass(a[0], sympy.Eq | sympy.Ne) or bool(ratios[0].is_real and ratios[0] > 0)


def _same_roots(a: sympy.Eq, b: sympy.Eq, tolerance: float) -> bool:
    """Return whether two equations have the same solutions, complex ones too, for one of their symbols."""
    for name in _names(a):
        roots = [_roots(equation, name) for equation in (a, b)]
        if roots[0] and roots[1]:
            return _same_elements(roots[0], roots[1], partial(same_formula, tolerance=tolerance))
    return False


def _roots(equation: sympy.Eq, name: str) -> list[Any]:
    """Return the solutions for a symbol, or an empty list if SymPy cannot solve the equation."""
    plain = {symbol: sympy.Symbol(symbol.name) for symbol in equation.free_symbols}
    difference = (equation.lhs - equation.rhs).xreplace(plain)
    try:
        return list(sympy.solve(difference, sympy.Symbol(name)))
    except (NotImplementedError, TypeError, ValueError, AttributeError):
        return []


def _same_elements(a: Sequence[Any], b: Sequence[Any], same: Callable[[Any, Any], bool | None]) -> bool:
    """Return whether each of `a` equals one of `b`, and each of `b` one of `a`."""

    def within(some: Sequence[Any], others: Sequence[Any]) -> bool:
        return all(any(same(each, other) for other in others) for each in some)

    return within(a, b) and within(b, a)


def _solutions(relation: Any) -> Any:
    """Return the real solutions of relations in one symbol; None if SymPy cannot find them."""
    names = _names(relation)
    if len(names) != 1:
        return None
    real = {symbol: sympy.Symbol(names[0], real=True) for symbol in relation.free_symbols}
    parts = relation.args if isinstance(relation, sympy.And) else (relation,)
    try:
        return sympy.Intersection(*(part.xreplace(real).as_set() for part in parts))
    except (NotImplementedError, TypeError, ValueError, AttributeError):
        return None


def _same_set(a: Any, b: Any, tolerance: float) -> bool | None:
    """Return whether two sets of solutions are equal and not empty, or None if one is unknown."""
    if not isinstance(a, sympy.Set) or not isinstance(b, sympy.Set):
        return None
    if a is sympy.S.EmptySet or b is sympy.S.EmptySet:
        return False
    if isinstance(a, sympy.Interval) and isinstance(b, sympy.Interval):
        ends = ((a.start, b.start), (a.end, b.end))
        return (a.left_open, a.right_open) == (b.left_open, b.right_open) and all(
            same_formula(x, y, tolerance) for x, y in ends
        )
    return bool(a == b or a.symmetric_difference(b).is_empty)


def _same_chains(a: Any, b: Any, tolerance: float) -> bool | None:
    """Return whether two chains have the same relations in any order, or None for unsupported ones."""
    first, second = _chain(a), _chain(b)
    if first is None or second is None or len(first) != len(second):
        return None
    return _same_elements(first, second, partial(_are_multiples, tolerance=tolerance))


def _chain(relation: Any) -> list[tuple[type, sympy.Expr]] | None:
    """Return the single relations of a chain, or None if one of them is unsupported."""
    parts = relation.args if isinstance(relation, sympy.And) else (relation,)
    found = [single for part in parts if (single := _single(part)) is not None]
    return found if len(found) == len(parts) else None
