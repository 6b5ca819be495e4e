"""Answers that are code, run against the tests of their rows."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
import yaml

from society import run
from society.cli import main
from society.core.errors import InputError
from society.core.types import Item, Judgement
from society.runs.run import Run as StoredRun
from society.sandbox import Limits, require_sandbox, run_code
from society.scoring.code import EMPTY, UnitTests
from society.simulation.court import DebateCourt

HUMAN_EVAL = Item(
    "h/0",
    "?",
    "",
    fields={
        "prompt": 'import math\n\ndef area(r):\n    """Return the area of a circle."""\n',
        "test": "def check(candidate):\n    assert candidate(1) == math.pi\n    assert candidate(0) == 0\n",
        "entry_point": "area",
    },
)
MBPP = Item("m/1", "?", "", fields={"test_list": ["assert add(1, 2) == 3", "assert add(0, 0) == 0"]})
FRAME = "import sys\nheld = sys._getframe().f_back.f_locals\n"
LIMITS = Limits(cpu_seconds=2, wall_seconds=60)
HUMAN = UnitTests(setup="prompt", entry="entry_point", limits=LIMITS)
LISTED = UnitTests(tests="test_list", limits=LIMITS)


@pytest.fixture(autouse=True)
def _needs_sandbox() -> None:
    try:
        require_sandbox()
    except InputError as error:
        pytest.skip(str(error))


def judge(rule: UnitTests, item: Item, code: str) -> Judgement:
    rule.check(item)
    court = DebateCourt(None, run_code)  # type: ignore[arg-type]  # code asks no agent
    return asyncio.run(rule.judge([code], item, lambda _: False, court))[code]


def test_human_eval_and_mbpp() -> None:
    assert judge(HUMAN, HUMAN_EVAL, "def area(r):\n    return math.pi * r * r") == Judgement(True, 1.0)
    assert judge(LISTED, MBPP, "def add(a, b): return a + b") == Judgement(True, 1.0)


@pytest.mark.parametrize(
    ("code", "score", "note"),
    [
        ("def add(a, b): return a * b", 0.5, "test 1 raises AssertionError"),
        ("def add(a, b) return a", 0.0, "the code raises SyntaxError"),
        ("def subtract(a, b): return a - b", 0.0, "test 1 raises NameError"),
        ("import os\nos._exit(0)", 0.0, "the code ended the program before the tests"),
        ("import sys\nsys.stdout = None\ndef add(a, b): return 1", 0.0, "test 1 raises AssertionError"),
        (f"{FRAME}raise ValueError(held.get('token', 'no token'))", 0.0, "the code raises ValueError: no token"),
        (f"{FRAME}held['tests'][:] = []", 0.0, "the code raises TypeError"),
        ("import builtins\nbuiltins.exec = print", 0.0, "test 1 raises NameError"),
        ("import json, os\njson.dumps = os.write = lambda *a: '[2, \"\"]'", 0.0, "test 1 raises NameError"),
        ("add = input", 0.0, "test 1 raises TypeError"),
        ("import sys\nsys.exit(0)", 0.0, "the code raises SystemExit"),
        ("print('[2, \"\"]')\nimport os\nos._exit(0)", 0.0, "the code ended the program before the tests"),
        ("def add(a, b):\n    while True: pass", 0.0, "stopped by a limit: cpu"),
        ("while True: print('x' * 1000)", 0.0, "stopped by a limit: output"),
        ("x = ' ' * (1 << 40)", 0.0, "the code raises MemoryError"),
        ("import socket\nsocket.create_connection(('192.0.2.1', 9))", 0.0, "the code raises OSError"),
    ],
)
def test_code_that_fails_is_wrong_and_says_why(code: str, score: float, note: str) -> None:
    found = judge(LISTED, MBPP, code)
    assert (found.right, found.score, found.undecided) == (False, score, False)
    assert found.note.startswith(note)


@pytest.mark.parametrize(
    "code",
    [
        "from __future__ import annotations\nimport dataclasses, typing\n@dataclasses.dataclass\nclass Node:\n"
        "    value: int\n    next: Node | None = None\ntyping.get_type_hints(Node)\ndef add(a, b): return a + b",
        "import pickle\nclass Sum(int): pass\ndef add(a, b): return pickle.loads(pickle.dumps(Sum(a + b)))",
        "import sys\nsys.stdin.read()\ndef add(a, b): return a + b",
    ],
    ids=["annotations", "pickle", "input"],
)
def test_code_runs_as_a_module(code: str) -> None:
    assert judge(LISTED, MBPP, code) == Judgement(True, 1.0)


def test_tests_that_pass_without_the_code_decide_nothing() -> None:
    item = Item("m/3", "?", "", fields={"test_list": ["if __name__ == '__main__':\n    assert add(1, 2) == 3"]})
    found = judge(LISTED, item, "def add(a, b): return a * b")
    assert found == Judgement(False, 0.0, undecided=True, note=EMPTY)


@pytest.mark.parametrize(
    ("tests", "fault"),
    [
        ('["assert f(1) == 2"]', "no statement that can fail"),
        ('{"inputs": ["1"], "outputs": ["2"]}', "no statement that can fail"),
        ("METADATA = {}\ndef check(f):\n    assert f(1) == 2", "only define functions or classes"),
        ("import unittest\nclass T(unittest.TestCase):\n    def test(self):\n        assert f(1) == 2", "only define"),
        ("g = lambda: f(1)", "no statement that can fail"),
        ("f(1) == 2", "compare values without an assertion"),
        ("def check(f):\n    f(1) == 2\ncheck(f)", "compare values without an assertion"),
        ("assert f(1) ==", "are no Python code"),
        ("((" * 5000, "are no Python code"),
    ],
)
def test_tests_that_test_nothing_are_refused(tests: str, fault: str) -> None:
    item = Item("m/4", "?", "", fields={"test": tests})
    with pytest.raises(InputError, match=fault):
        UnitTests().check(item)
    UnitTests().check(Item("m/5", "?", "", fields={"test": "for x in (1, 2):\n    assert f(x)"}))


def test_elapsed_time_alone_leaves_a_verdict_undecided() -> None:
    """It depends on the machine, unlike processor time."""
    rule = UnitTests(tests="test_list", limits=Limits(wall_seconds=1))
    found = judge(rule, MBPP, "import time\ntime.sleep(100)")
    assert found == Judgement(False, 0.0, undecided=True, note="stopped by a limit: wall")


@pytest.mark.parametrize(
    ("rule", "fault"),
    [
        (UnitTests(tests="missing"), "no field 'missing'; it has test_list, n"),
        (UnitTests(tests="empty"), "no tests in the field 'empty'"),
        (UnitTests(tests="n"), "5 where code is expected"),
        (UnitTests(tests="test_list", entry="n"), "which names no function"),
    ],
)
def test_rows_without_tests_are_refused(rule: UnitTests, fault: str) -> None:
    item = Item("m/2", "?", "", fields={**MBPP.fields, "n": 5, "empty": []})
    with pytest.raises(InputError, match=fault):
        rule.check(item)


SCENARIO = """
version: 1
name: code
task:
  kind: jsonl
  path: rows.jsonl
  gold: reference
  answer: {kind: tests, tests: test_list}
