"""Untrusted run folders: nothing outside is read, and every fault is one error."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from society.cli import main
from society.core.errors import InputError, RunFolderError
from society.metrics.measure import read_diversity
from society.runs.run import Run
from society.scenario import load_scenario
from society.session import run
from society.training.export import TrainingExport

SCENARIO = """
version: 1
name: inputs
task: {kind: jsonl, path: q.jsonl}
backends: {b: {kind: scripted, rules: [{say: "The answer is 7."}]}}
roles: {r: {prompt: "{{ question }}"}}
agents: {a: {}, b: {}, c: {}}
phases: [{name: debate, topology: {kind: file, path: g.graphml}, rounds: 2}]
"""
GRAPH = (
    "<graphml><graph edgedefault='directed'><node id='a'/><node id='b'/><node id='c'/>"
    "<edge source='a' target='b'/><edge source='b' target='c'/></graph></graphml>"
)
ROOT = Path(__file__).parents[2]
ADAPTER = "iteration, learner, agent, hash, path, base, examples, left_out, losses, tokens, seconds, trained_on"
SECRET = "a secret that nobody else may see"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    (folder / "s.yaml").write_text(SCENARIO)
    (folder / "g.graphml").write_text(GRAPH)
    (folder / "q.jsonl").write_text('{"question": "3 + 4?", "answer": "7"}\n{"question": "3 + 5?", "answer": "8"}\n')
    return run(load_scenario(folder / "s.yaml"), folder / "run").folder


@pytest.fixture
def stranger(sound: Path, tmp_path: Path) -> Path:
    """Return a copy of the run without its inputs beside it."""
    return Path(shutil.copytree(sound, tmp_path / "stranger"))


def change(folder: Path, *statements: str, **meta: str) -> None:
    """Change the run's store."""
    with sqlite3.connect(folder / "store.sqlite") as db:
        for statement in statements:
            db.execute(statement)
        for name, value in meta.items():
            db.execute("UPDATE meta SET value = ? WHERE name = ?", (value, name))
    db.close()


def stored(folder: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(Run(folder).meta()["scenario"])
    return data


def read_commands(folder: Path, out: Path) -> list[list[str]]:
    """Return every command that reads a run and opens no model."""
    name = str(folder)
    return [
        ["show", name],
        ["show", name, "--number", "1", "--prompts"],
        ["show", name, "--training-row"],
        ["report", name, "-o", str(out / "r.html")],
        ["plot", name, "-o", str(out / "plots")],
        ["export", name, "--to", str(out / "out"), "--format", "csv"],
    ]


# Nothing outside is read

WATCH = """
import json, sys
opened = []
def watch(event, arguments):
    if event in ("open", "os.listdir", "os.scandir", "shutil.copyfile", "shutil.copytree", "sqlite3.connect"):
        opened.append(str(arguments[0]))
sys.addaudithook(watch)
from society.cli import main
for command in json.loads(sys.argv[1]):
    print(main(command), file=sys.stderr)
from society.runs.run import Run
from society.view.follow import Follower
Follower(__import__("pathlib").Path(sys.argv[2])).index()
print("\\n".join(opened).encode("utf-8", "replace").decode(), file=open(sys.argv[3], "w"))
"""


@pytest.mark.slow
@pytest.mark.needs("matplotlib", "pandas")
def test_reading_a_run_opens_nothing_outside_its_folder(stranger: Path, sound: Path, tmp_path: Path) -> None:
    """The stored scenario names a device that never ends and a folder of secrets; neither is opened."""
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "q.jsonl").write_text(json.dumps({"question": SECRET, "answer": SECRET}))
    other = Path(shutil.copytree(stranger, tmp_path / "other"))
    for folder in (stranger, other):
        data = stored(folder)
        data["task"]["path"] = str(tmp_path / "secrets" / "q.jsonl")
        data["agents"]["a"]["adapter"] = "/dev/zero"
        data["agents"]["b"]["adapter"] = str(tmp_path / "secrets")
        change(folder, scenario=json.dumps(data))
    commands = [*read_commands(stranger, tmp_path), ["compare", str(stranger), str(other)]]
    done = subprocess.run(
        [sys.executable, "-c", WATCH, json.dumps(commands), str(stranger), str(tmp_path / "opened")],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    statuses = done.stderr.split()
    assert statuses.count("0") == len(commands) - 1, done.stderr  # nothing was trained
    opened = (tmp_path / "opened").read_text().splitlines()
    assert any("store.sqlite" in name for name in opened)
    assert not [
        name for name in opened if str(tmp_path / "secrets") in name or "/dev/zero" in name or str(sound.parent) in name
    ]
    assert SECRET not in done.stdout + (tmp_path / "r.html").read_text()


def test_a_run_keeps_its_questions_and_its_graphs(stranger: Path) -> None:
    done = Run(stranger)
    questions = done.questions()
    assert questions is not None
    assert [item.question for item in questions] == ["3 + 4?", "3 + 5?"]
    graph = done.scenario.phases[0].topology.graph(["a", "b", "c"], {}, 0)
    assert set(graph.edges) == {("a", "b"), ("b", "c")}


@pytest.mark.parametrize("where", ["task.path", "agents.a.adapter"])
@pytest.mark.parametrize("form", ["absolute", "upwards", "link"])
def test_export_copies_no_file_from_outside_without_a_word(
    stranger: Path, tmp_path: Path, where: str, form: str
) -> None:
    secret = tmp_path / "secrets" / "secret.jsonl"
    secret.parent.mkdir()
    secret.write_text(SECRET)
    (stranger / "link.jsonl").symlink_to(secret)
    named = {"absolute": str(secret), "upwards": "../secrets/secret.jsonl", "link": "link.jsonl"}[form]
    data = stored(stranger)
    if where == "task.path":
        data["task"]["path"] = named
    else:
        data["agents"]["a"]["adapter"] = named
        data["task"] = {"kind": "arithmetic", "limit": 2}
    change(stranger, scenario=json.dumps(data))
    row = "0, 'l', '*', 'h', 'adapters', 'b', 1, '{}', '[]', 1, 0.5, ''"
    change(stranger, f"INSERT INTO adapters ({ADAPTER}) SELECT {row}")
    with pytest.raises(InputError, match="not in the run's folder"):
        TrainingExport(Run(stranger), tmp_path / "out").write()
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match="has changed since the run"):  # another one than it was
        TrainingExport(Run(stranger), tmp_path / "out", allow=[secret.parent]).write()
    assert not (tmp_path / "out").exists()


