"""The live view: shows new turns of a run in progress, to clients with its address only."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from society.core.errors import InputError, RunFolderError
from society.report.rows import TAGS
from society.runs.run import Run
from society.view import server
from society.view.follow import Follower
from tests.report.browser import PATIENCE, READY, open_browser, open_page
from tests.report.reports import run_flips, run_sums

HOST = "127.0.0.1:8000"
DEBATE = "[{name: debate, topology: complete, rounds: 2}]"
PENDING = 1 << TAGS.index("pending")


class Unfinished:
    """The folder of an unfinished run, into which rows of the finished run are written on demand."""

    def __init__(self, whole: Run, folder: Path) -> None:
        shutil.copytree(whole.folder, folder)
        self.folder = folder
        self.whole = whole.folder / "store.sqlite"
        self.change("DELETE FROM results", "DELETE FROM turns WHERE item != 'q0' OR round > 1")

    def change(self, *statements: str) -> None:
        db = sqlite3.connect(self.folder / "store.sqlite")
        with db:
            db.execute("ATTACH ? AS whole", (str(self.whole),))
            for statement in statements:
                db.execute(statement)
        db.close()

    def finish(self) -> None:
        """Write all rows of the finished run, also the existing ones again."""
        self.change(
            "INSERT OR REPLACE INTO turns SELECT * FROM whole.turns",
            "INSERT OR REPLACE INTO results SELECT * FROM whole.results",
        )


@pytest.fixture
def unfinished(tmp_path: Path) -> Unfinished:
    return Unfinished(run_flips(tmp_path), tmp_path / "unfinished")


def ask(follower: Follower, cursor: str = "") -> dict[str, Any]:
    found = follower.index(cursor)
    assert found is not None
    return found


def test_debates_in_progress_are_shown_and_not_counted(unfinished: Unfinished) -> None:
    found = ask(Follower(unfinished.folder))["runs"][0]
    (row,) = found["debates"]
    assert row["tags"] & PENDING
    assert row["question"].startswith("Capital of France?")
    assert [text for text, _, right, _ in row["answers"] if right] == ["Paris"]
    assert found["findings"] == []
    assert found["progress"] == {"text": "5 of about 20 turns, 0 of 2 debates", "whole": False}


def test_new_rows_are_read(unfinished: Unfinished) -> None:
    follower = Follower(unfinished.folder)
    cursor = ask(follower)["cursor"]
    assert follower.index(cursor) is None
    unfinished.finish()
    after = ask(follower, cursor)["runs"][0]
    assert [row["item"] for row in after["debates"]] == ["q0", "q1"]
    assert not any(row["tags"] & PENDING for row in after["debates"])
    assert after["findings"]
    assert after["progress"] == {"text": "finished: 20 turns, 2 of 2 debates", "whole": True}
    assert [len(texts) for texts in follower.chunk("replies", 0)] == [10, 10]
    assert [sum(map(bool, texts)) for texts in follower.chunk("thoughts", 0)] == [
        1,
        1,
    ]  # what the loser thought at first


def test_a_followed_run_ends_with_the_data_of_the_report(unfinished: Unfinished) -> None:
    followed = Follower(unfinished.folder)
    ask(followed)
    unfinished.finish()
    at_once = ask(Follower(unfinished.whole.parent))["runs"][0]
    followed_to_the_end = ask(followed)["runs"][0]
    assert followed_to_the_end["debates"] == at_once["debates"]
    assert followed_to_the_end["figures"] == at_once["figures"]


def test_a_repeated_failed_turn_is_replaced(unfinished: Unfinished) -> None:
    follower = Follower(unfinished.folder)
    cursor = ask(follower)["cursor"]
    last = "rowid = (SELECT max(rowid) FROM turns)"
    unfinished.change(f"UPDATE turns SET text = 'again', status = 'ok', answer = 'Lyon' WHERE {last}")
    row = ask(follower, cursor)["runs"][0]["debates"][0]
    assert "Lyon" in [text for text, *_ in row["answers"]]


def test_a_folder_without_a_run_raises(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="holds no run"):
        Follower(tmp_path)


def client(folder: Path, token: str = "secret") -> TestClient:
    return TestClient(server.build_app(Follower(folder), token, HOST), base_url=f"http://{HOST}")


def test_the_page_and_its_data_are_served(unfinished: Unfinished) -> None:
    web = client(unfinished.folder)
    page = web.get("/secret/")
    assert page.status_code == 200
    assert "connect-src 'self'" in page.text
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["cache-control"] == "no-store"
    index = web.get("/secret/index").json()
    assert web.get("/secret/index", params={"cursor": index["cursor"]}).status_code == 204
    assert len(web.get("/secret/texts/prompts/0").json()[0]["turns"]) == 5
    assert web.get("/secret/texts/prompts/9").json() == []


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/", {}, 404),
        ("/wrong/", {}, 404),
        ("/wrong/index", {}, 404),
        ("/secret/nothing", {}, 404),
        ("/secret/texts/secrets/0", {}, 404),
        ("/secret/texts/replies/-1", {}, 404),
        ("/secret/../index", {}, 404),
        ("/secret/index", {"host": "evil.example:8000"}, 403),
        ("/secret/index", {"host": "127.0.0.1:8001"}, 403),
        ("/secret/index", {"origin": "http://evil.example"}, 403),
        ("/secret/index", {"origin": "null"}, 403),
        ("/secret/index", {"origin": f"http://{HOST}"}, 200),
    ],
)
def test_other_requests_are_refused(unfinished: Unfinished, path: str, headers: dict[str, str], status: int) -> None:
    assert client(unfinished.folder).get(path, headers=headers).status_code == status


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_only_get_is_allowed(unfinished: Unfinished, method: str) -> None:
    assert client(unfinished.folder).request(method, "/secret/index").status_code == 405


def test_a_port_in_use_raises(unfinished: Unfinished) -> None:
    with server._listen(0) as listener:
        listener.listen()
        with pytest.raises(InputError, match="cannot be used"):
            server.serve(unfinished.folder, listener.getsockname()[1], print)


@contextmanager
def serving(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Yield a process of `society view` and its address."""
    command = [sys.executable, "-m", "society", "view", str(folder), "--no-open"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


@pytest.mark.slow
@pytest.mark.browser
def test_a_browser_follows_and_ctrl_c_stops_the_server(unfinished: Unfinished) -> None:
    with serving(unfinished.folder) as (process, url):
        assert url.startswith("http://127.0.0.1:")
        with open_browser() as browser, open_page(browser, url) as page:
            page.wait_for_selector("#live:text-is('5 of about 20 turns, 0 of 2 debates')")
            page.wait_for_selector(".turn .text:has-text('Line.')")
            unfinished.finish()
            page.wait_for_selector("#live:text-is('finished: 20 turns, 2 of 2 debates')")
            page.wait_for_selector("#count:text-is('2')")
            page.wait_for_selector(".finding")
            page.wait_for_selector(".turn:has-text('peculiarword')")
            page.locator(".turn summary").first.click()
            page.wait_for_selector(".prompt pre")
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


@pytest.mark.slow
@pytest.mark.browser
def test_the_page_stays_when_the_server_stops(tmp_path: Path) -> None:
    done = run_sums(tmp_path, "sums", DEBATE, 3, 5)
    with serving(done.folder) as (process, url), open_browser() as browser:
        page = browser.new_page()
        page.set_default_timeout(PATIENCE)
        page.goto(url)
        page.wait_for_selector(READY)
        process.terminate()
        process.wait(120)
        page.wait_for_selector("#live:text-is('the server has stopped')")
        assert page.locator(".row").count() == 5
