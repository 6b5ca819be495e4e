"""Data and file of the report: rows, tags, findings, figures, and one safe self-contained page."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from society.cli import cli
from society.core.errors import InputError, RunFolderError
from society.core.types import ChatMessage, Turn, TurnId
from society.metrics.comparison import compare
from society.metrics.iterations import run_iterations
from society.metrics.measure import measure_diversity
from society.metrics.overview import read_overview
from society.metrics.rounds import score_rounds
from society.pictures.figures import Chart
from society.pictures.training_figures import training_figures
from society.report import rows
from society.report.data import build_chunk, build_index, read_runs
from society.report.page import write_atomically, write_report
from society.report.verdict import count
from society.runs.run import Run
from society.scenario import load_scenario
from society.session import run
from tests.report.reports import BOLD, HOSTILE, repeat, run_flips, run_sums, run_trained

NONE = "[{name: alone, rounds: 1}]"
DEBATE = "[{name: debate, topology: complete, rounds: 2}]"


def index_of(*runs: Run) -> dict[str, Any]:
    found: dict[str, Any] = build_index(read_runs(runs), runs)
    assert json.loads(json.dumps(found, allow_nan=False)) is not None
    return found


def tags(mask: int) -> set[str]:
    return {tag for i, tag in enumerate(rows.TAGS) if mask >> i & 1}


def blocks(page: str) -> dict[str, Any]:
    found = re.findall(r'<script type="text/plain" id="([\w-]+)">([\w+/=]+)</script>', page)
    return {name: json.loads(gzip.decompress(base64.b64decode(data))) for name, data in found}


def test_tags_of_debates_and_agents(tmp_path: Path) -> None:
    row = index_of(run_flips(tmp_path))["runs"][0]["debates"][0]
    assert {agent: tags(mask) for agent, mask in row["by"].items()} == {
        "loser": {"disagreed", "to_wrong"},
        "winner": {"disagreed", "to_right"},
        "mute": {"unparsed"},
        "broken": {"failed"},
    }
    assert tags(row["tags"]) == {"disagreed", "to_wrong", "to_right", "unparsed", "failed"}
    assert row["correct"]
    assert row["answers"][row["decision"]] == ["Paris", 0, True, ""]


def test_all_agents_disagree_with_an_undecided_debate(tmp_path: Path) -> None:
    alone = ('phases.0.agents=["steady", "winner"]', "phases.0.rounds=1", "phases.0.topology=none")
    done = run_flips(tmp_path, "flips", "decision={kind: majority, ties: abstain}", *alone)
    row = index_of(done)["runs"][0]["debates"][0]
    assert row["decision"] == -1
    assert tags(row["tags"]) == {"disagreed", "undecided", "wrong"}
    assert row["reason"]


def test_a_turn_has_its_readings_and_its_answer(tmp_path: Path) -> None:
    found = index_of(run_flips(tmp_path))["runs"][0]
    row = found["debates"][0]
    turns = [dict(zip(rows.TURN, turn, strict=True)) for turn in row["turns"]]
    last = next(turn for turn in turns if turn["agent"] == "winner" and turn["stage"] == 1)
    assert row["answers"][last["answer"]][0] == "Paris"
    assert {row["turns"][i][1] for i in last["reads"]} >= {"steady", "loser"}
    assert {row["turns"][i][0] for i in last["reads"]} == {0}
    assert next(turn for turn in turns if turn["agent"] == "broken")["state"] == 1
    assert found["stages"] == [["debate", 1], ["debate", 2]]


def test_chunks_hold_every_text_and_every_prompt(tmp_path: Path) -> None:
    done = run_flips(tmp_path)
    (data,) = read_runs([done])
    replies, prompts = build_chunk(data, "replies", 0), build_chunk(data, "prompts", 0)
    for record, said, given in zip(data.debates, replies, prompts, strict=True):
        assert said == [turn.text if turn.status == "ok" else turn.error for turn in record.turns]
        chats = [[(role, given["texts"][i]) for role, i in chat] for chat in given["turns"]]
        assert chats == [[(m.role, m.content) for m in turn.messages] for turn in record.turns]
        assert len(set(given["texts"])) == len(given["texts"])
    assert build_chunk(data, "replies", 1) == []


def test_findings_answer_the_standard_questions(tmp_path: Path) -> None:
    done = run_sums(tmp_path, "sums", DEBATE, 3, 40)
    answers = {found["question"]: found for found in index_of(done)["runs"][0]["findings"]}
    assert list(answers) == [
        "Did debating help?",
        "What was lost?",
        "What did it cost?",
        "Better than voting at equal tokens?",
        "Could more questions change the result?",
        "Does any decision rest on one vote?",
    ]
    assert "points (95% interval" in answers["Did debating help?"]["detail"]
    assert answers["What did it cost?"]["answer"].endswith("tokens per question")


def test_without_reading_there_is_no_debate(tmp_path: Path) -> None:
    found = index_of(run_sums(tmp_path, "sums", NONE, 3, 10))["runs"][0]
    assert found["findings"][0]["answer"] == "There was no debate"
    assert "flips" not in {figure["id"] for figure in found["figures"]}


def test_a_judge_is_compared_with_a_vote_over_the_answers_that_it_read(tmp_path: Path) -> None:
    phases = "[{name: draft, agents: [steady, loser, winner]}, {name: verdict, agents: [mute], reads: [steady]}]"
    found = index_of(run_flips(tmp_path, "judged", f"phases={phases}"))["runs"][0]
    findings = {finding["question"]: finding for finding in found["findings"]}
    assert "A vote over 3 independent first answers is right on 100.0%" in findings["Did debating help?"]["detail"]
    assert findings["What was lost?"]["answer"] == "2 questions"  # the judge gives no answer, so both are lost


def test_votes_of_another_run_decide_whether_debating_pays(tmp_path: Path) -> None:
    debate = run_sums(tmp_path, "debate", DEBATE, 3, 20)
    alone, votes = index_of(debate), run_sums(tmp_path, "votes", NONE, 7, 20)
    pays = [f for f in alone["runs"][0]["findings"] if f["question"].startswith("Better")]
    assert [f["answer"] for f in pays] == ["Unknown"]
    both = index_of(debate, votes)
    pays = [f for f in both["runs"][0]["findings"] if f["question"].startswith("Better")]
    assert pays[0]["answer"] in ("Yes", "No", "Not clearly")
    assert {figure["id"] for figure in both["comparison"]["figures"]} == {"runs", "pairs", "compared", "run-costs"}
    assert alone["comparison"] is None


def test_findings_over_iterations_are_of_finetuning_and_the_last_iteration(tmp_path: Path) -> None:
    found = index_of(repeat(run_sums(tmp_path, "sums", DEBATE, 3, 40), 3))["runs"][0]
    figures = {figure["id"]: figure for figure in found["figures"]}
    assert found["findings"][0]["question"] == "Did finetuning help?"
    assert found["findings"][0]["answer"] == "Yes"
    assert figures["accuracy"]["title"] == "Accuracy, iteration 2"
    assert next(row["value"] for row in figures["accuracy"]["rows"] if row["strong"]) == 1
    (society, *_) = figures["iterations"]["series"]
    first, second, third = (point["y"] for point in society["points"])
    assert first == second < third == 1
    assert [point["x"] for point in figures["diversity"]["series"][0]["points"]] == [0, 1, 2]
    assert len(found["debates"]) == 120


def figures_of(done: Run) -> dict[str, dict[str, Any]]:
    return {figure["id"]: figure for figure in index_of(done)["runs"][0]["figures"]}


def answers_of(*runs: Run) -> dict[str, str]:
    return {found["question"]: found["answer"] for found in index_of(*runs)["runs"][0]["findings"]}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Run:
    done = run_trained(tmp_path_factory.mktemp("trained"), 2)
    measure_diversity(done, likelihood=True, allow=[done.folder.parent])
    return done


@pytest.mark.slow
def test_a_trained_run_shows_its_labels_and_rows(trained: Run) -> None:
    scores, figures = run_iterations(trained), figures_of(trained)
    curves = {series["name"]: series["points"] for series in figures["iterations"]["series"]}
    assert [(p["x"], round(p["y"], 4)) for p in curves["pseudo-labels"]] == [
        (score.iteration, round(score.labels.share, 4)) for score in scores if score.labels.n
    ]
    assert len(curves["pseudo-labels"]) == len(scores) - 1  # the last iteration trains nothing
    assert all(point["low"] <= point["y"] <= point["high"] for point in curves["society"])
    drawn = [(series["name"].split(", "), series["points"]) for series in figures["examples"]["series"]]
    sizes = {name: [point["y"] for point in points] for names, points in drawn for name in names}
    assert sizes == {name: [s.examples[name] for s in scores[:-1]] for name in scores[0].examples}
    lines = [tuple(point["y"] for point in points) for _, points in drawn]
    assert len(set(lines)) == len(lines)  # no line hides another
    columns = figures["training"]["columns"]
    first, *_, last = (dict(zip(columns, row, strict=True)) for row in figures["training"]["rows"])
    assert first["tokens trained on"] == scores[0].trained_tokens > 0
    assert first["labels"] + first["no label"] == 10
    assert first["generator rows"].startswith(str(sum(scores[0].examples[f"generator/painter-{i}"] for i in (1, 2, 3))))
    assert first["agrees: right"] == f"{scores[0].rows_right['agrees'].share:.1%}"
    assert sum(share.n for share in scores[0].rows_right.values()) == sum(scores[0].examples.values())
    assert last["tokens trained on"] == last["labels"] == last["agrees: right"] == "-"


def test_a_trained_run_counts_all_turns_and_the_cost_of_training(trained: Run) -> None:
    findings = index_of(trained)["runs"][0]["findings"]
    cost = next(f["detail"] for f in findings if f["question"] == "What did training cost?")
    assert f"The run has {trained.count_turns()} turns in total" in cost
    rows = dict(read_overview(trained).rows())
    assert rows["the whole run"].startswith(f"{trained.count_turns()} turns with all evaluations, ")
    assert "cost" not in rows
    assert rows["last evaluation"].startswith("36 turns")


def test_equal_numbers_of_training_rows_share_a_line(tmp_path: Path) -> None:
    [score] = run_iterations(run_sums(tmp_path, "sums", DEBATE, 3, 4))
    rows = {"one/a": 4, "one/b": 4, "two/a": 5, "two/b": 4}
    chart = next(f for f in training_figures([replace(score, examples=rows)]) if isinstance(f, Chart))
    assert {series.name: [point.y for point in series.points] for series in chart.series} == {
        "one/a, one/b, two/b": [4],
        "two/a": [5],
    }
    assert "share a line" in chart.note


def test_measured_diversity_is_shown_by_iteration(trained: Run, tmp_path: Path) -> None:
    figures = figures_of(trained)
    assert "different meaning" in {series["name"] for series in figures["diversity"]["series"]}
    assert [series["name"] for series in figures["likelihood"]["series"]] == ["own responses", "others' responses"]
    from_base, apart = figures["kl"]["series"]
    assert [point["x"] for point in from_base["points"]] == [1, 2]  # before any training there is the base alone
    assert [point["x"] for point in apart["points"]] == [0, 1, 2]
    assert not {"likelihood", "kl", "training"} & figures_of(run_sums(tmp_path, "sums", DEBATE, 3, 4)).keys()


def test_right_answers_that_became_unreadable_are_shown(tmp_path: Path) -> None:
    rules = (
        "[{system: loser, when: Heard, say: ''}, {system: winner, when: Heard, say: Paris}, {system: winner, say: ''}"
    )
    agents = 'phases.0.agents=["steady", "loser", "winner"]'
    done = run_flips(tmp_path, "lost", f"backends.local.rules={rules}, {{say: Paris}}]", agents)
    found = index_of(done)["runs"][0]
    figures = {figure["id"]: figure for figure in found["figures"]}
    cells = {
        (row, column): cell
        for row, line in zip(figures["flips"]["rows"], figures["flips"]["cells"], strict=True)
        for column, cell in zip(figures["flips"]["columns"], line, strict=True)
    }
    assert cells["was right", "is unreadable"] == {"value": 2, "tag": "to_unread", "tone": "bad"}
    assert cells["was unreadable", "is right"]["value"] == cells["was right", "is right"]["value"] == 2
    assert sum(cell["value"] for cell in cells.values()) == 6
    (data,) = read_runs([done])
    table = [dict(zip(figures["changes"]["columns"], row, strict=True)) for row in figures["changes"]["rows"]]
    assert (
        [row["right to unreadable"] for row in table]
        == [s.lost for s in score_rounds(data.society, data.debates)]
        == [0, 2]
    )
    assert {agent: tags(mask) for agent, mask in found["debates"][0]["by"].items()} == {
        "loser": {"to_unread", "unparsed"},
        "winner": {"to_read", "unparsed"},
    }
    agents = {row[0]: dict(zip(figures["agents"]["columns"], row, strict=True)) for row in figures["agents"]["rows"]}
    assert (agents["loser"]["right to unreadable"], agents["loser"]["unreadable to right"]) == (2, 0)
    assert (agents["winner"]["right to unreadable"], agents["winner"]["unreadable to right"]) == (0, 2)
    hurt = next(f["detail"] for f in found["findings"] if f["question"] == "What was lost?")
    assert "loser lost most: 0 right answers made wrong, 2 made unreadable, 0 gained" in hurt


def test_one_agent_that_answers_once_has_no_findings_on_debating(tmp_path: Path) -> None:
    found = index_of(run_sums(tmp_path, "alone", NONE, 1, 12))["runs"][0]
    assert [finding["question"] for finding in found["findings"]] == ["How often is it right?", "What did it cost?"]
    assert {figure["id"] for figure in found["figures"]} == {"accuracy", "agents"}
    assert [row["name"] for row in found["figures"][0]["rows"]] == ["the agent's answer"]


def test_one_agent_that_answers_again_does_not_debate(tmp_path: Path) -> None:
    done = run_sums(tmp_path, "refine", "[{name: draft}, {name: again}]", 1, 12)
    assert next(iter(answers_of(done))) == "Did answering again help?"
    figures = figures_of(done)
    assert [row["name"] for row in figures["accuracy"]["rows"]] == ["first answer", "last answer"]
    assert not {"agreement", "diversity", "conformity"} & figures.keys()


def test_findings_start_with_an_unfinished_run_and_failed_turns(tmp_path: Path, trained: Run) -> None:
    whole = run_sums(tmp_path, "sums", DEBATE, 3, 10)
    assert "Is the run finished?" not in answers_of(whole) | answers_of(trained)
    db = sqlite3.connect(whole.folder / "store.sqlite")
    with db:
        db.execute("DELETE FROM results WHERE rowid > 4")
    db.close()
    first, *_ = index_of(whole)["runs"][0]["findings"]
    assert first["answer"] == "No"
    assert "4 of 10 debates" in first["detail"]
    failed, *_ = index_of(run_flips(tmp_path))["runs"][0]["findings"]
    assert (failed["question"], failed["answer"]) == ("Did every turn succeed?", "No")
    assert failed["detail"].startswith("4 of 20 turns failed")


def test_the_report_and_compare_agree(tmp_path: Path) -> None:
    runs = [run_sums(tmp_path, "debate", DEBATE, 3, 30), run_sums(tmp_path, "votes", NONE, 7, 30)]
    compared, index = compare(runs), index_of(*runs)
    shown = {figure["id"]: figure for figure in index["comparison"]["figures"]}
    for score, row, one in zip(compared.runs, shown["runs"]["rows"], index["runs"], strict=True):
        (headline,) = (row for row in one["figures"][0]["rows"] if row.get("strong"))
        for place in (row, headline):
            assert (place["value"], place["low"], place["high"]) == pytest.approx(
                (score.accuracy.share, score.accuracy.low, score.accuracy.high), abs=1e-6
            )
            assert place["n"] == score.accuracy.n
        cost = next(finding["answer"] for finding in one["findings"] if finding["question"] == "What did it cost?")
        assert cost == f"{score.usage.generated_tokens / score.debates:,.0f} tokens per question"
    (pair,), (row,) = compared.pairs, shown["pairs"]["rows"]
    assert row[1] == f"{100 * pair.difference.value:+.1f}"
    assert row[4:7] == [f"{number}" for number in (pair.difference.gained, pair.difference.lost, 30)]
    fair = next(f for f in index["runs"][0]["findings"] if f["question"].startswith("Better"))
    assert fair["detail"] == compared.budgets["debate"].sentence


@pytest.mark.parametrize("kind", ["star", "chain", "ring", "none", "{kind: erdos_renyi, p: 0.5}"])
def test_every_agent_has_a_position(tmp_path: Path, kind: str) -> None:
    found = index_of(run_sums(tmp_path, "sums", f"[{{name: debate, topology: {kind}}}]", 5, 1))["runs"][0]
    (phase,) = found["phases"]
    assert [node["name"] for node in phase["nodes"]] == found["agents"]
    assert len({(node["x"], node["y"]) for node in phase["nodes"]}) == 5
    assert {edge["show"] for edge in phase["edges"]} <= {"full"}


def test_the_page_is_one_file_that_names_its_script_by_hash(tmp_path: Path) -> None:
    done = run_flips(tmp_path, BOLD, hostile=True)
    write_report([done], tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)
    assert policy is not None
    assert "default-src 'none'" in policy[1]
    assert "unsafe" not in policy[1]
    assert "connect-src" not in policy[1]
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    for text in (script, style):
        assert f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" in policy[1]
    assert "innerHTML" not in script
    assert not re.findall(r'(?:src|href)="(?!#|data:,)', page)
    assert HOSTILE not in page
    assert BOLD not in page  # not even in the title
    assert HOSTILE in json.dumps(blocks(page)["index"])
    assert HOSTILE in json.dumps(blocks(page)["replies-0-0"])


def test_the_same_run_gives_the_same_file(tmp_path: Path) -> None:
    done = run_flips(tmp_path)
    write_report([done], tmp_path / "a.html")
    write_report([done], tmp_path / "new" / "b.html")
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "new" / "b.html").read_bytes()


def test_a_report_is_written_atomically(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "report.html"
    target.write_text("the old one")
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(InputError, match="No space left"):
        write_atomically(target, "half")
    assert target.read_text() == "the old one"
    assert list(tmp_path.iterdir()) == [target]


def test_a_report_of_several_runs_names_them_all(tmp_path: Path) -> None:
    runs = [run_sums(tmp_path, name, NONE, 1, 2) for name in ("a", "b", "c", "d")]
    titles = [index_of(*runs[:count])["title"] for count in (1, 2, 3, 4)]
    assert titles == ["a", "sums: a and b", "sums: a, b and c", "sums: 4 runs"]
    found = {figure["id"]: figure for figure in index_of(*runs[:3])["comparison"]["figures"]}
    assert [row[0] for row in found["pairs"]["rows"]] == ["b against a", "c against a", "c against b"]
    assert {row[-1] for row in found["pairs"]["rows"]} == {"not known"}  # the runs never differ
    alone = {figure["id"]: figure for figure in index_of(*runs[:2])["comparison"]["figures"]}
    [pair] = compare(runs[:2]).pairs
    assert pair.compute is not None
    assert alone["pairs"]["note"].endswith(f". {pair.sentence} {pair.compute.sentence}")


@pytest.mark.parametrize("name", ["x.pdf", "x", "x.json", "x.html.gz"])
def test_another_extension_than_that_of_a_page_raises(tmp_path: Path, name: str) -> None:
    done = run_sums(tmp_path, "sums", NONE, 1, 2)
    with pytest.raises(InputError, match="extension of a web page") as error:
        write_report([done], tmp_path / name)
    assert ".html" in error.value.remedy
    assert not (tmp_path / name).exists()
    write_report([done], tmp_path / "X.HTML")


def test_bad_input_raises(tmp_path: Path, scenario: Callable[..., Any]) -> None:
    done = run_flips(tmp_path)
    with pytest.raises(RunFolderError, match="holds no run"):
        write_report([Run(tmp_path / "nothing")], tmp_path / "x.html")
    with pytest.raises(InputError, match="given twice"):
        write_report([done, done], tmp_path / "x.html")
    with pytest.raises(InputError, match="cannot be written"):
        write_report([done], tmp_path / "scenario.yaml" / "x.html")
    other = run_sums(tmp_path, "sums", NONE, 1, 2)
    with pytest.raises(InputError, match="no question in common"):
        write_report([done, other], tmp_path / "x.html")
    assert not (tmp_path / "x.html").exists()


def test_the_command_writes_the_file(tmp_path: Path) -> None:
    done = run_flips(tmp_path)
    result = CliRunner().invoke(cli, ["report", str(done.folder), "-o", str(tmp_path / "out.html")])
    assert result.exit_code == 0
    assert "Wrote" in result.output
    assert blocks((tmp_path / "out.html").read_text())["index"]["runs"][0]["name"] == "flips"


def test_several_samples_of_a_failing_society(tmp_path: Path) -> None:
    run_flips(tmp_path)
    loaded = load_scenario(tmp_path / "scenario.yaml", ["samples=3", 'phases.0.agents=["broken"]'])
    found = index_of(run(loaded, tmp_path / "failed"))["runs"][0]
    assert [(row["item"], row["sample"]) for row in found["debates"]] == [
        (item, sample) for item in ("q0", "q1") for sample in range(3)
    ]
    assert all(tags(row["tags"]) == {"failed", "undecided", "wrong"} for row in found["debates"])
    assert found["findings"]


@pytest.mark.parametrize(("number", "text"), [(0, "0 questions"), (1, "1 question"), (2000, "2,000 questions")])
def test_counts_have_their_noun(number: int, text: str) -> None:
    assert count(number, "question") == text


def test_long_prompts_are_cut_with_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    """A text that every turn of a store refers to would otherwise fill the page as often."""
    monkeypatch.setattr(rows, "LONGEST_PROMPT", 100)
    monkeypatch.setattr(rows, "PROMPTS_OF_DEBATE", 150)
    texts = ["short", "a" * 100, "b" * 101, "c" * 1000]
    turn = Turn(TurnId(0, "q", "p", 1, "a"), "key", tuple(ChatMessage("user", text) for text in texts), "", None)
    [found] = rows.prompt_texts([SimpleNamespace(turns=(turn, turn))])  # type: ignore[list-item]
    assert found["turns"] == [[["user", i] for i in range(4)]] * 2
    assert found["texts"][:2] == texts[:2]
    assert [text.partition("\n")[0] for text in found["texts"][2:]] == ["b" * 45, ""]
    assert all("cut here" in text for text in found["texts"][2:])
    assert "1,000 characters" in found["texts"][3]
