"""Turns with tools: calls and results, bounds, keys, resuming, cost, pages and training rows."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import society
from society.cli import main
from society.components.tools.base import Tool
from society.components.tools.calculator import Calculator
from society.core.errors import ComponentError, ScenarioError
from society.core.exchanges import count_replies, own_usage, replies
from society.core.types import Example, Turn
from society.planning.dry_run import dry_run, rough_count
from society.planning.people import minutes_of_people
from society.report.data import build_chunk, read_runs
from society.runs.run import Run
from society.scenario import load_scenario
from society.scenario.expand import expand
from society.scenario.models.scenario import Scenario
from society.scenario.questions import load_items
from society.training.selection import make_example

ROOT = Path(__file__).parents[2]
SUM = "Let me see. <use calculator>12 * 7</use> It is surely 90."
RULES = [
    {"when": r"Result of calculator:\n(\S+)", "say": r"The answer is \1"},
    {"when": "12", "think": "Hm, hard.", "say": SUM},
]


def make(rules: list[dict[str, Any]] = RULES, tools: Any = ("calculator",), **role: Any) -> dict[str, Any]:
    return {
        "version": 1,
        "name": "tools",
        "task": {"kind": "inline", "items": [{"question": "What is 12 times 7?", "gold": "84"}]},
        "backends": {"b": {"kind": "scripted", "rules": rules}},
        "roles": {"r": {"prompt": "{{ question }}", "tools": list(tools), **role}},
        "agents": {"a": {}},
        "phases": [{"name": "p", "rounds": 2}],
    }


def make_examples(turn: Turn, rule: str) -> list[Example]:
    return [make_example(turn, rule, part=part) for part in range(count_replies(turn))]


def play(folder: Path, spec: Mapping[str, Any], **options: Any) -> list[Turn]:
    society.run(Scenario.from_dict(spec), out=folder, progress=False, **options)
    return [*Run(folder).turns()]


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the texts that the calculator is given."""
    made: list[str] = []
    call = Calculator.call

    async def count(self: Calculator, given: str, session: Any) -> str:
        made.append(given)
        return await call(self, given, session)

    monkeypatch.setattr(Calculator, "call", count)
    return made


def test_a_call_and_its_result_are_part_of_the_turn(tmp_path: Path, counted: list[str]) -> None:
    first, second = play(tmp_path / "run", make())
    assert (first.text, first.answer) == ("The answer is 84", "84")
    [call] = first.calls
    assert (call.tool, call.given, call.result, call.status) == ("calculator", "12 * 7", "84", "ok")
    assert call.reply is not None
    assert (call.reply.text, call.reply.thought) == ("Let me see. <use calculator>12 * 7", "Hm, hard.")
    assert [message.role for message in first.messages] == ["system", "user"]
    assert "<use calculator>12 * (3 + 4)</use>" in first.messages[0].content
    assert counted == ["12 * 7", "12 * 7"]
    assert [m.content for m in second.messages[1:]] == [first.messages[1].content, first.text, "What is 12 times 7?"]


def test_the_cost_of_all_replies_is_counted(tmp_path: Path) -> None:
    turn = play(tmp_path / "run", make())[0]
    [(_, one), (chat, two)] = replies(turn)
    assert turn.usage.generated_tokens == one.usage.generated_tokens + two.usage.generated_tokens == 9 + 4
    assert turn.usage.prompt_tokens == one.usage.prompt_tokens + two.usage.prompt_tokens
    assert (turn.usage.tool_calls, turn.usage.failed_calls, turn.usage.thought_tokens) == (1, 0, 2)
    assert own_usage(turn).thought_tokens == 0
    assert [message.content for message in chat[2:]] == [one.text, "Result of calculator:\n84"]


def test_a_resumed_run_calls_nothing_again(tmp_path: Path, counted: list[str]) -> None:
    before = play(tmp_path / "run", make())
    assert len(counted) == 2
    assert play(tmp_path / "run", make(), resume=True) == before
    assert len(counted) == 2
    assert [turn.calls for turn in play(tmp_path / "other", make(), reuse=tmp_path / "run")] == [
        turn.calls for turn in before
    ]
    assert len(counted) == 2


def test_bounds_are_part_of_the_key_only_where_a_call_shaped_the_text(tmp_path: Path, counted: list[str]) -> None:
    silent = [{"when": "12", "choose": ["84"]}]
    for name, rules, same in (("silent", silent, True), ("calling", RULES, False)):
        one = play(tmp_path / name, make(rules, tool_use={"result": 100}))
        counted.clear()
        two = play(tmp_path / f"{name}-2", make(rules, tool_use={"result": 99}), reuse=tmp_path / name)
        assert [a.key == b.key for a, b in zip(one, two, strict=True)] == [same, same]
        assert bool(counted) is not same


