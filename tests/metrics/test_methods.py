"""Methods over repetitions: grouping, labels, statistics by hand, and tables for a terminal and a paper."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import ttest_1samp
from statsmodels.stats.multitest import multipletests

from society.cli import main
from society.core.errors import InputError
from society.metrics.method_groups import group_runs
from society.metrics.method_tables import describe_methods, fit, method_rows, write_methods
from society.metrics.methods import MethodComparison, compare_methods
from society.metrics.reported import measure_metrics
from society.runner.sweep import sweep
from society.runs.find import find_runs
from society.runs.records import load_records
from society.runs.run import Run
from society.scenario.expand import expand

TEXT = """
version: 1
name: three_topologies
task: {kind: arithmetic, form: a+b, limit: 25}
backends:
  scripted:
    kind: scripted
    rules: [{when: follow, calculate: {skill: 0.9, wrong: spread}}, {calculate: {skill: 0.5, wrong: spread}}]
roles:
  solver: {prompt: "{% if heard | length > 1 %}follow {{ heard[0].answer }} + 0{% else %}{{ question }}{% endif %}"}
agents: {solver: {count: 4}}
phases: [{name: debate, topology: complete, rounds: 2}]
"""
OPINIONS = """
version: 1
name: opinions
task: {kind: jsonl, path: questions.jsonl, question: question}
backends: {scripted: {kind: scripted, rules: [{choose: ["Answer: yes", "Answer: no"]}]}}
roles: {solver: {prompt: "{{ question }}"}}
agents: {solver: {count: 3}}
phases: [{name: debate, rounds: 2}]
"""
TOPOLOGIES = "none,complete,{kind: erdos_renyi, p: 0.6}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a sweep over three topologies and three seeds."""
    home = tmp_path_factory.mktemp("methods")
    (home / "scenario.yaml").write_text(TEXT)
    vary = [f"phases.debate.topology={TOPOLOGIES}"]
    sweep(home / "scenario.yaml", vary, home / "sweep", seeds=3)
    return home / "sweep"


@pytest.fixture(scope="module")
def found(folder: Path) -> MethodComparison:
    return compare_methods(find_runs([folder]), "none")


def outcomes(folders: tuple[str, ...]) -> np.ndarray:
    """Return right and wrong by run and question, from the stores alone."""
    return np.array([[float(row.correct) for row in Run(Path(folder)).results()] for folder in folders])


def test_seeds_are_repetitions_with_the_same_questions(folder: Path) -> None:
    runs = find_runs([folder])
    assert len(runs) == 9
    assert len({tuple(row.question for row in run.results()) for run in runs}) == 1
    texts = {run.scenario.seed: [turn.text for turn in run.turns("round = 1")] for run in runs}
    assert len({tuple(text) for text in texts.values()}) == 3
    groups = group_runs(runs)
    assert sorted(group.label for group in groups) == ["complete", "erdos_renyi, p 0.6", "none"]
    assert {group.seeds for group in groups} == {(0, 1, 2)}
    assert {group.label: group.shares_draws for group in groups} == {
        "none": False,
        "complete": False,
        "erdos_renyi, p 0.6": True,
    }


def test_numbers_are_those_of_the_stores(found: MethodComparison) -> None:
    first, *others = found.methods
    assert (first.label, found.questions, found.baseline) == ("none", 25, "none")
    before = outcomes(first.folders)
    for method in found.methods:
        values = outcomes(method.folders)
        assert method.accuracy is not None
        assert method.accuracy.value == pytest.approx(values.mean())
        assert method.accuracy.deviation == pytest.approx(values.mean(axis=1).std(ddof=1))
        assert method.shares == pytest.approx(values.mean(axis=1))
    plain = next(method for method in others if not method.crossed)
    test = next(test for test in found.tests if test.method == plain.label)
    expected = ttest_1samp((outcomes(plain.folders) - before).mean(axis=0), 0)
    interval = expected.confidence_interval(0.95)
    assert test.p == pytest.approx(expected.pvalue)
    assert (test.low, test.high) == pytest.approx((interval.low, interval.high))
    adjusted = multipletests([test.p for test in found.tests], method="holm")[1]
    assert [test.p_holm for test in found.tests] == pytest.approx(list(adjusted))
    turns = [turn for folder in plain.folders for turn in Run(Path(folder)).turns()]
    assert np.mean(plain.values["tokens"]) == pytest.approx(sum(t.usage.generated_tokens for t in turns) / 75)
    assert np.mean(plain.values["turns"]) == 8


