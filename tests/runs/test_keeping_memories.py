"""The keeping commands on runs with tools, memories and people: nothing is lost, and a deleted text is gone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backends.human import answered_through
from society.cli import main
from society.runs.files import MEASUREMENTS
from society.runs.forgetting import DELETED, forget_item
from society.runs.merging import merge_runs
from society.runs.places import STORE
from society.runs.run import Run
from society.scenario import load_scenario
from society.scenario.models.scenario import Scenario
from society.session import run
from tests.backends.human.people import Typist
from tests.conftest import rows

SECRET = "Zanzibarquark"
Spec = dict[str, Any]
ITEMS = [{"id": f"q{n}", "question": f"How many days of notice number {n}?", "gold": f"{n} days"} for n in range(4)]
ITEMS[1] = {"id": "q1", "question": f"What does the patient {SECRET} of 12 * 7 suffer from?", "gold": f"{SECRET} flu"}
TASK = {"kind": "inline", "items": ITEMS, "answer": {"extract": ["line"], "equal": "words"}}
TIMES = ("person_seconds", "tool_seconds")
HEARD = "{% for m in heard %}{{ m.sender }}: {{ m.text }}\n{% endfor %}{{ question }}"
PHASES = [{"name": "debate", "topology": "complete", "rounds": 2}]


def scripted(*rules: Spec) -> Spec:
    return {"kind": "scripted", "rules": [*rules, {"say": "3 days"}]}


def with_tools(folder: Path) -> Spec:
    (folder / "handbook").mkdir(exist_ok=True)
    (folder / "handbook" / "rules.md").write_text("The reading room is closed on Monday.\n")
    search = {"kind": "search", "path": str(folder / "handbook"), "description": "Searches.", "results": 1}
    rules = (
        {"when": r"(?s)Result of \w+:\n(.*)", "say": r"I found \1"},
        {"when": r"patient (\w+)", "think": "Hm.", "say": r"See: <use search>\1 Monday reading room</use>"},
        {"when": r"number (\d)", "say": r"See: <use calculator>\1 * 7</use>"},
    )
    return {
        "backends": {"b": scripted(*rules)},
        "roles": {"r": {"prompt": HEARD, "tools": ["calculator", search]}},
        "agents": {"a": {"count": 2}},
    }


def with_memories(folder: Path) -> Spec:
    rules = (
        {"when": r"Note: .*patient (\w+)", "say": r"The patient \1-note was very ill."},
        {"when": "Note: ", "say": "It was easy."},
        {"when": "Rate: ", "say": "7"},
        {"when": r"(?s)Reflect: .*patient (\w+)", "say": r"I learned about \1-reflection, and more."},
        {"when": "Reflect: ", "say": "I know things."},
        {"when": r"(?s)patient (\w+).*number", "say": r"I remember \1-echo, 3 days"},
    )
    shown = "{% for m in memories %}{{ m.text }} {% endfor %}"
    return {
        "backends": {"b": scripted(*rules)},
        "roles": {
            "r": {"prompt": shown + "{{ question }}"},
            "writer": {"prompt": "Note: {{ question }}"},
            "rater": {"prompt": "Rate: {{ memories[0].text }}"},
            "thinker": {"prompt": "Reflect: " + shown},
        },
        "agents": {"a": {"count": 2, "role": "r"}},
        "memory": {
            "write": "writer",
            "rate": "rater",
            "recall": {"most": 3, "importance": 1},
            "reflect": {"role": "thinker", "every": 2},
        },
    }


def with_a_person(folder: Path) -> Spec:
    return {
        "backends": {"b": scripted(), "me": {"kind": "human", "person": "ann"}},
        "roles": {"r": {"prompt": HEARD}},
        "agents": {"a": {"count": 2, "backend": "b"}, "ann": {"backend": "me"}},
        "concurrency": 1,
    }


def load(made: Spec, folder: Path, **task: int) -> Scenario:
    spec = {"version": 1, "name": "kept", "phases": PHASES, **made, "task": {**TASK, **task}}
    if "ann" in made["agents"]:
        spec["agents"] = {name: {"role": "r", **agent} for name, agent in made["agents"].items()}
    return load_scenario(spec, allow=[folder])


def play(made: Spec, folder: Path, resume: bool = False, **task: int) -> Run:
    def reply(question: Any) -> str:
        return f"It is {SECRET}, I typed it." if SECRET in question.messages[-1].content else "2 days"

    with answered_through(Typist(reply)):
        return run(load(made, folder.parent, **task), folder, progress=False, resume=resume)


def timeless(done: Run) -> list[dict[str, Any]]:
    return sorted(({key: row[key] for key in row if key not in TIMES} for row in rows(done)), key=repr)


def find_secret(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]


Make = Callable[[Path], Spec]
KINDS = pytest.mark.parametrize("make", [with_tools, with_memories, with_a_person])


@KINDS
def test_an_archived_and_restored_run_goes_on_as_it_was(make: Make, tmp_path: Path) -> None:
    done = play(make(tmp_path), tmp_path / "run")
    assert main(["prune", str(done.folder)]) == 0
    assert main(["migrate", str(done.folder)]) == 0
    before = rows(done)
    assert main(["archive", str(done.folder), "-o", str(tmp_path / "run.zip")]) == 0
    assert main(["archive", str(tmp_path / "run.zip"), "--restore", "-o", str(tmp_path / "back")]) == 0
    assert rows(Run(tmp_path / "back")) == before
    assert rows(play(make(tmp_path), tmp_path / "back", resume=True)) == before


@pytest.mark.parametrize("make", [with_tools, with_a_person])
def test_merged_parts_are_the_whole(make: Make, tmp_path: Path) -> None:
    made = make(tmp_path)
    whole = play(made, tmp_path / "whole")
    parts = [play(made, tmp_path / f"part-{first}", offset=first, limit=2) for first in (0, 2)]
    merge_runs(load(made, tmp_path), parts, tmp_path / "merged")
    assert timeless(Run(tmp_path / "merged")) == timeless(whole)
    assert timeless(play(made, tmp_path / "merged", resume=True)) == timeless(whole)


@KINDS
def test_a_forgotten_question_is_nowhere(make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done, other = play(make(tmp_path), tmp_path / "run"), play(make(tmp_path), tmp_path / "other")
    assert main(["report", str(done.folder), "-o", str(done.folder / "report.html")]) == 0
    (done.folder / MEASUREMENTS).write_text(SECRET)
    checkpoint = done.folder / "adapters" / "1" / ".a.checkpoint" / "20"
    checkpoint.mkdir(parents=True)
    (checkpoint / "0.pt").write_text(SECRET)
    if "memory" not in make(tmp_path):
        assert main(["forget", str(tmp_path), "--item", "q1"]) == 0  # the folder of both runs
        assert not find_secret(other.folder)
    else:
        assert main(["forget", str(done.folder), "--item", "q1"]) == 1
        assert "Debates on other items quote it. Delete these too: q2; q3." in capsys.readouterr().err
        assert main(["forget", str(done.folder), "--item", "q2", "--item", "q3"]) == 1
        assert main(["forget", str(tmp_path), "--item", "q3"]) == 0
        assert f"The run in {done.folder} has no item 'q3'." in capsys.readouterr().out
    assert main(["forget", str(tmp_path), "--item", "unknown"]) == 2
    assert "Its items are q0" in capsys.readouterr().err
    assert not find_secret(done.folder)
    assert done.scenario.task.items[1].model_dump()["question"] == DELETED  # type: ignore[attr-defined]
    assert main(["show", str(done.folder)]) == 0
    assert main(["show", str(done.folder), "--item", "q0"]) == 0
    assert main(["report", str(done.folder), "-o", str(tmp_path / "report.html")]) == 0
    assert main(["export", str(done.folder), "-o", str(tmp_path / "tables")]) == 0
    assert main(["compare", str(done.folder), str(other.folder)]) == 0
    capsys.readouterr()
    assert main(["status", str(done.folder), "--json"]) == 0
    [status] = json.loads(capsys.readouterr().out)
    assert status["state"] == "finished"
    assert status["done"] == status["planned"] == len(done.questions() or ())


def test_calls_and_files_that_quote_a_forgotten_question_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = with_tools(tmp_path)
    quoted = f"What does the patient {SECRET} of 12 * 7 suffer from?"
    made["backends"]["b"]["rules"][2] = {"when": "number 2", "say": f"<use search>{quoted}</use>"}
    done = play(made, tmp_path / "run")
    (done.folder / "error.txt").write_text(f"The question {quoted!r} is too long.")
    found = forget_item(done.folder, "q1")
    assert found.quoting == ("q2",)
    facts = [f"the fact {name!r} of {STORE}" for name in ("definition", "scenario")]
    assert sorted(found.places) == ["error.txt", *facts], "the rules quote it"
    assert main(["forget", str(done.folder), "--item", "q3"]) == 0


def test_what_agents_say_on_all_questions_is_no_quotation(tmp_path: Path) -> None:
    made = with_a_person(tmp_path)
    made["backends"]["b"]["rules"] = [{"say": "I do not know the answer to this."}]
    done = play(made, tmp_path / "run")
    assert forget_item(done.folder, "q1").quoting == ()
