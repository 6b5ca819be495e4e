"""Metrics in runs: intervals over questions, and the places where the numbers appear."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from society.cli import main
from society.components.metrics.base import Metric, Number, Totals
from society.components.metrics.drift import Drift
from society.core.errors import ComponentError
from society.metrics.comparison import compare
from society.metrics.overview import read_overview
from society.metrics.reported import Estimate, Reported, _resample, measure_metrics, report_metrics
from society.metrics.resampling import draw_rows
from society.pictures.metric_figures import metric_chart
from society.report.data import build_index, read_runs
from society.results import Run
from society.runs.records import load_records
from society.scenario import load_scenario
from society.scenario.expand import expand
from society.session import run

SCENARIO = """
version: 1
name: hall
task: {kind: inline, items: [a, b, c, d, e, f], answer: {equal: numeric}}
backends: {local: {kind: scripted, rules: [{choose: ["I say 4", "I say 2", "I say 5", "Hmm"]}]}}
roles: {speaker: {prompt: "{{ question }}{% for m in heard %} {{ m.text }}{% endfor %}"}}
agents: {speaker: {count: 5}}
phases: [{name: debate, topology: complete, rounds: 3}]
"""
SHIPPED = ["opinions", "agreement", "drift", "polarization", "persuasion"]


@pytest.fixture(scope="module")
def hall(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("hall")
    (folder / "hall.yaml").write_text(SCENARIO)
    return run(load_scenario(folder / "hall.yaml"), folder / "run", progress=False)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("other")
    (folder / "hall.yaml").write_text(SCENARIO)
    return run(load_scenario(folder / "hall.yaml", ("phases.debate.rounds=2",)), folder / "run", progress=False)


@pytest.mark.slow
def test_a_run_without_true_answers_reports_the_metrics_of_opinions(hall: Run) -> None:
    assert [metric.kind for metric in read_overview(hall).metrics] == SHIPPED
    assert all(f"\n  {kind}" in hall.summary() for kind in SHIPPED)
    assert list(read_overview(hall).plain(1.0, False)["metrics"]) == SHIPPED


@pytest.mark.parametrize(("metrics", "expected"), [("[]", []), ("[drift]", ["drift"])])
def test_listed_metrics_replace_those_by_default_without_new_turns(
    hall: Run, tmp_path: Path, metrics: str, expected: list[str]
) -> None:
    (tmp_path / "hall.yaml").write_text(SCENARIO)
    scenario = load_scenario(tmp_path / "hall.yaml", (f"metrics={metrics}",))
    found = run(scenario, tmp_path / "run", reuse=hall, progress=False)
    assert found.count_reused() == len(hall.turns())
    assert [metric.kind for metric in read_overview(found).metrics] == expected
    assert set(found.to_pandas("metrics")["metric"]) == set(expected)


def test_a_run_with_true_answers_reports_no_opinions_unless_listed(tmp_path: Path) -> None:
    text = SCENARIO.replace("items: [a, b, c, d, e, f]", "items: [{question: a, gold: 4}]")
    (tmp_path / "hall.yaml").write_text(text)
    found = run(load_scenario(tmp_path / "hall.yaml"), tmp_path / "run", progress=False)
    assert not set(SHIPPED) & {metric.kind for metric in read_overview(found).metrics}


def test_intervals_are_those_of_resampled_questions() -> None:
    """The interval of a share agrees with one that is resampled here from the questions' own shares."""
    draw = random.Random(5)
    counts = [{("both", -1): 4.0, ("changed", -1): float(draw.randint(0, 4))} for _ in range(30)]
    low, high = _resample(Drift(), counts, ["one", "two"])["changed", "", ""]
    rows = draw_rows(30, 1000)
    shares = sorted(sum(counts[i]["changed", -1] for i in row) / 120 for row in rows)
    assert shares[24] - 0.01 < low < shares[25] + 0.01
    assert shares[974] - 0.01 < high < shares[975] + 0.01


def test_several_samples_of_a_question_are_no_further_questions(tmp_path: Path) -> None:
    (tmp_path / "hall.yaml").write_text(SCENARIO)
    scenario = load_scenario(tmp_path / "hall.yaml", ("samples=2", "phases.debate.rounds=1", "metrics=[]"))
    found = run(scenario, tmp_path / "run", progress=False)
    assert found.summary().startswith("hall: 12 debates on 6 questions, no true answers\n")