def test_a_file_is_opened_where_the_user_allows_it_and_it_is_the_same(stranger: Path, sound: Path) -> None:
    with pytest.raises(InputError, match="--allow"):
        Run(stranger).open_scenario(files=True)
    scenario = Run(stranger).open_scenario([sound.parent], files=True)
    assert scenario.task.path == sound.parent / "q.jsonl"  # type: ignore[attr-defined]
    assert scenario.phases[0].topology.path.is_relative_to(stranger)  # type: ignore[attr-defined]


# Links

OPENED = [
    "store.sqlite",
    "store.sqlite-wal",
    "store.sqlite-shm",
    "store.sqlite-journal",
    "diversity.json",
    "questions.json",
    ".lock",
    "files",
]


@pytest.mark.parametrize("kind", ["link", "dead link", "hard link", "pipe", "folder"])
@pytest.mark.parametrize("name", OPENED)
def test_what_leads_out_of_the_folder_is_refused(
    stranger: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str, kind: str
) -> None:
    outside = tmp_path / "outside"
    source = stranger / name
    source.rename(outside) if source.is_file() else outside.write_text(SECRET)
    shutil.rmtree(source, ignore_errors=True)
    if kind == "pipe":
        os.mkfifo(source)
    elif kind == "folder":
        source.mkdir()
    elif kind == "hard link":
        os.link(outside, source)
    else:
        source.symlink_to(outside if kind == "link" else tmp_path / "nowhere")
    before = outside.read_bytes()
    refused = not (name == "files" and kind == "folder")
    assert (main(["report", str(stranger), "-o", str(tmp_path / "r.html")]) == 0) != refused
    said = capfd.readouterr()
    assert "Traceback" not in said.err
    if refused:
        assert ".".join(source.name.split(".")) in said.err
        with pytest.raises(RunFolderError):
            run(_other(tmp_path), stranger, resume=True)
    assert outside.read_bytes() == before  # nothing was written through it either


def _other(folder: Path) -> Any:
    (folder / "s.yaml").write_text(SCENARIO)
    (folder / "g.graphml").write_text(GRAPH)
    (folder / "q.jsonl").write_text('{"question": "3 + 4?", "answer": "7"}\n')
    return load_scenario(folder / "s.yaml")


