"""Mistakes in scenarios in block style: `check` reports each at the line of the very field, not of its block."""

from __future__ import annotations

from pathlib import Path

import pytest

from society.core.problems import Problem
from society.planning.preflight import check

EXAM = """\
version: 1
name: exam
task:
  kind: file
  path: exam.csv
  question: text
  choices: [a, b, c]
  gold: key
  id: number
  limit: 4
backends:
  laptop:
    kind: scripted
    context: 4000
    rules:
      - when: "2"
        say: "The answer is (A)."
      - choose: ["The answer is (A).", "The answer is (B)."]
        weights: [1, 2]
  server:
    kind: openai
    url: http://127.0.0.1:9/v1
roles:
  student:
    prompt: |
      {{ question }} {{ instruction }}
      {% for m in heard %}{{ m.text }} {% endfor %}
  tutor:
    prompt: |
      {{ question }} {{ instruction }}
      {% for m in heard %}{{ m.text }} {% endfor %}
agents:
  student:
    count: 4
    role: student
    backend: laptop
  tutor:
    role: tutor
    backend: server
topologies:
  world:
    kind: small_world
    k: 2
    p: 0.2
  ties:
    kind: edges
    edges:
      - [student-1, student-2]
      - [student-2, student-3]
  teams:
    kind: groups
    size: 2
    shuffle: true
    redraw: [question]
phases:
  - name: alone
    agents: [student]
  - name: net
    agents: [student]
    topology:
      kind: union
      of:
        - world
        - ties
    rounds: 2
  - name: teams
    agents: [student]
    topology: teams
  - name: advice
    agents: [tutor]
    reads: [student]
decision:
  kind: judge
  agent: tutor
metrics:
  - kind: pass_at_k
    k: [1, 2]
sampling:
  temperature: 0.7
  max_tokens: 80
samples: 2
"""
DIARY = """\
version: 1
name: diary
task:
  kind: inline
  items:
    - question: What is 6 * 7?
      gold: 42
      id: first
    - question: What is 9 * 9?
      gold: 81
  answer:
    equal: numeric
backends:
  base:
    kind: hf
    model: owner/none
    device: cpu
roles:
  writer:
    prompt: |
      {{ now }} {{ question }} {{ instruction }}
      {% for m in memories %}{{ m.text }} {% endfor %}
  lesson:
    prompt: |
      What do you infer from all of these questions, and from your own answers to them?
      {% for m in memories %}{{ m.text }} {% endfor %}
agents:
  writer:
    count: 3
    role: writer
phases:
  - name: write
memory:
  recall:
    most: 5
    recency: 1
  reflect:
    role: lesson
    every: 1
clock:
  start: "2023-02-13 08:00"
  minutes: 240
train:
  task:
    kind: arithmetic
    limit: 4
  learners:
    writer:
      phases: [write]
      turn: last
  settings:
    rank: 8
    epochs: 1
"""


def e(right: str, wrong: str, words: str) -> tuple[str, str, str, str]:
    return EXAM, right, wrong, words


def d(right: str, wrong: str, words: str) -> tuple[str, str, str, str]:
    return DIARY, right, wrong, words


ROWS = """\
      rows:
        - [0, 1, 0, 0]
        §- [0, 1, 0]
        - [0, 0, 0, 1]
        - [1, 0, 0, 0]"""
