"""Processor time per turn on the Ray executor, compared with one process: scripted agents, every turn stored.

    python benchmarks/ray_turns.py [TURNS...]    (thousands, even)

A local cluster has two nodes on 127.0.0.1 with one replica each; four agents read one another for two rounds. The
script measures wall time and the processor time of this process (engine, store, Ray's client) per turn. Every turn is
in the store once. These agents answer at once, so many requests share a call. "One by one" is the other extreme: one
agent and one question at a time, so that each request is sent alone, as with a slow model.
"""

from __future__ import annotations

import os
import resource
import shutil
import sqlite3
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # stay on the loopback device
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

from society.scenario import load_scenario
from society.session import run

RESULTS = Path(__file__).parent / "results" / "ray_turns.md"
AGENTS, ROUNDS, QUESTIONS, ALONE = 4, 2, 250, 10_000
TEXT = """
version: 1
name: turns
task: {kind: arithmetic, form: a+b, limit: 250}
samples: SAMPLES
backends: {scripted: {kind: scripted, rules: [{calculate: {skill: 0.6, wrong: spread}}]}}
roles: {solver: {prompt: "{{ question }} {% for m in heard %}{{ m.text }} {% endfor %} {{ question }}"}}
agents: {solver: {count: AGENTS}}
phases: [{name: debate, topology: complete, rounds: 2}]
"""
THERE = "executor={kind: ray, address: auto, generate: {replicas: 2, cpus: 0.5}}"


def measure(folder: Path, turns: int, *overrides: str, agents: int = AGENTS) -> dict[str, Any]:
    """Run once; return seconds per turn of the clock and of this process, and bytes of the store."""
    path, samples = folder / "turns.yaml", turns // (agents * ROUNDS * QUESTIONS)
    path.write_text(TEXT.replace("SAMPLES", str(samples)).replace("AGENTS", str(agents)))
    scenario, out = load_scenario(path, overrides), folder / "run"
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    run(scenario, out)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    store = out / "store.sqlite"
    with sqlite3.connect(store) as db:
        rows, different = db.execute(
            "SELECT COUNT(*), COUNT(DISTINCT item || phase || round || agent || sample) FROM turns"
        ).fetchone()
    db.close()
    if rows != turns or different != turns:
        raise SystemExit(f"{turns} turns asked for, {rows} stored, {different} different")
    size = store.stat().st_size
    shutil.rmtree(out)
    return {
        "wall": wall,
        "wall_us": 1e6 * wall / turns,
        "cpu_us": 1e6 * spent / turns,
        "bytes": size / turns,
        "peak": after.ru_maxrss / 1024,
    }


def main(sizes: list[int]) -> None:
    import ray
    from ray.cluster_utils import Cluster

    temporary = Path(tempfile.mkdtemp(prefix="ray"))
    (temporary / "ray").mkdir()
    os.environ["RAY_TMPDIR"] = str(temporary)
    lines: list[tuple[int, str, dict[str, Any]]] = []
    with tempfile.TemporaryDirectory() as name:

        def note(turns: int, how: str, *overrides: str, agents: int = AGENTS) -> None:
            lines.append((turns, how, measure(Path(name), turns, *overrides, agents=agents)))
            print(lines[-1], os.getloadavg(), file=sys.stderr, flush=True)

        for turns in sizes:
            note(turns, "one process")
        note(ALONE, "one process, one by one", "concurrency=1", agents=1)
        node = {"num_cpus": 1, "node_ip_address": "127.0.0.1", "object_store_memory": 80 << 20}
        cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
        cluster.add_node(**node)
        ray.init(address=cluster.address, log_to_driver=False, configure_logging=False, _node_ip_address="127.0.0.1")
        try:
            for turns in sizes:
                note(turns, "Ray, two nodes", THERE)
            note(ALONE, "Ray, two nodes, one by one", THERE, "concurrency=1", agents=1)
            RESULTS.write_text(describe(lines), "utf-8")
        finally:
            ray.shutdown()
            cluster.shutdown()
            shutil.rmtree(temporary, ignore_errors=True)


def describe(lines: list[tuple[int, str, dict[str, Any]]]) -> str:
    """Return the results in words and a table."""
    rows = "\n".join(
        f"| {turns:,} | {how} | {m['wall']:,.1f} | {m['wall_us']:,.0f} | {m['cpu_us']:,.0f} | {m['bytes']:,.0f} | "
        f"{m['peak']:,.0f} |"
        for turns, how, m in lines
    )
    return f"""# Turns on the Ray executor

{AGENTS} scripted agents, {ROUNDS} rounds, complete graph; every turn committed and, as counted afterwards, stored once.
Ray: two nodes on 127.0.0.1, one replica each. One by one: one agent and one question at a time, so that each request
travels alone. {os.cpu_count()} cores, load average at the end {os.getloadavg()[0]:.1f} (the benchmark itself makes up
to 3). Single runs, opening and closing included. The peak is the process's so far, in MB.

| turns | how | s | µs a turn | µs of this process a turn | bytes of store a turn | peak |
|---|---|---|---|---|---|---|
{rows}
"""


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]] or [10_000, 100_000, 1_000_000])
