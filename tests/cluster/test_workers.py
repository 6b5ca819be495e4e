"""Temporary folders of workers, and replicas that do not start. No cluster is needed."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from ray.exceptions import ActorDiedError

from society.core.errors import BackendError
from society.executors.pool import Pool
from society.executors.ray_calls import describe_cause
from society.executors.scratch import LOCK, PREFIX, Scratch

HOLD = """
import sys
from society.executors.scratch import Scratch
held = Scratch()
print(held.path, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_folder_exists_until_it_is_closed(temporary: Path) -> None:
    with Scratch() as scratch:
        (scratch.path / "file").write_text("x")
        with Scratch() as other:
            assert (scratch.path / "file").exists()
            assert other.path != scratch.path
    assert list(temporary.iterdir()) == []


def test_only_folders_of_dead_processes_are_removed(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(temporary))
    with subprocess.Popen(
        [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path.cwd()
    ) as process:
        assert process.stdout is not None
        held = Path(process.stdout.readline().strip())
        (temporary / f"{PREFIX}new").mkdir()  # another process is creating it
        (temporary / "society-other").mkdir()
        with Scratch():
            assert (held / LOCK).exists()
        process.kill()
    with Scratch():
        assert not held.exists()
    assert sorted(path.name for path in temporary.iterdir()) == ["society-other", f"{PREFIX}new"]


class Actor:
    """A handle whose `open` fails."""

    def __init__(self, error: Exception) -> None:
        self.open, self.error = self, error

    def remote(self, *arguments: object) -> Any:
        async def fail() -> Any:
            raise self.error

        return fail()


@pytest.mark.parametrize(("error", "times"), [(ActorDiedError(), 3), (ValueError("what Ray never raised before"), 1)])
def test_replicas_that_do_not_start_raise_without_a_wait(error: Exception, times: int) -> None:
    started: list[Actor] = []

    def start() -> Actor:
        started.append(Actor(error))
        return started[-1]

    async def play() -> None:
        pool = Pool(start, 2, retries=2)
        with pytest.raises(BackendError, match="Cannot start a replica") as caught:
            await asyncio.wait_for(pool.open(), 30)
        assert "same packages" in caught.value.remedy

    asyncio.run(play())
    assert times <= len(started) <= 2 * times


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (
            "The actor died because of an error in its creation task, \x1b[36mray::Replica\x1b[39m (pid=1)\n  File x\n"
            "ModuleNotFoundError: No module named 'mine'\n",
            "ModuleNotFoundError: No module named 'mine'",
        ),
        ("The actor died unexpectedly.\n\tnode: 1", "The actor died unexpectedly."),
        ("", "RuntimeError"),
        ("long " * 99, ("long " * 99)[:300]),
    ],
)
def test_errors_of_ray_are_shortened(said: str, shown: str) -> None:
    assert describe_cause(RuntimeError(said)) == shown
