"""Stores of older versions: all are read as they are; runs of version 2 go on, those of version 1 are refused."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from society.cli import main
from society.core.errors import RunFolderError
from society.core.types import Turn, TurnId
from society.runs.records import load_records
from society.runs.run import Run
from society.scenario.models.scenario import Scenario
from society.session import run
from society.store import Store
from society.store.migrate import READABLE, VERSION
from society.store.tokens import pack_tokens, unpack_tokens
from society.watcher import Watcher
from tests.conftest import rows
from tests.store.forged import forge, tables

DATA = Path(__file__).parents[1] / "data"
"""Stores as older versions of this program wrote them, in SQL."""
ADAPTER = (
    "INSERT INTO adapters VALUES (0, 'critic', '*', 'h', 'adapters/1/critic/shared', 'b', 1, '{}', '[0.5]', 9, 1.5)"
)
TEXT = """
name: sums
task: {kind: arithmetic, form: a+b, limit: 3}
backends: {scripted: {kind: scripted, rules: [{calculate: {skill: 0.6, wrong: spread}}]}}
roles: {solver: {prompt: "{{ question }} {% for m in heard %}{{ m.text }} {% endfor %}"}}
agents: {solver: {count: 3}}
phases: [{name: debate, topology: complete, rounds: 2}]
"""


def write_old(folder: Path, *more: str, version: int = 1) -> Path:
    """Write a run folder as this version of the store left it."""
    folder.mkdir()
    with sqlite3.connect(folder / "store.sqlite") as db:
        db.executescript((DATA / f"store_v{version}.sql").read_text() + ";".join(more))
    db.close()
    return folder


def in_order(row: dict[str, object]) -> list[tuple[str, str]]:
    """Return the values of a row by column, without spaces, which JSON may have."""
    return sorted((name, repr(value).replace(" ", "")) for name, value in row.items())


def digest(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_an_old_store_is_read_and_not_written(tmp_path: Path) -> None:
    folder = write_old(tmp_path / "old", ADAPTER)
    before = digest(folder)
    found = Run(folder)
    assert [(turn.tokens, turn.replied, turn.status) for turn in found.turns()] == [(None, True, "ok")] * 18
    assert {record.result.item: record.result.correct for record in load_records(found)} == {
        "2+26": True,
        "19+11": True,
        "29+15": False,
    }
    assert [(row.trained_on, row.losses) for row in found.adapters()] == [("", [0.5])]
    with Store(folder / "store.sqlite", read_only=True) as store:
        assert store.position() == (18, 3)
    assert digest(folder) == before


@pytest.mark.parametrize(
    "command",
    [
        ["show", "OLD", "--item", "1"],
        ["report", "OLD", "-o", "OUT.html"],
        ["compare", "OLD", "OTHER"],
        pytest.param(["export", "OLD", "--to", "OUT"], marks=pytest.mark.needs("pandas", "pyarrow")),
        pytest.param(["plot", "OLD", "-o", "OUT"], marks=pytest.mark.needs("matplotlib")),
    ],
)
def test_commands_that_read_runs_read_old_ones(
    tmp_path: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"OLD": write_old(tmp_path / "old"), "OTHER": write_old(tmp_path / "other")}
    before = digest(places["OLD"])
    words = [str(places.get(word, word)).replace("OUT", str(tmp_path / "out")) for word in command]
    assert main(words) == 0, capsys.readouterr().err
    assert digest(places["OLD"]) == before


@pytest.mark.parametrize("resume", [True, False])
def test_an_old_run_is_not_gone_on_with(scenario: Callable[..., Scenario], tmp_path: Path, resume: bool) -> None:
    folder = write_old(tmp_path / "old")
    before = digest(folder)
    with pytest.raises(
        RunFolderError, match=r"version 1, which an older society wrote.*no run can go on with it"
    ) as told:
        run(scenario(TEXT), folder, resume=resume)
    assert "--out" in told.value.remedy
    assert {name: said for name, said in digest(folder).items() if not name.startswith(".l")} == before
    with pytest.raises(RunFolderError, match="no run can go on with it"), Store(folder / "store.sqlite"):
        pass


def test_no_turn_is_taken_from_an_old_run(scenario: Callable[..., Scenario], tmp_path: Path) -> None:
    folder = write_old(tmp_path / "old")
    with pytest.raises(RunFolderError, match="take turns from it"):
        run(scenario(TEXT), tmp_path / "new", reuse=[folder])


def test_a_new_run_says_what_the_old_one_said(scenario: Callable[..., Scenario], tmp_path: Path) -> None:
    """Columns that both versions have mean the same in both."""
    old = rows(write_old(tmp_path / "old"))
    new = rows(run(scenario(TEXT), tmp_path / "new"))
    common = set(old[0]) & set(new[0]) | set(old[-1]) & set(new[-1])
    assert {"text", "reads", "verdicts"} < common
    for row in (*old, *new):
        for name in {"key", *row} - common | {"key"}:
            row.pop(name, None)
    assert sorted(map(in_order, new)) == sorted(map(in_order, old))


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("5", "A newer society wrote it"),
        ("99", "A newer society wrote it"),
        ("0", "No society wrote this version"),
        ("abc", "No society wrote this version"),
        ("", "No society wrote this version"),
    ],
)
def test_another_version_is_refused(tmp_path: Path, said: str, remedy: str) -> None:
    folder = write_old(tmp_path / "old", f"UPDATE meta SET value = '{said}' WHERE name = 'store_version'")
    with pytest.raises(RunFolderError, match="this program reads version") as refused:
        Run(folder).turns()
    assert remedy in refused.value.remedy


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_store_that_is_not_of_the_version_that_it_says_is_refused(tmp_path: Path, version: int) -> None:
    change = f"UPDATE meta SET value = '{VERSION}' WHERE name = 'store_version'"
    folder = write_old(tmp_path / "old", change, version=version)
    with pytest.raises(RunFolderError, match="not ours"):
        Run(folder).turns()
    assert set(READABLE) == {"1", "2", "3", VERSION}
    assert sorted(path.name for path in DATA.glob("store_v*.sql")) == [f"store_v{v}.sql" for v in READABLE]


# Versions whose runs can be resumed


def check_contents(found: Run) -> None:
    turns = found.turns()
    [drawn] = [turn for turn in turns if turn.tokens]
    [broken] = [turn for turn in turns if turn.status == "failed"]
    assert [len(turn.messages) for turn in turns] == [1, 1, 1, 3, 3, 3] * 3
    assert (drawn.tokens, drawn.confidence, drawn.logprob) == ((1, 2), 0.5, -2.5)
    assert (broken.replied, broken.error, broken.tokens) == (False, "It broke.", None)
    assert [(read.round, read.agent) for read in broken.reads] == [(1, "solver-1"), (1, "solver-3")]
    [adapter], [example] = found.adapters(), found.examples()
    assert (adapter.trained_on, adapter.left_out, adapter.losses) == ("t", {"not selected": 2}, [0.5, 0.25])
    assert example.source == TurnId(0, "2+26", "debate", 2, "solver-2")
    assert example.source in [turn.id for turn in turns]


@pytest.mark.parametrize("version", [2, 3, 4])
def test_a_resumable_store_is_read_and_not_written(tmp_path: Path, version: int) -> None:
    """A stored file of the present version keeps its tables from changing unnoticed.

    If it is refused, raise `VERSION`, keep the old schema as a file, and add its views to `society.store.migrate`.
    """
    folder = write_old(tmp_path / "old", version=version)
    before = digest(folder)
    check_contents(Run(folder))
    thoughts = [(turn.thought, turn.usage.thought_tokens) for turn in Run(folder).turns() if turn.thought]
    assert thoughts == ([("Two and 26.", 3)] if version == 4 else [])
    assert digest(folder) == before


def declared(path: Path) -> dict[str, set[str]]:
    """Return the declarations of each table's columns and keys."""
    parts = {name: re.split(r",\s+(?=[a-z_]+ [A-Z]+|PRIMARY)", sql) for name, sql in tables(path).items()}
    return {name: {" ".join(part.split()) for part in found} for name, found in parts.items()}


