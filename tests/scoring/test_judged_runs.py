"""Runs whose answers a judge grades: its turns are stored, counted, resumed, and never taken for answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from society import run
from society.cli import main
from society.metrics.verdicts import count_verdicts, mean_score
from society.planning.preflight import check
from society.report.data import build_index, read_runs
from society.results import Run
from society.runs.records import load_records
from society.runs.run import Run as StoredRun
from society.scenario.expand import expand
from society.scenario.load import load_with_warnings

SCENARIO = """
version: 1
name: judged
task:
  kind: jsonl
  path: q.jsonl
  answer: {kind: judge, agent: grader, extract: [text]}
backends:
  fake:
    kind: scripted
    rules:
      - {when: "Grade.*True: (\\\\w+) Answer: \\\\1\\\\b", say: "It fits. **Verdict:** RIGHT"}
      - {when: "Grade.*Answer: green", say: "Hm."}
      - {when: "Grade", say: "Verdict: WRONG"}
      - {when: "sky", choose: ["blue", "green", "red"]}
      - {choose: ["two", "three"]}
roles:
  solver: {prompt: "{{ question }} {% for m in heard %}{{ m.text }}{% endfor %}"}
  grader: {prompt: "Grade {{ question }} True: {{ judged.gold }} Answer: {{ judged.answer }}"}
agents:
  solver: {count: 4, role: solver}
  grader: {role: grader}
phases: [{name: first}, {name: second, topology: complete, rounds: 2}]
samples: 3
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("judged")
    rows = [{"question": "Which colour is the sky?", "answer": "blue"}, {"question": "1 + 1?", "answer": "two"}]
    (folder / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "judged.yaml").write_text(SCENARIO)
    return folder


@pytest.fixture(scope="module")
def done(folder: Path) -> Run:
    return run(folder / "judged.yaml", folder / "out", progress=False)


def test_every_distinct_answer_is_graded_once(folder: Path, done: Run) -> None:
    """A judge's turn follows the last round, helps, and costs what it costs."""
    stored = StoredRun(done.folder)
    for record in load_records(stored):
        graded = [turn for turn in record.turns if turn.id.agent.startswith("grader/")]
        given = {turn.answer for turn in record.turns if not record.helps(turn)}
        assert len(graded) == len(given) == len(record.result.verdicts)
        assert {(turn.id.phase, turn.id.round) for turn in graded} == {("second", 2)}
        assert all(record.helps(turn) for turn in graded)
        assert list(record.turns[-len(graded) :]) == graded
        assert record.result.verdicts == {answer: answer in ("blue", "two") for answer in given}
        assert all(g.exact == (a in ("blue", "two")) for a, g in record.result.judgements.items())
        assert {a for a, g in record.result.judgements.items() if g.undecided} == given & {"green"}
    found = count_verdicts(expand(stored.scenario), load_records(stored))
    assert found.turns == found.answers > found.undecided > 0
    assert found.generated_tokens > 0
    assert found.agreement is not None
    assert found.agreement.n == found.answers
    assert found.agreement.successes == found.answers - found.undecided  # an unreadable verdict agrees with nothing
    assert (found.too_kind, found.too_strict) == (0, 0)


def test_a_resumed_run_replays_the_verdicts(folder: Path, done: Run) -> None:
    before = [(turn.id, turn.text) for turn in StoredRun(done.folder).turns()]
    results = StoredRun(done.folder).results()
    generated: list[str] = []

    from society.watcher import Watcher

    class Fresh(Watcher):
        def turn(self, turn, old):  # type: ignore[no-untyped-def]
            if not old:
                generated.append(turn.id.agent)

    run(folder / "judged.yaml", done.folder, resume=True, watcher=Fresh(), progress=False)
    assert generated == []
    assert [(turn.id, turn.text) for turn in StoredRun(done.folder).turns()] == before
    assert StoredRun(done.folder).results() == results


def test_all_commands_show_the_verdicts(folder: Path, done: Run, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = str(folder / "judged.yaml"), str(done.folder)
    assert main(["check", path]) == 0
    assert main(["plan", path]) == 0
    assert "judge agrees" in done.summary()
    assert main(["show", out, "--number", "1"]) == 0
    assert "grader/answer-1" in capsys.readouterr().out
    number = 1 + next(i for i, r in enumerate(StoredRun(done.folder).results()) if "green" in r.judgements)
    assert main(["show", out, "--number", str(number)]) == 0
    assert "verdict  green: no readable verdict" in capsys.readouterr().out
    assert main(["report", out, "-o", str(folder / "report.html")]) == 0
    stored = StoredRun(done.folder)
    findings = json.dumps(build_index(read_runs([stored]), [stored]))
    assert "Can the verdicts be relied on?" in findings
    assert "The judge agrees with" in findings
    table = done.to_pandas("results")
    assert set(table["verdict_note"]) <= {"", "no readable verdict"}


def problems(folder: Path, *changes: str) -> str:
    return "\n".join(str(problem) for problem in check(folder / "judged.yaml", changes))


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        (["task.answer.agent=nobody"], "there is no agent 'nobody'"),
        (["task.answer.agent=solver"], "is a group; name one agent"),
        (["phases.first.agents=[solver, grader]"], "judges answers in `task.answer`, so it cannot speak"),
        (["task.answer.against=rival"], "has no effect without `pairwise: true`"),
        (["task.answer.pairwise=true", "task.answer.against=rival"], "has no field 'rival'"),
        (["task.answer.pairwise=true"], "no attribute 'answer'"),
        (["roles.solver.prompt='{{ judged.answer }} {{ heard }}'"], "no attribute 'answer'"),
        (["task.answer={kind: jugde}"], "did you mean 'judge'"),
        (["task.answer={kind: judge}"], "missing"),
        (["task.answer={kind: f1, threshold: 2}"], "threshold"),
    ],
)
def test_check_finds_what_a_judge_lacks(folder: Path, changes: list[str], fault: str) -> None:
    assert fault in problems(folder, *changes)


def test_pairs_are_judged_from_a_field(folder: Path) -> None:
    changes = ["task.answer.pairwise=true", "roles.grader.prompt=Pair {{ judged.first }} {{ judged.second }}"]
    assert problems(folder, *changes, "decision=none") == ""
    says = {"Pair blue": "Verdict: FIRST", "Pair .* blue": "Verdict: SECOND", "Pair": "Verdict: FIRST"}
    rules = [*({"when": when, "say": say} for when, say in says.items()), {"say": "blue"}]
    rule = f"backends.fake.rules={json.dumps(rules)}"
    scenario = load_with_warnings(folder / "judged.yaml", [*changes, rule, "samples=1"])[0]
    result = StoredRun(run(scenario, folder / "pairs", progress=False).folder).results()[0]
    assert result.judgements["blue"].score == 0.5


def test_questions_without_a_true_answer_have_no_score(folder: Path) -> None:
    """The mean is over the debates that are scored, and a silent one of them scores 0."""
    rows = [
        {"question": "Sky?", "answer": "blue"},
        {"question": "Sea?", "answer": ""},
        {"question": "X?", "answer": "y"},
    ]
    (folder / "f1.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    rules = [{"when": "X", "say": "I do not know."}, {"say": "The answer is blue."}]
    changes = ["task.path=f1.jsonl", "task.answer={kind: f1}", f"backends.fake.rules={json.dumps(rules)}", "samples=1"]
    changes += ["agents.grader=null", "roles.grader=null"]
    scenario = load_with_warnings(folder / "judged.yaml", changes)[0]
    done = StoredRun(run(scenario, folder / "scores", progress=False).folder)
    assert mean_score(load_records(done)) == 0.5
