"""A tiny model, and programs that behave as vLLM and SGLang do."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.backends.hf.tiny import make_model

ROOT = Path(__file__).parents[3]
Events = Callable[[], list[dict[str, Any]]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("serving") / "model", hidden_size=16)


@pytest.fixture
def events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Events:
    """Install the fakes as the commands `vllm` and `sglang`, and return a reader of their events."""
    folder, log = tmp_path / "bin", tmp_path / "events"
    folder.mkdir()
    for name in ("vllm", "sglang"):
        program = folder / name
        program.write_text(f'#!/bin/sh\ncd {ROOT}\nexec {sys.executable} -m tests.backends.{name}.fake "$@"\n')
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_EVENTS", str(log))
    log.touch()
    return lambda: [json.loads(line) for line in log.read_text().splitlines()]
