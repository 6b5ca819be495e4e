"""Rerun every benchmark, one after the other, and draw their ratios (`make bench`). This takes some hours.

    python benchmarks/bench.py [SCRIPT ...]        # without names, all of them
    python benchmarks/bench.py --list              # list the scripts and what each lacks here

The project does not contain GSM8K and similar data: BENCH_DATA names a folder with gsm8k/, math/, mmlu_stem/ and
mawps/, each with JSONL files as published. BENCH_PEERS names a Python with autogen-core, langgraph and mesa; `make
bench` creates one. BENCH_AVX512 and BENCH_AVX2 name builds of llama.cpp (see cpu_kinds.py). A script whose
requirements are missing is skipped with the reason. `make paper` and `make vote`
rerun the experiments of docs/results.md.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Bench:
    """A script, its arguments ($NAME is a variable of the environment), and the modules that it needs."""

    script: str
    arguments: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()

    def filled(self) -> list[str]:
        """Return the arguments with what the environment says."""
        return [os.path.expandvars(argument) for argument in self.arguments]

    def lacks(self) -> str:
        """Return what it needs and this machine lacks, or ""."""
        for argument, filled in zip(self.arguments, self.filled(), strict=True):
            if filled.startswith("$"):
                return f"{filled.partition('/')[0].removeprefix('$')} is not set"
            if argument.startswith("$") and not Path(filled).exists():
                return f"there is no {filled}"
        return ", ".join(f"no module {name}" for name in self.modules if importlib.util.find_spec(name) is None)


BENCHES = (
    Bench("startup.py"),
    Bench("first_contact.py"),
    Bench("engine_scale.py"),
    Bench("engine_peers.py", ("--peers", "$BENCH_PEERS")),
    Bench("engine_load.py"),
    Bench("engine_memory.py"),
    Bench("engine_thinking.py"),
    Bench("ray_turns.py", modules=("ray",)),
    Bench("ray_rates.py", modules=("ray",)),
    Bench("answers.py", ("$BENCH_DATA",)),
    Bench("graders.py", ("$BENCH_DATA",), ("math_verify",)),
    Bench("report_opening.py", modules=("playwright",)),
    Bench("llama_batching.py", modules=("llama_cpp",)),
    Bench("llama_thinking.py", modules=("llama_cpp",)),
    Bench("llama_debate.py", ("$BENCH_DATA/gsm8k/test.jsonl",), ("llama_cpp", "xllamacpp")),
    Bench("llama_memory.py", modules=("llama_cpp",)),
    Bench("cpu_kinds.py", ("--avx512", "$BENCH_AVX512", "--avx2", "$BENCH_AVX2"), ("llama_cpp", "torch", "peft")),
    Bench("hf_batching.py", modules=("torch", "peft")),
    Bench("hf_adapters.py", modules=("torch", "peft")),
    Bench("hf_compiling.py", modules=("torch", "peft")),
    Bench("hf_training.py", modules=("torch", "peft")),
    Bench("hf_profile.py", modules=("torch", "peft")),
    Bench("hf_bandwidth.py", modules=("torch", "peft")),
)


def run(bench: Bench) -> int:
    """Run it with the project's root on its path; its exit status."""
    started = time.perf_counter()
    path = os.pathsep.join([str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, str(HERE / bench.script), *bench.filled()]
    status = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, check=False).returncode
    say(bench, f"{'done' if status == 0 else f'FAILED with status {status}'}, {time.perf_counter() - started:.0f} s")
    return status


def say(bench: Bench, what: str) -> None:
    """Print one line of progress."""
    print(f"bench: {bench.script}: {what}", file=sys.stderr, flush=True)


def run_all(benches: Sequence[Bench]) -> list[str]:
    """Run what can be run here; the names of those that failed."""
    failed = []
    for bench in benches:
        if lacking := bench.lacks():
            say(bench, f"skipped: {lacking}")
        elif run(bench):
            failed.append(bench.script)
    return failed


def main() -> None:
    """Run, draw, and fail if a script did."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scripts", nargs="*", metavar="SCRIPT", help="only these")
    parser.add_argument("--list", action="store_true", help="run nothing")
    options = parser.parse_args()
    if unknown := set(options.scripts) - {bench.script for bench in BENCHES}:
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    chosen = [bench for bench in BENCHES if not options.scripts or bench.script in options.scripts]
    if options.list:
        for bench in chosen:
            say(bench, bench.lacks() or "can run")
        return
    failed = run_all(chosen)
    from chart import draw

    print(draw())
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