@pytest.mark.parametrize("version", [2, 3, 4])
def test_a_resumable_store_is_migrated_when_its_run_goes_on(
    scenario: Callable[..., Scenario], tmp_path: Path, version: int
) -> None:
    folder = write_old(tmp_path / "old", version=version)
    fresh: list[Turn] = []

    class Counter(Watcher):
        def turn(self, turn: Turn, replayed: bool) -> None:
            fresh.extend([turn] * (not replayed))

    with Store(folder / "store.sqlite") as store:
        committed = list(store.turns())
        store.set_meta({"name": "value"})
        assert store.meta()["store_version"] == VERSION
        assert list(store.turns()) == committed  # in the same order
    check_contents(Run(folder))
    run(scenario(TEXT), folder, resume=True, watcher=Counter())
    assert [turn.id.agent for turn in fresh] == ["solver-2"]  # the one that had failed
    new = run(scenario(TEXT), tmp_path / "new")
    # A column that was added later stands last, so the order of columns may differ.
    assert declared(folder / "store.sqlite") == declared(new.folder / "store.sqlite")
    assert [turn.text for turn in Run(folder).turns()] == [turn.text for turn in new.turns()]
    assert Run(folder).results() == new.results()


def test_former_defaults_of_answers_make_no_other_scenario(scenario: Callable[..., Scenario], tmp_path: Path) -> None:
    """Stores of version 2 have the default options of answers that the scenario left out."""
    former = {"extract": ["boxed", "hash", "line"], "equal": "exact", "tolerance": 1e-06}
    folder = run(scenario(TEXT), tmp_path / "run").folder
    with Store(folder / "store.sqlite") as store:
        definition = json.loads(store.meta()["definition"])
        definition["task"]["answer"] = former
        store.set_meta({"definition": json.dumps(definition)})
    run(scenario(TEXT), folder, resume=True)
    with pytest.raises(RunFolderError, match=r"task\.answer\.extract was None and is"):
        run(scenario(TEXT, "task.answer.extract=[boxed]"), folder, resume=True)
    explicit = ["task.answer.extract=[boxed, hash, line]", "task.answer.tolerance=1e-6", "task.answer.equal=exact"]
    folder = run(scenario(TEXT, *explicit), tmp_path / "explicit").folder
    run(scenario(TEXT, *explicit), folder, resume=True)
    with pytest.raises(RunFolderError, match=r"task\.answer\.extract was"):
        run(scenario(TEXT), folder, resume=True)


