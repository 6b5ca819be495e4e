"""Runs for the tests of report and live view: known changes of answers, hostile texts, several sizes."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from textwrap import dedent

from society.runs.run import Run
from society.scenario import load_scenario
from society.session import run

HOSTILE = "</script><img src=x onerror=alert(1)><b>bold</b>"
DEBATES = "[{name: debate, topology: complete, rounds: 2}]"
BOLD = "<img src=x onerror=alert(1)>"
"""The part of `HOSTILE` that is allowed in a file name."""

# `steady` is always right; `loser` thinks, and changes to a wrong answer; `winner` changes to the right one; `mute` is
# never readable; `broken` fails. The question is the capital of France.
FLIPS = """
version: 1
name: flips
description: DESCRIPTION
task: {kind: jsonl, path: questions.jsonl, limit: 2}
backends:
  local:
    kind: scripted
    rules:
      - {system: broken, fail: {kind: error}}
      - {system: mute, say: ""}
      - {system: steady, say: "Line.\\nParis"}
      - {system: loser, when: Heard, say: "I yield.\\nRome"}
      - {system: loser, think: "Is it Rome? REPLY", say: "REPLY\\nParis"}
      - {system: winner, when: Heard, say: "I see, peculiarword.\\nParis"}
      - {system: winner, say: "Rome"}
roles:
  speaker:
    system: "{{ name }}"
    prompt: |
      {{ question }}
      {% for message in heard %}
      Heard: {{ message.text }}
      {% endfor %}
agents: {steady: {}, loser: {}, winner: {}, mute: {}, broken: {}}
phases:
  - {name: debate, topology: complete, rounds: 2}
"""


def run_flips(folder: Path, name: str = "flips", *overrides: str, hostile: bool = False) -> Run:
    """Run `FLIPS` in `folder`/`name`, with markup in every text if `hostile`."""
    extra = HOSTILE if hostile else ""
    rows = [{"q": f"Capital of France? {extra} {i}", "a": "Paris", "id": f"q{i}{extra}"} for i in range(2)]
    (folder / "questions.jsonl").write_text("\n".join(map(json.dumps, rows)))
    text = FLIPS.replace("DESCRIPTION", json.dumps(extra)).replace("REPLY", extra)
    path = folder / "scenario.yaml"
    path.write_text(text.replace("limit: 2}", "limit: 2, question: q, gold: a, id: id}"))
    return run(load_scenario(path, overrides), folder / name)


def run_sums(folder: Path, name: str, phases: str, agents: int, limit: int, *overrides: str) -> Run:
    """Run sums with these phases. Agents are right with a probability of 0.8."""
    text = f"""
        version: 1
        name: sums
        task: {{kind: arithmetic, limit: {limit}}}
        backends: {{local: {{kind: scripted, rules: [{{calculate: {{skill: 0.8, wrong: spread}}}}]}}}}
        roles: {{speaker: {{prompt: "{{{{ question }}}}"}}}}
        agents: {{speaker: {{count: {agents}}}}}
        phases: {phases}
    """
    path = folder / f"{name}.yaml"
    path.write_text(dedent(text))
    return run(load_scenario(path, overrides), folder / name)


def run_opinions(folder: Path, name: str, questions: int) -> Run:
    """Run questions without true answers among five agents that answer at random."""
    items = [f"Should town {i} ban cars?" for i in range(questions)]
    text = f"""
        version: 1
        name: {name}
        task: {{kind: inline, items: {json.dumps(items)}, choices: ["yes", "no"]}}
        backends: {{local: {{kind: scripted, rules: [{{choose: ["The answer is A", "The answer is B"]}}]}}}}
        roles: {{speaker: {{prompt: "{{{{ question }}}}"}}}}
        agents: {{speaker: {{count: 5}}}}
        phases: {DEBATES}
    """
    path = folder / f"{name}.yaml"
    path.write_text(dedent(text))
    return run(load_scenario(path), folder / name)


def run_trained(folder: Path, iterations: int) -> Run:
    """Run the whole method on a tiny random model: six questions for evaluation, ten for training."""
    from tests.backends.hf.tiny import make_model, one_thread
    from tests.training.test_loop import TEXT

    questions = [f"the {a} {b} is" for a in ("cat", "dog", "mat", "far") for b in ("one", "two", "three", "four")]
    lines = (json.dumps({"question": q, "answer": ["red", "green", "blue"][i % 3]}) for i, q in enumerate(questions))
    (folder / "colours.jsonl").write_text("\n".join(lines))
    with one_thread():
        (folder / "colours.yaml").write_text(TEXT.format(model=make_model(folder / "tiny")))
        return run(load_scenario(folder / "colours.yaml", [f"train.iterations={iterations}"]), folder / "trained")


def repeat(done: Run, iterations: int) -> Run:
    """Copy the run's rows to further iterations, in the last of which every decision is right."""
    db = sqlite3.connect(done.folder / "store.sqlite")
    with db:
        for table in ("turns", "results"):
            names = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
            for i in range(1, iterations):
                values = ", ".join(str(i) if name == "iteration" else name for name in names)
                db.execute(f"INSERT INTO {table} ({', '.join(names)}) SELECT {values} FROM {table} WHERE iteration = 0")
        last = f"WHERE iteration = {iterations - 1}"
        db.execute(f"UPDATE results SET answer = gold, correct = 1, verdicts = json_object(gold, json('true')) {last}")
    db.close()
    return done
