"""A chat template that refuses the scenario's chats is an error of check, plan and run, before the first turn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

import society
from backends.llama_cpp import probe
from society.cli import main
from tests.backends.models.vocabularies import ROWS, words

pytestmark = [pytest.mark.hf, pytest.mark.llama]

DATA: dict[str, Any] = {
    "version": 1,
    "name": "x",
    "task": {"kind": "jsonl", "path": "rows.jsonl"},
    "backends": {"m": {"kind": "llama_cpp", "model": "m.gguf", "context": 64}},
    "roles": {"r": {"system": "Be brief.", "prompt": "{{ question }}{% for m in heard %}{{ m.answer }}{% endfor %}"}},
    "agents": {"a": {"count": 2}},
    "phases": [{"name": "d", "topology": "complete", "rounds": 2}],
    "sampling": {"max_tokens": 2},
}
SINGLE = "{% for m in messages %}{% if m.role == 'assistant' %}{{ raise_exception('one turn only') }}{% endif %}"
SINGLE += "{{ m.content }}{% endfor %}"
ONE_TURN = "refuses an assistant message after a user message: one turn only"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps({"question": f"{i} + 1?", "answer": i}) for i in (1, 2)))
    monkeypatch.setenv(probe.CHILD, "1")  # the model files are ours
    return tmp_path


def write(home: Path, template: str, kind: str = "llama_cpp", **changes: Any) -> Path:
    """Write a scenario with a model that carries this template."""
    backend: dict[str, Any] = {"kind": kind, "model": NAMES[kind], "context": 64}
    if kind == "hf":
        words().fast(ROWS["chatml"] | {"template": template or None}).save_pretrained(home / "m")
        (home / "m" / "config.json").write_text('{"model_type": "llama"}')
    else:
        words().write_gguf(home / "m.gguf", **({"chat_template": template} if template else {}))
    scenario = home / "s.yaml"
    scenario.write_text(yaml.safe_dump({**DATA, "backends": {"m": backend}, **changes}))
    return scenario


def problems(scenario: Path) -> list[str]:
    return [str(problem).partition(": ")[2] for problem in society.check(scenario)]


NAMES = {"llama_cpp": "m.gguf", "hf": "m"}
KINDS = pytest.mark.parametrize("kind", NAMES)


@KINDS
def test_a_refused_role_is_a_problem_with_its_place(home: Path, kind: str) -> None:
    [problem] = problems(write(home, SINGLE, kind))
    assert problem.startswith("roles.r: Agent 'a-")
    assert "in phase 'd', round 2, on 'rows-1': The chat template of " in problem
    assert ONE_TURN in problem
    assert "chat_template" in problem


@KINDS
def test_a_refused_text_is_a_problem(home: Path, kind: str) -> None:
    template = (
        "{% if 'brief' in messages[0].content %}{{ raise_exception('no haste') }}{% endif %}{{ messages | string }}"
    )
    [problem] = problems(write(home, template, kind))
    assert problem.startswith("roles.r: Agent 'a-")
    assert "refuses the text of a message: no haste" in problem


@KINDS
def test_agents_without_memory_have_no_refused_chats(home: Path, kind: str) -> None:
    roles = {"r": {**DATA["roles"]["r"], "memory": 0}}
    assert problems(write(home, SINGLE, kind, roles=roles)) == []


@KINDS
def test_a_moved_system_message_is_a_warning(home: Path, kind: str) -> None:
    [problem] = problems(write(home, ROWS["gemma-2"]["template"], kind))
    assert problem.startswith("warning: backends.m.model: The chat template of ")
    assert "has no system role" in problem
    roles = {"r": {"prompt": DATA["roles"]["r"]["prompt"]}}
    assert problems(write(home, ROWS["gemma-2"]["template"], kind, roles=roles)) == []
    assert problems(write(home, ROWS["chatml"]["template"], kind)) == []


@KINDS
@pytest.mark.parametrize(
    ("template", "error"),
    [
        ("", "base model"),
        ("{% for %}", "not valid Jinja2"),
        ("{{ nope() }}", "cannot be rendered: 'nope' is undefined"),
    ],
)
def test_a_template_that_never_works_is_a_problem(home: Path, kind: str, template: str, error: str) -> None:
    [problem] = problems(write(home, template, kind))
    assert error in problem


@pytest.mark.parametrize("command", [["plan", "--calibrate", "0"], ["run", "-o", "run"]])
@KINDS
def test_plan_and_run_end_before_the_first_turn(
    home: Path, kind: str, command: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    scenario = write(home, SINGLE, kind)
    assert main([command[0], str(scenario), *command[1:]]) == 2
    assert ONE_TURN in " ".join(capsys.readouterr().err.split())
    if command[0] == "run":
        assert not (home / "run" / "store.sqlite").exists()


USERS = "{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}"
REPLIES = "{% for m in messages if m.role == 'assistant' %}{{ m.content }}{% endfor %}"
FIRST = "{{ (messages | selectattr('role', 'eq', 'user') | first).content }}"


@KINDS
@pytest.mark.parametrize(
    ("template", "lost"),
    [(USERS, "an assistant message after a user"), (REPLIES, "a system message at the beg"), (FIRST, "an assistant")],
)
def test_a_message_that_a_template_leaves_out_is_a_problem(home: Path, kind: str, template: str, lost: str) -> None:
    problem = problems(write(home, template, kind))[-1]
    assert problem.startswith("roles.r: Agent 'a-")
    assert f"leaves out {lost}" in problem


SWITCHED = ROWS["chatml"]["template"] + "{{ strftime_now('%d') if dated }}"


@KINDS
def test_a_wrong_date_is_a_problem_at_its_place(home: Path, kind: str) -> None:
    thinking = {"template_args": {"strftime_now": "2026-02-30", "dated": True}}
    [problem] = problems(write(home, SWITCHED, kind, agents={"a": {"count": 2, "thinking": thinking}}))
    assert problem.startswith("agents.a.thinking.template_args.strftime_now: The template argument")
    assert "strftime_now is '2026-02-30'" in problem


@KINDS
def test_a_refused_setting_is_a_problem_at_the_level_that_sets_it(home: Path, kind: str) -> None:
    agents = {"a": {"count": 2, "thinking": {"template_args": {"foo": 1}}}}
    bind = {"a": {"thinking": {"show": True, "template_args": {"dated": True}}}}
    phases = [{"name": "d", "topology": "complete", "rounds": 2}, {"name": "e", "topology": "complete", "bind": bind}]
    found = problems(write(home, SWITCHED, kind, agents=agents, phases=phases))
    assert found
    assert all(problem.startswith("agents.a.thinking.template_args.foo: ") for problem in found)


def test_a_loaded_model_has_the_name_of_the_scenario(home: Path) -> None:
    """A name from elsewhere, such as that of a cache, would repeat each warning of the check."""
    from backends.hf.loading import load_chat

    write(home, ROWS["chatml"]["template"], "hf")
    assert load_chat(home / "m", None, "someone/m").template.model == "someone/m"


def count(scenario: Path) -> int:
    """Return the tokens that the longest prompt and its reply need, counted with the model's vocabulary."""
    from society.planning.demand import find_demand
    from society.scenario import load_scenario
    from society.scenario.expand import expand
    from society.scenario.questions import load_items

    made = expand(load_scenario(scenario))
    with made.scenario.backends["m"].token_counter(2) as counter:
        assert counter is not None
        return find_demand(made, load_items(made).every, "m", counter).tokens


def test_the_plan_counts_a_moved_system_message(home: Path) -> None:
    gemma = ROWS["gemma-2"]["template"]
    long = {"r": {**DATA["roles"]["r"], "system": "the " * 30}}
    assert count(write(home, gemma, roles=long)) > count(write(home, gemma)) + 20


def test_the_plan_counts_what_a_switch_of_thinking_adds(home: Path) -> None:
    qwen = ROWS["qwen-3"]["template"]
    assert count(write(home, qwen, thinking={"enabled": False})) == count(write(home, qwen)) + 4
