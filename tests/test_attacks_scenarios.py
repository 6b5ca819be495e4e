"""Hostile scenario files and the paths in them: a list of problems, soon, and nothing outside is read."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path
from textwrap import dedent

import pytest

from society.scenario import check_scenario

SCENARIO = """
version: 1
name: x
task: {{kind: jsonl, path: {path}}}
backends: {{b: {{kind: scripted}}}}
roles: {{r: {{prompt: "{{{{ question }}}}"}}}}
agents: {{a: {{}}}}
phases: [{{name: p}}]
"""
BOMB = "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 4)}]\n" for a, b in pairwise("abcdefghijklm"))


def problems(folder: Path, text: str) -> list[str]:
    path = folder / "s.yaml"
    path.write_text(dedent(text))
    return [problem.message for problem in check_scenario(path)]


@pytest.fixture
def secret(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("elsewhere") / "secret.jsonl"
    path.write_text('{"question": "q", "answer": "a"}\n')
    return path


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x, x]\n" + BOMB,
        "a: &a {k: &b [*a]}\n",
        "a: !!python/object/apply:os.system [id]\n",
        "a: !!binary aGVsbG8=\n",
        "a: !<tag:yaml.org,2002:python/name:os.system> x\n",
        "seed: " + "9" * 400_000 + "\n",
        "seed: 0x" + "f" * 400_000 + "\n",
        "seed: 1e" + "9" * 400_000 + "\n",
        "a: " + "{a: " * 400 + "\n",
        "a: " + "[" * 200_000 + "\n",
        "- " * 50_000 + "\n",
        "? " * 50_000 + "\n",
        "a: &" + "a" * 500_000 + " 1\nb: *" + "a" * 500_000 + "\n",
        "".join(f"k{i}: {i}\n" for i in range(60_000)),
        "a: 'x\n" * 50_000,
        "%YAML 9.9\n---\na: 1\n",
        "%TAG ! tag:yaml.org,2002:python/\n---\na: !name:os.system x\n",
        "<<: {<<: {<<: [{a: 1}, 3, {b: 2}]}}\n",
        "extends: s.yaml\n",
        "extends: ../../../../etc/passwd\n",
        "extends: /etc/passwd\n",
        "name: " + "\u0301" * 100_000 + "\n",
        'name: "\\ud800"\n',
        'name: "a\\0b"\n',
    ],
    ids=range(24),
)  # fmt: skip
def test_a_hostile_file_is_a_list_of_problems(tmp_path: Path, text: str) -> None:
    found = problems(tmp_path, text)
    assert found
    assert not any("root:" in message for message in found)  # nothing of a file that it must not read


def test_a_path_in_the_folder_is_read(tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_text('{"question": "q", "answer": "a"}\n')
    assert problems(tmp_path, SCENARIO.format(path="q.jsonl")) == []


@pytest.mark.parametrize("way", ["absolute", "dots", "link", "link to a folder", "dots through a link"])
def test_a_path_that_leads_out_is_refused(tmp_path: Path, secret: Path, way: str) -> None:
    (tmp_path / "link.jsonl").symlink_to(secret)
    (tmp_path / "folder").symlink_to(secret.parent)
    path = {
        "absolute": str(secret), "dots": os.path.relpath(secret, tmp_path), "link": "link.jsonl",
        "link to a folder": "folder/secret.jsonl", "dots through a link": "folder/../elsewhere/secret.jsonl",
    }[way]  # fmt: skip
    found = problems(tmp_path, SCENARIO.format(path=path))
    assert any("outside the folders" in message for message in found)


def test_devices_pipes_and_loops_of_links_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    for path, says in (("pipe", "device or a pipe"), ("loop", "no usable path"), ("x" * 5_000, "")):
        found = problems(tmp_path, SCENARIO.format(path=path))
        assert any(says in message for message in found), (path[:9], found)


def test_a_device_is_refused_before_where_it_is(tmp_path: Path) -> None:
    found = problems(tmp_path, SCENARIO.format(path="/dev/zero"))
    assert any("device or a pipe" in message for message in found)


def test_a_zero_byte_in_a_path_is_a_problem(tmp_path: Path) -> None:
    assert problems(tmp_path, SCENARIO.format(path='"a\\0b"'))
