"""Thoughts of reasoning models: who reads them, how they end, and what a run says about them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from backends.base import Backend
from backends.scripted import Scripted, ScriptedBackend
from society.cli import main
from society.core.types import ChatMessage, FinishReason, GenerateOutput, GenerateRequest, Turn, Usage
from society.metrics.overview import read_overview
from society.metrics.summary import describe_ends
from society.report.data import build_chunk, build_index, read_runs
from society.report.rows import TURN
from society.results import Run
from society.runs.records import load_records
from society.scenario import check_scenario, load_scenario
from society.scenario.models.scenario import Scenario
from society.session import run

THOUGHT = "Is it 9? I see the value 41, and 5 > 3."
WORDS = len(THOUGHT.split())
TEXT = """
name: thinkers
task: {kind: arithmetic, form: a+b, limit: 2}
backends:
  scripted:
    kind: scripted
    rules:
      - {when: Rank, say: "1, 2"}
      - {when: Sum, say: "Some said something."}
      - think: "Is it 9? I see the value 41, and 5 > 3."
        calculate: {skill: 0.6, say: "It is {answer}. Confidence: 70%"}
roles:
  solver:
    prompt: "{{ question }} {% for m in heard %}[{{ m.sender }}: {{ m.text }}] {% endfor %}{{ summary }}"
    confidence: stated
  scribe: {prompt: "Sum up. {% for m in heard %}{{ m.text }}{% endfor %}"}
  ranker: {prompt: "Rank. {% for m in heard %}{{ m.text }}{% endfor %}"}
agents: {a: {count: 3, role: solver}, scribe: {role: scribe}, ranker: {role: ranker}}
phases:
  - {name: full, agents: [a], topology: complete, rounds: 3, controllers: [{kind: prune, ranker: ranker, keep: 2}]}
  - {name: short, agents: [a], topology: ring, rounds: 2, edges: {show: answer}}
  - {name: told, agents: [a], topology: complete, rounds: 2, edges: {show: summary}, summarizer: scribe}
"""
Made = Callable[..., Scenario]


def facts(turn: Turn) -> tuple[object, ...]:
    return turn.id, turn.messages, turn.text, turn.answer, turn.confidence, turn.reads, turn.status, turn.error


class Rewritten(ScriptedBackend):
    """A scripted backend whose replies are changed by a function."""

    def __init__(self, config: Scripted, change: Callable[[GenerateOutput, GenerateRequest], GenerateOutput]) -> None:
        super().__init__(config)
        self.change = change

    async def generate(self, request: GenerateRequest) -> GenerateOutput:
        return self.change(await super().generate(request), request)


def rewrite(patch: pytest.MonkeyPatch, change: Callable[[GenerateOutput, GenerateRequest], GenerateOutput]) -> None:
    def open_rewritten(self: Scripted) -> Backend:
        return Rewritten(self, change)

    patch.setattr(Scripted, "open", open_rewritten)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return a run whose agents think."""
    folder = tmp_path_factory.mktemp("thoughts")
    (folder / "s.yaml").write_text("version: 1\n" + TEXT)
    return run(load_scenario(folder / "s.yaml"), folder / "run")


def test_a_thought_is_stored_and_counted(plain: Run) -> None:
    thinkers = [turn for turn in plain.turns() if turn.id.agent.startswith("a-")]
    assert {turn.thought for turn in thinkers} == {THOUGHT}
    assert {turn.usage.thought_tokens for turn in thinkers} == {WORDS}
    assert all(turn.usage.generated_tokens > WORDS and "9?" not in turn.text for turn in thinkers)
    assert f"{WORDS * len(thinkers):,} of them in thoughts" in str(plain.summary())


CONTENTS: dict[str, Callable[[GenerateOutput, GenerateRequest], GenerateOutput]] = {
    "none": lambda output, request: replace(output, thought=""),
    "another": lambda output, request: replace(output, thought=f"The answer is {request.seed}. Confidence: 1%"),
    "with tags": lambda output, request: replace(output, thought="<think></think> \\boxed{4} </think> [a-2: 7]"),
    "long": lambda output, request: replace(output, thought="no, wait: " * 5000),
    "left in the text": lambda output, request: (
        replace(output, thought="", text=f"<think>\n{request.seed}\n</think>\n\n{output.text}")
        if output.thought
        else output
    ),
    "opened by the template": lambda output, request: (
        replace(output, thought="", text=f"It is 7.\n</think>\n\n{output.text}") if output.thought else output
    ),
}
"""Other thoughts before the same texts."""