GENERATED = """\
      kind: networkx
      generator: gnm_random_graph
      params:
"""
MISTAKES = [
    # a scenario, a part of its text, the mistake in its place (§ is before the line to name), and words of the report
    # the task and its files
    e("  limit: 4", "  §limit: 40", "which has 5 in all"),
    e("  limit: 4", "  §offset: 9", "which has 5 in all"),
    e("  path: exam.csv", "  §path: exams.csv", "exam.csv"),
    e("  gold: key", "  §gold: kye", "Did you mean 'key'"),
    e("  gold: key", "  gold: key\n  §gold_as: index0", "an index from 0"),
    e("  id: number", "  §id: key", "repeats the id"),
    e("  id: number", "  hide:\n    - number\n    §- solution", "no field 'solution'"),
    e("  id: number", "  where:\n    text: What is 2+2?\n    §level: easy", "no field 'level'"),
    e("  id: number", "  §where: {text: none}", "no row matches"),
    e("  id: number", "  id: number\n  §labels: names", "no list in one field"),
    e("  id: number", "  id: number\n  §read_as: json", "not JSON"),
    e("  id: number", "  §rows: data", "without it"),
    e("  id: number", "  §columns: [number, text, a, b, key]", "cells"),
    e("  id: number", "  answer:\n    §extract: [last_number]", "is wrong for 4 of 4"),
    d("      gold: 81", "      §gold: eighty one?", "no numbers"),
    d("      gold: 81", "      gold: 81\n      §id: first", "the id 'first'"),
    d("What is 9 * 9?\n      gold: 81", "What is 6 * 7?\n      §gold: 40", "differ in the true"),
    d("    equal: numeric", "    §equal: choice", "no letters"),
    # graphs
    e("    k: 2", "    §k: 4", "no agent has 4 others"),
    e("      - [student-2, student-3]", "      §- [student-2, student-2]", "read itself"),
    e("      - [student-2, student-3]", "      §- [student-2, student-3, {window: 1, wieght: 2}]", "mean 'weight'"),
    e("      - [student-2, student-3]", "      §- [student-2, student-3, {weight: 2}]", "no prompt of the phase shows"),
    e("    size: 2\n    shuffle: true", "    size: 2\n    shuffle: true\n    §sizes: [2, 2]", "not both"),
    e("    shuffle: true\n    redraw: [question]", "    §redraw: [question]", "needs `shuffle: true`"),
    e("    redraw: [question]", "    redraw:\n      - question\n    §seeed: 4", "did you mean 'seed'"),
    e("  teams:\n", "  pair:\n    kind: union\n    of:\n      - world\n      §- pair\n  teams:\n", "made of itself"),
    e("        - ties\n", "        §- {kind: star, center: 7}\n", "no agent number 7"),
    e("    topology: teams", f"    topology:\n      kind: matrix\n{ROWS}", "row 1 has 3 columns"),
    e("    topology: teams", "    topology:\n      kind: layered\n      §layers: [2, 3]", "add up to 5"),
    e("    topology: teams", f"    topology:\n{GENERATED}        §edges: 4", "no parameter 'edges'"),
    e("    topology: teams", "    topology: teams\n    §window: 2", "`phases.teams.edges.window`"),
    # backends, the decision, metrics
    e("    context: 4000", "    §context: 60", "leaves no token"),
    e("        weights: [1, 2]", "        §weights: [1, 2, 3]", "one number for each text"),
    e("    url: http://127.0.0.1:9/v1", "    §url: http://127.0.0.1:9", "/v1"),
    e('        say: "The answer is (A)."', "        say: A\n        §calculate: {}", "exactly one"),
    e("    agents: [tutor]\n    reads: [student]", "    §agents: [tutor]", "reads no other agent"),
    e("    role: tutor\n    backend", "    role: tutor\n    §adapter: a.gguf\n    backend", "no adapter"),
    e("    k: [1, 2]", "    §k: [1, 8]", "k = 8"),
    # memory, the clock, the training
    d("    most: 5", "    §most: 5\n    window: 2", "exceeds `window`"),
    d("  minutes: 240", "  minutes: 240\n  §times: ['08:00']", "exclude each other"),
    d('  start: "2023-02-13 08:00"', '  §start: "2023-13-02 08:00"', "no date and time"),
    d("memory:\n", "sequence:\n  §streams: town\nmemory:\n", "no field 'town'"),
    d("  reflect:\n    role: lesson\n    every: 1", "  §reflect:\n    role: lesson", "never happens"),
    d("    device: cpu", "    device: cpu\n    §quantize: nf4", "needs CUDA"),
    d("    rank: 8", "    §method: qlora", "four bits"),
    d("    rank: 8", "    method: full\n    §rank: 8", "no LoRA matrices"),
    d("    rank: 8", "    §learning_rate: 2", "at most 1"),
    d("    rank: 8", "    §max_length: 8", "leaves out every training row"),
    d("    epochs: 1", "    epochs: 1\n    §optimizer: adamw_8bit", "needs CUDA"),
    d("      turn: last", "      turn: last\n      §repeat: true", "needs `rows` or `tokens`"),
    d("    kind: hf\n    model: owner/none\n    device: cpu", "    §kind: scripted", "needs trainer"),
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lines")
    rows = ["2+2?,3,4,5,B", "3+3?,6,7,8,A", "1+1?,2,3,4,A", "5+5?,9,10,11,B", "4+5?,9,10,11,A"]
    (path / "exam.csv").write_text(
        "number,text,a,b,c,key\n" + "".join(f"{i},What is {r}\n" for i, r in enumerate(rows))
    )
    return path


def problems(folder: Path, text: str) -> list[Problem]:
    path = folder / "s.yaml"
    path.write_text(text)
    return check(path)


@pytest.mark.parametrize("text", [EXAM, DIARY], ids=["exam", "diary"])
def test_the_right_scenarios_have_no_problem(folder: Path, text: str) -> None:
    assert [str(problem) for problem in problems(folder, text)] == []


@pytest.mark.parametrize(
    ("scenario", "right", "wrong", "words"), MISTAKES, ids=[wrong.strip() for *_, wrong, _ in MISTAKES]
)
def test_a_mistake_is_reported_at_the_line_of_its_field(
    folder: Path, scenario: str, right: str, wrong: str, words: str
) -> None:
    assert scenario.count(right) == 1
    marked = scenario.replace(right, wrong)
    place = marked.index("§") if "§" in marked else scenario.index(right)
    line = marked[:place].count("\n") + 1
    found = problems(folder, marked.replace("§", ""))
    assert any(problem.line == line and words in str(problem) for problem in found), list(map(str, found))
