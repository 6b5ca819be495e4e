"""Gold answers: are they found, equal to themselves and symmetric, and are hostile answers cheap?

    python benchmarks/answers.py [DATA] [-o benchmarks/results/answers.md]

DATA, or the environment's BENCH_DATA, contains gsm8k/, math/, mmlu_stem/ and mawps/ with JSONL files as published.
"""

from __future__ import annotations

import argparse
import os
import random
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from chart import record
from machine import describe_machine

from society.answers.mathematics import _verify, _worker, is_tame, same_math, simplify
from society.core.types import Item
from society.tasks.file import Jsonl

HOSTILE = {
    "10**10**10": "10**10**10",
    "9^9^9^9": "9^9^9^9",
    "10^(10^10)": "10^{(10^{10})}",
    "100,000 nested braces": "{" * 100_000 + "1" + "}" * 100_000,
    "100,000 digits": "7" * 100_000,
    "99999999!": "99999999!",
    "((9!)!)!": "((9!)!)!",
    "code": "__import__('os').system('echo run')",
    "(x+y+z)^5000": "(x+y+z)^{5000}+1",
    "long sum": r"\sum_{i=1}^{9999} \frac{1}{i^3}",
    "hard integral": r"\int_0^1 e^{-x^2}\sin(x^{x^x}) dx",
    "nested tangents": r"\tan(\tan(\tan(\tan(\tan(9999)))))",
    "nested powers of x": "x^{" * 11 + "2" + "}" * 11,
    "300 bars": "|" * 300,
    "1e999999999": "1e999999999",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("data", type=Path, nargs="?", default=os.environ.get("BENCH_DATA"))
    parser.add_argument("-o", type=Path, default=Path(__file__).parent / "results" / "answers.md")
    options = parser.parse_args()
    if options.data is None:
        parser.error("say where the data are, or set BENCH_DATA")
    lines = ["# Answers", "", *gold_table(options.data), "", *mathematics_lines(options.data), "", *hostile_table()]
    lines += ["", describe_machine()]
    options.o.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


def tasks(data: Path) -> dict[str, Jsonl]:
    """Return the task of each data set, as a scenario defines it."""
    numeric = {"equal": "numeric"}

    def task(path: str, **fields: object) -> Jsonl:
        return Jsonl.model_validate({"path": data / path, **fields}, context={"folders": [data]})

    gsm8k = {"gold_extract": ["hash"], "answer": numeric}
    math = {"question": "problem", "gold": "solution", "gold_extract": ["boxed"], "answer": {"equal": "math"}}
    mawps = {"question": "input", "gold": "target", "answer": numeric}
    return {
        "MATH test": task("math/test.jsonl", **math),
        "GSM8K train": task("gsm8k/train.jsonl", **gsm8k),
        "GSM8K test": task("gsm8k/test.jsonl", **gsm8k),
        "MMLU STEM test": task("mmlu_stem/test.jsonl", choices="choices"),
        **{
            f"MAWPS {name}": task(f"mawps/{name}.jsonl", **mawps)
            for name in ("addsub", "multiarith", "singleeq", "singleop")
        },
    }


def gold_table(data: Path) -> list[str]:
    """Rows read (each must have a gold answer), found in a reply, equal to themselves, symmetric; seconds."""
    lines = [
        "Every gold answer G is given back in a reply as the task's instruction asks; decorated is `$ G $.`",
        "Repeated questions (the same text and options) are left out when a task is loaded.",
        "",
        "| data | rows with gold | distinct questions | found in a reply and right | decorated = plain "
        "| symmetric of 5,000 pairs | ms a comparison |",
        "|---|---|---|---|---|---|---|",
    ]
    found = [gold_line(name, task) for name, task in tasks(data).items()]
    share = sum(right for _, right, _ in found) / sum(count for _, _, count in found)
    record("answers.py", {"gold answers found in a reply and right, of all": (share, 1.0)})
    return lines + [line for line, _, _ in found]


def gold_line(name: str, task: Jsonl) -> tuple[str, int, int]:
    """Return the line of a data set; how many gold answers were found and right, of how many."""
    rows, items = list(task.questions(0)), task.load(0)
    right = sum(answered_right(task, item) for item in items)
    decorated = sum(task.same(item.gold, f"$ {item.gold} $.") for item in items)
    started = time.perf_counter()
    symmetric = sum(task.same(a, b) == task.same(b, a) for a, b in pairs(items, 5000))
    ms = (time.perf_counter() - started) / 10_000 * 1000
    line = f"| {name} | {len(rows)} | {len(items)} | {right} | {decorated} | {symmetric} | {ms:.2f} |"
    return line, right, len(items)


def answered_right(task: Jsonl, item: Item) -> bool:
    ends = {"boxed": "It is $\\boxed{{{}}}$.", "choice": "The answer is ({})."}
    answer = task.parse(ends[str(task.format.extract[0])].format(item.gold), item)
    return answer is not None and task.correct(answer, item)


def mathematics_lines(data: Path) -> list[str]:
    """Ask the worker alone, without the structures that are compared before it, for each gold answer and itself."""
    golds = sorted({item.gold for item in tasks(data)["MATH test"].load(0)})
    worker = _worker()
    worker.ask("1", "1", 1e-6)  # starts it
    started = time.perf_counter()
    refused = [gold for gold in golds if not is_tame(simplify(gold))]
    kept = [gold for gold in golds if not worker.ask(simplify(gold), simplify(gold), 1e-6)]
    spent = (time.perf_counter() - started) / len(golds)
    chosen = random.Random(1).sample(golds, 1000)
    symmetric = sum(worker.ask(a, b, 1e-6) == worker.ask(b, a, 1e-6) for a, b in pairwise(chosen))
    return [
        f"The worker alone, without what is compared before it, on the {len(golds)} distinct MATH answers: "
        f"{len(golds) - len(kept)} equal to themselves, {spent * 1000:.1f} ms each; not: {_list(kept)}.",
        f"Too dangerous to show to it, and compared as strings alone: {_list(refused)}.",
        f"Symmetric without the sorting of arguments: {symmetric} of 999 pairs.",
    ]


def _list(answers: Sequence[str]) -> str:
    return ", ".join(f"`{answer[:60]}`" for answer in answers[:10]) or "none"


def hostile_table() -> list[str]:
    """Seconds of one comparison with 5 and with (x+1)^2, the slower; none may be called equal."""
    lines = ["| hostile answer | seconds | equal to 5 or (x+1)^2 |", "|---|---|---|"]
    for name, answer in HOSTILE.items():
        worst, equal = 0.0, False
        for other in ("5", "(x+1)^2"):
            _verify.cache_clear()
            started = time.perf_counter()
            equal |= same_math(answer, other)
            worst = max(worst, time.perf_counter() - started)
        lines.append(f"| {name} | {worst:.3f} | {'yes' if equal else 'no'} |")
    return lines


def pairs(items: Sequence[Item], n: int) -> list[tuple[str, str]]:
    rng = random.Random(0)
    return [(rng.choice(items).gold, rng.choice(items).gold) for _ in range(n)]


if __name__ == "__main__":
    main()
