"""Processor time per turn of the engine on Ray, by rate of turns: eight replicas with replies of about a second.

    python -m benchmarks.ray_rates [DEBATES...]    (numbers of debates in progress, one run each)

A real model takes seconds per reply and returns each when it is done, so requests share a call only by chance. The load
of the engine determines how many share one. The script measures the processor time of the engine's process and its
calls to replicas, per turn, between the first sixth of the turns and the last.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Awaitable
from pathlib import Path
from random import Random
from typing import Any

os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # stay on the loopback device
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

from backends.scripted.backend import Scripted, ScriptedBackend
from society.core.types import GenerateOutput, GenerateRequest, Turn
from society.executors import request_batches as mail
from society.scenario import load_scenario
from society.session import run
from society.watcher import Watcher

RESULTS = Path(__file__).parent / "results" / "ray_rates.md"
AGENTS, ROUNDS, REPLICAS, DELAY, SECONDS = 4, 2, 8, 1.0, 18
TEXT = """
version: 1
name: rates
task: {kind: arithmetic, form: a+b*c, limit: LIMIT}
backends: {scripted: {kind: scripted, rules: [{calculate: {skill: 0.6, wrong: spread}}]}}
roles: {solver: {prompt: "{{ question }} {% for m in heard %}{{ m.text }} {% endfor %} {{ question }}"}}
agents: {solver: {count: AGENTS}}
phases: [{name: debate, topology: complete, rounds: ROUNDS}]
concurrency: DEBATES
executor: {kind: ray, address: auto, generate: {replicas: REPLICAS, cpus: 0.1}}
"""


class Slow(Scripted):
    """A backend whose replies take 0.5 to 1.5 times `DELAY`, so that simultaneous requests end at different times."""

    def open(self) -> ScriptedBackend:
        return SlowBackend(self)


class SlowBackend(ScriptedBackend):
    async def generate(self, request: GenerateRequest) -> GenerateOutput:
        await asyncio.sleep(DELAY * (0.5 + Random(request.seed).random()))
        return await super().generate(request)


class Meter(Watcher):
    """Samples the clock, this process's seconds and its calls after the first sixth and after five sixths of the
    turns.
    """

    def __init__(self, turns: int) -> None:
        self.marks, self.done = {turns // 6, turns - turns // 6}, 0
        self.calls = itertools.count()
        self.noted: list[tuple[float, float, int]] = []

    def turn(self, turn: Turn, replayed: bool) -> None:
        self.done += 1
        if self.done in self.marks:
            self.noted.append((time.perf_counter(), time.process_time(), next(self.calls)))


def measure(folder: Path, debates: int) -> dict[str, float]:
    """Run once with this number of debates in progress."""
    from benchmarks.ray_rates import Slow  # by the name that workers find it under

    turns = int(debates * AGENTS / DELAY * SECONDS) // (AGENTS * ROUNDS) * AGENTS * ROUNDS
    values = {
        "LIMIT": turns // (AGENTS * ROUNDS),
        "AGENTS": AGENTS,
        "ROUNDS": ROUNDS,
        "DEBATES": debates,
        "REPLICAS": REPLICAS,
    }
    text: str = TEXT
    for name, value in values.items():
        text = text.replace(name, str(value))
    path, meter, call = folder / "rates.yaml", Meter(turns), mail.call
    path.write_text(text)

    async def counted(reference: Awaitable[Any]) -> Any:
        next(meter.calls)
        return await call(reference)

    mail.call = counted  # type: ignore[assignment]
    try:
        scenario = load_scenario(path)
        slow = Slow(rules=scenario.backends["scripted"].rules)
        run(scenario.model_copy(update={"backends": {"scripted": slow}}), folder / "run", watcher=meter)
    finally:
        mail.call = call
    shutil.rmtree(folder / "run")
    (wall, cpu, calls), (last_wall, last_cpu, last_calls) = meter.noted
    measured = turns - 2 * (turns // 6)
    return {
        "rate": measured / (last_wall - wall),
        "cpu_us": 1e6 * (last_cpu - cpu) / measured,
        "busy": (last_cpu - cpu) / (last_wall - wall),
        "calls": (last_calls - calls) / measured,
    }


def main(sizes: list[int]) -> None:
    import ray
    from ray.cluster_utils import Cluster

    temporary = Path(tempfile.mkdtemp(prefix="ray"))
    (temporary / "ray").mkdir()
    os.environ["RAY_TMPDIR"] = str(temporary)
    node = {"num_cpus": 1, "node_ip_address": "127.0.0.1", "object_store_memory": 80 << 20}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    cluster.add_node(**node)
    ray.init(address=cluster.address, log_to_driver=False, configure_logging=False, _node_ip_address="127.0.0.1")
    lines = []
    try:
        with tempfile.TemporaryDirectory() as name:
            for debates in sizes:
                lines.append((debates, measure(Path(name), debates)))
                print(lines[-1], os.getloadavg(), file=sys.stderr, flush=True)
        RESULTS.write_text(describe(lines), "utf-8")
    finally:
        ray.shutdown()
        cluster.shutdown()
        shutil.rmtree(temporary, ignore_errors=True)


def describe(lines: list[tuple[int, dict[str, float]]]) -> str:
    """Return the results in words and a table."""
    rows = "\n".join(
        f"| {debates * AGENTS:,} | {m['rate']:,.0f} | {m['rate'] / REPLICAS:,.0f} | {m['cpu_us']:,.0f} | "
        f"{m['calls']:.2f} | {m['busy']:.0%} |"
        for debates, m in lines
    )
    return f"""# The engine on Ray, by how fast turns come

{REPLICAS} replicas on two nodes on 127.0.0.1 whose replies take {DELAY / 2:g} to {DELAY * 1.5:g} s; {AGENTS} agents,
{ROUNDS} rounds, complete graph, everything stored. {os.cpu_count()} cores, which replicas and engine share; load
average at the end {os.getloadavg()[0]:.1f}. Single runs; opening and closing not included.

| replies at once | turns a second | for each replica | µs of the engine's process a turn | calls a turn | of a core |
|---|---|---|---|---|---|
{rows}
"""


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]] or [4, 16, 32, 128, 512])
