"""Controls of equal compute: equal by their limits, measured, and called so only where they are."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st

from society.cli import main
from society.core.types import Usage
from society.metrics.comparison import compare
from society.metrics.compute import PEOPLE, Compute, match_compute
from society.report.data import build_index, read_runs
from society.runs.folder import RunFolder
from society.runs.locking import is_running
from society.runs.run import Run
from society.scenario import load_scenario
from society.session import run
from society.training.limits import count_tokens
from society.view.follow import Follower
from tests.backends.hf.tiny import make_model, one_thread
from tests.training.test_loop import TEXT

COUNTS = st.integers(1, 10**6)


def spent(trained: int, generated: int, prompt: int) -> Compute:
    return Compute(10, trained, 1.0, 9, Usage(prompt, 0), Usage(0, generated))


@given(st.tuples(COUNTS, COUNTS, COUNTS), st.tuples(*[st.floats(-0.05, 0.05)] * 3))
def test_only_what_is_within_two_per_cent_is_called_matched(
    counts: tuple[int, int, int], changes: tuple[float, float, float]
) -> None:
    others = [max(1, round(count * (1 + change))) for count, change in zip(counts, changes, strict=True)]
    found = match_compute(("a", "b"), spent(*counts), spent(*others))
    differences = [max(one, two) / min(one, two) - 1 for one, two in zip(counts, others, strict=True)]
    names = ("tokens trained on", "tokens generated", "prompt tokens")
    assert found.within == pytest.approx(max(differences))
    assert found.apart == tuple(n for n, share in zip(names, differences, strict=True) if share > 0.02)
    assert found.matched == (max(differences) <= 0.02)
    assert ("are compute-matched within" in found.sentence) == found.matched
    for name, one, two in zip(names, counts, others, strict=True):
        if found.matched or name in found.apart:
            assert name in found.sentence
            assert f"{one:,}" in found.sentence
            assert f"{two:,}" in found.sentence
    assert match_compute(("a", "b"), spent(*others), spent(*counts)).matched == found.matched


def test_estimated_counts_are_called_so() -> None:
    one, other = spent(5, 1024, 9), spent(5, 2047, 9)
    other = replace(other, answering=replace(other.answering, estimated=True))
    assert "about 2,047 tokens generated against 1,024 (" in match_compute(("a", "b"), one, other).sentence
    assert other.written == {
        "tokens trained on": "5",
        "tokens generated": "about 2,047",
        "prompt tokens": "about 9",
        PEOPLE: "0",
    }
    matched = match_compute(("a", "b"), other, other).sentence
    assert "5 and 5 tokens trained on, about 2,047 and about 2,047 tokens generated" in matched


def test_what_cannot_be_said_is_not_said() -> None:
    found = match_compute(("a", "b"), spent(0, 5, 5), spent(0, 0, 5))
    assert (found.matched, found.sentence) == (
        False,
        "It cannot be said whether b and a are compute-matched: b counted no tokens.",
    )
    trained = match_compute(("a", "b"), spent(0, 5, 5), spent(9, 5, 5))
    assert trained.sentence == (
        "b and a are not compute-matched: 9 tokens trained on against 0 (one of them has none)."
    )


@pytest.mark.parametrize(("one", "other"), [(True, True), (True, False), (False, True)])
def test_runs_that_trained_nothing_are_not_called_matched(one: bool, other: bool) -> None:
    found = match_compute(("a", "b"), replace(spent(0, 5, 5), trains=one), replace(spent(0, 5, 5), trains=other))
    assert (found.matched, found.known, found.apart) == (False, False, ())
    assert "neither trained on any token" in found.sentence


def test_runs_without_train_may_be_matched_without_training() -> None:
    found = match_compute(("a", "b"), spent(0, 5, 5), spent(0, 5, 5))
    assert found.sentence.startswith("b and a are compute-matched within 0.0%")


@pytest.fixture(scope="module")
def arm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Run]]:
    """Finetunes the society of `test_training_loop`, changed, twice, and keeps each run."""
    folder = tmp_path_factory.mktemp("arms")
    questions = [
        f"the {a} {b} is" for a in ("cat", "dog", "mat", "far") for b in ("one", "two", "three", "four", "five")
    ]
    lines = (json.dumps({"question": q, "answer": ["red", "green", "blue"][i % 3]}) for i, q in enumerate(questions))
    (folder / "colours.jsonl").write_text("\n".join(lines))
    made: dict[tuple[str, ...], Run] = {}

    def play(name: str, *changes: str) -> Run:
        if changes not in made:
            overrides = ["train.questions=14", *changes]
            made[changes] = run(load_scenario(folder / "colours.yaml", overrides), folder / name)
        return made[changes]

    with one_thread():
        (folder / "colours.yaml").write_text(TEXT.format(model=make_model(folder / "tiny")))
        yield play


SHARED = ("train.learners.generator.adapter=shared", "train.learners.critic.adapter=shared")
LIMITS = tuple(
    f"train.learners.{name}.{key}" for name in ("generator", "critic") for key in ("rows=0.5", "repeat=true")
)


def sizes(done: Run) -> dict[tuple[int, str], int]:
    rows: dict[tuple[int, str], int] = {}
    for row in done.adapters():
        rows[row.iteration, row.learner] = rows.get((row.iteration, row.learner), 0) + row.examples
    return rows


@pytest.mark.slow
def test_the_same_debates_give_both_arms_the_same_rows(arm: Callable[..., Run]) -> None:
    """In the first iteration the base debates in both arms, so the rows are the same one by one."""

    def rows(done: Run) -> list[tuple[object, ...]]:
        return sorted((row.learner, row.source, row.rule) for row in done.examples() if row.iteration == 0)

    assert rows(arm("free")) == rows(arm("pooled", *SHARED))


@pytest.mark.slow
def test_arms_with_limits_are_equal_in_every_iteration(arm: Callable[..., Run]) -> None:
    society, control = arm("society", *LIMITS), arm("control", *LIMITS, *SHARED)
    spoke = {row.source.agent for done in (society, control) for row in done.examples()}
    assert len(spoke) == 3
    seven = {
        key: 7 * len({r.source.agent for r in society.examples() if (r.iteration, r.learner) == key})
        for key in sizes(society)
    }
    assert sizes(society) == seven  # of 14 debates, half for each agent that has any row
    assert sizes(control)[0, "generator"] == sizes(society)[0, "generator"]
    found = compare([society, control])
    [pair], (ours, theirs) = found.pairs, found.runs
    assert pair.compute is not None
    assert ours.compute.trains
    assert theirs.compute.trains
    assert ours.compute.trained_tokens == sum(row.tokens for row in society.adapters())
    if ours.compute.rows == theirs.compute.rows:
        assert abs(ours.compute.trained_tokens / theirs.compute.trained_tokens - 1) < 0.02
        assert pair.compute.matched


def test_what_is_compared_is_what_was_spent(arm: Callable[..., Run]) -> None:
    """Tokens trained on are those of the rows as the backend counted them in the debates, once for each epoch."""
    done = arm("society", *LIMITS)
    turns = {turn.id: turn for turn in done.turns()}
    rows = [turns[row.source] for row in done.examples()]
    assert sum(row.tokens for row in done.adapters()) == 2 * sum(map(count_tokens, rows))
    [score, _] = compare([done, arm("control", *LIMITS, *SHARED)]).runs
    debated = [row for row in done.results() if row.split == "training"]
    items = {(row.iteration, row.item) for row in debated}
    mine = [turn for turn in done.turns() if (turn.id.iteration, turn.id.item) in items]
    assert score.compute.turns == len(mine) == 2 * 14 * 6
    assert score.compute.training.generated_tokens == sum(turn.usage.generated_tokens for turn in mine)


def test_the_command_line_and_the_report_say_whether_they_match(
    arm: Callable[..., Run], capsys: pytest.CaptureFixture[str]
) -> None:
    society, free = arm("society", *LIMITS), arm("free")
    folders = [str(society.folder), str(free.folder)]
    assert main(["compare", *folders]) == 0
    said = capsys.readouterr().out
    assert "free and society are not compute-matched: " in said
    assert "tokens trained on against" in said
    assert "tokens trained on" in said.split("not compute-matched")[0]
    assert main(["compare", "--json", *folders]) == 0
    plain = json.loads(capsys.readouterr().out)
    assert plain["pairs"][0]["compute"]["apart"]
    figures = build_index(read_runs([society, free]), [society, free])["comparison"]["figures"]
    [runs, pairs] = [figure for figure in figures if figure["id"] in ("compared", "pairs")]
    assert runs["columns"] == ["measure", "society", "free"]
    [trained] = [row[1:] for row in runs["rows"] if row[0] == "tokens trained on"]
    assert trained == [f"{sum(row.tokens for row in done.adapters()):,}" for done in (society, free)]
    assert "free and society are not compute-matched" in pairs["note"]


def test_a_report_counts_all_turns_and_what_training_cost(arm: Callable[..., Run]) -> None:
    done = arm("society", *LIMITS)
    [index] = build_index(read_runs([done]))["runs"]
    findings = {finding["question"]: finding for finding in index["findings"]}
    assert set(findings) >= {"What did it cost?", "What did training cost?"}
    cost = findings["What did training cost?"]
    assert cost["answer"] == f"{sum(row.tokens for row in done.adapters()):,} tokens trained on"
    assert f"has {len(done.turns()):,} turns" in cost["detail"]
    assert "The last evaluation took 36 turns" in findings["What did it cost?"]["detail"]
    figures = {figure["id"]: figure for figure in index["figures"]}
    costs = figures["training-cost"]
    table = [dict(zip(costs["columns"], row, strict=True)) for row in costs["rows"]]
    assert [row["turns"] for row in table] == [84, 84]
    assert sum(row["tokens trained on"] for row in table) == sum(row.tokens for row in done.adapters())
    left = {(learner, why): n for learner, why, n in figures["left-out"]["rows"]}
    total = {(row.learner, why): 0 for row in done.adapters() for why, n in row.left_out.items() if n}
    for row in done.adapters():
        for why, n in row.left_out.items():
            if n:
                total[row.learner, why] += n
    assert left == total


def test_runs_after_different_numbers_of_finetunings_are_told_apart(arm: Callable[..., Run]) -> None:
    notes = compare([arm("society", *LIMITS), arm("once", "train.iterations=1")]).notes
    assert "The runs are compared after different numbers of finetunings: society after 2, once after 1." in notes


# The live view of a training


def cut_back(done: Run, folder: Path) -> Path:
    """Return the run's folder as it was while the critics of the second iteration were trained."""
    shutil.copytree(done.folder, folder)
    db = sqlite3.connect(folder / "store.sqlite")
    with db:
        db.execute("DELETE FROM results WHERE iteration = 2")
        db.execute("DELETE FROM turns WHERE iteration = 2")
        db.execute("DELETE FROM adapters WHERE iteration = 1 AND learner = 'critic'")
        db.execute("DELETE FROM examples WHERE iteration = 1 AND learner = 'critic'")
    db.close()
    return folder


