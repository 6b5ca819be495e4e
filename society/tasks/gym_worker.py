"""The child process that runs reasoning-gym. `Worker` starts it; the engine never imports it.

Several verifiers call `eval` or `sympy.parse_expr` on the answer. They receive an answer only if it consists of
numbers, operators, single letters and function names, or is a list of numbers and quoted words.
"""

from __future__ import annotations

import inspect
import re
import sys
from functools import cache
from typing import Any

from society.answers.worker import judge_in_time, serve
from society.tasks.reasoning_gym import make_generator

_EVALUATES = re.compile(r"\b(?:eval|exec|parse_expr|sympify)\(")
_FUNCTIONS = "sin|cos|tan|sec|csc|cot|asin|acos|atan|sinh|cosh|tanh|exp|log|ln|sqrt|Abs|pi"
_NUMBER = r"(?:[0-9]{1,30}(?:\.[0-9]{0,30})?|\.[0-9]{1,30})(?![.\w]*[A-Za-z_]{2})"
_FORMULA = re.compile(rf"(?:{_NUMBER}|(?<![A-Za-z_])(?:{_FUNCTIONS}|[A-Za-z])(?![A-Za-z_.])|[-+*/^(), \t\n=])*")
_LIST = re.compile(r"(?:[0-9]{1,30}|-|[\[\](), \t\n]|'[^'\\\n]*'|\"[^\"\\\n]*\")*")
_TOWER = re.compile(r"(?:\*\*|\^)[\s(]*[0-9]{4,}|(?:\*\*|\^)[\s(]*[0-9.]+[\s)]*(?:\*\*|\^)")


def is_harmless(answer: str) -> bool:
    """Return whether evaluating `answer` can only do arithmetic or build a list."""
    return bool(_LIST.fullmatch(answer) or (_FORMULA.fullmatch(answer) and not _TOWER.search(answer)))


@cache
def evaluates(module: str) -> bool:
    """Return whether the source of a dataset's module evaluates text."""
    return bool(_EVALUATES.search(inspect.getsource(sys.modules[module])))


def make(dataset: str, params: str, seed: int, index: int) -> dict[str, str]:
    """Return the question and the answer with this index."""
    entry = make_generator(dataset, params, seed)[index]
    return {"question": entry["question"], "gold": "" if entry["answer"] is None else str(entry["answer"])}


def reply_to(work: str, dataset: str, params: str, seed: int, index: int, answer: str = "") -> object:
    """Return the result of a request of `ReasoningGym`: `make` a question or `judge` an answer.

    Only `judge` has a time limit.
    """
    if work == "make":
        return make(dataset, params, seed, index)
    generator = make_generator(dataset, params, seed)
    return judge_in_time(judge, generator, generator[index], answer, clear_cache=clear_cache)


def clear_cache() -> None:
    """Clear SymPy's cache, so that the work of scoring does not depend on earlier answers."""
    if "sympy" in sys.modules:
        sys.modules["sympy"].core.cache.clear_cache()


def judge(generator: Any, entry: dict[str, Any], answer: str) -> bool:
    """Return whether the generator's verifier gives `answer` the full score."""
    if answer != entry["answer"] and evaluates(type(generator).__module__) and not is_harmless(answer):
        return False
    return float(generator.score_answer(answer=answer, entry=entry)) >= 0.999


if __name__ == "__main__":
    serve(reply_to, ("judge", "chain_sum", "{}", 1, 0, "0"), expected=False)
