"""Student's t distribution with any positive number of degrees of freedom."""

from __future__ import annotations

from math import exp, inf, lgamma, log, log1p

STEPS = 500
"""Maximum number of steps of the continued fraction."""
_TINY = 1e-300


def t_tail(t: float, freedom: float) -> float:
    """Return the probability of a value above `t`, for t at least 0."""
    if t == inf:
        return 0.0
    return _beta_share(freedom / 2, 0.5, freedom / (freedom + t * t)) / 2


def t_quantile(tail: float, freedom: float) -> float:
    """Return the value above which a share `tail` lies, for tails from 1e-12 to 0.5."""
    low, high = 0.0, 1.0
    while t_tail(high, freedom) > tail:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if t_tail(middle, freedom) > tail else (low, middle)
    return (low + high) / 2


def _beta_share(a: float, b: float, x: float) -> float:
    """Return the regularized incomplete beta function, by its continued fraction (DLMF 8.17.22)."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):  # the fraction converges fast below
        return 1 - _beta_share(b, a, 1 - x)
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x)) / a
    return front * _fraction(a, b, x)


def _fraction(a: float, b: float, x: float) -> float:
    """Return 1 / (1 + d1 / (1 + d2 / (1 + ...))), by the method of Lentz (1976)."""
    numerator, denominator = _TINY, 0.0
    value = _TINY
    for step in range(STEPS):
        part = _part(a, b, x, step) if step else 1.0
        denominator = 1 / (1 + part * denominator or _TINY)
        numerator = 1 + part / numerator or _TINY
        value *= numerator * denominator
        if step and abs(numerator * denominator - 1) < 1e-15:
            break
    return value


def _part(a: float, b: float, x: float, step: int) -> float:
    """Return the coefficient d of a step, from 1."""
    m = step // 2
    if step % 2:
        return -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
    return m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