def test_a_table_fits_into_a_terminal(found: MethodComparison, folder: Path) -> None:
    lines = describe_methods(found, 80).splitlines()
    assert max(map(len, lines)) <= 80
    assert "25 questions, 3 repetitions of each method (seeds 0, 1, 2)" in " ".join(lines)
    long = [["method", "% right"], ["a label of many words that has to be broken", "50.0"]]
    assert fit(long, 30).splitlines()[1:] == ["a label of many words     50.0", "that has to be broken"]


def test_repetitions_with_the_same_seed_are_named(found: MethodComparison) -> None:
    first, *others = found.methods
    twice = replace(found, methods=(replace(first, seeds=(0, 0, 1)), *others))
    assert "have the same seed" not in describe_methods(found, 80)
    assert "have the same seed" in " ".join(describe_methods(twice, 80).split())


def test_the_table_of_a_paper_is_whole(found: MethodComparison) -> None:
    text = write_methods(found, "latex")
    for name in ("table", "tabular", "minipage"):
        assert text.count(rf"\begin{{{name}}}") == text.count(rf"\end{{{name}}}") == 1
    [columns] = re.findall(r"\\begin\{tabular\}\{(l(?:r+))\}", text)
    body = text.partition(r"\midrule")[2].partition(r"\bottomrule")[0].strip().splitlines()
    assert len(body) == 3
    assert all(line.count("&") == len(columns) - 1 and line.endswith(r"\\") for line in body)
    assert text.count("{") == text.count("}")
    assert r"\caption{Accuracy of 3 methods on 25 questions.}" in text
    assert "Holm" in text.partition(r"\begin{minipage}")[2]
    assert r"erdos\_renyi, p 0.6" in text
    assert not re.search(r"(?<!\\)[%_](?! needs)", text)


def test_the_csv_has_plain_numbers_and_every_count(found: MethodComparison) -> None:
    rows = list(csv.DictReader(io.StringIO(write_methods(found, "csv"))))
    assert found.methods[1].accuracy is not None
    assert float(rows[1]["accuracy"]) == pytest.approx(100 * found.methods[1].accuracy.value, rel=1e-4)
    assert [rows[0]["points"], rows[0]["p"]] == ["", ""]
    assert {row["debates"] for row in rows} == {"75"}
    assert [int(row["undecided"]) for row in rows] == [method.lost.undecided for method in found.methods]


