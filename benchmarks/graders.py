"""Error rates of graders of answers: ours, math-verify alone, and string comparison, on labelled pairs.

    python benchmarks/graders.py [DATA] [-o benchmarks/results/graders.md]

`grader_pairs` makes the pairs, with labels by construction. DATA, or the environment's BENCH_DATA, contains gsm8k/,
math/, mmlu_stem/ and mawps/ with JSONL files as published. Their gold answers are added in other spellings and with
other values.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from chart import record
from grader_pairs import Pair, all_pairs
from machine import describe_machine

from society.answers.equal import EQUALITIES
from society.answers.undecided import undecided_with

Grader = Callable[[Pair], bool]
TOLERANCE = 1e-6
LISTED = 60
"""Maximum number of wrong verdicts of ours that the page lists."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("data", type=Path, nargs="?", default=os.environ.get("BENCH_DATA"))
    parser.add_argument("-o", type=Path, default=Path(__file__).parent / "results" / "graders.md")
    options = parser.parse_args()
    pairs = {"made here": all_pairs()}
    if options.data is not None:
        from grader_data import data_pairs

        pairs["gold answers of data sets"] = data_pairs(options.data)
    lines = ["# Graders", "", *INTRODUCTION]
    for name, some in pairs.items():
        lines += ["", f"## Pairs {name}", "", *table(some, name)]
    lines += ["", describe_machine()]
    options.o.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


INTRODUCTION = (
    "Pairs of answers that are equal or different by construction; no grader decided a label. A false positive is a",
    "pair that differs and is called equal; a false negative is an equal pair that is called different. Each pair is",
    "judged by the equality that a task with such answers uses: numeric (GSM8K-like), math (MATH-like), choice",
    "(MMLU-like). math-verify alone: `parse` and `verify` with its defaults, equal if either order says so, letters as",
    "strings for choices. Strings: equal after stripping spaces.",
)


def ours(pair: Pair) -> bool:
    return EQUALITIES[pair.how](pair.a, pair.b, TOLERANCE)


def strings(pair: Pair) -> bool:
    return pair.a.strip() == pair.b.strip()


def math_verify(pair: Pair) -> bool:
    """Judge a pair with math-verify alone, in either order, with its own limits of time."""
    from math_verify import StringExtractionConfig, parse, verify

    letters = [StringExtractionConfig(strings=tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ"))]

    def read(answer: str) -> list[object]:
        if pair.how == "choice":
            return list(parse(answer, letters))
        return list(parse(answer if "$" in answer else f"${answer}$")) or list(parse(answer))

    left, right = read(pair.a), read(pair.b)
    return bool(left and right) and (verify(left, right) or verify(right, left))


GRADERS: dict[str, Grader] = {"ours": ours, "math-verify": math_verify, "strings": strings}


def table(pairs: Sequence[Pair], name: str) -> list[str]:
    """Return the lines of a table of false positives and false negatives by kind, and the pairs that we get wrong."""
    verdicts, seconds = {}, {}
    for grader, judge in GRADERS.items():
        started = time.perf_counter()
        verdicts[grader] = [judge(pair) for pair in pairs]
        seconds[grader] = (time.perf_counter() - started) / len(pairs)
    lines = [
        f"| kind | equal | different |{''.join(f' {grader}: false + | false - |' for grader in GRADERS)}",
        "|---|---|---|" + "---|---|" * len(GRADERS),
    ]
    for kind in [*dict.fromkeys(pair.kind for pair in pairs), "all"]:
        chosen = [index for index, pair in enumerate(pairs) if kind in (pair.kind, "all")]
        lines.append(_line(kind, [pairs[i] for i in chosen], [[verdicts[g][i] for i in chosen] for g in GRADERS]))
    asymmetric = sum(ours(pair) != ours(Pair(pair.kind, pair.how, pair.b, pair.a, pair.same)) for pair in pairs)
    undecided = sum(bool(undecided_with(pair.a, [pair.b])) for pair in pairs)
    lines += ["", f"Ours: {asymmetric} pairs are judged otherwise in the other order, {undecided} are undecided. "]
    lines[-1] += "Milliseconds a pair: " + ", ".join(f"{g} {1000 * s:.1f}" for g, s in seconds.items()) + "."
    record("graders.py", {f"pairs {name}, judged rightly by ours": (_share_right(pairs, verdicts["ours"]), 1.0)})
    return [*lines, *_list_wrong(pairs, verdicts["ours"])]


def _line(kind: str, pairs: Sequence[Pair], verdicts: Sequence[Sequence[bool]]) -> str:
    counts = Counter(pair.same for pair in pairs)
    cells = []
    for judged in verdicts:
        for same in (False, True):
            wrong = sum(pair.same is same and verdict is not same for pair, verdict in zip(pairs, judged, strict=True))
            share = f" ({100 * wrong / counts[same]:.1f} %)" if kind == "all" and counts[same] else ""
            cells.append(f" {wrong}{share} |")
    return f"| {kind} | {counts[True]} | {counts[False]} |{''.join(cells)}"


def _share_right(pairs: Sequence[Pair], verdicts: Sequence[bool]) -> float:
    return sum(pair.same is verdict for pair, verdict in zip(pairs, verdicts, strict=True)) / len(pairs)


def _list_wrong(pairs: Sequence[Pair], verdicts: Sequence[bool]) -> list[str]:
    wrong = [pair for pair, verdict in zip(pairs, verdicts, strict=True) if pair.same is not verdict]
    if not wrong:
        return ["", "Ours is wrong on none."]
    lines = [
        "",
        f"Ours is wrong on {len(wrong)}:" if len(wrong) <= LISTED else f"Ours is wrong on {len(wrong)}, such as:",
        "",
    ]
    for pair in wrong[:LISTED]:
        verdict = "called different" if pair.same else "called equal"
        lines.append(f"- {pair.kind} ({pair.how}): `{pair.a}` and `{pair.b}` are {verdict}")
    return lines


if __name__ == "__main__":
    main()
