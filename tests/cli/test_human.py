"""A person in the terminal: what is shown and typed, Ctrl-C, no terminal, and what the commands tell of it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from backends.human import answered_through
from society.cli import main
from society.results import Run
from tests.backends.human.people import Typist
from tests.terminals import ASKED, in_terminal

pytest.importorskip("prompt_toolkit")
pytest.importorskip("pty", reason="no pseudo-terminals here")

SCENARIO = """
version: 1
name: seat
task: {kind: inline, items: [{question: "Cities without cars?", gold: "yes"}], choices: ["yes", "no"]}
backends:
  bots: {kind: scripted, rules: [{say: "The answer is yes. \\x1b[31mred"}]}
  me: {kind: human}
roles:
  solver:
    system: You are {{ name }}.
    prompt: "{% for m in heard %}{{ m.sender }} said: {{ m.text }} {% endfor %}{{ question }}"
  chair: {prompt: "Who speaks next?"}
agents:
  bot: {count: 2, role: solver, backend: bots}
  ann: {role: solver, backend: me}
  chair: {role: chair, backend: me}
phases:
  - {name: debate, agents: [bot, ann], topology: complete, rounds: 2}
  - {name: closing, agents: [bot], schedule: moderated, moderator: chair, rounds: 1}
"""
PASTED = "No, naïve 東京 🤖.\n<script>alert(1)</script> {{ question }}\n" + "word " * 2000 + "THE-END"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "seat.yaml"
    file.write_text(SCENARIO)
    return file


@pytest.mark.slow
def test_a_person_answers_stops_and_goes_on_in_a_terminal(path: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = ["run", str(path), "-o", str(out), "--set", "sampling.max_tokens=5000"]
    with in_terminal(command) as terminal:
        shown = terminal.wait_for(ASKED)
        assert "A question to you" in shown
        assert "You are ann." in shown
        assert "Cities without cars?" in shown
        assert "said:" not in shown  # of the first round nothing is heard, and nothing of it is printed
        terminal.type("\r")
        assert "Nothing was typed." in terminal.wait_for(ASKED)
        terminal.type(f"\x1b[200~{PASTED}\x1b[201~")
        terminal.wait_for("THE-END")
        terminal.type("\r")
        shown = terminal.wait_for(ASKED)
        assert "You said:" in shown
        assert "bot-1 said: The answer is yes. ⟦U+001B⟧[31mred" in shown
        terminal.type("half a rep\x03")
        assert terminal.end() == 130
        assert "Run again with --resume" in terminal.output
    assert [turn.text for turn in Run(out).turns() if turn.id.agent == "ann"] == [PASTED]
    with in_terminal([*command, "--resume"]) as terminal:
        assert "bot-1 said:" in terminal.wait_for(ASKED)
        terminal.type("The answer is yes.\r")
        shown = terminal.wait_for(ASKED)
        assert "1  bot-1" in shown
        assert "2  bot-2" in shown
        terminal.type("ann\r")
        assert "This is none of the choices." in terminal.wait_for(ASKED)
        terminal.type("2\r")
        assert terminal.end() == 0
    turns = {(turn.id.agent, turn.id.phase, turn.id.round): turn for turn in Run(out).turns()}
    assert turns["ann", "debate", 2].text == "The answer is yes."
    assert turns["chair", "closing", 1].text == "bot-2"
    assert ("bot-2", "closing", 1) in turns
    own = [turn for turn in turns.values() if turn.usage.person_seconds]
    assert {turn.id.agent for turn in own} == {"ann", "chair"}
    assert {(turn.usage.generated_tokens, turn.usage.prompt_tokens, turn.usage.seconds) for turn in own} == {(0, 0, 0)}


def test_without_a_terminal_there_is_an_error_before_any_work(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not sys.stdin.isatty()
    assert main(["run", str(path), "-o", str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err
    assert "A person is to be asked, but the standard input is no terminal." in told
    assert "--view" in told
    assert not (tmp_path / "out").exists()
    assert main(["check", str(path)]) == 0
    assert main(["run", str(path), "--watch", "-o", str(tmp_path / "out")]) == 2
    assert "--watch would show 'you', who is asked in this terminal" in capsys.readouterr().err


def test_ask_with_join_prints_the_debate_when_it_is_over(capsys: pytest.CaptureFixture[str]) -> None:
    typist = Typist(lambda question: (seen.append(capsys.readouterr().out), "Yes, for the air.")[1])
    seen: list[str] = []
    bots = "backends.local={kind: scripted, rules: [{say: No.}]}"
    with answered_through(typist):
        assert main(["ask", "Should cities ban cars?", "--join", "--agents", "2", "--set", bots]) == 0
    assert seen == ["", ""]  # nothing of the debate is printed while the person is asked
    assert [question.messages[-1].content.count("No.") for question in typist.asked] == [0, 2]
    told = capsys.readouterr().out
    assert "agent-1" in told
    assert "person (a person: you)" in told
    assert "people    2 turns in" in told


def test_a_person_in_a_scenario_keeps_its_seat_beside_a_model(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ask", "Is it?", "--scenario", str(path), "--join"]) == 2
    assert "so join cannot be given beside it" in capsys.readouterr().err
    assert main(["check", str(path)]) == 0
    assert "The person 'you' is asked at most 3 questions" in capsys.readouterr().out
    assert main(["plan", str(path)]) == 0
    told = capsys.readouterr().out
    assert "No debate was run for an estimate: it would ask people." in told
    assert "at most   5 calls" in told