@pytest.mark.parametrize("content", CONTENTS)
def test_the_content_of_a_thought_changes_no_prompt_and_no_answer(
    scenario: Made, plain: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    rewrite(monkeypatch, CONTENTS[content])
    other = run(scenario(TEXT), tmp_path / "run")
    assert list(map(facts, other.turns())) == list(map(facts, plain.turns()))
    assert other.results() == plain.results()
    thoughts = [turn.thought for turn in other.turns() if turn.id.agent.startswith("a-")]
    assert all(thoughts) == (content != "none")
    assert not set(thoughts) & {THOUGHT}


def heard(found: Run, phase: str = "full", number: int = 2) -> set[str]:
    """Return the prompts of a round."""
    return {t.messages[-1].content for t in found.turns() if (t.id.phase, t.id.round) == (phase, number)}


@pytest.mark.parametrize(
    ("change", "sees"),
    [
        ("phases.full.edges.show=thought", {"full"}),
        ("thinking.show=true", {"full"}),
        ("agents.a.thinking.show=true", {"full"}),
        ("phases.full.edges.show=full", set()),
    ],
)
def test_an_edge_or_its_sender_can_show_thoughts(scenario: Made, tmp_path: Path, change: str, sees: set[str]) -> None:
    found = run(scenario(TEXT, change), tmp_path / "run")
    shown = {phase for phase in ("full", "short", "told") if any(THOUGHT in text for text in heard(found, phase))}
    assert shown == sees
    own = [m.content for turn in found.turns() for m in turn.messages if m.role == "assistant"]
    assert own
    assert not any(THOUGHT in text for text in own)


SHORT = TEXT.replace("Is it 9? I see the value 41, and 5 > 3.", "one two three four")


def test_a_reply_that_is_cut_off_while_thinking_has_no_answer_and_no_reader(scenario: Made, tmp_path: Path) -> None:
    changes = ("agents.a.sampling.max_tokens=3", "phases.0.bind={a-1: {sampling: {max_tokens: 40}}}")
    found = run(scenario(SHORT, *changes), tmp_path / "run")
    cut = [turn for turn in found.turns() if turn.id.phase == "full" and turn.id.agent in ("a-2", "a-3")]
    assert {(t.thought, t.text, t.answer, t.finish_reason, t.status) for t in cut} == {
        ("one two three", "", None, "length", "ok")
    }
    assert {turn.error for turn in cut} == {"No text after the thought: cut off at max_tokens."}
    readers = [turn for turn in found.turns() if turn.id.phase == "full" and turn.id.agent == "a-1"]
    assert not any(turn.reads for turn in readers)
    assert all(message.content for turn in found.turns() for message in turn.messages)
    summary = read_overview(found).last
    assert summary is not None
    assert dict(summary.ended_early) == {cut[0].error: sum(turn.error == cut[0].error for turn in found.turns())}
    assert "Raise sampling.max_tokens, or limit thoughts with thinking.budget" in str(found.summary())
    assert summary.given_up == summary.failed == 0
    index = build_index(read_runs([found]))
    notes = [turn[TURN.index("note")] for row in index["runs"][0]["debates"] for turn in row["turns"]]
    assert notes == [turn.error for record in load_records(found) for turn in record.turns]


def test_a_budget_closes_a_thought_and_leaves_room_for_the_text(scenario: Made, tmp_path: Path) -> None:
    changes = ("sampling.max_tokens=8", "thinking.budget=2", "phases.1.bind={a: {thinking: {enabled: false}}}")
    turns = run(scenario(SHORT, *changes), tmp_path / "run").turns()
    thoughts = {
        phase: {t.thought for t in turns if t.id.phase == phase and t.id.agent[0] == "a"} for phase in ("full", "short")
    }
    assert thoughts == {"full": {"one two"}, "short": {""}}
    assert all(turn.text for turn in turns)


ENDS: list[tuple[FinishReason, str, str, str]] = [
    ("stop", "hm", "", "No text after the thought."),
    ("stop_text", "hm", "", "No text after the thought: a stop text ended it."),
    ("context", "hm", "", "No text after the thought: the context was full."),
    ("context", "", "", "No text: the context was full."),
    ("filter", "", "", "No text: a content filter ended it."),
    ("tools", "", "", "No text: it calls tools, which nobody offered."),
    ("filter", "", "It is 7.", "A content filter ended it."),
    ("context", "hm", "It is 7.", "The context was full."),
    ("length", "hm", "It is 7.", ""),
    ("tools", "hm", "It is 7.", ""),
    ("length", "", "", "No text: cut off at max_tokens."),
    ("stop", "", "", "No text."),
    ("stop", "", " \n", "No text."),
]


@pytest.mark.parametrize(("end", "thought", "text", "note"), ENDS)
def test_each_end_has_its_name(
    scenario: Made,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    end: FinishReason,
    thought: str,
    text: str,
    note: str,
) -> None:
    usage = Usage(1, 4, thought_tokens=2 if thought else 0)
    rewrite(monkeypatch, lambda output, request: GenerateOutput(text, end, usage, thought=thought))
    found = run(scenario(TEXT, "phases=[{name: full, agents: [a], topology: complete, rounds: 2}]"), tmp_path / "run")
    turns = found.turns()
    assert {turn.error for turn in turns} == {note}
    assert {turn.text for turn in turns} == {text}
    assert {turn.answer for turn in turns} == ({"7"} if text.strip() else {None})
    assert {bool(turn.reads) for turn in turns if turn.id.round == 2} == {bool(text.strip())}
    summary = read_overview(found).last
    assert summary is not None
    assert dict(summary.ended_early) == ({note: len(turns)} if note else {})
    assert summary.given_up == 0


REMEDIES: list[tuple[FinishReason, str, str]] = [
    ("length", "", "cut off at max_tokens (6). Raise sampling.max_tokens, or limit thoughts with thinking.budget if"),
    ("length", "budget: 5", "cut off at max_tokens (6). Raise sampling.max_tokens, or lower thinking.budget."),
    ("length", "budget: 0", "cut off at max_tokens (6). Raise sampling.max_tokens."),
    ("context", "budget: 5", "the context was full (6). Raise the context of the backend, or lower thinking.budget."),
    ("filter", "", "a content filter ended it (6). Change the prompt, or the server whose filter it is."),
    ("tools", "", "it calls tools, which nobody offered (6). Say in the prompt that there are no tools."),
    ("stop_text", "", "a stop text ended it (6). Remove the stop text"),
    ("stop", "", "no text after the thought (6). Change the prompt or the model, or limit thoughts"),
]


@pytest.mark.parametrize(("end", "thinking", "says"), REMEDIES)
def test_each_end_has_its_remedy(
    scenario: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: FinishReason, thinking: str, says: str
) -> None:
    usage = Usage(1, 4, thought_tokens=2)
    rewrite(monkeypatch, lambda output, request: GenerateOutput("", end, usage, thought="hm"))
    phases = "phases=[{name: full, agents: [a], topology: complete, rounds: 1}]"
    found = run(scenario(TEXT, phases, f"thinking={{{thinking}}}"), tmp_path / "run")
    summary = read_overview(found).last
    assert summary is not None
    assert says in describe_ends(summary)


def test_no_budget_is_advised_where_the_backend_has_none(
    scenario: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Scripted, "thinking_options", frozenset())
    summary = str(run(scenario(SHORT, "sampling.max_tokens=3"), tmp_path / "run").summary())
    assert "Raise sampling.max_tokens." in summary
    assert "thinking.budget" not in summary


def test_a_confidence_is_that_of_the_text(scenario: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rewrite(
        monkeypatch,
        lambda output, request: replace(output, logprob=-4.0, usage=Usage(1, 10, thought_tokens=8)),
    )
    found = run(scenario(TEXT, "roles.solver.confidence=logprob"), tmp_path / "run")
    confidences = {turn.confidence for turn in found.turns() if turn.id.agent[0] == "a"}
    assert confidences == {math.exp(-4 / 2)}


def test_a_resumed_run_takes_old_thoughts_out_of_the_text(scenario: Made, tmp_path: Path, plain: Run) -> None:
    """An older society stored them in the text."""
    import sqlite3
    from contextlib import closing

    done = run(scenario(TEXT), tmp_path / "run")
    with closing(sqlite3.connect(done.folder / "store.sqlite")) as db, db:
        db.execute(
            "UPDATE turns SET text = '<think>' || thought || '</think>' || text, thought = '' WHERE thought != ''"
        )
    resumed = run(scenario(TEXT), tmp_path / "run", resume=True)
    assert list(map(facts, resumed.turns())) == list(map(facts, plain.turns()))
    assert {turn.thought for turn in resumed.turns() if turn.id.agent[0] == "a"} == {THOUGHT}


def problems(folder: Path, *changes: str) -> list[tuple[str, str]]:
    path = folder / "s.yaml"
    path.write_text("version: 1\n" + TEXT)
    return [(problem.path, problem.message) for problem in check_scenario(path, changes)]


@pytest.mark.parametrize(
    ("change", "path", "message"),
    [
        ("thinking.budget=300", "thinking.budget", "leaves no token for the text: max_tokens is 256"),
        ("thinking={budget: 9, enabled: false}", "thinking.budget", "has no effect: `enabled` is false"),
        ("thinking={show: true, enabled: false}", "thinking.show", "has no effect: `enabled` is false"),
        ("thinking.template_args={messages: 1}", "thinking", "cannot set messages"),
        ("thinking.template_args={messages: []}", "thinking", "cannot set messages, which every chat has"),
        ("thinking.template_args={'a b': 1}", "thinking.template_args", ""),
        ("thinking.tags=[a]", "thinking.tags", ""),
        ("thinking.tags=[a, a]", "thinking", "the two `tags` are equal"),
        ("thinking.effort=low", "thinking.effort", ""),
        ("thinking.budget=-1", "thinking.budget", ""),
    ],
)
def test_a_wrong_setting_is_an_error_at_its_place(tmp_path: Path, change: str, path: str, message: str) -> None:
    found = problems(tmp_path, change)
    assert [one for one in found if one[0].startswith(path) and message in one[1]], found


def test_overridden_settings_are_reported(tmp_path: Path) -> None:
    changes = (
        "thinking={budget: 5, template_args: {x: 1, y: 2}}",
        "roles.solver.thinking={budget: 4, template_args: {x: 2}}",
    )
    both = (
        "roles.scribe.thinking={budget: 3, template_args: {x: 3}}",
        "roles.ranker.thinking={budget: 3, template_args: {x: 3}}",
    )
    found = [path for path, message in problems(tmp_path, *changes, *both) if "a lower level overrides it" in message]
    assert found == ["thinking.budget", "thinking.template_args.x"]


@pytest.mark.parametrize(
    ("enabled", "variable", "refused"),
    [(True, False, True), (False, True, True), (True, True, False), (False, "true", False)],
)
def test_a_variable_that_contradicts_the_switch_is_an_error_at_its_place(
    tmp_path: Path, enabled: bool, variable: bool | str, refused: bool
) -> None:
    changes = (
        f"thinking={{enabled: {json.dumps(enabled)}, budget: 3, show: true}}",
        f"roles.solver.thinking={{template_args: {{enable_thinking: {json.dumps(variable)}}}}}",
    )
    found = problems(tmp_path, *changes)
    places = [path for path, message in found if "contradicts `enabled`" in message]
    assert places == ["roles.solver.thinking.template_args.enable_thinking"] * refused


@pytest.mark.parametrize("option", ["enabled=true", "budget=5", "template_args={x: 1}"])
def test_what_a_backend_cannot_do_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str) -> None:
    monkeypatch.setattr(Scripted, "thinking_options", frozenset())
    place = f"thinking.{option.split('=')[0]}"
    [message] = [message for path, message in problems(tmp_path, f"thinking.{option}") if path.startswith(place)]
    assert "`scripted` does not list it in thinking_options" in message


def test_a_model_that_cannot_think_so_is_refused_before_it_is_opened(
    scenario: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from society import check
    from society.core.errors import InputError

    asked: list[Any] = []

    def refuse(self: Scripted, thinking: Any, args: Any, max_tokens: int) -> None:
        asked.append((thinking.budget, args))
        raise InputError("The template has no switch.", "Remove it.")

    monkeypatch.setattr(Scripted, "check_thinking", refuse)
    monkeypatch.setattr(Scripted, "open", None)
    with pytest.raises(InputError, match="no switch"):
        run(scenario(TEXT, "thinking.budget=5", "thinking.template_args={x: low}"), tmp_path / "run")
    path = tmp_path / "s.yaml"
    path.write_text("version: 1\n" + TEXT)
    found = check(path, ["roles.solver.thinking.budget=5"])
    assert [problem.path for problem in found if problem.level == "error"] == ["roles.solver.thinking"]
    assert list(dict.fromkeys(asked)) == [(5, (("x", "low"),)), (5, ())]


def test_levels_of_thinking_override_each_other(scenario: Made) -> None:
    from society.scenario.expand import expand

    levels = (
        "thinking={enabled: true, budget: 9, template_args: {x: 1, y: 1}}",
        "roles.solver.thinking={template_args: {x: 2}}",
        "agents.a.thinking={budget: 8, tags: [a, b], show: true}",
        "phases.1.bind={a: {thinking: {budget: 7, show: false}}, a-2: {thinking: {enabled: false}}}",
    )
    society = expand(scenario(TEXT, *levels))
    plans = [society.phases[i].agents[name] for i, name in ((0, "a-1"), (1, "a-1"), (1, "a-2"), (0, "ranker"))]
    found = [(p.thinking.enabled, p.thinking.budget, p.thinking.tags, p.template_args, p.shows_thoughts) for p in plans]
    mine, both = (("x", 2), ("y", 1)), (("x", 1), ("y", 1))
    assert found == [
        (True, 8, ("a", "b"), mine, True),
        (True, 7, ("a", "b"), mine, False),
        (False, 7, ("a", "b"), mine, False),
        (True, 9, None, both, False),
    ]


def test_thoughts_are_folded_in_show_and_in_the_tables(
    plain: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["show", str(plain.folder), "--number", "1"]) == 0
    folded = capsys.readouterr().out
    assert "(a thought, 12 tokens: --thoughts shows it)" in folded
    assert THOUGHT not in folded
    assert main(["show", str(plain.folder), "--number", "1", "--thoughts"]) == 0
    assert f"thought: {THOUGHT}" in capsys.readouterr().out
    assert main(["export", str(plain.folder), "--format", "jsonl", "-o", str(tmp_path / "out")]) == 0
    lines = [json.loads(line) for line in (tmp_path / "out" / "turns.jsonl").read_text().splitlines()]
    assert {(line["thought"], line["thought_tokens"]) for line in lines if line["agent"][0] == "a"} == {
        (THOUGHT, WORDS)
    }


def test_the_report_has_thoughts_apart_from_the_list(plain: Run) -> None:
    data = read_runs([plain])
    [chunk] = [build_chunk(data[0], "thoughts", 0)]
    records = load_records(plain)
    assert chunk == [[turn.thought for turn in record.turns] for record in records]
    index = build_index(data)
    assert THOUGHT not in json.dumps(index)
    lengths = [turn[TURN.index("thought")] for row in index["runs"][0]["debates"] for turn in row["turns"]]
    assert lengths == [len(turn.thought) for record in records for turn in record.turns]


def test_the_examples_of_the_page_run(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "reasoning.md").read_text()
    blocks = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    switched, levels, shown, _, whole = map(yaml.safe_load, blocks)
    assert "reasoning_effort" not in blocks[0]  # no family has both a switch and levels of effort
    assert "enabled" not in blocks[1]
    found = [
        run(Scenario.from_dict(whole | part), tmp_path / str(i))
        for i, part in enumerate((whole, switched, shown, levels))
    ]
    thoughts = [{turn.id.agent: turn.thought for turn in one.turns()} for one in found]
    assert set(thoughts[0].values()) == {"Carry the one. Or"}
    assert thoughts[1] == dict.fromkeys(["debater-1", "debater-2", "debater-3"], "Carry the one. Or not?") | {
        "judge": ""
    }
    assert any("solver-1: Carry the one. Or\n\n" in turn.messages[-1].content for turn in found[2].turns())


class Spelled:
    """A tokenizer whose tokens are characters, without a control token, which is 0."""

    def count(self, messages: Sequence[ChatMessage]) -> int:
        return sum(len(message.content) for message in messages)

    def decode(self, tokens: Sequence[int]) -> str:
        return "".join(map(chr, filter(None, tokens)))


def spell(text: str) -> tuple[int, ...]:
    return (*map(ord, text), 0)


@pytest.mark.parametrize(
    ("raw", "thought", "text", "before"),
    [
        ("<think>7?</think>\n\nIt is 7.\n", "7?", "It is 7.", 19),
        ("7?</think>It is 7.", "7?", "It is 7.", 10),
        ("<think>7? It", "7? It", "", 13),
        ("It is 7.\n<think>\nor 8", "", "It is 7.\n<think>\nor 8", 0),  # its tokens are not before those of the text
        ("It is 7.", "", "It is 7.", 0),
    ],
)
def test_drawn_tokens_are_told_apart_exactly(
    scenario: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raw: str, thought: str, text: str, before: int
) -> None:
    """A local model whose tags its backend does not know."""
    monkeypatch.setattr("backends.scripted.backend.Words", Spelled)
    rewrite(
        monkeypatch,
        lambda output, request: GenerateOutput(raw, usage=Usage(1, len(raw) + 1), logprob=-1.0, tokens=spell(raw)),
    )
    [turn, *_] = run(scenario(TEXT, "phases=[{name: full, agents: [a]}]"), tmp_path / "run").turns()
    assert (turn.thought, turn.text, turn.usage.thought_tokens, turn.tokens) == (thought, text, before, spell(raw))
    assert (turn.logprob is None) == bool(thought)
