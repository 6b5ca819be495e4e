"""Files and folders appear whole or not at all; after a power cut too, for contents reach the disk before names."""

from __future__ import annotations

import os
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from safetensors.numpy import save_file

from backends.hf.adapters import write_folder
from society.core.atomic import atomic_write, move_into_place
from society.pictures.draw_graphs import draw
from society.pictures.graphs import describe_graph
from society.report.page import write_atomically

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Return the names that are synced and renamed, in order."""
    made: list[tuple[str, str]] = []
    inodes: dict[int, str] = {}

    def fsync(handle: int) -> None:
        made.append(("sync", inodes.get(os.fstat(handle).st_ino, "?")))

    def opened(path: str | Path, *arguments: int, real=os.open) -> int:
        handle = real(path, *arguments)
        inodes[os.fstat(handle).st_ino] = Path(path).name
        return handle

    def replace(self: Path, target: Path, real=Path.replace) -> Path:
        made.append(("rename", Path(target).name))
        return real(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "open", opened)
    monkeypatch.setattr(Path, "replace", replace)
    return made


def fill(folder: Path) -> None:
    (folder / "inner").mkdir(exist_ok=True)
    (folder / "weights").write_text("weights")
    (folder / "inner" / "config").write_text("config")


def test_an_adapters_files_are_on_the_disk_before_its_folder_has_its_name(
    tmp_path: Path, calls: list[tuple[str, str]]
) -> None:
    write_folder(tmp_path / "adapter", fill)
    renamed = calls.index(("rename", "adapter"))
    assert {("sync", "weights"), ("sync", "config"), ("sync", "inner"), ("sync", ".adapter.part")} == set(
        calls[:renamed]
    )
    assert calls[renamed + 1 :] == [("sync", tmp_path.name)]


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path: Path, calls: list[tuple[str, str]]) -> None:
    write_atomically(tmp_path / "report.html", "<html></html>")
    [synced, renamed, folder] = calls
    assert synced[0] == "sync"
    assert synced[1].startswith(".report.html.")
    assert [renamed, folder] == [("rename", "report.html"), ("sync", tmp_path.name)]


def test_what_fails_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("before")
    with pytest.raises(RuntimeError), atomic_write(tmp_path / "file") as part:  # noqa: PT012 - it must fail half way
        part.write_text("half")
        raise RuntimeError
    with pytest.raises(RuntimeError), atomic_write(tmp_path / "folder") as part:  # noqa: PT012
        part.mkdir()
        fill(part)
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "before"


def test_a_folder_takes_the_place_of_another(tmp_path: Path) -> None:
    for name in ("part", "folder"):
        (tmp_path / name).mkdir()
    (tmp_path / "folder" / "old").touch()
    fill(tmp_path / "part")
    move_into_place(tmp_path / "part", tmp_path / "folder")
    assert sorted(path.name for path in (tmp_path / "folder").iterdir()) == ["inner", "weights"]


def test_a_picture_that_cannot_be_finished_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figure = pytest.importorskip("matplotlib.figure")

    def fail(self: object, path: Path, **options: object) -> None:
        Path(path).write_text("half")
        raise RuntimeError

    graph = nx.DiGraph([("one", "two")])
    monkeypatch.setattr(figure.Figure, "savefig", fail)
    with pytest.raises(RuntimeError):
        draw([describe_graph("pair", graph)], tmp_path / "picture.svg")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("umask", [0o002, 0o022, 0o077])
def test_files_of_libraries_have_the_rights_that_the_umask_gives(tmp_path: Path, umask: int) -> None:
    """Those of safetensors are for their owner alone, and other users of a shared cache could not read them."""
    before = os.umask(umask)
    try:
        write_folder(tmp_path / "model", lambda part: save_file({"a": np.zeros(1)}, part / "model.safetensors"))
        with atomic_write(tmp_path / "a.safetensors") as part:
            save_file({"a": np.zeros(1)}, part)
    finally:
        os.umask(before)
    files = [tmp_path / "model" / "model.safetensors", tmp_path / "a.safetensors"]
    assert [oct(file.stat().st_mode & 0o777) for file in files] == [oct(0o666 & ~umask)] * 2
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "a.safetensors", tmp_path / "model", files[0]]