@pytest.mark.slow
def test_the_command_line_writes_each_form(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(folder), "--baseline", "none", "--latex", "--columns", "accuracy,cost,agreement"]) == 0
    assert r"\% agreement" in capsys.readouterr().out
    assert main(["compare", str(folder), "--markdown"]) == 0
    said = capsys.readouterr().out
    assert "| complete - none |" in said or "| none - complete |" in said
    assert main(["compare", str(folder), "--json", "--baseline", "none"]) == 0
    assert json.loads(capsys.readouterr().out)["methods"][0]["label"] == "none"
    assert main(["compare", str(folder), "--csv", "--baseline", "none"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("method,repetitions")
    assert "undecided" in err
    assert main(["compare", str(folder), "--each", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["runs"]) == 9
    assert main(["compare", str(folder), "--baseline", "rings"]) == 2
    assert "'complete'" in capsys.readouterr().err
    assert main(["compare", str(folder), "--columns", "money"]) == 2
    assert "accuracy, tokens" in capsys.readouterr().err
    assert main(["compare", str(folder), "--columns", "none.such"]) == 2


def test_missing_answers_stand_in_the_notes(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "sweep"))
    run = next(path for path in sorted(copy.iterdir()) if path.name.startswith("topology=none"))
    with sqlite3.connect(run / "store.sqlite") as db:
        db.execute("UPDATE turns SET status = 'failed', answer = NULL WHERE rowid = 1")
        db.execute("UPDATE turns SET finish_reason = 'length' WHERE rowid IN (2, 3)")
    db.close()
    notes = describe_methods(compare_methods(find_runs([copy]), "none")).partition("Missing answers")[2]
    [part] = re.findall(r"none: [^;]*", notes)
    assert part.endswith("1 failed, 2 cut off")


def test_runs_without_true_answers_have_no_accuracy(tmp_path: Path) -> None:
    (tmp_path / "questions.jsonl").write_text("".join(f'{{"question": "Is {n} large?"}}\n' for n in range(3)))
    (tmp_path / "scenario.yaml").write_text(OPINIONS)
    variants = sweep(tmp_path / "scenario.yaml", ["phases.0.topology=none,complete"], tmp_path / "sweep", seeds=2)
    found = compare_methods([variant.run for variant in variants])
    assert [(method.label, method.seeds) for method in found.methods] == [("none", (0, 1)), ("complete", (0, 1))]
    assert found.columns == ("agreement", "tokens")
    assert (found.methods[0].accuracy, found.tests, found.questions) == (None, (), 3)
    text = describe_methods(found)
    assert "no true answers" in text
    assert "% right" not in text
    assert "% agreement" in text
    assert r"\caption{Results of" in write_methods(found, "latex")
    run = variants[0].run
    numbers = measure_metrics(expand(run.scenario), load_records(run))
    assert numbers
    measured = compare_methods([variant.run for variant in variants], columns=list(numbers))
    assert measured.columns == tuple(numbers)
    [method] = [one for one in measured.methods if str(run.folder) in one.folders]
    for name, value in numbers.items():
        assert method.values[name][method.folders.index(str(run.folder))] == value
    assert len(method_rows(measured)[0]) == 1 + len(numbers)


def test_questions_of_one_run_alone_are_said_and_other_questions_refused(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "sweep"))
    first = min(copy.iterdir())
    with sqlite3.connect(first / "store.sqlite") as db:
        gone = db.execute("SELECT item FROM results LIMIT 1").fetchone()
        db.execute("DELETE FROM results WHERE item = ?", gone)
    db.close()
    found = compare_methods(find_runs([copy]))
    assert found.questions == 24
    assert "1 question left out: not in every run." in found.notes
    assert f"{first.name} is unfinished: 24 of 25 debates." in found.notes
    with sqlite3.connect(first / "store.sqlite") as db:
        db.execute("UPDATE results SET question = question || '?'")
    db.close()
    with pytest.raises(InputError, match="no question in common") as error:
        compare_methods(find_runs([copy]))
    assert "--seeds" in error.value.remedy


def test_a_named_graph_is_labelled_by_its_name_alone(tmp_path: Path) -> None:
    graph = "topologies: {net: {kind: erdos_renyi, p: 0.6}}\n"
    (tmp_path / "scenario.yaml").write_text(TEXT.replace("limit: 25", "limit: 2") + graph)
    vary = ["phases.debate.topology=none,net"]
    runs = [variant.run for variant in sweep(tmp_path / "scenario.yaml", vary, tmp_path / "sweep")]
    assert [group.label for group in group_runs(runs)] == ["none", "net"]
    assert compare_methods(runs, "net").baseline == "net"


def test_labels_leave_out_what_all_have_in_common(tmp_path: Path) -> None:
    (tmp_path / "scenario.yaml").write_text(TEXT.replace("limit: 25", "limit: 2"))
    vary = ["phases.debate.rounds=1,2", "agents.solver.count=2,3"]
    runs = [variant.run for variant in sweep(tmp_path / "scenario.yaml", vary, tmp_path / "sweep")]
    labels = [group.label for group in group_runs(runs)]
    assert labels == [f"count {count}, rounds {rounds}" for rounds in (1, 2) for count in (2, 3)]
    moved = [Run(Path(shutil.copytree(run.folder, tmp_path / name))) for run, name in zip(runs, "ab", strict=False)]
    assert [group.label for group in group_runs(moved)] == ["a", "b"]
    rows = method_rows(compare_methods(moved))
    assert rows[0] == ["method", "% right", "95% interval", "tokens"]


def test_seeds_samples_and_graphs_are_repeated_in_one_table(tmp_path: Path) -> None:
    graph = "{kind: erdos_renyi, p: 0.4"
    named = f"topologies: {{once: {graph}}}, anew: {graph}, redraw: [question, sample]}}}}\nsamples: 2\n"
    (tmp_path / "s.yaml").write_text(f"{TEXT.replace('limit: 25', 'limit: 3').replace('count: 4', 'count: 7')}{named}")
    sweep(tmp_path / "s.yaml", ["phases.debate.topology=none,once,anew"], tmp_path / "runs", seeds=2)
    groups = {group.label: group for group in group_runs(find_runs([tmp_path / "runs"]))}
    assert {label: group.seeds for label, group in groups.items()} == dict.fromkeys(["none", "once", "anew"], (0, 1))
    shared = {label: group.shares_draws for label, group in groups.items()}
    assert shared == {"none": False, "once": True, "anew": False}
    graphs = {label: {graph for run in group.runs for graph in drawn(run)} for label, group in groups.items()}
    assert {label: len(found) for label, found in graphs.items()} == {"none": 1, "once": 2, "anew": 12}
    found = compare_methods(find_runs([tmp_path / "runs"]), "none")
    assert {method.label for method in found.methods} == {"none", "once", "anew"}
    assert found.questions == 3


def drawn(run: Run) -> list[frozenset[tuple[str, str]]]:
    """Return the graph of each debate: who read whom in the second round."""
    edges: dict[tuple[str, int], set[tuple[str, str]]] = {}
    for turn in run.turns("round = 2"):
        place = (turn.id.item, turn.id.sample)
        edges.setdefault(place, set()).update((source.agent, turn.id.agent) for source in turn.reads)
    return [frozenset(found) for found in edges.values()]