def test_a_call_beyond_the_bounds_is_refused_and_noted(tmp_path: Path) -> None:
    again = [{"when": "12|Result", "say": "More: <use calculator>1 + 1</use>"}]
    turn = play(tmp_path / "calls", make(again, tool_use={"calls": 2}))[0]
    assert [call.status for call in turn.calls] == ["ok", "ok", "refused"]
    assert turn.calls[1].result.endswith("Answer now.)")
    assert turn.error == "A call of calculator was refused: the limit of calls in a turn is 2."
    assert turn.usage.failed_calls == 1
    limited = play(tmp_path / "tokens", make(again, tool_use={"calls": 9, "tokens": 15}))[0]
    assert [call.status for call in limited.calls] == ["ok", "ok", "refused"]
    assert limited.usage.generated_tokens == 15
    assert not any("refused" in example.messages[-1].content for example in make_examples(turn, "r"))


@pytest.mark.parametrize(
    ("said", "given", "status", "result"),
    [
        ("<use calculator>1 / 0</use>", "1 / 0", "failed", "Division by zero."),
        ("<use shell>ls</use>", "ls", "failed", "There is no tool 'shell'. Tools: calculator."),
        ("<use  calculator >\n2 + 2\n</use>", "2 + 2", "ok", "4"),
    ],
)
def test_a_call_that_fails_is_shown_to_the_agent(
    tmp_path: Path, said: str, given: str, status: str, result: str
) -> None:
    rules = [{"when": r"Result of \w+:\n(.*)", "say": r"So: \1"}, {"when": "12", "say": said}]
    turn = play(tmp_path / "run", make(rules))[0]
    assert [(call.given, call.status, call.result) for call in turn.calls] == [(given, status, result)]
    assert turn.text == f"So: {result}"
    assert turn.usage.failed_calls == (status == "failed")


@pytest.mark.parametrize("said", ["use calculator: 2", "<use 3>x</use>"])
def test_what_is_no_whole_call_is_a_text(tmp_path: Path, said: str) -> None:
    turn = play(tmp_path / "run", make([{"when": "12", "say": said}]))[0]
    assert (turn.calls, turn.text) == ((), said.removesuffix("</use>"))


def numeric(spec: dict[str, Any]) -> dict[str, Any]:
    """Return the scenario with answers that are numbers."""
    return {**spec, "task": {**spec["task"], "answer": {"equal": "numeric"}}}


@pytest.mark.parametrize("limits", [{}, {"sampling": {"max_tokens": 5}}, {"sampling": {"stop": ["\n"]}}])
def test_no_answer_is_read_from_a_call_that_may_have_been_cut(tmp_path: Path, limits: dict[str, Any]) -> None:
    """A half call is neither made nor answered: it ends by itself, at `max_tokens`, or at a stop text."""
    said = "Let me see. <use calculator>12 *\n7</use>" if "stop" in str(limits) else "Let me see. <use calculator>12 *"
    spec = numeric({**make([{"when": "12", "say": said}]), **limits})
    turn = play(tmp_path / "run", spec)[0]
    [call] = turn.calls
    assert (call.status, call.given[:2], turn.answer, turn.text) == (
        "refused",
        "12"[: len(call.given)],
        None,
        "Let me see.",
    )
    assert turn.error.startswith("A call of calculator was refused: ")
    assert play(tmp_path / "run", spec, resume=True)[0] == turn


def test_no_answer_is_read_from_a_refused_call(tmp_path: Path) -> None:
    rules = [{"when": "12|Result", "say": "More: <use calculator>17 * 391</use>"}]
    turn = play(tmp_path / "run", numeric(make(rules, tool_use={"calls": 1})))[0]
    assert ([call.status for call in turn.calls], turn.answer, turn.text) == (["ok", "refused"], None, "More:")


def test_an_agent_without_tools_calls_nothing(tmp_path: Path, counted: list[str]) -> None:
    spec = make()
    spec["agents"] = {"a": {"tools": []}}
    turns = play(tmp_path / "run", spec)
    assert counted == []
    assert turns[0].text == SUM
    assert [message.role for message in turns[0].messages] == ["user"]


def test_a_prompt_may_place_the_instructions(tmp_path: Path) -> None:
    turn = play(tmp_path / "run", make(prompt="{{ tools }}\n{{ question }}"))[0]
    assert [message.role for message in turn.messages] == ["user"]
    assert turn.messages[0].content.startswith("You can use tools:\n- calculator: ")


