"""`society compare`: what it says, in which forms, and what it refuses."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from society.cli import main
from society.core.errors import InputError
from society.core.plain import to_plain
from society.metrics.compared_runs import name_runs
from society.metrics.comparison import compare
from society.metrics.comparison_tables import layout
from society.metrics.methods import compare_methods
from society.metrics.statistics import holm, mcnemar, questions_needed
from society.runs.run import Run
from society.scenario.models.scenario import Scenario
from society.session import run

TEXT = """
task: {{kind: arithmetic, form: a+b, limit: {limit}}}
seed: {seed}
samples: {samples}
backends: {{scripted: {{kind: scripted, rules: [{{calculate: {{skill: {skill}}}}}]}}}}
roles: {{solver: {{prompt: "{{{{ question }}}}"}}}}
agents: {{solver: {{count: 3}}}}
phases: [{{name: vote}}]
"""
Make = Callable[..., Run]


@pytest.fixture
def make(scenario: Callable[..., Scenario], tmp_path: Path) -> Make:
    def make_run(name: str, skill: float, limit: int = 60, seed: int = 0, samples: int = 1) -> Run:
        text = TEXT.format(skill=skill, limit=limit, seed=seed, samples=samples)
        return run(scenario(text), tmp_path / name)

    return make_run


def outcomes(made: Run) -> list[bool]:
    return [result.correct for result in made.results()]


def test_a_pair_says_what_its_runs_say(make: Make) -> None:
    weak, strong = make("weak", 0.4), make("strong", 0.9)
    found = compare([weak, strong])
    pairs = list(zip(outcomes(weak), outcomes(strong), strict=True))
    gained, lost = sum(b > a for a, b in pairs), sum(b < a for a, b in pairs)
    [pair] = found.pairs
    assert (pair.first, pair.second) == ("weak", "strong")
    assert (pair.difference.gained, pair.difference.lost) == (gained, lost)
    assert pair.difference.p == pair.p_holm == mcnemar(gained, lost)
    assert pair.difference.value == pytest.approx((gained - lost) / 60)
    assert pair.needed == questions_needed(0.05, (gained + lost) / 60)
    assert f"about {pair.needed:,} questions are needed; this comparison has 60." in pair.sentence
    first = found.runs[0]
    assert (first.accuracy.successes, first.debates, first.expected) == (sum(outcomes(weak)), 60, 60)
    assert first.per_thousand == pytest.approx(1000 * sum(outcomes(weak)) / first.usage.generated_tokens)
    assert found.notes == ()


def test_several_runs_hold_together(make: Make) -> None:
    found = compare([make("a", 0.3), make("b", 0.6), make("c", 0.9)])
    assert [(pair.first, pair.second) for pair in found.pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert [pair.p_holm for pair in found.pairs] == holm([pair.difference.p for pair in found.pairs])


def test_samples_belong_to_their_question(make: Make) -> None:
    found = compare([make("once", 0.5), make("often", 0.7, samples=3)])
    assert (found.runs[1].questions, found.runs[1].debates) == (60, 180)
    assert (found.pairs[0].difference.questions, found.pairs[0].difference.test) == (60, "sign permutation")


def test_questions_of_one_run_alone_are_said(make: Make) -> None:
    found = compare([make("short", 0.5, limit=40), make("long", 0.5)])
    difference = found.pairs[0].difference
    assert (difference.questions, difference.only_first, difference.only_second) == (40, 0, 20)
    assert found.notes == ("20 questions of long are not in short: left out of their difference.",)


def test_runs_that_never_differ_promise_nothing(make: Make) -> None:
    [pair] = compare([make("one", 1.0), make("two", 1.0)]).pairs
    assert (pair.needed, pair.difference.p) == (None, 1.0)
    assert "cannot be said" in pair.sentence


def test_an_unfinished_run_is_said_to_be(make: Make) -> None:
    whole, part = make("whole", 0.7), make("part", 0.5)
    with sqlite3.connect(part.folder / "store.sqlite") as db:
        db.execute("DELETE FROM results WHERE rowid % 2")
    db.close()
    found = compare([whole, part])
    assert not found.runs[1].finished
    assert found.notes[0] == "part is unfinished: 30 of 60 debates."


def test_a_run_that_has_not_trained_to_its_end_is_said_to_be_unfinished(make: Make) -> None:
    """All debates of iteration 0 are there, and those after the finetunings are not."""
    whole, part = make("whole", 0.7), make("part", 0.5)
    plain = json.loads(part.meta()["scenario"])
    plain["train"] = {"iterations": 2, "learners": {"g": {"phases": ["vote"]}}}
    with sqlite3.connect(part.folder / "store.sqlite") as db:
        db.execute("UPDATE meta SET value = ? WHERE name = 'scenario'", (json.dumps(plain),))
    db.close()
    expected = "part is unfinished: 60 of 60 debates of iteration 0 of 2."
    assert expected in compare([whole, part]).notes
    assert expected in compare_methods([whole, part]).notes


def test_a_failed_turn_gives_no_answer_and_is_not_said_to_count_as_wrong(make: Make) -> None:
    whole, part = make("whole", 0.7), make("part", 0.5)
    with sqlite3.connect(part.folder / "store.sqlite") as db:
        db.execute("UPDATE turns SET status = 'failed', answer = NULL WHERE rowid = 1")
    db.close()
    [note] = compare([whole, part]).notes
    assert note.startswith("part: 1 failed turn. A failed turn gives no answer.")
    assert "decision.failed" in note
    assert "counted as wrong" not in note


def test_other_questions_cannot_be_compared(make: Make) -> None:
    with pytest.raises(InputError, match="low and high have no question in common") as caught:
        compare([make("low", 0.5, limit=5), make("high", 0.5, limit=5, seed=77)])
    assert "same task" in caught.value.remedy


def test_a_run_without_debates_cannot_be_compared(make: Make) -> None:
    empty = make("empty", 0.5, limit=5)
    with sqlite3.connect(empty.folder / "store.sqlite") as db:
        db.execute("DELETE FROM results")
    db.close()
    with pytest.raises(InputError, match="no finished debate"):
        compare([empty, make("full", 0.5, limit=5)])


def test_names_tell_runs_apart(tmp_path: Path) -> None:
    assert name_runs([Run(tmp_path / "a"), Run(tmp_path / "b")]) == ["a", "b"]
    assert name_runs([Run(tmp_path / "x" / "run"), Run(tmp_path / "y" / "run")]) == ["x/run", "y/run"]
    with pytest.raises(InputError, match="given twice"):
        name_runs([Run(tmp_path / "a"), Run(tmp_path / "b" / ".." / "a")])


def test_json_is_json(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    folders = [str(make("a", 0.4).folder), str(make("b", 0.8).folder)]
    assert main(["compare", *folders, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["runs"][0]["accuracy"]["share"] == data["runs"][0]["accuracy"]["successes"] / 60
    assert data["pairs"][0]["difference"]["questions"] == 60
    assert to_plain({1: float("nan"), "x": (1.5, None)}) == {"1": None, "x": [1.5, None]}


def test_each_form_has_every_figure(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [make("a", 0.4), make("b_2", 0.8)]
    folders = [str(made.folder) for made in runs]
    share = f"{100 * sum(outcomes(runs[1])) / 60:.1f}"
    said = {}
    for form in ("text", "markdown", "csv", "latex"):
        assert main(["compare", *folders, "--format", form]) == 0
        said[form] = capsys.readouterr()
        assert share in said[form].out
    assert "questions are needed" in said["text"].out
    assert "| b_2 - a |" in said["markdown"].out
    assert "paired by question" in said["latex"].out
    assert r"b\_2 - a" in said["latex"].out
    [first, second] = said["csv"].out.strip().split("\n\n")
    rows = list(csv.DictReader(io.StringIO(first)))
    assert (rows[1]["run"], rows[1]["accuracy"], rows[1]["questions"]) == ("b_2", share, "60")
    difference = next(csv.DictReader(io.StringIO(second)))
    assert float(difference["low"]) <= float(difference["points"]) <= float(difference["high"])


def test_debating_is_weighed_against_voting(
    make: Make, scenario: Callable[..., Scenario], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = TEXT.format(skill=0.6, limit=60, seed=0, samples=1).replace("vote}", "talk, topology: complete, rounds: 3}")
    debating, voting = run(scenario(text), tmp_path / "debating"), make("voting", 0.6, samples=3)
    found = compare([debating, voting])
    verdict = found.budgets["debating"]
    assert (list(found.budgets), verdict.available, verdict.votes) == (["debating"], 9, 9)
    assert verdict.debating == sum(outcomes(debating)) / 60
    assert main(["compare", str(debating.folder), str(voting.folder)]) == 0
    assert f"debating: {verdict.sentence}" in capsys.readouterr().out
    assert "for a vote over 9 independent answers of voting, " in verdict.sentence
    other = compare([debating, make("other_model", 0.9, samples=3)]).budgets["debating"]
    assert (other.available, other.difference) == (3, None)  # answers of another model are no votes of this society
    alone = compare([debating, make("few", 0.6)]).budgets["debating"]
    assert (alone.available, alone.difference) == (3, None)


def test_one_run_is_too_few(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(make("a", 0.4, limit=3).folder)]) == 2
    assert "only one run to compare" in capsys.readouterr().err


def test_layouts_escape_what_is_special() -> None:
    rows = [["run", "95% interval"], ["a|b_c&d\\", "-1.0 to +2.0"]]
    assert "a\\|b_c&d\\\\" in layout(rows, "markdown")
    assert r"a|b\_c\&d\textbackslash{} & $-$1.0 to +2.0 \\" in layout(rows, "latex")
    assert "95\\% interval" in layout(rows, "latex")
    assert layout(rows, "csv").splitlines() == ["run,low,high", "a|b_c&d\\,-1.0,+2.0"]
    assert layout(rows, "text").splitlines()[0] == "run       95% interval"
