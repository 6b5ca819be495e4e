"""Watched replies: who speaks, whom it reads, and the reply in pieces, while texts and stores stay the same."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import society
from backends.scripted.backend import Scripted, ScriptedBackend
from society.core.errors import TransientError
from society.core.pieces import Growing, OnPiece, Piece, Pieces
from society.core.types import GenerateOutput, GenerateRequest, Turn, TurnId, Usage

DATA: dict[str, Any] = {
    "version": 1,
    "name": "sums",
    "task": {"kind": "arithmetic", "form": "a+b", "limit": 3},
    "backends": {"local": {"kind": "scripted", "rules": [{"think": "Let me add.", "calculate": {"skill": 0.5}}]}},
    "roles": {"solver": {"prompt": "{% for m in heard %}{{ m.text }} {% endfor %}{{ question }}"}},
    "agents": {"solver": {"count": 3}},
    "phases": [{"name": "debate", "topology": "complete", "rounds": 2}],
}


class Streams(society.Watcher):
    """Keeps what it is told."""

    streams = True

    def __init__(self) -> None:
        self.reads: dict[TurnId, Sequence[TurnId]] = {}
        self.growing: dict[TurnId, Growing] = defaultdict(Growing)
        self.pieces: list[Piece] = []
        self.turns: list[Turn] = []

    def speaking(self, turn: TurnId, reads: Sequence[TurnId]) -> None:
        self.reads[turn] = reads

    def piece(self, turn: TurnId, piece: Piece) -> None:
        assert turn in self.reads
        self.pieces.append(piece)
        self.growing[turn].add(piece)

    def turn(self, turn: Turn, replayed: bool) -> None:
        self.turns.append(turn)


def stored(run: society.Run) -> list[Turn]:
    """Return the turns of a run in a fixed order, without the time that they took."""
    turns = [replace(turn, usage=replace(turn.usage, seconds=0.0)) for turn in run.turns()]
    return sorted(turns, key=lambda turn: turn.id)


def test_a_watched_run_is_the_same_run(tmp_path: Path) -> None:
    watcher = Streams()
    watched = society.run(society.Scenario(**DATA), tmp_path / "watched", watcher=watcher)
    plain = society.run(society.Scenario(**DATA), tmp_path / "plain")
    assert stored(watched) == stored(plain)
    assert len(watcher.turns) == 18
    for turn in watcher.turns:
        assert watcher.reads[turn.id] == turn.reads
        assert (watcher.growing[turn.id].thought, watcher.growing[turn.id].text) == (turn.thought, turn.text)
    assert len(watcher.pieces) > 3 * len(watcher.turns)


def test_replayed_turns_are_not_spoken_again(tmp_path: Path) -> None:
    first, again = Streams(), Streams()
    society.run(society.Scenario(**DATA), tmp_path / "run", watcher=first)
    society.run(society.Scenario(**DATA), tmp_path / "run", resume=True, watcher=again)
    assert len(again.turns) == len(first.turns)
    assert not again.reads


def test_nobody_is_asked_to_stream_without_a_watcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: ScriptedBackend, request: GenerateRequest, on_piece: OnPiece) -> None:
        raise AssertionError("a reply was streamed that nobody watches")

    monkeypatch.setattr(ScriptedBackend, "stream", refuse)
    run = society.run(society.Scenario(**DATA), tmp_path / "run", watcher=society.Watcher())
    assert not run.count_failed()


def test_a_backend_that_cannot_stream_is_watched_turn_by_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def open_only(self: ScriptedBackend) -> ScriptedBackend:
        self._open = True
        return self

    monkeypatch.setattr(ScriptedBackend, "__aenter__", open_only)
    monkeypatch.setattr(Scripted, "abilities", Scripted.abilities - {"streaming"})
    watcher = Streams()
    society.run(society.Scenario(**DATA), tmp_path / "run", watcher=watcher)
    assert len(watcher.reads) == len(watcher.turns) == 18
    assert not watcher.pieces


def test_a_new_attempt_takes_back_what_was_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    attempts: dict[GenerateRequest, int] = defaultdict(int)

    async def stream(self: ScriptedBackend, request: GenerateRequest, on_piece: OnPiece) -> GenerateOutput:
        attempts[request] += 1
        pieces = Pieces(on_piece)
        pieces.update("", f"attempt {attempts[request]}")
        if attempts[request] == 1:
            raise TransientError("The connection was lost.", "Wait.")
        pieces.finish("", f"attempt {attempts[request]} is whole")
        return GenerateOutput(f"attempt {attempts[request]} is whole", usage=Usage(1, 4))

    monkeypatch.setattr(ScriptedBackend, "stream", stream)
    monkeypatch.setattr("society.simulation.attempts.FIRST_WAIT", 0.0)
    watcher = Streams()
    society.run(society.Scenario(**DATA), tmp_path / "run", watcher=watcher)
    assert {growing.text for growing in watcher.growing.values()} == {"attempt 2 is whole"}


def states(*texts: str, stops: Sequence[str] = (), last: str = "") -> list[Piece]:
    """Return the pieces of a text that grows through these states."""
    found: list[Piece] = []
    pieces = Pieces(found.append, stops)
    for text in texts:
        pieces.update("", text)
    pieces.finish("", last or texts[-1])
    return found


@pytest.mark.parametrize(
    ("found", "right"),
    [
        (states("a", "ab", "abc"), ["a", "b", "c"]),
        (states("one STO", "one STOP", stops=["STOP"], last="one "), ["one", " "]),
        (states("one STO", "one STORK", stops=["STOP"]), ["one", " STORK"]),
        (states("caf\ufffd", "café"), ["caf", "é"]),
        (states("one  ", "one\n\n", "one\n\ntwo"), ["one", "\n\ntwo"]),
        (states("", "same", "same"), ["same"]),
    ],
)
def test_only_certain_characters_are_sent(found: list[Piece], right: list[str]) -> None:
    assert [piece.text for piece in found] == right


def test_a_text_that_turns_out_to_be_a_thought_is_taken_back() -> None:
    found: list[Piece] = []
    pieces = Pieces(found.append)
    pieces.update("", "Let me see.")
    pieces.finish("Let me see.", "Yes.")
    assert found == [Piece("Let me see.", 0), Piece("Let me see.", 0, thought=True), Piece("Yes.", 0)]
