"""Properties that hold for any bytes: each target takes bytes and raises if a property fails."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

from backends.models.gguf_file import check_gguf
from society.answers.equal import same_choice, same_exact, same_numeric
from society.answers.extract import Named, Regex, extract
from society.answers.mathematics import is_tame, simplify
from society.answers.numbers import close, parse_number
from society.core.errors import InputError
from society.scenario import check_scenario

CORPUS = Path(__file__).parent / "corpus"
NAMED: tuple[Named, ...] = ("tag", "boxed", "hash", "last_number", "choice", "candidates", "statement", "line", "text")
CANDIDATES = {"Paris": "Paris", "São Tomé": "São Tomé", "the Hague": "The Hague", "N'Djamena": "N'Djamena"}


@cache
def _folder() -> Path:
    """Return a folder for one file at a time, in memory where that is to be had."""
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() and os.access(memory, os.W_OK) else None))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def check_any_scenario(data: bytes) -> None:
    """Whatever a scenario file holds, `check` lists its problems, each at a place in the file."""
    path = _folder() / "scenario.yaml"
    path.write_bytes(data)
    lines = data.count(b"\n") + data.count(b"\r") + data.count("\u2028".encode()) * 2 + data.count(b"\x85") + 2
    for problem in check_scenario(path):
        assert problem.message
        assert 1 <= problem.line <= lines, problem


def check_any_answer(data: bytes) -> None:
    """Whatever a model says, an answer is a part of it or None, and equality is reflexive and symmetric."""
    text = data.decode("utf-8", "replace")
    half = len(text) // 2
    one, other = text[:half], text[half:]
    for extractor in (*NAMED, Regex(regex=r"answer is (.+?)[.\n]")):
        found = extract(text, [extractor], CANDIDATES)
        assert found is None or found.strip() == found != ""
    for same in (same_exact, same_choice, lambda a, b: same_numeric(a, b, 1e-6)):
        assert same(one, one)
        assert same(one, other) == same(other, one)
    value = parse_number(one)
    assert value is None or close(value, value, 0)
    assert len(simplify(one)) <= 12 * len(one) + 8
    is_tame(simplify(one))


def check_any_gguf(data: bytes) -> None:
    """Whatever a file holds, it is described or refused with an `InputError`."""
    path = _folder() / "model.gguf"
    path.write_bytes(data)
    with contextlib.suppress(InputError):
        info = check_gguf(path)
        assert info.architecture
        assert info.size == len(data)
        assert 0 <= info.tensor_count * 24 <= len(data)
        info.number("block_count")


TARGETS: dict[str, Callable[[bytes], None]] = {
    "scenario": check_any_scenario,
    "answers": check_any_answer,
    "gguf": check_any_gguf,
}