backends:
  fake:
    kind: scripted
    rules:
      - when: add
        choose:
          - "```python\\ndef add(a, b): return a + b\\n```"
          - "```python\\ndef add(a, b): return a\\n```"
          - "No."
roles: {coder: {prompt: "{{ question }} {{ instruction }}"}}
agents: {coder: {count: 3}}
phases: [{name: write}]
samples: 2
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("code")
    rows = [
        {"question": f"Write add, number {i}.", "test_list": MBPP.fields["test_list"], "reference": "-"}
        for i in range(3)
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "code.yaml").write_text(SCENARIO)
    return folder


@pytest.mark.slow
def test_a_scenario_of_code_runs_from_check_to_report(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is run by `check`; the run scores every distinct answer and shows the verdicts."""
    path, out = str(folder / "code.yaml"), str(folder / "out")
    assert main(["check", path]) == 0
    assert main(["run", path, "-o", out]) == 0
    shown = capsys.readouterr().out
    assert "verdicts" in shown
    assert "judged: 0 undecided" in shown
    assert "score" in shown
    assert main(["run", path, "-o", out, "--resume"]) == 0
    assert main(["show", out]) == 0
    assert main(["report", out, "-o", str(folder / "report.html")]) == 0


def test_the_order_of_agents_changes_no_verdict(folder: Path) -> None:
    """Two programs that differ in white space and letter case alone are two answers, for votes and for metrics."""
    right, wrong = "def add(a, b):\n    A = b\n    return a + b", "def add(a, b):\n    A = b\n    return A + b"
    found = []
    for order in ([right, wrong, wrong], [wrong, wrong, right]):
        scenario = yaml.safe_load(SCENARIO) | {"samples": 1}
        scenario["backends"]["fake"]["rules"] = [
            {"system": f"ROLE {i}", "say": f"```python\n{code}\n```"} for i, code in enumerate(order)
        ]
        scenario["roles"] = {f"r{i}": {"system": f"ROLE {i}", "prompt": "{{ question }}"} for i in range(3)}
        scenario["agents"] = {f"a{i}": {"role": f"r{i}"} for i in range(3)}
        path = folder / f"order{len(found)}.yaml"
        path.write_text(yaml.safe_dump(scenario))
        done = run(path, folder / path.stem, progress=False)
        result = StoredRun(done.folder).results()[0]
        found.append((result.decision.answer, result.decision.support, result.correct))
    assert found == [(wrong, pytest.approx(2 / 3), False)] * 2