def test_a_reply_that_fails_after_a_call_keeps_the_calls(tmp_path: Path) -> None:
    rules = [{"when": "Result", "fail": {"kind": "error"}}, *RULES]
    turn = play(tmp_path / "run", make(rules))[0]
    assert (turn.status, turn.replied, [call.result for call in turn.calls]) == ("failed", False, ["84"])
    assert (turn.usage.generated_tokens, turn.usage.tool_calls) == (9, 1)
    overflow = [{"when": "Result", "fail": {"kind": "overflow"}}, *RULES]
    turn = play(tmp_path / "long", make(overflow))[0]
    assert turn.status == "failed"
    assert turn.error.startswith("After 1 call: ")


def test_every_reply_is_a_training_row_and_no_result_is_learned(tmp_path: Path) -> None:
    turn = play(tmp_path / "run", make())[0]
    first, second = make_examples(turn, "agrees")
    assert [(e.part, e.messages[-1].content) for e in (first, second)] == [
        (0, "Let me see. <use calculator>12 * 7</use>"),
        (1, "The answer is 84"),
    ]
    assert (first.thought, first.finish_reason) == ("Hm, hard.", "stop_text")
    assert [m.content for m in second.messages[2:4]] == [first.messages[-1].content, "Result of calculator:\n84"]


def test_show_and_the_report_have_the_calls(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    play(tmp_path / "run", make())
    assert main(["show", str(tmp_path / "run"), "--number", "1"]) == 0
    assert "calculator: 84" in capsys.readouterr().out
    [data] = read_runs([Run(tmp_path / "run")])
    [debate] = build_chunk(data, "calls", 0)
    assert debate[0] == [
        {"tool": "calculator", "status": "ok", "said": "Let me see.", "given": "12 * 7", "result": "84"}
    ]
    assert main(["report", str(tmp_path / "run"), "-o", str(tmp_path / "r.html")]) == 0
    assert "2 calls of tools" in society.Run(tmp_path / "run").summary()


def test_the_plan_counts_all_replies_and_the_longest_chat() -> None:
    society_ = expand(Scenario.from_dict(make(tool_use={"calls": 3, "result": 400})))
    item = load_items(society_).evaluation[0]
    turn = dry_run(society_, item, {"b": rough_count})[0]
    assert turn.replies == 4
    assert turn.prompt > 3 * 100
    assert turn.prompt < turn.read < 4 * turn.prompt


def test_the_plan_counts_each_question_to_a_person_with_tools() -> None:
    spec = make(tool_use={"calls": 3})
    spec["backends"] = {"b": {"kind": "human"}}
    society_ = expand(Scenario.from_dict(spec))
    turns = dry_run(society_, load_items(society_).evaluation[0], {"b": rough_count})
    assert minutes_of_people(society_, turns, 1)["you"][0] == 2 * 4


def test_two_tools_of_a_name_and_tools_without_use_are_reported(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="two tools of the name 'calculator'"):
        Scenario.from_dict(make(tools=["calculator", "calculator"]))
    with pytest.raises(ScenarioError, match="each reply of the agent is one of a list"):
        Scenario.from_dict(make(choices=["A", "B"]))


class Broken(Tool):
    """A tool with a fault."""

    kind: str = "broken"
    about = example = "x"

    async def call(self, given: str, session: Any) -> str:
        if given == "number":
            return 5  # type: ignore[return-value]
        raise RuntimeError("no network")


@pytest.mark.parametrize(("given", "match"), [("number", "int and no text"), ("x", "RuntimeError: no network")])
def test_a_fault_of_a_tool_names_the_tool(given: str, match: str) -> None:
    from society.components.tools.base import ToolUse
    from society.components.tools.toolbox import Toolbox
    from society.core.types import GenerateOutput
    from society.sandbox import run_code

    box = Toolbox({"broken": Broken()}, ToolUse())
    call = box.find_call(GenerateOutput(f"<use broken>{given}</use>"))
    assert call is not None
    with pytest.raises(ComponentError, match=match):
        asyncio.run(box.make(call, (), 1, run_code, last=False))


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.llama
def test_a_small_model_calls_the_calculator_after_worked_examples(tmp_path: Path) -> None:
    """The shipped scenario, with one agent, one round and no chance."""
    changes = ["task.limit=1", "agents.debater.count=1", "sampling.temperature=0", "phases.debate.rounds=1"]
    scenario = load_scenario(ROOT / "scenarios" / "tool_debate.yaml", changes)
    run = society.run(scenario, out=tmp_path / "run", progress=False)
    [turn] = Run(run.folder).turns()
    assert [(call.tool, call.status) for call in turn.calls] == [("calculator", "ok")]
    assert turn.calls[0].result in turn.text
