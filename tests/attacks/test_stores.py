"""Untrusted run stores: a store that this program did not write is refused before anything is read from it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from society.cli import main
from society.core.errors import RunFolderError, SocietyError, StoreError
from society.report.page import write_report
from society.runs.records import load_record, load_records
from society.runs.run import Run
from society.session import run as resume
from society.store import Store
from society.store.rows import AdapterRow
from tests.report.reports import run_sums
from tests.store.forged import forge

DEBATE = "[{name: debate, topology: complete, rounds: 2}]"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_sums(tmp_path_factory.mktemp("sound"), "sums", DEBATE, 3, 4).folder


def change(sound: Path, tmp_path: Path, *statements: str) -> Run:
    return forge(sound, tmp_path / "stranger", *statements)


def test_a_sound_store_is_read(sound: Path, tmp_path: Path) -> None:
    write_report([change(sound, tmp_path, "SELECT 1")], tmp_path / "r.html")
    assert (tmp_path / "r.html").stat().st_size > 10_000


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER t AFTER INSERT ON turns BEGIN DELETE FROM results; END",
        "CREATE VIEW meta2 AS SELECT load_extension('x')",
        "ALTER TABLE texts RENAME TO hidden; CREATE VIEW texts AS SELECT key, text || 'x' AS text FROM hidden",
        "CREATE TABLE more (a)",
        "CREATE INDEX more ON turns (text)",
        "ALTER TABLE turns ADD COLUMN more TEXT",
        "DROP TABLE meta; CREATE TABLE meta (name, value)",
        "UPDATE sqlite_master SET sql = replace(sql, 'text TEXT NOT NULL', 'text TEXT NOT NULL DEFAULT (random())')"
        " WHERE name = 'texts'",
    ],
)
def test_a_schema_that_is_not_ours_is_refused(sound: Path, tmp_path: Path, statement: str) -> None:
    run = change(sound, tmp_path, statement)
    with pytest.raises(RunFolderError, match=r"not ours|says no version"):
        run.turns()


@pytest.mark.parametrize(
    "meta",
    [
        "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT AS ('9'))",
        "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT AS (zeroblob(99000000)))",
        "CREATE VIRTUAL TABLE meta USING fts5(name, value)",
    ],
)
def test_not_even_the_version_is_read_from_a_table_that_is_not_ours(sound: Path, tmp_path: Path, meta: str) -> None:
    """A foreign table could have a column that is computed when it is read."""
    run = change(sound, tmp_path, f"DROP TABLE meta; {meta}; INSERT INTO meta (name) VALUES ('store_version')")
    with pytest.raises(RunFolderError, match="says no version"):
        run.turns()


@pytest.mark.parametrize("version", ["9" * 5000, "\x1b[2J", "x" * 10_000])
def test_a_version_that_is_none_is_shown_short_and_harmless(sound: Path, tmp_path: Path, version: str) -> None:
    run = change(sound, tmp_path, f"UPDATE meta SET value = '{version}' WHERE name = 'store_version'")
    with pytest.raises(RunFolderError, match="of version '") as refused:
        run.turns()
    assert len(str(refused.value)) < 1000
    assert "\x1b" not in str(refused.value)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE turns SET iteration = 'x'",
        "UPDATE turns SET round = -1 WHERE rowid = 1",
        "UPDATE turns SET generated_tokens = 9223372036854775807",
        "UPDATE turns SET text = x'ff00'",
        "UPDATE turns SET answer = x'00'",
        "UPDATE turns SET seconds = 9e999",
        "UPDATE turns SET seconds = 'soon'",
        "UPDATE turns SET confidence = x'01'",
        "UPDATE turns SET confidence = -0.1",
        "UPDATE turns SET confidence = 1.5",
        "UPDATE turns SET logprob = 0.5",
        "UPDATE turns SET seconds = -1.0",
        "UPDATE turns SET seconds = 1e13",
        "UPDATE turns SET reused = 2",
        "UPDATE turns SET replied = 7",
        "UPDATE results SET correct = 7",
        "UPDATE results SET support = 1.5",
        "UPDATE results SET support = -0.5",
        "UPDATE turns SET status = 'splendid'",
        "UPDATE turns SET messages = 'no JSON'",
        "UPDATE turns SET messages = '{}'",
        "UPDATE turns SET messages = '[[1, 2]]'",
        'UPDATE turns SET messages = \'[["user", "../.."]]\'',
        "UPDATE turns SET reads = '[[[], 1, \"a\"]]'",
        f"UPDATE turns SET reads = '{'[' * 900 + ']' * 900}'",
        f"UPDATE turns SET messages = '{'[' * 100_000 + ']' * 100_000}'",
        "UPDATE results SET verdicts = '[]'",
        "UPDATE results SET verdicts = '{\"a\": 3}'",
        "UPDATE results SET tied = '[[1]]'",
        "UPDATE results SET support = -9e999",
        "UPDATE results SET gold = x'00'",
        "UPDATE texts SET key = 'text' WHERE rowid = 1",
        "UPDATE texts SET text = zeroblob(10)",
        "UPDATE meta SET value = x'00' WHERE name = 'versions'",
    ],
)
def test_values_of_another_kind_are_refused(sound: Path, tmp_path: Path, statement: str) -> None:
    run = change(sound, tmp_path, statement)
    with pytest.raises(RunFolderError, match="no run store that society wrote"):
        load_records(run)


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("UPDATE turns SET round = -1 WHERE rowid = 1", "the column round is -1: expected an integer with round >= 0"),
        ("UPDATE turns SET confidence = 1.5", "the column confidence is 1.5: expected a number with confidence >= 0"),
        ("UPDATE turns SET status = 'splendid'", "the column status is 'splendid': expected one of 'ok', 'failed'"),
        ("UPDATE turns SET generated_tokens = -1", "expected an integer with generated_tokens >= 0 AND generated"),
        ("UPDATE turns SET messages = '[[1, 2]]'", "the column messages is '[[1, 2]]': Input should be 'system'"),
        ("UPDATE turns SET reads = '{}'", "the column reads is '{}': Input should be a valid array"),
        ("UPDATE results SET verdicts = '{\"a\": 3}'", "Input should be a valid boolean, at ['a']"),
        ("UPDATE turns SET text = CAST(x'ff' AS TEXT)", "it holds a text that is not UTF-8"),
        ("ALTER TABLE turns ADD COLUMN more TEXT", "its table 'turns' has the column 'more', which is not ours"),
        ("ALTER TABLE turns DROP COLUMN text", "its table 'turns' is not ours: it lacks the column 'text'"),
    ],
)
def test_a_refusal_names_table_row_column_and_value(sound: Path, tmp_path: Path, statement: str, fault: str) -> None:
    run = change(sound, tmp_path, statement)
    with pytest.raises(RunFolderError) as refused:
        load_records(run)
    assert fault in refused.value.cause
    if "the column" in fault and "not ours" not in fault:
        assert "the row of turns with iteration 0, item '" in refused.value.cause
    assert "pydantic" not in str(refused.value)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE results SET correct = 1 - correct WHERE rowid = 1",
        "UPDATE results SET answer = NULL WHERE correct = 1",
        "UPDATE results SET answer = 'another' WHERE correct = 1",
        "UPDATE results SET verdicts = '{}' WHERE correct = 1",
    ],
)
def test_an_outcome_that_contradicts_its_verdicts_is_refused(sound: Path, tmp_path: Path, statement: str) -> None:
    run = change(sound, tmp_path, statement)
    with pytest.raises(RunFolderError, match=r"the column correct is [01]: it contradicts the answer and the verdicts"):
        run.results()


@pytest.mark.parametrize("losses", ["[NaN, 1.0]", "[Infinity]", "[0.5, -Infinity]"])
def test_losses_are_finite(sound: Path, tmp_path: Path, losses: str) -> None:
    row = f"0, 'all', '*', 'h', 'adapters/1/all', 'b', 1, '{{}}', '{losses}', 1, 0.5, '', NULL"
    run = change(sound, tmp_path, f"INSERT INTO adapters VALUES ({row})")
    with pytest.raises(RunFolderError, match=r"the column losses is .*: Input should be a finite number"):
        run.adapters()


def test_a_trainers_loss_that_is_not_finite_is_not_stored(tmp_path: Path) -> None:
    row = AdapterRow(0, "all", "*", "h", "adapters/1/all", "b", 1, {}, [0.5, float("nan")], 1, 0.5)
    with Store(tmp_path / "s.sqlite") as store:
        with pytest.raises(StoreError, match="refused a value"):
            store.add_training(row, [])
        assert store.adapters() == []


def test_a_value_that_is_too_large_is_not_stored(tmp_path: Path) -> None:
    with Store(tmp_path / "s.sqlite") as store:
        store.set_meta({"name": "before"})
        with pytest.raises(StoreError, match="maximum size is 50,000,000 bytes") as refused:
            store.set_meta({"name": "x" * 50_000_001})
        assert "free space" not in refused.value.remedy
        store._pending.clear()


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("DROP TABLE turns", "no such table"),
        ("DROP TABLE meta", "it says no version, as it has no table 'meta'"),
        ("DELETE FROM meta", "it says no version, as its table 'meta' has no row 'store_version'"),
    ],
)
def test_the_remedy_for_an_incomplete_store_fits_every_command(
    sound: Path, tmp_path: Path, statement: str, fault: str
) -> None:
    run = change(sound, tmp_path, statement)
    with pytest.raises(RunFolderError) as refused:
        load_records(run)
    assert fault in refused.value.cause
    assert refused.value.remedy == "Name another folder, or restore this one from a copy."


@pytest.mark.parametrize(
    ("statement", "count"),
    [
        ("DELETE FROM turns", "4 results have"),
        ("DELETE FROM turns WHERE item = (SELECT min(item) FROM results)", "1 result has"),
    ],
)
def test_results_without_turns_are_refused(
    sound: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], statement: str, count: str
) -> None:
    folder = change(sound, tmp_path, statement).folder
    page = tmp_path / "r.html"
    commands = (["show", str(folder)], ["report", str(folder), "-o", str(page)], ["compare", str(sound), str(folder)])
    for command in commands:
        assert main(command) == 2, command
        said = " ".join(capsys.readouterr().err.split())
        assert f"{count} no turns in the run" in said
        assert "the store is incomplete" in said
    assert not page.exists()


def test_a_debate_shown_alone_needs_its_turns(sound: Path, tmp_path: Path) -> None:
    run = change(sound, tmp_path, "DELETE FROM turns")
    with pytest.raises(RunFolderError, match="1 result has no turns"):
        load_record(run, run.debates()[0])


def test_a_debate_shown_alone_has_its_own_rows_checked(sound: Path, tmp_path: Path) -> None:
    """Other rows are not read, so that a large run is shown at once."""
    debates = Run(sound).debates()
    run = change(sound, tmp_path, f"UPDATE turns SET round = 'x' WHERE item = '{debates[0][1]}' AND round = 1")
    with pytest.raises(RunFolderError, match="the column round is 'x': expected"):
        load_record(run, debates[0])
    assert load_record(run, debates[1]).turns
    run = forge(sound, tmp_path / "texts", "UPDATE texts SET text = x'00'")
    with pytest.raises(RunFolderError, match="the column text is 00"):
        load_record(run, debates[1])
    run = forge(sound, tmp_path / "facts", "UPDATE meta SET value = x'07' WHERE name = 'scenario'")
    with pytest.raises(RunFolderError, match="the column value is 07"):
        run.meta()


def test_a_huge_value_is_refused_without_being_read(sound: Path, tmp_path: Path) -> None:
    run = change(sound, tmp_path, "UPDATE turns SET text = CAST(zeroblob(60000000) AS TEXT) WHERE rowid = 1")
    for attempt in (lambda: load_records(run), lambda: resume(Run(sound).scenario, run.folder, resume=True)):
        with pytest.raises(RunFolderError, match="it holds a value of more than 50,000,000 bytes"):
            attempt()


@pytest.mark.parametrize("path", ["/etc/passwd", "../../other", "a/../../b", "C:\\x", "..\\x"])
def test_adapters_stay_in_the_runs_folder(sound: Path, tmp_path: Path, path: str) -> None:
    row = f"0, 'all', '*', 'h', '{path}', 'b', 1, '{{}}', '[0.5, 0.25]', 1, 0.5, '', NULL"
    run = change(sound, tmp_path, f"INSERT INTO adapters VALUES ({row})")
    with pytest.raises(RunFolderError, match="leads out of the run"):
        run.adapters()


def test_damaged_pages_are_found(sound: Path, tmp_path: Path) -> None:
    run = change(sound, tmp_path, "PRAGMA wal_checkpoint(TRUNCATE)")
    path = run.folder / "store.sqlite"
    data = bytearray(path.read_bytes())
    data[4096:] = bytes(byte ^ 0x5A for byte in data[4096:])
    path.write_bytes(data)
    with pytest.raises(RunFolderError):
        run.turns()


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, json.dumps({"version": 1, "name": "x", "agents": 3}), "NaN"])
def test_a_scenario_that_is_none_is_an_error_for_people(sound: Path, tmp_path: Path, text: str) -> None:
    run = change(sound, tmp_path, f"UPDATE meta SET value = '{text}' WHERE name = 'scenario'")
    with pytest.raises(RunFolderError, match="scenario"):
        write_report([run], tmp_path / "r.html")


def test_reading_changes_nothing(sound: Path, tmp_path: Path) -> None:
    run = change(sound, tmp_path, "SELECT 1")
    path = run.folder / "store.sqlite"
    before = path.read_bytes()
    write_report([run], tmp_path / "r.html")
    with pytest.raises(SocietyError), Store(path, read_only=True) as store:
        store.set_meta({"name": "value"})
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("UPDATE turns SET round = 9007199254740991 WHERE rowid = 1", "a turn in round 9007199254740991"),
        ("UPDATE turns SET iteration = 9007199254740991 WHERE rowid = 1", "the iteration 9007199254740991"),
        ("UPDATE results SET iteration = 9007199254740991", "the iteration 9007199254740991"),
        (
            "UPDATE meta SET value = replace(value, '\"count\":3', '\"count\":90000') WHERE name = 'scenario'",
            "fewer than its scenario has agents: 90,000",
        ),
    ],
    ids=["round", "iteration of a turn", "iteration of a result", "agents"],
)
def test_rows_that_no_run_of_the_scenario_writes_are_refused(
    sound: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], statement: str, says: str
) -> None:
    folder = change(sound, tmp_path, statement).folder
    assert main(["report", str(folder), "-o", str(tmp_path / "r.html")]) == 2
    assert says in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "r.html").exists()
