"""Debates that are printed as they are spoken: order, texts of several agents at once, hostile texts, both forms."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import ColorSystem

import society
from society.core.pieces import Piece
from society.core.terminal import Terminal
from society.core.types import Decision, Item, Judgement, Turn, TurnId, Usage
from society.runner.flow import Flow
from society.runner.stream import DebateStream
from society.scenario.expand import Society, expand
from society.simulation.simulate import DebateResult

ITEM = Item("q", "Should it be so?", "")


def open_console(terminal: bool, width: int = 60) -> tuple[Terminal, io.StringIO]:
    """Return a console over a text, which takes itself for a terminal or not."""
    written = io.StringIO()
    console = Terminal()
    console.file, console._force_terminal, console._width = written, terminal, width
    console._color_system = ColorSystem.STANDARD if terminal else None
    return console, written


def plain(text: str) -> str:
    """Return the text without the styles of the terminal."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


@pytest.fixture(scope="module")
def pair() -> Society:
    data: dict[str, Any] = {
        "version": 1,
        "name": "pair",
        "task": {"kind": "arithmetic", "form": "a+b", "limit": 1},
        "backends": {"local": {"kind": "scripted"}},
        "roles": {"one": {"system": "You are {{ persona }}.", "prompt": "{{ question }}"}},
        "agents": {"one": {"count": 2, "persona": ["a mayor", "a cyclist"]}},
        "phases": [{"name": "debate", "topology": "complete", "rounds": 2}],
    }
    return expand(society.Scenario(**data))


def name(agent: str, number: int = 1, item: str = "q") -> TurnId:
    return TurnId(0, item, "debate", number, agent)


def finished(turn: TurnId, text: str, answer: str | None = "yes", **more: Any) -> Turn:
    return Turn(turn, "key", (), text, answer, usage=Usage(10, 5, thought_tokens=2 * ("thought" in more)), **more)


def test_texts_of_agents_that_speak_at_once_are_never_mixed(pair: Society) -> None:
    console, written = open_console(terminal=True)
    stream = DebateStream(console)
    stream.started(pair, [ITEM], Path(), 0, "evaluation")
    one, two = name("one-1"), name("one-2")
    for turn in (one, two):
        stream.speaking(turn, ())
    for i, (a, b) in enumerate(zip(["Yes,", "it", "should."], ["No,", "it", "should", "not."], strict=False)):
        stream.piece(two, Piece(f"{' ' * bool(i)}{b}", len(" ".join(["No,", "it", "should", "not."][:i]))))
        stream.piece(one, Piece(f"{' ' * bool(i)}{a}", len(" ".join(["Yes,", "it", "should."][:i]))))
    stream.turn(finished(two, "No, it should not.", "no"), False)
    assert "No," not in written.getvalue()
    stream.turn(finished(one, "Yes, it should."), False)
    text = plain(written.getvalue())
    places = [
        text.index(part) for part in ("one-1 (a mayor)", "Yes, it should.", "one-2 (a cyclist)", "No, it should not.")
    ]
    assert places == sorted(places)


def test_debates_follow_one_another_and_end_with_decision_dissent_and_cost(pair: Society) -> None:
    console, written = open_console(terminal=True)
    stream = DebateStream(console)
    items = [Item(key, f"Question {key}?", gold) for key, gold in (("a", ""), ("b", "no"))]
    stream.started(pair, items, Path(), 0, "evaluation")
    stream.speaking(name("one-1", item="a"), ())
    for agent, answer in (("one-1", "no"), ("one-2", "no")):
        stream.speaking(name(agent, item="b"), [name("one-1", item="b")])
        stream.turn(finished(name(agent, item="b"), "No.", answer), False)
    stream.result(DebateResult(0, items[1], 0, Decision("no", 1.0), {"no": Judgement(True)}))
    assert "Question b?" not in written.getvalue(), "a later debate waits for the end of the first"
    stream.turn(finished(name("one-1", item="a"), "Yes."), False)
    stream.turn(finished(name("one-2", item="a"), "No.", None), False)
    stream.result(DebateResult(0, items[0], 0, Decision("yes", 0.5), {}, scored=False))
    text = plain(written.getvalue())
    first, second = text.split("Question b?")
    assert "decided   yes   50% of 2 voters" in first
    assert "no answer one-2" in first
    assert "verdict" not in first, "a question without a true answer has no verdict"
    assert "2 turns, 10 tokens generated, 20 prompt tokens\n" in first
    assert "time      the backend worked 0.0 s" in first
    assert "reads one-1" in second
    assert "verdict   right   true answer: no" in second


def test_a_long_list_of_agents_begins_with_its_length(pair: Society) -> None:
    console, written = open_console(terminal=False)
    stream = DebateStream(console)
    stream.started(pair, [ITEM], Path(), 0, "evaluation")
    reads = [name(f"one-{i}") for i in range(40)]
    stream.turn(finished(name("one-1"), "Yes.", reads=tuple(reads)), False)
    assert "reads 40 agents: one-0, one-1" in " ".join(written.getvalue().split())