def test_the_live_view_of_a_training_says_that_it_is_running(arm: Callable[..., Run], tmp_path: Path) -> None:
    folder = cut_back(arm("society", *LIMITS), tmp_path / "running")
    follower = Follower(folder)
    stopped = follower.index()
    assert stopped is not None
    [finding] = [f for f in stopped["runs"][0]["findings"] if f["question"] == "Is the run finished?"]
    assert finding["answer"] == "No"
    assert "society run --resume" in finding["detail"]
    with FileLock(folder / ".lock"):  # as a run under way holds it
        running = follower.index(stopped["cursor"])
    assert running is not None
    [finding] = [f for f in running["runs"][0]["findings"] if f["question"] == "Is the run finished?"]
    assert finding["answer"] == "It is running"
    assert "--resume" not in finding["detail"]
    said = running["runs"][0]["progress"]["text"]
    assert said == (
        "running: iteration 1 of 2, 14 of 14 training debates, 3 of 6 finetunings; 6 of 6 debates of evaluation 1, "
        "240 turns"
    )
    figures = {figure["id"]: figure for figure in running["runs"][0]["figures"]}
    assert [row[0] for row in figures["training"]["rows"]] == ["0", "1"]


def test_a_finished_training_is_finished(arm: Callable[..., Run]) -> None:
    done = arm("society", *LIMITS)
    found = Follower(done.folder).index()
    assert found is not None
    [index] = build_index(read_runs([done]))["runs"]
    assert found["runs"][0]["figures"] == index["figures"]
    assert found["runs"][0]["findings"] == index["findings"]
    assert found["runs"][0]["progress"]["text"].startswith("finished: iteration 2 of 2; 6 of 6 debates")


def test_a_run_under_way_holds_its_folder_and_a_look_at_it_does_not(tmp_path: Path, arm: Callable[..., Run]) -> None:
    scenario = arm("society", *LIMITS).open_scenario(allow=[Path("/")])
    assert not is_running(tmp_path / "new")
    with RunFolder(scenario, tmp_path / "new", resume=False) as folder:
        assert is_running(folder.path)
    assert not is_running(tmp_path / "new")
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / ".lock").symlink_to(tmp_path / "nowhere")
    assert not is_running(tmp_path / "link")
