"""Data sets of the hub: from the cache without a network, or downloaded from a hub that is played here on loopback."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import pytest

from society.core.errors import InputError
from society.tasks.data_files import Wanted, choose_files
from society.tasks.dataset import Dataset
from society.tasks.file import File

COMMIT = "0123456789abcdef0123456789abcdef01234567"
ROWS = [{"question": f"{n} + 1?", "answer": f"So it is.\n#### {n + 1}"} for n in range(3)]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("HF_HUB_CACHE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    return tmp_path / "hf"


def put(home: Path, name: str, files: dict[str, str], branch: str = "main") -> Path:
    """Write a data set into the cache, as the hub's client does: snapshots of links to blobs."""
    folder = home / "hub" / f"datasets--{name.replace('/', '--')}"
    (folder / "refs" / branch).parent.mkdir(parents=True, exist_ok=True)
    (folder / "refs" / branch).write_text(COMMIT)
    for number, (file, content) in enumerate(files.items()):
        blob, link = folder / "blobs" / str(number), folder / "snapshots" / COMMIT / file
        blob.parent.mkdir(exist_ok=True)
        link.parent.mkdir(parents=True, exist_ok=True)
        blob.write_text(content)
        link.symlink_to(os.path.relpath(blob, link.parent))
    return folder


def hub(name: str, **fields: Any) -> File:
    return File.model_validate({"path": f"hub:{name}", **fields})


def test_a_data_set_in_the_cache_is_read_without_a_network(home: Path) -> None:
    put(home, "openai/gsm8k", {"README.md": "---", "main/test.jsonl": LINES, "main/train.jsonl": "{}"})
    task = Dataset(name="gsm8k")
    assert task.missing == ""
    assert [(item.id, item.gold) for item in task.load(0)] == [("test-1", "1"), ("test-2", "2"), ("test-3", "3")]
    named = hub("openai/gsm8k", config="main", split="test", gold_extract=["hash"], revision=COMMIT)
    assert [item.gold for item in named.load(0)] == ["1", "2", "3"]


def test_parquet_files_that_the_hub_has_converted_are_found(home: Path) -> None:
    put(home, "some/script", {"default/test/0.jsonl": LINES}, branch="refs/convert/parquet")
    assert len(hub("some/script", split="test").load(0)) == 3


@pytest.mark.parametrize(
    ("files", "fields", "message"),
    [
        ({"a/test.jsonl": LINES, "b/test.jsonl": LINES}, {}, r"several configurations: a, b.*\n.*task.config"),
        ({"test.jsonl": LINES, "train.jsonl": LINES}, {}, r"several splits: test, train.*\n.*task.split"),
        ({"a/test.jsonl": LINES}, {"config": "c"}, r"no configuration 'c'.*\n.*There are: a"),
        ({"test.jsonl": LINES}, {"split": "train"}, r"no split 'train'"),
        ({"test-00000-of-00002.jsonl": LINES}, {}, r"not in the local cache.*HF_HUB_OFFLINE is set.*\n.*hf download"),
        ({"script.py": "raise SystemExit"}, {}, r"not in the local cache"),
        ({}, {}, r"not in the local cache"),
    ],
)
def test_a_cache_without_the_wanted_part_is_an_error_with_the_remedy(
    home: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], fields: dict[str, Any], message: str
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    put(home, "some/set", files)
    with pytest.raises(InputError, match=message):
        hub("some/set", **fields).load(0)


def test_a_check_uses_no_network_and_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    import society

    monkeypatch.setattr("socket.getaddrinfo", lambda *_: pytest.fail("the network is used"))
    data: dict[str, Any] = {
        "version": 1,
        "name": "x",
        "task": {"kind": "dataset", "name": "gsm8k", "limit": 5},
        "backends": {"b": {"kind": "scripted"}},
        "roles": {"r": {"prompt": "{{ question }}"}},
        "agents": {"a": {}},
        "phases": [{"name": "p"}],
    }
    [problem] = society.check(data)
    assert (problem.level, problem.path) == ("warning", "task")
    assert "hub:openai/gsm8k is not in the local cache" in problem.message


