"""The list of runs: states, numbers, unreadable folders with their reason, and the page with filters and order."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from starlette.testclient import TestClient

from society.cli import main
from society.core.errors import RunFolderError
from society.report.page import write_run_list
from society.report.run_list import ListedRun, RunList
from society.runs.locking import LOCK
from society.runs.places import STORE
from society.runs.run import Run
from society.runs.state import write_sessions
from society.store import Store
from society.view.runs_folder import RunsFolder
from society.view.server import build_app
from tests.report.browser import open_browser, open_page
from tests.report.reports import run_flips, run_sums
from tests.view.test_view import serving

HOST = "127.0.0.1:8000"
MARKUP = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with runs of each state, a sweep, and folders that hold no readable run."""
    place = tmp_path_factory.mktemp("lists")
    runs = place / "runs"
    sums = run_sums(place, "sums", "[{name: debate, topology: complete, rounds: 2}]", 3, 20)
    shutil.copytree(sums.folder, runs / "sums")
    shutil.copytree(sums.folder, runs / "sweep" / "variant")
    shutil.copytree(run_flips(place).folder, runs / "flips")
    for name in ("half", "running"):
        shutil.copytree(sums.folder, runs / name)
        db = sqlite3.connect(runs / name / "store.sqlite")
        with db:
            db.execute("DELETE FROM results WHERE rowid > 8")
        db.close()
    (runs / "broken").mkdir()
    (runs / "broken" / "store.sqlite").write_text("no database")
    (runs / f"foreign {MARKUP}").mkdir()
    (runs / "link").symlink_to(sums.folder)
    (runs / "a file").write_text("")
    return runs


def read(folder: Path) -> dict[str, ListedRun]:
    rows, left_out = RunList(folder).read()
    assert left_out == 0
    return {row.name: row for row in rows}


def test_every_folder_is_listed_with_its_state(folder: Path) -> None:
    with FileLock(folder / "running" / LOCK):
        found = read(folder)
    assert {name: row.state for name, row in found.items()} == {
        "sums": "finished",
        "sweep/variant": "finished",
        "flips": "finished",
        "half": "interrupted",
        "running": "running",
        "broken": "not readable",
        f"foreign {MARKUP}": "not readable",
    }
    assert found["half"].part == "8 of 20 debates"
    assert "holds no run" in found[f"foreign {MARKUP}"].reason
    assert "no run store" in found["broken"].reason


def test_numbers_are_those_of_the_run(folder: Path) -> None:
    from society.metrics.overview import read_overview

    found, last = read(folder)["flips"], read_overview(Run(folder / "flips")).last
    assert last is not None
    assert (found.accuracy, found.low, found.high) == (last.after.share, last.after.low, last.after.high)
    assert (found.turns, found.failed, found.questions) == (20, 4, 2)
    assert found.tokens == last.usage.generated_tokens


