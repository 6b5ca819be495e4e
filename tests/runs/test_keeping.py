"""Runs are merged, archived, restored, migrated, and freed of a question's text; what is left stays a run."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import sqlite3
import tempfile
import time
import zipfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from society.cli import main
from society.core.errors import FolderInUseError, InputError, RunFolderError, StoreError
from society.core.types import Turn
from society.runs import lease
from society.runs.archive import MARK, archive_run, restore_run
from society.runs.folder import RunFolder
from society.runs.forgetting import forget_item
from society.runs.locking import hold, is_running
from society.runs.merging import merge_runs
from society.runs.run import Run
from society.runs.state import RunState
from society.runs.status import read_status
from society.scenario.models.scenario import Scenario
from society.session import run
from society.store.migrate import VERSION
from society.store.table import encode_json
from society.watcher import Watcher
from tests.conftest import rows
from tests.store.test_versions import write_old

TEXT = """
task: {kind: arithmetic, form: a+b, limit: 8}
samples: 2
backends: {scripted: {kind: scripted, rules: [{calculate: {skill: 0.5, wrong: spread}}]}}
roles: {solver: {prompt: "Read this. {{ question }} {% for m in heard %}{{ m.text }} {% endfor %} {{ question }}"}}
agents: {solver: {count: 3}}
phases: [{name: debate, topology: complete, rounds: 2}]
"""
Make = Callable[..., Scenario]


@pytest.fixture
def whole(scenario: Make, tmp_path: Path) -> Run:
    return run(scenario(TEXT), tmp_path / "whole")


def make_shards(scenario: Make, tmp_path: Path, *ranges: tuple[int, int]) -> list[Run]:
    return [
        run(scenario(TEXT, f"task.offset={offset}", f"task.limit={limit}"), tmp_path / f"shard-{offset}")
        for offset, limit in ranges
    ]


def ordered(found: Run) -> list[dict[str, Any]]:
    return sorted(rows(found), key=repr)


def test_merged_shards_are_the_whole_run(whole: Run, scenario: Make, tmp_path: Path) -> None:
    shards = make_shards(scenario, tmp_path, (0, 3), (3, 5))
    command = ["merge", str(tmp_path / "scenario.yaml"), *(str(shard.folder) for shard in shards)]
    scenario(TEXT)
    assert main([*command, "-o", str(tmp_path / "merged")]) == 0
    merged = Run(tmp_path / "merged")
    assert ordered(merged) == ordered(whole)
    assert merged.questions() == whole.questions()
    assert [session.state for session in merged.sessions()] == [RunState.FINISHED] * 3
    again = run(scenario(TEXT), merged.folder, resume=True)
    assert ordered(again) == ordered(whole)


def test_a_merge_into_a_run_is_refused_without_a_word_on_resuming(
    whole: Run, scenario: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    [shard] = make_shards(scenario, tmp_path, (0, 8))
    scenario(TEXT)
    assert main(["merge", str(tmp_path / "scenario.yaml"), str(shard.folder), "-o", str(whole.folder)]) == 2
    said = capsys.readouterr().err
    assert "holds a run already" in said
    assert "--resume" not in said


def test_missing_questions_are_debated_later(whole: Run, scenario: Make, tmp_path: Path) -> None:
    shards = make_shards(scenario, tmp_path, (2, 3))
    assert merge_runs(scenario(TEXT), shards, tmp_path / "merged") == (6, 16)
    assert ordered(run(scenario(TEXT), tmp_path / "merged", resume=True)) == ordered(whole)


def test_a_merged_run_has_a_state_and_a_price_of_its_own(scenario: Make, tmp_path: Path) -> None:
    price = "backends.scripted.price={prompt: 1000, generated: 1000}"
    shards = [
        run(scenario(TEXT, price, f"task.offset={offset}", "task.limit=2"), tmp_path / str(offset)) for offset in (0, 2)
    ]
    whole = scenario(TEXT, price)
    merge_runs(whole, shards, tmp_path / "merged")
    status = read_status(tmp_path / "merged")
    assert (status.state, status.progress, status.whole) == (RunState.INTERRUPTED, "8 of 16 debates", False)
    assert status.reason == "8 debates of no merged run."
    paid = [float(session.dollars) for session in Run(tmp_path / "merged").sessions()]
    assert min(paid) > 0
    assert paid[2] == pytest.approx(paid[0] + paid[1])
    run(whole, tmp_path / "merged", resume=True)
    assert read_status(tmp_path / "merged").whole


@pytest.mark.parametrize("more", ["memory: {recall: {most: 2}}", "clock: {start: 2023-02-13 08:00, minutes: 60}"])
def test_parts_whose_prompts_lack_earlier_questions_are_not_merged(more: str, scenario: Make, tmp_path: Path) -> None:
    shown = "{{ now }}" if "clock" in more else "{% for m in memories %}{{ m.text }} {% endfor %}"
    text = f"{TEXT.replace('Read this.', shown)}{more}\n"
    first, second = (
        run(scenario(text, f"task.offset={offset}", "task.limit=4"), tmp_path / str(offset)) for offset in (0, 4)
    )
    with pytest.raises(InputError, match="4 lack earlier questions"):
        merge_runs(scenario(text), [first, second], tmp_path / "merged")
    merge_runs(scenario(text), [first], tmp_path / "merged")
    whole = run(scenario(text), tmp_path / "whole")
    assert ordered(run(scenario(text), tmp_path / "merged", resume=True)) == ordered(whole)


def test_streams_of_a_file_are_merged(scenario: Make, tmp_path: Path) -> None:
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(f'{{"q": "{i} + 1?", "a": "{i + 1}", "town": "{i // 2}"}}\n' for i in range(4)))
    text = TEXT.replace(
        "{kind: arithmetic, form: a+b, limit: 8}", "{kind: file, path: rows.jsonl, question: q, gold: a}"
    )
    text = text.replace("Read this.", "{% for m in memories %}{{ m.text }} {% endfor %}")
    text += "memory: {recall: {most: 2}}\nsequence: {streams: town}\n"
    shards = [run(scenario(text, f"task.offset={offset}", "task.limit=2"), tmp_path / str(offset)) for offset in (0, 2)]
    merge_runs(scenario(text), shards, tmp_path / "merged")
    assert ordered(Run(tmp_path / "merged")) == ordered(run(scenario(text), tmp_path / "whole"))
    data.write_text(data.read_text().replace("1 + 1?", "What is 1 + 1?"))
    with pytest.raises(InputError, match=r"another scenario: the contents of task\.path"):
        merge_runs(scenario(text), shards, tmp_path / "again")


def test_a_shard_under_way_is_not_merged(scenario: Make, tmp_path: Path) -> None:
    [shard] = make_shards(scenario, tmp_path, (0, 3))
    with hold(shard.folder, None), pytest.raises(RunFolderError, match="A process works on"):
        merge_runs(scenario(TEXT), [shard], tmp_path / "merged")


def test_what_is_no_shard_is_refused(scenario: Make, tmp_path: Path) -> None:
    first, second, other = make_shards(scenario, tmp_path, (0, 3), (2, 2), (6, 2))
    loaded = scenario(TEXT)
    changed = run(scenario(TEXT, "seed=4", "task.offset=6", "task.limit=2"), tmp_path / "changed")
    with closing(sqlite3.connect(other.folder / "store.sqlite")) as db, db:
        db.execute("UPDATE meta SET value = '{\"scripted\": \"another\"}' WHERE name = 'models'")
    few = scenario(TEXT, "task.limit=2")
    for target, shards, match in (
        (loaded, [first, second], "is in .*shard-0 and in .*shard-2"),
        (loaded, [first, changed], "another scenario: seed was 4"),
        (loaded, [first, other], "another model"),
        (few, [first], "is not one of the whole scenario"),
    ):
        with pytest.raises(InputError, match=match):
            merge_runs(target, shards, tmp_path / "merged")
        assert not (tmp_path / "merged").exists()


def test_an_archive_holds_the_whole_run(whole: Run, scenario: Make, tmp_path: Path) -> None:
    (whole.folder / "adapters" / "1").mkdir(parents=True)
    (whole.folder / "adapters" / "1" / "weights").write_bytes(b"weights")
    file = tmp_path / "run.zip"
    assert main(["archive", str(whole.folder), "-o", str(file)]) == 0
    before = ordered(whole)
    shutil.rmtree(whole.folder)
    assert main(["archive", str(file), "--restore", "-o", str(whole.folder)]) == 0
    assert ordered(whole) == before
    assert (whole.folder / "adapters" / "1" / "weights").read_bytes() == b"weights"
    assert ordered(run(scenario(TEXT), whole.folder, resume=True)) == before
    with pytest.raises(RunFolderError, match="exists"):
        restore_run(file, whole.folder)


def test_a_run_under_way_and_links_are_not_archived(whole: Run, tmp_path: Path) -> None:
    with hold(whole.folder, None), pytest.raises(RunFolderError, match="A process works on"):
        archive_run(whole.folder, tmp_path / "run.zip")
    (whole.folder / "secret").symlink_to("/etc/passwd")
    with pytest.raises(RunFolderError, match="is a link"):
        archive_run(whole.folder, tmp_path / "run.zip")
    assert not (tmp_path / "run.zip").exists()


def test_files_without_a_date_are_archived(whole: Run, tmp_path: Path) -> None:
    os.utime(whole.folder / "questions.json", (0, 0))  # ZIP has no dates before 1980
    archive_run(whole.folder, tmp_path / "run.zip")
    restore_run(tmp_path / "run.zip", tmp_path / "restored")
    assert ordered(Run(tmp_path / "restored")) == ordered(whole)


def test_an_archive_overwrites_nothing(whole: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "thesis.zip"
    other.write_bytes(b"thesis")
    assert main(["archive", str(whole.folder), "-o", str(other)]) == 2
    assert "exists" in capsys.readouterr().err
    assert other.read_bytes() == b"thesis"
    assert main(["archive", str(whole.folder), "-o", str(tmp_path / "run.zip")]) == 0
    assert f"{whole.folder} is still there" in capsys.readouterr().out


def test_without_space_for_temporary_files_the_remedy_names_their_folder(
    whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = sqlite3.connect

    def connect_to_small(path: str | Path, **options: Any) -> sqlite3.Connection:
        db = connect(path, **options)
        if not options:
            db.execute("PRAGMA max_page_count=2")  # SQLite then raises the error of a full disk
        return db

    monkeypatch.setattr(sqlite3, "connect", connect_to_small)
    with pytest.raises(InputError, match="TMPDIR"):
        archive_run(whole.folder, tmp_path / "run.zip")
    monkeypatch.undo()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(InputError, match="TMPDIR"):
        archive_run(whole.folder, tmp_path / "run.zip")
    assert not (tmp_path / "run.zip").exists()


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil", "C:\\evil", "..\\evil", "store.sqlite"])
def test_a_hostile_archive_writes_nothing(whole: Run, tmp_path: Path, name: str) -> None:
    archive_run(whole.folder, tmp_path / "run.zip")
    with zipfile.ZipFile(tmp_path / "run.zip", "a") as archive:
        archive.writestr(zipfile.ZipInfo(name), "evil")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match="is no archive of a run"):
        restore_run(tmp_path / "run.zip", tmp_path / "out")
    assert sorted(tmp_path.rglob("*")) == before


def test_an_archive_with_a_name_of_no_encoding_is_refused(whole: Run, tmp_path: Path) -> None:
    file = tmp_path / "run.zip"
    archive_run(whole.folder, file)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("é.txt", "text")
    file.write_bytes(file.read_bytes().replace("é.txt".encode(), b"\xff\xff.txt"))
    with pytest.raises(InputError, match="is no archive of a run"):
        restore_run(file, tmp_path / "restored")


def test_a_damaged_archive_is_refused(whole: Run, tmp_path: Path) -> None:
    file = tmp_path / "run.zip"
    archive_run(whole.folder, file)
    data = file.read_bytes()
    for broken in (data[: len(data) // 2], b"", data[:200] + b"\0" * 64 + data[264:]):
        file.write_bytes(broken)
        with pytest.raises(InputError):
            restore_run(file, tmp_path / "out")
        assert not (tmp_path / "out").exists()
    with zipfile.ZipFile(file, "w") as archive:
        archive.comment = MARK
    with pytest.raises(InputError, match="holds no run"):
        restore_run(file, tmp_path / "out")


def test_a_forgotten_question_leaves_no_bytes(
    whole: Run, scenario: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    question, other = (whole.questions() or [])[:2]
    whole.report()
    before = len(whole.debates())
    assert main(["forget", str(whole.folder), "--item", question.id]) == 0
    assert f"12 turns of {question.id} deleted" in capsys.readouterr().out
    everything = b"".join(path.read_bytes() for path in whole.folder.rglob("*") if path.is_file())
    assert question.question.encode() not in everything
    assert other.question.encode() in everything
    assert len(whole.debates()) == before - 2
    assert "1 question, which no number above includes" in whole.summary()
    assert "unfinished" not in whole.summary()
    with pytest.raises(RunFolderError, match="1 question was deleted"):
        run(scenario(TEXT), whole.folder, resume=True)
    assert main(["forget", str(whole.folder), "--item", question.id]) == 2
    assert main(["show", str(whole.folder), "--item", other.id]) == 0


def test_quotations_of_a_forgotten_question_are_named(whole: Run, capsys: pytest.CaptureFixture[str]) -> None:
    question, other = (whole.questions() or [])[:2]
    with closing(sqlite3.connect(whole.folder / "store.sqlite")) as db, db:
        db.execute("UPDATE turns SET text = ? WHERE item = ? AND round = 1", (f"As in {question.question}", other.id))
    assert forget_item(whole.folder, question.id).quoting == (other.id,)
    assert main(["forget", str(whole.folder), "--item", other.id]) == 0


def test_old_runs_are_migrated_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_old(tmp_path / "old", version=3)
    assert main(["migrate", str(folder)]) == 0
    assert f"version 3 is now {VERSION}" in capsys.readouterr().out
    assert main(["migrate", str(folder)]) == 0
    assert "up to date" in capsys.readouterr().out
    assert main(["migrate", str(write_old(tmp_path / "oldest"))]) == 2


def test_a_run_under_way_is_not_migrated(scenario: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seen = []

    class Migrate(Watcher):
        def result(self, result: object) -> None:
            seen.append((main(["migrate", str(tmp_path / "run")]), capsys.readouterr()))

    run(scenario(TEXT, "task.limit=1"), tmp_path / "run", watcher=Migrate())
    assert [status for status, _ in seen] == [2, 2]
    assert all("in use by a run under way" in said.err and not said.out for _, said in seen)


def test_a_run_of_a_machine_with_another_clock_is_not_archived_while_it_works(
    whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lease seems an hour old. Whether it changes is watched all the same."""
    monkeypatch.setattr(lease, "PATIENCE", 1.0)
    monkeypatch.setattr(lease, "BEAT", 0.2)
    path = whole.folder / ".lease-2"
    holder = lease.Lease("0" * 32, "elsewhere", "other", 7)

    def beat(number: int) -> None:
        path.write_bytes(encode_json(asdict(replace(holder, beat=number))).encode().ljust(lease.SIZE))
        os.utime(path, (time.time() - 3600,) * 2)

    beat(0)
    beats = iter(range(1, 100))

    async def sleep(seconds: float, real: Callable[[float], Any] = asyncio.sleep) -> None:
        beat(next(beats))
        await real(0)

    monkeypatch.setattr(lease.asyncio, "sleep", sleep)
    assert not is_running(whole.folder)
    with pytest.raises(FolderInUseError, match="process 7 on elsewhere"):
        archive_run(whole.folder, tmp_path / "whole.zip")
    assert not (tmp_path / "whole.zip").exists()