def test_an_answer_named_mean_is_not_drawn_as_a_mean() -> None:
    counted = [("mean", 0.5, "share"), ("median", 0.5, "share"), ("mean", 3.0, "number")]
    numbers = [
        Estimate(Number(name, value, 2, stage, item, unit), 2)  # type: ignore[arg-type]
        for item in ("a", "b")
        for name, value, unit in counted
        for stage in ("one", "two")
    ]
    for shown, names in ((numbers, ["mean of a", "mean of b"]), (numbers[:4], ["mean", "median"])):
        metric = Reported("opinions", "?", "", "", "", tuple(shown), tuple(shown), ("one", "two"))
        chart = metric_chart(metric)
        assert chart is not None
        assert [series.name for series in chart.series] == names


class Broken(Drift):
    """A metric whose numbers cannot be computed."""

    def numbers(self, totals: Totals, stages: Sequence[str]) -> Iterator[Number]:
        yield Number("share", 1 / totals.get(("none",), 0), 0)


def test_a_metric_that_fails_is_named(hall: Run) -> None:
    society, records = expand(hall.scenario), load_records(hall)
    broken = replace(society, scenario=society.scenario.model_copy(update={"metrics": (Broken(),)}))
    for fail in (report_metrics, measure_metrics):
        with pytest.raises(ComponentError, match=r"metric 'drift' raised ZeroDivisionError.* in `numbers`"):
            fail(broken, records)
    with pytest.raises(ComponentError):
        _resample(Broken(), [{}], [])


def test_few_questions_and_equal_questions_have_no_interval(tmp_path: Path) -> None:
    some = '["I say 4", "I say 2"]'
    for items, replies in (("[a]", some), ("[a, b, c, d, e]", some), ("[a, b, c, d, e, f, g]", '["I say 4"]')):
        text = SCENARIO.replace("[a, b, c, d, e, f]", items).replace(
            '["I say 4", "I say 2", "I say 5", "Hmm"]', replies
        )
        (tmp_path / "hall.yaml").write_text(text)
        found = run(load_scenario(tmp_path / "hall.yaml"), tmp_path / f"run-{len(items)}", progress=False)
        for metric in read_overview(found).metrics:
            assert all(one.low is None and one.high is None for one in metric.estimates)


def test_estimates_hold_their_intervals_and_shares(hall: Run) -> None:
    found = {metric.kind: metric for metric in report_metrics(expand(hall.scenario), load_records(hall))}
    drift = {(one.number.name, one.number.stage): one for one in found["drift"].estimates}
    changed = drift["changed", ""]
    assert changed.questions == 6
    assert changed.number.value is not None
    assert changed.low is not None
    assert changed.high is not None
    assert 0 <= changed.low < changed.number.value < changed.high <= 1
    assert all(one.low is None for one in found["opinions"].estimates)


def test_tables_have_the_metrics(hall: Run, tmp_path: Path) -> None:
    table = hall.to_pandas("metrics")
    assert list(table["metric"].unique()) == SHIPPED
    assert table["questions"].eq(6).all()
    assert main(["export", str(hall.folder), "--to", str(tmp_path), "--format", "jsonl"]) == 0
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert len(rows) == len(table)


@pytest.mark.slow
def test_comparisons_have_the_headline_numbers(hall: Run, other: Run, capsys: pytest.CaptureFixture[str]) -> None:
    found = compare([hall, other])
    assert "persuaded" in repr(found)
    assert "polarization" in repr(found)
    for form in ("csv", "markdown", "text"):
        assert main(["compare", str(hall.folder), str(other.folder), "--format", form]) == 0
        assert "equal pairs" in capsys.readouterr().out


def test_the_report_answers_the_questions_of_the_metrics(hall: Run, other: Run) -> None:
    index = build_index(read_runs([hall, other]), [hall, other])
    for shown in index["runs"]:
        asked = [finding["question"] for finding in shown["findings"]]
        assert [q for q in asked if q[:8] in ("Do they ", "Who pers")][::2] == ["Do they agree?", "Who persuades whom?"]
        ids = {figure["id"] for figure in shown["figures"]}
        assert {"metric-opinions", "metric-agreement-table", "metric-persuasion"} & ids
    assert "NaN" not in json.dumps(index)


def test_plots_have_a_chart_of_each_metric_by_round(hall: Run, other: Run, tmp_path: Path) -> None:
    for name, runs in (("one", [hall]), ("two", [hall, other])):
        assert main(["plot", *(str(r.folder) for r in runs), "-o", str(tmp_path / name)]) == 0
        drawn = {path.stem for path in (tmp_path / name).iterdir()}
        assert {"agreement", "drift", "polarization"} <= drawn


def test_every_metric_has_words_for_the_page() -> None:
    from society.components.registry import kinds

    for cls in kinds("metric").values():
        assert issubclass(cls, Metric)
        assert cls.question.endswith("?")
        assert cls.note