def test_a_row_is_read_again_only_after_a_change(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = RunList(folder)
    first, _ = runs.read()
    monkeypatch.setattr("society.report.run_list._read", lambda *_: pytest.fail("read again"))
    assert runs.read() == (first, 0)


@pytest.mark.parametrize(("last", "changed"), [("2026-01-01T10:00:00+00:00", 1767261600.0), ("", 1_000_000_000.0)])
def test_the_last_change_is_no_time_of_a_reader(folder: Path, tmp_path: Path, last: str, changed: float) -> None:
    """It is that of the last turn; of a run that does not know it, that of the last write to the store."""
    shutil.copytree(folder / "sums", tmp_path / "sums")
    store = tmp_path / "sums" / STORE
    [call] = Run(store.parent).sessions()
    with Store(store) as opened:
        opened.set_meta(write_sessions([replace(call, last=last)]))
    os.utime(store, (1e9, 1e9))
    store.with_name(f"{STORE}-wal").write_bytes(b"")
    assert read(tmp_path)["sums"].changed == changed


def test_too_many_folders_are_counted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("society.report.run_list.MOST_FOLDERS", 3)
    rows, left_out = RunList(folder).read()
    assert (len(rows), left_out) == (3, 4)


def test_a_folder_without_runs_raises(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="holds no run"):
        RunsFolder(tmp_path)
    with pytest.raises(RunFolderError, match="cannot be read"):
        RunsFolder(tmp_path / "nothing")


def test_the_list_and_each_run_are_served_to_clients_with_the_token(folder: Path) -> None:
    web = TestClient(build_app(RunsFolder(folder), "secret", HOST), base_url=f"http://{HOST}")
    assert web.get("/secret/").status_code == 200
    index = web.get("/secret/index").json()
    assert web.get("/secret/index", params={"cursor": index["cursor"]}).status_code == 204
    links = {row["name"]: row["href"] for row in index["runs"]}
    assert links["broken"] == ""
    assert web.get(f"/secret/{links['flips']}").status_code == 200
    run = web.get(f"/secret/{links['flips']}index").json()["runs"][0]
    assert (run["name"], len(run["debates"])) == ("flips", 2)
    assert len(web.get(f"/secret/{links['flips']}texts/replies/0").json()) == 2
    for path in ("/runs/0/", "/wrong/runs/0/", "/secret/runs/99/", "/secret/runs/x/"):
        assert web.get(path).status_code == 404
    assert web.get(f"/secret/{links['flips']}index", headers={"host": "evil.example"}).status_code == 403


def test_the_command_writes_a_list_for_a_folder_of_runs(folder: Path, tmp_path: Path, capsys: Any) -> None:
    assert main(["report", str(folder), "-o", str(tmp_path / "list.html")]) == 0
    assert 'id="index"' in (tmp_path / "list.html").read_text()
    assert main(["report", str(tmp_path), "-o", str(tmp_path / "none.html")]) == 2
    assert "holds no run" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.browser
def test_a_run_of_the_live_list_links_back_to_it(folder: Path) -> None:
    with serving(folder) as (_, url), open_browser() as browser, open_page(browser, url, width=390) as page:
        page.click("a:text-is('flips')")
        page.wait_for_selector("#title:text-is('flips')")
        page.wait_for_selector("#live:text-is('finished: 20 turns, 2 of 2 debates')")
        page.click("#all-runs")
        page.wait_for_selector("tbody a")
        assert page.url.split("#")[0] == url


@pytest.mark.browser
def test_a_run_without_single_decisions_has_no_accuracy(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    runs.mkdir()
    run_sums(runs, "spread", "[{name: alone}]", 2, 1, "decision={kind: distribution}")
    write_run_list(runs, tmp_path / "list.html")
    with open_browser() as browser, open_page(browser, (tmp_path / "list.html").as_uri()) as page:
        assert page.inner_text("td[data-column=right]") == "no accuracy"


@pytest.mark.browser
def test_the_page_filters_sorts_and_fits(folder: Path, tmp_path: Path) -> None:
    (folder / "sums" / "report.html").write_text("<p>the report</p>")
    write_run_list(folder, tmp_path / "list.html")
    with open_browser() as browser:
        with open_page(browser, (tmp_path / "list.html").as_uri(), width=1400) as page:
            names = "tbody td:first-child"
            assert page.inner_text("#count") == "7 folders"
            assert page.inner_text("#subtitle").count("not readable") == 1
            assert MARKUP in page.inner_text("#table")
            assert page.locator("#table img").count() == 0
            page.click("[data-sort=name]")
            assert page.locator(names).first.inner_text() == "broken"
            page.click("[data-sort=name]")
            assert page.locator(names).first.inner_text() == "sweep/variant"
            page.click("[data-sort=result]")
            assert page.locator(names).first.inner_text() == "flips"
            assert page.get_attribute("th:has([data-sort=result])", "aria-sort") == "descending"
            page.select_option("#state", "interrupted")
            page.fill("#search", "sums")
            page.wait_for_url(re.compile("words=sums"))
            assert page.inner_text("#count") == "2 of 7"
            address = page.url
        with open_page(browser, address, width=390, dark=True) as page:
            assert page.inner_text("#count") == "2 of 7"
            assert page.input_value("#search") == "sums"
            assert page.evaluate("document.documentElement.scrollWidth") <= 390
            page.select_option("#state", "")
            page.fill("#search", "")
            page.wait_for_selector("#count:text-is('7 folders')")
            assert page.evaluate("document.documentElement.scrollWidth") <= 390
            assert page.locator("a").all_inner_texts() == ["sums"]  # the only run with a page in its folder
            link = page.evaluate("document.querySelector('a').href")
            assert link == (folder / "sums" / "report.html").as_uri()
