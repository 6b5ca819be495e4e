"""The worker process that runs math-verify. `society.answers.worker.Worker` starts it; the engine never imports it.

Only the LaTeX grammar is used, as math-verify's parser of plain expressions calls `eval`. `society.answers.formulas`
compares the objects that it supports, and math-verify's `verify` the others.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any

from society.answers.worker import judge_in_time, serve


def judge(a: str, b: str, tolerance: float) -> bool:
    """Return whether two answers are mathematically equal. Symmetric, unlike math-verify's own comparison."""
    from math_verify import verify

    from society.answers.formulas import same

    left, right = parse_answer(a), parse_answer(b)
    if left is None or right is None:
        return False
    verdict = same(left, right, tolerance)
    if verdict is None:
        verdict = verify(left, right, timeout_seconds=None) or verify(right, left, timeout_seconds=None)
    return bool(verdict)


@lru_cache(maxsize=1000)
def parse_answer(answer: str) -> Any:
    """Return math-verify's parse of `answer`, or None if it is not mathematics."""
    from latex2sympy2_extended import NormalizationConfig
    from math_verify import LatexExtractionConfig, parse

    # Without its removal of units, which takes the t of 4+5t for tonnes: units were compared before.
    spelling = NormalizationConfig(units=False, malformed_operators=True, nits=True)
    configuration = [LatexExtractionConfig(normalization_config=spelling)]
    found = parse(f"${answer}$", configuration, fallback_mode="no_fallback", parsing_timeout=None)
    return with_imaginary_unit(found[0]) if found else None


def with_imaginary_unit(answer: Any) -> Any:
    """Return a parsed answer with the imaginary unit in place of a variable i."""
    import sympy

    if not isinstance(answer, sympy.Expr):
        return answer
    return answer.xreplace({symbol: sympy.I for symbol in answer.free_symbols if symbol.name == "i"})


def clear_cache() -> None:
    """Clear the caches, so that the work of a comparison does not depend on earlier ones."""
    from sympy.core.cache import clear_cache

    parse_answer.cache_clear()
    clear_cache()


if __name__ == "__main__":
    serve(partial(judge_in_time, judge, clear_cache=clear_cache), ("x^2+2x+1", "(x+1)^2", 1e-6))
