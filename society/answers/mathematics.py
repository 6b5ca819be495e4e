r"""Whether two answers are the same mathematics.

In this order: the same string; the same after removing what LaTeX says about looks alone; the same number;
and only then math-verify (SymPy), in a worker process with a time limit. What SymPy could hang on is refused
before it is parsed: very long or deeply nested text, towers of powers, huge factorials. Such answers
equal only themselves.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from importlib.util import find_spec

from society.answers.numbers import BENT, close, parse_number
from society.answers.worker import Worker
from society.errors import MissingExtraError

MAX_LENGTH = 400
MAX_DEPTH = 12
MAX_DIGITS = 40
MAX_EXPONENT = 10_000


def require_math_verify() -> None:
    """Raises `MissingExtraError` if math-verify is not installed."""
    if find_spec("math_verify") is None:
        raise MissingExtraError("The answer equality `math`", "math-verify", "math")


def same_math(a: str, b: str, tolerance: float = 1e-6) -> bool:
    """Whether `a` and `b` are equal as mathematics. Symmetric; an identical string is always equal.

    Two numbers are compared as by `numeric`. Raises `MissingExtraError` if math-verify is needed and missing.
    """
    if a == b:
        return True
    if BENT.search(a + b):  # what is seen is not what would be compared
        return False
    left, right = simplify(a), simplify(b)
    if left == right:
        return True
    if not left or not right:
        return False
    x, y = parse_number(_plain_fraction(left)), parse_number(_plain_fraction(right))
    if x is not None and y is not None:
        return close(x, y, tolerance)
    return is_tame(left) and is_tame(right) and _verify(*sorted((left, right)))


_LOOKS = (
    (re.compile(r"\\(?:left|right|displaystyle|textstyle|!|,|;|:|quad|qquad)(?![a-zA-Z])|\\ "), " "),
    (re.compile(r"\\[dtc]frac(?![a-zA-Z])"), r"\\frac"),
    (re.compile(r"\\(?:text|textbf|mathrm|mathbf|mbox)\s*\{([^{}]*)\}"), r"\1"),
    (re.compile(r"\\?[$]|\\?%|\\[()\[\]]"), ""),
    (re.compile(r"\*\*"), "^"),
    (re.compile(r"\{,\}"), ","),
    (re.compile(r"√\s*\(([^()]*)\)|(?<![\\a-zA-Z])sqrt\s*\(([^()]*)\)"), r"\\sqrt{\1\2}"),
    (re.compile(r"√\s*([0-9a-z]+)"), r"\\sqrt{\1}"),
    (re.compile(r"π|(?<![\\a-zA-Z])pi(?![a-zA-Z])"), r"\\pi "),
    (re.compile(r"\N{MULTIPLICATION SIGN}"), r"\\times "),
    (re.compile(r"[\N{MINUS SIGN}\N{EN DASH}]"), "-"),
    (re.compile(r"°|\^\s*\{?\s*\\circ\s*\}?"), ""),
    (re.compile(r"\s+(?=[^\w\s])|(?<=[^\w\s])\s+"), ""),
    (re.compile(r"\s+"), " "),
)


def simplify(answer: str) -> str:
    """`answer` without what changes its looks alone: spacing, delimiters, text markup, the unit signs $ % °.

    Answers longer than `MAX_LENGTH` characters come back as they are.
    """
    if len(answer) > MAX_LENGTH:
        return answer
    for pattern, replacement in _LOOKS:
        answer = pattern.sub(replacement, answer)
    return answer.strip().rstrip(".").strip()


_FRACTION = re.compile(r"(-?)([0-9]*)\\frac(?:\{(-?[0-9]+)\}\{([0-9]+)\}|([0-9])([0-9]))")


def _plain_fraction(answer: str) -> str:
    r"""`3\frac{1}{2}` and `\frac12` as `3 1/2` and `1/2`; anything else as it is."""
    match = _FRACTION.fullmatch(answer)
    if not match:
        return answer
    sign, whole, above, below = match[1], match[2], match[3] or match[5], match[4] or match[6]
    if above.startswith("-"):  # no digits may stand before it, and two signs cancel
        return answer if whole else f"{above[1:] if sign else above}/{below}"
    return f"{sign}{whole} {above}/{below}" if whole else f"{sign}{above}/{below}"


_TOWER = re.compile(r"\^[\s({\[+-]*[0-9.]+[\s)}\]]*(?:\^|!)")
_EXPONENT = re.compile(r"([)\]}])?\^[\s({\[+-]*([0-9]+)")
_BIG_FACTORIAL = re.compile(r"[0-9]{4,}[\s)}\]]*!|[)\]}!]\s*!")
_BIG_ARGUMENT = re.compile(r"\\(?:d|t)?(?:binom|Gamma|prod|sum|choose)|\\operatorname|\\int(?![a-z])")
_FORBIDDEN = re.compile(r"__|\\(?:input|write|def|include|csname|catcode)|[`;@\"]|import|lambda")


def is_tame(answer: str) -> bool:
    """Whether SymPy may be shown `answer`. Looks at the text alone; bounds every cost that text can hide."""
    if len(answer) > MAX_LENGTH or _depth(answer) > MAX_DEPTH or re.search(rf"[0-9]{{{MAX_DIGITS},}}", answer):
        return False
    if _TOWER.search(answer) or _BIG_FACTORIAL.search(answer) or _FORBIDDEN.search(answer):
        return False
    if _BIG_ARGUMENT.search(answer) and re.search(r"[0-9]{5,}", answer):
        return False
    product = 1
    for bracket, exponent in _EXPONENT.findall(answer):
        if int(exponent) > MAX_EXPONENT:
            return False
        product *= int(exponent) if bracket else 1
    return product <= MAX_EXPONENT


def _depth(answer: str) -> int:
    """How deep brackets of any kind nest."""
    depth = deepest = 0
    for char in answer:
        depth += (char in "([{") - (char in ")]}")
        deepest = max(deepest, depth)
    return deepest


@cache
def _worker() -> Worker:
    require_math_verify()
    return Worker("society.answers.math_worker")


@lru_cache(maxsize=10_000)
def _verify(a: str, b: str) -> bool:
    return _worker().ask(a, b) is True
