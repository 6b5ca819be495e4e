"""No command uses the network unless a scenario names a remote model: all sockets are refused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

GUARD = """
import socket, sys
from pathlib import Path

def refuse(name):
    def refused(self_or_host, *given, **more):
        if getattr(self_or_host, "family", None) == socket.AF_UNIX:
            return real[name](self_or_host, *given, **more)
        with Path({log!r}).open("a") as file:
            file.write(f"{{name}} {{given}}\\n")
        raise OSError("the network is closed")
    return refused

real = {{name: getattr(socket.socket, name) for name in ("connect", "connect_ex", "sendto")}}
for name in real:
    setattr(socket.socket, name, refuse(name))
socket.getaddrinfo = refuse("getaddrinfo")
socket.create_connection = refuse("create_connection")
"""
SCENARIO = """
version: 1
name: closed
task: {kind: arithmetic, limit: 2}
backends: {b: {kind: scripted, rules: [{calculate: {skill: 0.5}}]}}
roles: {r: {prompt: "{{ question }}"}}
agents: {a: {count: 3}}
phases: [{name: p, topology: complete, rounds: 2}]
"""
TELEMETRY = ("HF_HUB_OFFLINE", "HF_HUB_DISABLE_TELEMETRY", "TRANSFORMERS_OFFLINE", "DO_NOT_TRACK")


@pytest.fixture
def closed(tmp_path: Path) -> dict[str, str]:
    """Return an environment in which every Python process finds the network closed, without privacy variables."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(GUARD.format(log=str(tmp_path / "calls")))
    (tmp_path / "s.yaml").write_text(SCENARIO)
    environment = {name: value for name, value in os.environ.items() if name not in TELEMETRY}
    root = Path(__file__).parents[2]
    return environment | {"PYTHONPATH": os.pathsep.join([str(site), str(root)])}


def python(closed: dict[str, str], folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *command], cwd=folder, env=closed, capture_output=True, text=True)


def test_the_guard_guards(closed: dict[str, str], tmp_path: Path) -> None:
    code = "import urllib.request as u\ntry: u.urlopen('http://127.0.0.1:9/')\nexcept OSError: pass"
    assert python(closed, tmp_path, "-c", code).returncode == 0
    assert (tmp_path / "calls").exists()


@pytest.mark.slow
def test_no_command_reaches_the_network(closed: dict[str, str], tmp_path: Path) -> None:
    for command in (
        ["check", "s.yaml"],
        ["plan", "s.yaml"],
        ["run", "s.yaml", "--out", "run"],
        ["show", "run"],
        ["report", "run", "-o", "r.html"],
        ["compare", "run", "run2"],
        ["list", "backends"],
        ["schema"],
        ["draw", "s.yaml", "-o", "s.svg"],
        ["export", "run", "--to", "out"],
    ):
        if command[0] == "compare":
            python(closed, tmp_path, "-m", "society", "run", "s.yaml", "--out", "run2", "--set", "phases.p.rounds=1")
        done = python(closed, tmp_path, "-m", "society", *command)
        assert done.returncode == 0, (command, done.stderr)
    assert not (tmp_path / "calls").exists(), (tmp_path / "calls").read_text()


@pytest.mark.slow
def test_a_model_of_transformers_reaches_no_network(closed: dict[str, str], tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    from tests.backends.hf.tiny import make_model

    model = make_model(tmp_path / "tiny")
    scripted = "{kind: scripted, rules: [{calculate: {skill: 0.5}}]}"
    text = SCENARIO.replace(scripted, f"{{kind: hf, model: {model}}}") + "sampling: {max_tokens: 4}\n"
    (tmp_path / "hf.yaml").write_text(text)
    done = python(closed, tmp_path, "-m", "society", "run", "hf.yaml", "--out", "run-hf")
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "calls").exists(), (tmp_path / "calls").read_text()
