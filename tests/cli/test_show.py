"""`society show`: an item's id and a debate's number are two things, and what is shown is said where both fit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from society.cli import main
from society.cli.debates import find_debate
from society.core.errors import InputError
from society.scenario.models.scenario import Scenario
from society.session import run

IDS = st.lists(st.sampled_from(["0", "1", "2", "3", "07", "a", "b-1", "q 2"]), min_size=1, max_size=6)


@pytest.mark.parametrize(
    ("items", "item", "number", "index", "note"),
    [
        (["0", "1", "2"], "1", None, 1, "number 1 of the list, use --number 1"),
        (["0", "1", "2"], "0", None, 0, ""),
        (["0", "1", "2"], None, 1, 0, ""),
        (["1", "2", "3"], "2", None, 1, ""),
        (["a", "b"], "2", None, 1, "taken as the number"),
        (["a", "b"], "b", None, 1, ""),
        (["a", "b"], "b", 2, 1, ""),
        (["a", "a", "b"], "a", None, 0, "2 debates are on the item 'a': this is the first. The others: --number 1, 2"),
        (["a", "a", "b"], "a", 2, 1, ""),
    ],
)
def test_the_debate_that_is_meant(
    items: list[str], item: str | None, number: int | None, index: int, note: str
) -> None:
    found, said = find_debate(items, item, number)
    assert found == index
    assert note in said
    assert bool(note) == bool(said)


@pytest.mark.parametrize(
    ("items", "item", "number"),
    [
        (["0", "1"], "2", None),
        (["0", "1"], "7", None),
        (["a"], "2", None),
        (["a"], None, 2),
        (["a"], "b", None),
        (["a", "b"], "a", 2),
        ([], "1", None),
        ([], None, 1),
    ],
)
def test_a_debate_that_is_not_there(items: list[str], item: str | None, number: int | None) -> None:
    with pytest.raises(InputError):
        find_debate(items, item, number)


@given(IDS, st.data())
def test_every_id_and_every_number_is_found(items: list[str], data: st.DataObject) -> None:
    i = data.draw(st.integers(0, len(items) - 1))
    assert items[find_debate(items, items[i], None)[0]] == items[i]
    assert find_debate(items, None, i + 1) == (i, "")


def test_ids_from_zero(scenario: Callable[..., Scenario], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"id": str(i), "question": f"Question number {i}?", "answer": "4"} for i in range(3)]
    (tmp_path / "q.jsonl").write_text("\n".join(map(json.dumps, rows)))
    scenario(
        'task: {kind: jsonl, path: q.jsonl, id: id}\nroles: {a: {prompt: "{{ question }}"}}\nagents: {a: {}}\n'
        "phases: [{name: p}]\n"
    )
    run = str(tmp_path / "run")
    assert main(["run", str(tmp_path / "scenario.yaml"), "--out", run]) == 0
    capsys.readouterr()
    assert main(["show", run, "--item", "1"]) == 0
    shown = capsys.readouterr().out
    assert "Question number 1?" in shown
    assert "--number 1" in shown
    assert main(["show", run, "--number", "1"]) == 0
    assert "Question number 0?" in capsys.readouterr().out
    assert main(["show", run, "--item", "3"]) == 2
    assert "There is no item '3'" in capsys.readouterr().err


def test_a_long_reply_is_cut_and_says_so(
    scenario: Callable[..., Scenario],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("society.cli.show.LONGEST", 30)
    run(
        scenario("""
name: long
task: {kind: arithmetic, limit: 1}
backends: {only: {kind: scripted, rules: [{say: "It is 4, and there is more to say."}]}}
roles: {solver: {prompt: "{{ question }}"}}
agents: {solver: {}}
phases: [{name: answer}]
"""),
        tmp_path / "run",
    )
    capsys.readouterr()
    assert main(["show", str(tmp_path / "run"), "--number", "1"]) == 0
    shown = capsys.readouterr().out
    assert "It is 4, and there is more to \n" in shown.replace("  ", "") + "\n"
    assert "... and 4 more characters, which `society export` writes" in shown
