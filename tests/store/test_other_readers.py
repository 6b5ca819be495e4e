"""Other programs may read the store of a run under way."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from society.core.types import Turn, TurnId
from society.store import Store
from society.store.opening import drop_stale_wal

READ = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
print(*(agent for agent, in db.execute("SELECT agent FROM turns ORDER BY agent")))
db.close()
"""
TURN = Turn(TurnId(0, "q", "p", 1, "a"), "key", (), "sure", None)


def read_again(path: Path) -> None:
    """Read a store that this process is writing."""
    with Store(path, read_only=True) as store:
        assert store.count() == 1


def read_elsewhere(path: Path) -> str:
    """Return the agents of the turns that another program reads from a store."""
    return subprocess.run([sys.executable, "-c", READ, str(path)], check=True, capture_output=True, text=True).stdout


@pytest.mark.skipif(sys.platform == "win32", reason="locks of files belong to handles there")
@pytest.mark.parametrize("use", [read_again, drop_stale_wal])
def test_a_program_that_reads_the_store_does_not_harm_its_run(tmp_path: Path, use: Callable[[Path], object]) -> None:
    path = tmp_path / "store.sqlite"

    async def write() -> None:
        with Store(path) as store:
            await store.add(TURN)
            use(path)
            assert read_elsewhere(path) == "a\n"  # it closes the file, and is the last only if our locks are lost
            await store.add(replace(TURN, id=replace(TURN.id, agent="b")))
            with Store(path, read_only=True) as again:
                assert again.count() == 2
            assert read_elsewhere(path) == "a b\n"

    asyncio.run(write())
    assert read_elsewhere(path) == "a b\n"