@pytest.mark.parametrize("kind", ["file", "folder above", "hard link", "pipe"])
def test_adapters_that_lead_out_are_refused(stranger: Path, tmp_path: Path, kind: str) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "adapter.safetensors").write_text(SECRET)
    place = stranger / "adapters" / "1" / "l"
    if kind == "folder above":
        (stranger / "adapters").symlink_to(secret)
    else:
        place.mkdir(parents=True)
        target = place / "adapter.safetensors"
        if kind == "file":
            target.symlink_to(secret / "adapter.safetensors")
        elif kind == "hard link":
            os.link(secret / "adapter.safetensors", target)
        else:
            os.mkfifo(target)
    path = "adapters" if kind == "folder above" else "adapters/1/l"
    row = f"0, 'l', '*', 'h', '{path}', 'b', 1, '{{}}', '[]', 1, 0.5, ''"
    change(stranger, f"INSERT INTO adapters ({ADAPTER}) SELECT {row}")
    [row] = Run(stranger).adapters()
    with pytest.raises(RunFolderError, match=r"link|device or a pipe"):
        Run(stranger).open_adapter(row)


# Hostile contents

MEAN = {"value": 0.5, "error": 0.1, "n": 3}
MEASURED = {"iteration": 0, "turn": "last", "encoder": "base", "embedding": MEAN, "likelihood": None}


def measured(**changes: object) -> str:
    return json.dumps([MEASURED | changes])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        "3",
        "{}",
        '"x"',
        "[3]",
        "[[]]",
        "[null]",
        "[{}]",
        "[" * 100_000,
        '{"a":' * 50_000,
        "\ud800".encode("utf-8", "surrogatepass"),
        b"\xff\xfe",
        "NaN",
        "[1e999]",
        "9" * 100_000,
        measured(iteration="0"),
        measured(iteration=-1),
        measured(iteration=10**400),
        measured(iteration=True),
        measured(turn="middle"),
        measured(encoder=["x"]),
        measured(encoder="x" * 2000),
        measured(more=1),
        measured(embedding=3),
        measured(embedding={}),
        measured(embedding=MEAN | {"value": "x"}),
        measured(embedding=MEAN | {"n": 1.5}),
        measured(embedding=MEAN | {"value": None}),
        measured(embedding=MEAN | {"value": float("nan")}),
        measured(embedding=MEAN | {"error": float("inf")}),
        measured(embedding=MEAN | {"value": 1e308}),
        measured(likelihood={"nll": {}}),
        measured(likelihood={"nll": {"a": {"a": 1}}, "kl": {}}),
        measured(likelihood={"nll": [], "kl": []}),
        json.dumps([MEASURED, MEASURED]),
    ],
    ids=range(37),
)
def test_measurements_that_are_none_are_one_error(
    stranger: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], text: str | bytes
) -> None:
    data = text if isinstance(text, bytes) else text.encode()
    (stranger / "diversity.json").write_bytes(data)
    with pytest.raises(RunFolderError, match=r"diversity\.json") as caught:
        read_diversity(Run(stranger))
    assert len(str(caught.value)) < 1000
    assert main(["report", str(stranger), "-o", str(tmp_path / "r.html")]) == 2
    assert "Traceback" not in capfd.readouterr().err


def test_measurements_that_are_sound_are_read(stranger: Path) -> None:
    (stranger / "diversity.json").write_text(measured(likelihood={"nll": {"a": {"a": MEAN}}, "kl": {}}))
    assert read_diversity(Run(stranger))[0]["embedding"] == MEAN


def test_a_file_of_measurements_that_is_too_large_is_refused(stranger: Path) -> None:
    with (stranger / "diversity.json").open("wb") as file:
        file.truncate(10**12)  # a hole: nobody reads it
    with pytest.raises(RunFolderError, match="larger than"):
        read_diversity(Run(stranger))


@pytest.mark.parametrize("text", ["", "[", "[3]", "{}", '[{"id": 3}]', "[" * 100_000, '[{"id": "a", "gold": "q"}]'])
def test_questions_that_are_none_are_one_error(stranger: Path, tmp_path: Path, text: str) -> None:
    (stranger / "questions.json").write_text(text)
    assert main(["report", str(stranger), "-o", str(tmp_path / "r.html")]) == 2


def rename(old: str, new: str) -> Callable[[dict[str, Any]], None]:
    """Rename an agent in the scenario but not in the turns."""

    def apply(data: dict[str, Any]) -> None:
        data["agents"] = {new if name == old else name: spec for name, spec in data["agents"].items()}

    return apply


