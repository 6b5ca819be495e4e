"""Pairs of answers made from the gold answers of data sets: other spellings of each, and other values.

Only gold answers whose value this module's own patterns can read get another value. Other spellings change only the
layout of LaTeX.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

from grader_pairs import Pair

SAMPLE = 400
"""Number of gold answers per data set."""


def data_pairs(data: Path, seed: int = 0) -> list[Pair]:
    """Return pairs from the gold answers of GSM8K, MATH, MMLU and MAWPS in `data`, always the same for one seed."""
    rng = random.Random(seed)
    gsm8k = [row["answer"].rsplit("####", 1)[1].strip() for row in _rows(data / "gsm8k" / "test.jsonl")]
    math = sorted({gold for row in _rows(data / "math" / "test.jsonl") if (gold := _boxed(row["solution"]))})
    mawps = [f"{row['target']:g}" for row in _rows(data / "mawps" / "singleeq.jsonl")]
    mmlu = ["ABCD"[row["answer"]] for row in _rows(data / "mmlu_stem" / "test.jsonl")]
    pairs: list[Pair] = []
    for kind, golds, make in (
        ("GSM8K gold", rng.sample(gsm8k, SAMPLE), _numeric),
        ("MATH gold", rng.sample(math, min(3 * SAMPLE, len(math))), _math),
        ("MAWPS gold", rng.sample(mawps, SAMPLE), _numeric),
        ("MMLU gold", rng.sample(mmlu, SAMPLE // 4), _choice),
    ):
        pairs += [pair for gold in golds for pair in make(kind, gold, rng)]
    found = {(pair.how, pair.a, pair.b): pair for pair in pairs if pair.a != pair.b}
    return list(found.values())


def _rows(path: Path) -> Iterator[dict[str, object]]:
    with path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def _boxed(solution: str) -> str | None:
    """Return what the last `\\boxed{...}` of a solution holds."""
    start = solution.rfind("\\boxed{")
    depth = 0
    for place in range(start + 6, len(solution)) if start >= 0 else ():
        depth += (solution[place] == "{") - (solution[place] == "}")
        if depth == 0:
            return solution[start + 7 : place].strip()
    return None


def _numeric(kind: str, gold: str, rng: random.Random) -> Iterator[Pair]:
    value = float(gold.replace(",", ""))
    spellings = [
        f"{gold} apples",
        f"${gold}",
        f"\\boxed{{{gold}}}",
        f"x = {gold}",
        f"**{gold}**.",
        f"{gold}\\text{{ km}}",
    ]
    if value == int(value) and "." not in gold:
        spellings += [f"{int(value)}.00", f"{int(value):,}", f"{int(value):,}".replace(",", "{,}")]
    yield from (Pair(kind, "numeric", gold, each, True) for each in rng.sample(spellings, 3))
    changed = [f"{value + 1:g}", f"{value * 10:g}", f"{-value or 5:g}", f"{value + 0.5:g}", f"{gold} or {value + 1:g}"]
    if value < 100_000:
        yield from (Pair(kind, "numeric", gold, each, False) for each in rng.sample(changed, 3))


def _choice(kind: str, gold: str, rng: random.Random) -> Iterator[Pair]:
    other = rng.choice([letter for letter in "ABCD" if letter != gold])
    dresses = ("({})", "{}.", "**{}**", "\\text{{({})}}", "\\mathbf{{{}}}", "{}) it is so")
    yield from (Pair(kind, "choice", gold, dress.format(gold), True) for dress in dresses)
    yield from (Pair(kind, "choice", gold, dress.format(other), False) for dress in dresses)


_RESPELL: Sequence[tuple[str, str]] = (
    (r"\\frac(?![a-z])", r"\\dfrac"),
    (r"(?<![a-zA-Z\\])\((?=[^()]*\)$)", r"\\left("),
    (r",", ", "),
    (r"(?<=[a-z0-9)}])([+])(?=[a-z0-9({\\])", r" \1 "),
    (r"\\sqrt\{([0-9])\}", r"\\sqrt\1 "),
    (r"\\\\", r" \\\\ "),
    (r"\\text\{", r"\\textrm{"),
)


def respell(gold: str) -> Iterator[str]:
    """Yield other LaTeX for the same formula."""
    yield f"$ {gold} $"
    yield f"\\displaystyle {gold}"
    yield f"{gold}." if gold[-1] not in ".!" else gold
    for pattern, replacement in _RESPELL:
        text = re.sub(pattern, replacement, gold)
        if pattern == "," and re.search(r"\d,\d{3}(?!\d)|\\!", gold):
            continue  # a thousands separator takes no space
        if "\\left(" in text and "\\left(" not in gold:
            text = re.sub(r"\)$", r"\\right)", text)
        if text != gold:
            yield text


def _math(kind: str, gold: str, rng: random.Random) -> Iterator[Pair]:
    spellings = [each for each in respell(gold) if each != gold]
    yield from (Pair(kind, "math", gold, each, True) for each in rng.sample(spellings, min(2, len(spellings))))
    yield from (Pair(kind, "math", gold, each, False) for each in _changed(gold, rng))


_INTEGER = re.compile(r"-?[0-9]{1,6}")
_FRACTION = re.compile(r"(-?)\\frac\{([0-9]+)\}\{([0-9]+)\}")
_RADICAL = re.compile(r"([0-9]*)\\sqrt\{([0-9]+)\}")
_TUPLE = re.compile(r"([(\[])(-?[0-9]+),\s*(-?[0-9]+)([)\]])")
_POLYNOMIAL = re.compile(r"[0-9a-z^+-]*[a-z][0-9a-z^+-]*\+[0-9]+")
_WORD = re.compile(r"\\text\{([A-Za-z]+)\}")


def _changed(gold: str, rng: random.Random) -> Iterator[str]:
    """Yield answers of another value than `gold`, if its value is read here."""
    step = rng.randrange(1, 9)
    if _INTEGER.fullmatch(gold):
        yield from (
            str(int(gold) + step),
            f"-{gold}" if gold[0] not in "-0" else f"1{gold[1:]}",
            f"\\frac{{{gold}}}{{7}}" if gold != "0" else "7",
        )
    elif found := _FRACTION.fullmatch(gold):
        value = Fraction(int(found[2]), int(found[3]))
        yield f"{found[1]}\\frac{{{int(found[2]) + step}}}{{{found[3]}}}"
        if value != 1:
            yield f"{found[1]}\\frac{{{found[3]}}}{{{found[2]}}}"
        yield f"{found[2]}{found[3]}"
    elif found := _RADICAL.fullmatch(gold):
        yield from (f"{int(found[1] or 1) + step}\\sqrt{{{found[2]}}}", f"-{gold}", found[2] + "00")
    elif found := _TUPLE.fullmatch(gold):
        left, a, b, right = found.groups()
        yield from (f"{left}{a},{int(b) + step}{right}", f"{left}{a},{b}{')' if right == ']' else ']'}")
        if a != b:
            yield f"{left}{b},{a}{right}"
    elif _POLYNOMIAL.fullmatch(gold):
        yield re.sub(r"\+([0-9]+)$", lambda last: f"+{int(last[1]) + step}", gold)
    elif found := _WORD.fullmatch(gold):
        yield f"\\text{{{found[1][::-1]}}}" if found[1].lower() != found[1][::-1].lower() else "\\text{other}"