def test_without_a_decision_all_votes_are_listed(pair: Society) -> None:
    console, written = open_console(terminal=False)
    stream = DebateStream(console)
    choice = Item("q", "Where?", "", choices=("Rome", "Oslo"))
    stream.started(pair, [choice], Path(), 0, "evaluation")
    for agent, answer in (("one-1", "A"), ("one-2", "B")):
        stream.turn(finished(name(agent), f"The answer is ({answer}).", answer), False)
    stream.result(DebateResult(0, choice, 0, Decision(None, reason="tie", tied=("A", "B")), {}, scored=False))
    text = written.getvalue()
    assert "decided   nothing: tie\n" in text
    assert "votes     A. Rome: one-1 (a mayor)\n          B. Oslo: one-2 (a cyclist)" in text
    assert "\x1b" not in text


def test_thoughts_are_dimmed_on_a_terminal_and_folded_elsewhere(pair: Society) -> None:
    for terminal, shown in ((True, "\x1b[2;3mLet\x1b[0m"), (False, "(a thought, 2 tokens)")):
        console, written = open_console(terminal)
        stream = DebateStream(console)
        stream.started(pair, [ITEM], Path(), 0, "evaluation")
        stream.speaking(name("one-1"), ())
        stream.piece(name("one-1"), Piece("Let me see.", 0, thought=True))
        stream.turn(finished(name("one-1"), "Yes.", thought="Let me see."), False)
        assert shown in written.getvalue()
        assert ("Let" in written.getvalue()) is terminal


def test_a_text_that_is_taken_back_is_marked(pair: Society) -> None:
    console, written = open_console(terminal=True)
    stream = DebateStream(console)
    stream.started(pair, [ITEM], Path(), 0, "evaluation")
    stream.speaking(name("one-1"), ())
    stream.piece(name("one-1"), Piece("First attempt", 0))
    stream.piece(name("one-1"), Piece("", 0))
    stream.piece(name("one-1"), Piece("Second attempt", 0))
    stream.turn(finished(name("one-1"), "Second attempt"), False)
    text = plain(written.getvalue())
    assert re.search(r"First attempt\n  \(taken back\)\n  Second attempt\n", text)


@pytest.mark.parametrize("terminal", [True, False])
def test_no_text_of_a_model_controls_the_terminal(pair: Society, terminal: bool) -> None:
    console, written = open_console(terminal)
    stream = DebateStream(console)
    evil = "a\x1b]0;title\x07 [red]b[/red] \x1b[2J \u202eright \r c \ud800"
    stream.started(pair, [ITEM], Path(), 0, "evaluation")
    stream.speaking(name("one-1"), ())
    for at, character in enumerate(evil):  # a command that arrives in parts is no command either
        stream.piece(name("one-1"), Piece(character, at))
    stream.turn(finished(name("one-1"), evil, evil, error=evil), False)
    stream.result(DebateResult(0, ITEM, 0, Decision(evil, 1.0), {}, scored=False))
    left = plain(written.getvalue())
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\ud800]", left)
    assert "[red]b[/red]" in left


def test_failures_and_cut_replies_are_shown(pair: Society) -> None:
    console, written = open_console(terminal=False)
    stream = DebateStream(console)
    stream.started(pair, [ITEM], Path(), 0, "evaluation")
    stream.turn(finished(name("one-1"), "", None, status="failed", error="The server is gone."), False)
    stream.turn(finished(name("one-2"), "Well, on the", None, finish_reason="length"), False)
    assert "failed: The server is gone." in written.getvalue()
    assert "cut off at max_tokens" in written.getvalue()
    assert "no readable answer" in written.getvalue()


def test_an_interrupted_debate_prints_what_was_finished(pair: Society) -> None:
    console, written = open_console(terminal=True)
    with DebateStream(console) as stream:
        stream.started(pair, [ITEM], Path(), 0, "evaluation")
        stream.speaking(name("one-1"), ())
        stream.piece(name("one-1"), Piece("I was", 0))
        stream.speaking(name("one-2"), ())
        stream.turn(finished(name("one-2"), "I am done."), False)
    assert "I am done." in plain(written.getvalue())


def test_lines_are_wrapped_between_words() -> None:
    console, written = open_console(terminal=True, width=50)
    flow = Flow(console)
    said = "Extraordinarily long sentences about autonomous vehicles are wrapped between their words.\n\nAlways."
    for character in said:
        flow.add(character)
    flow.end()
    lines = written.getvalue().splitlines()
    assert max(map(len, lines)) <= 50
    assert " ".join(" ".join(lines).split()) == " ".join(said.split())
    assert all(line.startswith("  ") for line in lines if line)


def test_lines_of_code_keep_their_indentation() -> None:
    console, written = open_console(terminal=False)
    flow = Flow(console)
    for character in " def f():\n    if x:\n        return 1\n":
        flow.add(character)
    flow.end()
    assert written.getvalue() == "  def f():\n      if x:\n          return 1\n"