CHANGES: dict[str, Callable[[dict[str, Any]], None]] = {
    "a voter renamed": rename("a", "z"),
    "a phase renamed": lambda data: data["phases"][0].update(name="other"),
    "a role that is not there": lambda data: data["agents"]["a"].update(role="nobody"),
    "a backend that is not there": lambda data: data["agents"]["a"].update(backend="nobody"),
    "a speaker that is not there": lambda data: data["phases"][0].update(agents=["nobody"]),
    "a bound agent that is not there": lambda data: data["phases"][0].update(bind={"nobody": {}}),
    "a voter that is not there": lambda data: data.update(decision={"kind": "majority", "voters": ["nobody"]}),
    "two phases of one name": lambda data: data["phases"].append(data["phases"][0]),
    "a name of markup": lambda data: data["phases"][0].update(name="[/x]"),
    "far too many agents": lambda data: data["agents"].update({f"g{i}": {"count": 100_000} for i in range(500)}),
    "a kind that is not there": lambda data: data["task"].update(kind="plugin"),
    "a graph that is not there": lambda data: data["phases"][0]["topology"].update(path="/nowhere/g.graphml"),
    "a path with a zero": lambda data: data["phases"][0]["topology"].update(path="g\0.graphml"),
    "a path that is too long": lambda data: data["phases"][0]["topology"].update(path="g" * 100_000 + ".graphml"),
    "no phases": lambda data: data.update(phases=[]),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_a_stored_scenario_that_is_not_the_runs_is_one_error(
    stranger: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], kind: str
) -> None:
    data = stored(stranger)
    CHANGES[kind](data)
    change(stranger, scenario=json.dumps(data))
    statuses = [main(command) for command in read_commands(stranger, tmp_path)]
    said = capfd.readouterr().err
    assert "Traceback" not in said
    assert 2 in statuses
    assert max(map(len, said.splitlines())) < 1500


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (name, value)
        for name in ("versions", "files", "definition")
        for value in ("", "{", "[]", "3", "null", '{"a": 3}', '{"a": {"b": []}}', "[" * 100_000, '{"[/x]": "\\u001b"}')
    ],
)
def test_facts_that_are_none_end_in_no_traceback(
    stranger: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str, value: str
) -> None:
    change(stranger, **{name: value})
    for command in read_commands(stranger, tmp_path):
        assert main(command) in (0, 2), command
    with pytest.raises((RunFolderError, InputError)):
        run(_other(tmp_path), stranger, resume=True)
    assert "Traceback" not in capfd.readouterr().err


HOSTILE = (
    "[/x]",
    "[bold]",
    "\x1b[31m",
    "\u202e",
    "a\nb",
    "|",
    "=1+1",
    "x" * 10_000,
    "",
    "'",
    "</script>",
    "\\",
    "🙂" * 500,
)


def spread(folder: Path, table: str, column: str) -> None:
    """Put each of the hostile texts into the rows of a column, one after the other."""
    with sqlite3.connect(folder / "store.sqlite") as db:
        db.execute("PRAGMA ignore_check_constraints=ON")
        rows = [row for (row,) in db.execute(f"SELECT rowid FROM {table} ORDER BY rowid").fetchall()]
        for number, row in enumerate(rows):
            value = HOSTILE[number % len(HOSTILE)]
            db.execute(f"UPDATE OR REPLACE {table} SET {column} = ? WHERE rowid = ?", (value, row))
    db.close()


@pytest.mark.parametrize(
    ("table", "column"),
    [("turns", c) for c in ("phase", "agent", "item", "text", "answer", "error", "finish_reason", "adapter")]
    + [("results", c) for c in ("item", "question", "gold", "answer", "reason", "split")],
)
def test_hostile_texts_end_in_no_traceback_and_send_no_commands(
    stranger: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], table: str, column: str
) -> None:
    spread(stranger, table, column)
    for command in read_commands(stranger, tmp_path):
        assert main(command) in (0, 2), command
    said = capfd.readouterr()
    assert "Traceback" not in said.err
    assert not any(hidden in said.out + said.err for hidden in ("\x1b[31m", "\u202e"))


@pytest.mark.parametrize("value", ["[/x]", "\x1b[31m", "z", "a/b/c", ""])
@pytest.mark.parametrize("column", ["phase", "agent"])
def test_a_turn_of_somebody_else_is_refused(stranger: Path, value: str, column: str) -> None:
    with sqlite3.connect(stranger / "store.sqlite") as db:
        db.execute(f"UPDATE turns SET {column} = ? WHERE item = 'q-1' AND agent = 'a' AND round = 1", (value,))
    db.close()
    if value == "a/b/c" and column == "agent":  # a helper's turn for a reader
        return
    with pytest.raises(RunFolderError, match="its scenario does not have") as caught:
        Run(stranger).turns()
    assert "\x1b" not in str(caught.value)