@pytest.mark.parametrize(
    "change", ["ALTER TABLE results ADD COLUMN removed TEXT", "ALTER TABLE turns DROP COLUMN status"]
)
def test_stores_of_unreleased_versions_are_named_so(
    scenario: Callable[..., Scenario], tmp_path: Path, change: str
) -> None:
    done = run(scenario(TEXT), tmp_path / "run")
    with pytest.raises(RunFolderError, match="a released version of society wrote") as error:
        forge(done.folder, tmp_path / "copy", change).turns()
    assert "unreleased version wrote it" in error.value.remedy


def test_turns_of_version_2_are_reused(scenario: Callable[..., Scenario], tmp_path: Path) -> None:
    folder = write_old(tmp_path / "old", version=2)
    before = digest(folder)
    assert run(scenario(TEXT), tmp_path / "new", reuse=[folder]).count_reused() == 17
    assert digest(folder) == before


@pytest.mark.parametrize("value", ["round = -1", "agent = x'00'", "confidence = 2.0", "finish_reason = 'bored'"])
def test_a_store_of_version_2_with_other_values_is_refused_and_stays(
    scenario: Callable[..., Scenario], tmp_path: Path, value: str
) -> None:
    folder = write_old(tmp_path / "old", f"UPDATE turns SET {value} WHERE rowid = 3", version=2)
    before = rows(folder)
    for attempt in (
        Store(folder / "store.sqlite").__enter__,
        Run(folder).turns,
        lambda: run(scenario(TEXT), folder, resume=True),
    ):
        with pytest.raises(RunFolderError, match="no run store that society wrote"):
            attempt()
    assert rows(folder) == before


