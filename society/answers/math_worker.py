"""The child process that runs math-verify. Started by `society.answers.worker.Worker`, never imported.

Only LaTeX is parsed, by a grammar: math-verify's parser of plain expressions goes through `eval`.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from society.answers.worker import judge_in_time, serve


def judge(a: str, b: str) -> bool:
    """Whether math-verify holds `a` for `b` or `b` for `a`: its own comparison is not symmetric."""
    from math_verify import verify

    left, right = _parse(a), _parse(b)
    return bool(left and right) and (
        verify(left, right, timeout_seconds=None) or verify(right, left, timeout_seconds=None)
    )


def _parse(answer: str) -> list[Any]:
    from math_verify import LatexExtractionConfig, parse

    return list(parse(f"${answer}$", [LatexExtractionConfig()], parsing_timeout=None))


if __name__ == "__main__":
    serve(partial(judge_in_time, judge), ("x^2+2x+1", "(x+1)^2"))