def test_a_full_disk_at_the_start_leaves_no_lease(
    scenario: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(holder: lease.Holder) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(lease.Holder, "_write", write)
    with pytest.raises(RunFolderError, match="Free space on this disk, or raise the quota"):
        run(scenario(TEXT), tmp_path / "run")
    assert not (tmp_path / "run").exists(), "else it would count as a run that was killed"


def test_a_lease_of_the_future_tells_of_a_clock(whole: Run) -> None:
    [path] = whole.folder.glob(".lease-*")
    os.utime(path, (time.time() + 3600,) * 2)
    assert "clock of this machine is 60 min behind" in read_status(whole.folder).reason


def test_a_run_whose_folder_is_moved_away_stops_and_goes_on_there(
    scenario: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "BEAT", 0.02)
    slow = scenario(TEXT.replace("limit: 8", "limit: 900"), "concurrency=1", "backends.scripted.delay=0.02")

    class Move(Watcher):
        def turn(self, turn: Turn, replayed: bool) -> None:
            if (tmp_path / "run").exists():
                (tmp_path / "run").rename(tmp_path / "moved")

    with pytest.raises(StoreError, match="removed or moved while the run went on"):
        run(slow, tmp_path / "run", watcher=Move())
    found = read_status(tmp_path / "moved")
    assert (found.state, found.stuck) == (RunState.ABORTED, False)
    assert 0 < found.turns < 900 * 3
    assert not is_running(tmp_path / "moved")


def test_debates_that_remember_a_forgotten_question_are_listed(scenario: Make, tmp_path: Path) -> None:
    """Their replies may be too short to be searched for."""
    text = TEXT.replace("Read this.", "{% for m in memories %}{{ m.text }} {% endfor %}")
    done = run(scenario(text + "memory: {recall: {most: 2}}\n"), tmp_path / "run")
    first = (done.questions() or [])[0].id
    shown = {turn.id.item for turn in done.turns() if any(past.item == first for past in turn.recalls)}
    assert shown
    assert set(forget_item(done.folder, first).quoting) >= shown - {first}


def test_new_runs_that_start_at_once_get_folders_of_their_own(
    scenario: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first, second = (RunFolder(scenario(TEXT), None, resume=False) for _ in range(2))
    assert first.path == second.path
    with first, second:
        assert first.path != second.path
        assert second.store.parent == second.path


def test_a_link_to_nothing_in_place_of_all_runs_is_an_error(
    scenario: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").symlink_to("removed")
    with pytest.raises(RunFolderError, match="cannot be written"), RunFolder(scenario(TEXT), None, resume=False):
        pass