def test_without_a_network_the_error_comes_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("huggingface_hub")

    def refuse(*_: object, **__: object) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setattr("socket.getaddrinfo", refuse)
    began = time.process_time()
    with pytest.raises(InputError, match=r"cannot be downloaded: .*Name or service not known.*\n.*task.path"):
        hub("some/set").load(0)
    assert time.process_time() - began < 10


def test_a_missing_revision_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache has another one, so the name of the data set alone would say the opposite of what is true."""
    put(home, "acme/odd", {"data.jsonl": LINES})
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    task = hub("acme/odd", revision="v2")
    named = "hub:acme/odd at the revision 'v2'"
    assert (task.origin, named in task.missing) == (named, True)
    with pytest.raises(InputError) as raised:
        task.load(0)
    assert named in raised.value.cause
    assert "hf download --repo-type dataset acme/odd --revision v2." in raised.value.remedy


class Hub(BaseHTTPRequestHandler):
    """A hub with one data set: its list of files, and each file."""

    files: ClassVar = {
        "README.md": "-",
        "main/test.jsonl": LINES,
        "main/train.jsonl": "{}\n",
        "loader.py": "raise Exit",
    }
    asked: ClassVar[list[str]] = []

    def do_HEAD(self) -> None:  # named by the library
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        type(self).asked.append(f"{self.command} {self.path}")
        if not self.path.startswith(("/api/datasets/some/set", "/datasets/some/set")):
            self.reply(404, b"", {"X-Error-Code": "RepoNotFound"})
        elif "/tree/" in self.path:
            entries = [{"type": "file", "path": n, "size": len(c), "oid": f"{i}"} for i, (n, c) in self.numbered()]
            self.reply(200, json.dumps(entries).encode())
        elif self.path.startswith("/api/"):
            siblings = [{"rfilename": name} for name in self.files]
            self.reply(200, json.dumps({"id": "some/set", "sha": COMMIT, "siblings": siblings}).encode())
        else:
            content = self.files[self.path.partition(f"{COMMIT}/")[2]].encode()
            self.reply(200, content, {"ETag": f'"{abs(hash(content))}"', "X-Repo-Commit": COMMIT})

    def numbered(self) -> Any:
        return enumerate(self.files.items())

    def reply(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def server(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    library = pytest.importorskip("huggingface_hub")
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as made:
        Thread(target=made.serve_forever, daemon=True).start()
        client = partial(library.HfApi, endpoint=f"http://127.0.0.1:{made.server_port}")
        monkeypatch.setattr(library, "HfApi", client)
        monkeypatch.setattr(Hub, "asked", [])
        yield
        made.shutdown()


def test_the_wanted_files_alone_are_downloaded_and_then_read_from_the_cache(server: None, home: Path) -> None:
    task = hub("some/set", split="test", gold_extract=["hash"])
    assert task.missing
    assert [item.gold for item in task.load(0)] == ["1", "2", "3"]
    loaded = {path.name for path in home.rglob("*") if path.parent.parent.name == COMMIT or path.parent.name == COMMIT}
    assert loaded == {"main", "test.jsonl"}
    assert not any("loader.py" in asked or "train" in asked for asked in Hub.asked)
    Hub.asked.clear()
    assert len(task.load(0)) == 3
    assert task.missing == ""
    assert Hub.asked == []


def test_a_data_set_that_the_hub_does_not_know_is_an_error(server: None) -> None:
    with pytest.raises(InputError, match=r"The hub has no data set 'no/such', or it is private.*\n.*hf auth login"):
        hub("no/such").load(0)


def test_files_of_the_preferred_format_are_chosen() -> None:
    files = ["data/test-00000-of-00001-bae6.parquet", "data/train-00000-of-00001.parquet", "test.json", "train.json"]
    assert choose_files(files, Wanted(split="test"), "x") == files[:1]