def test_a_refused_run_does_not_migrate_its_store(scenario: Callable[..., Scenario], tmp_path: Path) -> None:
    """The society that wrote the store can still open it."""
    change = "INSERT OR REPLACE INTO meta VALUES ('models', '{\"scripted\": \"other weights\"}')"
    folder = write_old(tmp_path / "old", change, version=2)
    before = digest(folder)
    with pytest.raises(RunFolderError, match="is not the one that the run in"):
        run(scenario(TEXT), folder, resume=True)
    with Store(folder / "store.sqlite") as store:
        assert store.meta()["store_version"] == "2"
    assert {name: hashed for name, hashed in digest(folder).items() if not name.startswith(".l")} == before


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE turns SET chat = '[[1, 2]]' WHERE rowid = 3",
        "UPDATE turns SET reads = '{}' WHERE rowid = 3",
        "UPDATE results SET verdicts = '[]' WHERE rowid = 3",
        "UPDATE adapters SET path = '/etc/passwd'",
        "UPDATE adapters SET losses = '[NaN, 1.0]'",
        "UPDATE texts SET text = CAST(zeroblob(60000000) AS TEXT) WHERE rowid = 3",
        "UPDATE results SET correct = 1 - correct WHERE rowid = 3",
    ],
)
def test_a_store_with_a_wrong_row_is_not_migrated(
    scenario: Callable[..., Scenario], tmp_path: Path, change: str
) -> None:
    folder = write_old(tmp_path / "old", change, version=2)
    before = rows(folder)
    with pytest.raises(RunFolderError, match="no run store that society wrote"):
        run(scenario(TEXT), folder, resume=True)
    with Store(folder / "store.sqlite", read_only=True) as store:
        assert store.meta()["store_version"] == "2"
    assert rows(folder) == before


def test_rounding_beyond_a_bound_is_absorbed_in_older_stores_too(
    scenario: Callable[..., Scenario], tmp_path: Path
) -> None:
    change = "UPDATE turns SET logprob = 1e-8, confidence = 1.0000000001, seconds = -1e-9 WHERE agent = 'solver-1'"
    folder = write_old(tmp_path / "old", change, "UPDATE results SET support = 1.0000000001", version=2)

    def numbers() -> set[tuple[object, ...]]:
        found = Run(folder)
        shares = {result.decision.support for result in found.results()}
        turns = [turn for turn in found.turns() if turn.id.agent == "solver-1"]
        return {(turn.logprob, turn.confidence, turn.usage.seconds, *shares) for turn in turns}

    assert numbers() == {(0.0, 1.0, 0.0, 1.0)}
    with Store(folder / "store.sqlite") as store:
        store.set_meta({"name": "value"})
        assert store.meta()["store_version"] == VERSION
    assert numbers() == {(0.0, 1.0, 0.0, 1.0)}


@pytest.mark.parametrize("tokens", [None, (), (0,), (1, 65535), (65536, 3), (2**31 - 1,)])
def test_token_ids_are_stored_as_they_are(tokens: tuple[int, ...] | None) -> None:
    packed = pack_tokens(tokens)
    assert unpack_tokens(packed) == tokens
    if packed is not None and tokens:
        assert len(packed) == 1 + len(tokens) * (2 if max(tokens) < 65536 else 4)


@pytest.mark.parametrize("blob", ["x''", "x'03000000'", "x'02010203'", "x'0400'", "'text'", "7"])
def test_token_ids_from_strangers_are_checked(scenario: Callable[..., Scenario], tmp_path: Path, blob: str) -> None:
    done = run(scenario(TEXT), tmp_path / "run")
    forged = forge(done.folder, tmp_path / "copy", f"UPDATE turns SET tokens = {blob} WHERE agent = 'solver-1'")
    with pytest.raises(RunFolderError, match="no run store that society wrote"):
        forged.turns()
