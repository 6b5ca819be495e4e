"""Debates printed as they are spoken: who speaks, whom it reads, its text, then the decision, dissent and cost."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from society.answers.choice import OPTION_LETTERS
from society.core.pieces import Growing, Piece
from society.core.plain import count, shorten
from society.core.terminal import Terminal
from society.core.types import Item, Same, Turn, TurnId, Usage
from society.metrics.matching import by_id
from society.metrics.people import describe_people
from society.runner.flow import Flow
from society.runs.names import LONGEST_PERSONA, Names, name_option, name_persona
from society.runs.records import DebateRecord, helpers_of, sameness, training_sameness
from society.runs.votes import read_ballots
from society.watcher import Watcher

if TYPE_CHECKING:
    from rich.console import Console

    from society.scenario.expand import Society
    from society.simulation.simulate import DebateResult

DIM, THOUGHT = "dim", "dim italic"
LONGEST_ANSWER = 100
"""Maximum number of characters of an answer that is shown."""
LISTED = 12
"""Maximum number of agents that are named in a list."""


@dataclass
class _Spoken:
    """A turn that is being printed, or waits for that. `printed` holds what stands in the output so far."""

    id: TurnId
    reads: Sequence[TurnId]
    growing: Growing = field(default_factory=Growing)
    printed: Growing = field(default_factory=Growing)
    begun: bool = False
    turn: Turn | None = None


@dataclass
class _Debate:
    """A debate with the turns that are not printed to their end yet, in the order in which they began."""

    waiting: dict[TurnId, _Spoken] = field(default_factory=dict)
    turns: list[Turn] = field(default_factory=list)
    place: tuple[str, int] | None = None
    """Phase and round of the turn that was printed last."""
    titled: bool = False
    result: DebateResult | None = None


class DebateStream(Watcher):
    """Prints debates one after another, and in each of them one turn after another.

    Several agents speak at the same time. The turn that began first is printed as it grows; the others wait and follow
    as far as they are. On a terminal, thoughts are printed dimmed. Elsewhere each turn is printed at its end, and a
    thought is one line with its length.
    """

    def __init__(self, console: Console | None = None, titled: bool = True, whole: bool = False) -> None:
        """`titled`: print the question above its debate. `whole`: print a debate at its end, and no unfinished one.

        People who are asked in the same terminal then see no more than their questions show.
        """
        self._titled, self._whole = titled, whole
        self._console = console or Terminal()
        self.streams = self._console.is_terminal and not whole
        self._flow = Flow(self._console)
        self._debates: dict[tuple[int, str, int], _Debate] = {}
        self._items: Mapping[str, Item] = {}
        self._society: Society | None = None
        self._same: Same = operator.eq
        self.decided = False
        """Set once a debate has ended."""
        self.outcome: tuple[str, list[tuple[str, str]]] = ("", [])
        """The decision of the debate that ended last, and the last words of each of its agents."""

    def started(self, society: Society, items: Sequence[Item], folder: Path, iteration: int, split: str) -> None:
        self._society, self._items = society, by_id(items)
        self._same = training_sameness(society) if split == "training" else sameness(society)

    def speaking(self, turn: TurnId, reads: Sequence[TurnId]) -> None:
        self._debate(turn).waiting[turn] = _Spoken(turn, reads)
        self._advance()

    def piece(self, turn: TurnId, piece: Piece) -> None:
        spoken = self._debate(turn).waiting.get(turn)
        if spoken is not None:  # otherwise the turn is over, and its reply was cancelled
            spoken.growing.add(piece)
            if spoken.begun:
                self._catch_up(spoken)

    def turn(self, turn: Turn, replayed: bool) -> None:
        debate = self._debate(turn.id)
        spoken = debate.waiting.setdefault(turn.id, _Spoken(turn.id, turn.reads))
        spoken.turn, spoken.growing = turn, Growing(turn.thought, turn.text)
        debate.turns.append(turn)
        self._advance()

    def result(self, result: DebateResult) -> None:
        key = (result.iteration, result.item.id, result.sample)
        self._debates.setdefault(key, _Debate()).result = result
        self._advance()

    def __exit__(self, *_: object) -> None:
        """Print what still waits: after an interruption, turns of unfinished debates."""
        for debate in () if self._whole else self._debates.values():
            for spoken in debate.waiting.values():
                if spoken.turn is not None:
                    self._print(debate, spoken)
        self._flow.end()
        self._debates.clear()

    def _debate(self, turn: TurnId) -> _Debate:
        return self._debates.setdefault((turn.iteration, turn.item, turn.sample), _Debate())

    def _advance(self) -> None:
        """Print as far as the order allows: the first debate to its end, then the next one."""
        while self._debates:
            key, debate = next(iter(self._debates.items()))
            if self._whole and debate.result is None:
                return
            for spoken in list(debate.waiting.values()):
                if not self._print(debate, spoken):
                    return
                del debate.waiting[spoken.id]
            if debate.result is None:
                return
            self._end(debate, debate.result)
            del self._debates[key]

    def _print(self, debate: _Debate, spoken: _Spoken) -> bool:
        """Print what is new of a turn, its head first. Return whether the turn is finished."""
        if spoken.turn is None and not self.streams:
            return False
        if not spoken.begun:
            self._title(debate, spoken.id)
            self._head(spoken)
        self._catch_up(spoken)
        if spoken.turn is not None:
            self._foot(spoken.turn)
        return spoken.turn is not None

    def _title(self, debate: _Debate, turn: TurnId) -> None:
        """Print the question above a debate, and a line above each round."""
        item = self._items.get(turn.item)
        if not debate.titled and self._titled:
            question = item.question if item is not None else turn.item
            sample = f"  (sample {turn.sample + 1})" if turn.sample else ""
            self._flow.line()
            self._flow.line((f"{question}{sample}", "bold"))
        debate.titled = True
        if debate.place != (turn.phase, turn.round):
            debate.place = (turn.phase, turn.round)
            self._flow.line((f"── {turn.phase}, round {turn.round} ──", DIM))

    def _head(self, spoken: _Spoken) -> None:
        """Print who speaks, and whom it reads."""
        spoken.begun = True
        agent = spoken.id.agent
        persona = self._persona(spoken.id)
        reads = _list(list(dict.fromkeys(read.agent for read in spoken.reads)))
        self._flow.line(
            (agent, "bold"), (f" ({persona})" if persona else "", DIM), (f"  reads {reads}" if reads else "", DIM)
        )

    def _catch_up(self, spoken: _Spoken) -> None:
        """Print what is new in the thought and the text of a turn."""
        grown, printed = spoken.growing, spoken.printed
        if self.streams:
            self._more(printed.thought, grown.thought, THOUGHT)
        elif grown.thought and spoken.turn is not None and not printed.thought:
            tokens = spoken.turn.usage.thought_tokens
            self._flow.line(
                (f"(a thought, {count(tokens, 'token')})" if tokens else "(a thought of unknown length)", DIM), indent=2
            )
        self._more(printed.text, grown.text, "")
        spoken.printed = Growing(grown.thought, grown.text)

    def _more(self, printed: str, now: str, style: str) -> None:
        if not now.startswith(printed):
            self._flow.line(("(taken back)", DIM), indent=2)
            printed = ""
        if now != printed:
            self._flow.add(now[len(printed) :], style)

    def _foot(self, turn: Turn) -> None:
        """Print the calls and the answer of a finished turn, and what went wrong in it."""
        self._flow.end()
        for call in turn.calls:
            mark = "" if call.status == "ok" else f" ({call.status})"
            self._flow.line(
                (f"{call.tool}{mark}: {shorten(call.given, 60)} = {shorten(call.result, 60)}", DIM), indent=2
            )
        if turn.status == "failed":
            self._flow.line((f"failed: {turn.error}", "red"), indent=2)
            return
        if turn.error:
            self._flow.line((turn.error, "red"), indent=2)
        if turn.finish_reason == "length" and turn.text.strip():
            self._flow.line(("cut off at max_tokens", DIM), indent=2)
        if not self._helps(turn.id):
            answer = "no readable answer" if turn.answer is None else f"→ {self._shown(turn.answer, turn.id.item)}"
            self._flow.line((answer, DIM if turn.answer is None else "cyan"), indent=2)

    def _end(self, debate: _Debate, result: DebateResult) -> None:
        """Print the decision, who disagrees, and the cost."""
        answer = result.decision.answer
        decided = f"none ({result.decision.reason})" if answer is None else self._shown(answer, result.item.id)
        last = {turn.id.agent: turn for turn in debate.turns if turn.is_shown and not self._helps(turn.id)}
        self.decided = True
        self.outcome = (decided, [(name, turn.text) for name, turn in last.items()])
        self._flow.line(("─" * 24, DIM))
        for label, text, style in self._facts(debate, result):
            self._flow.line((f"{label:<9} ", DIM), (text, style))

    def _facts(self, debate: _Debate, result: DebateResult) -> Iterator[tuple[str, str, str]]:
        """Yield the last lines of a debate: label, text, style."""
        assert self._society is not None
        decision, item = result.decision, result.item.id
        voters = decision.voters or self._society.voters
        same = self._same
        votes = {turn.id.agent: turn.answer for turn in self._record(debate, result, same).last(voters)}
        if decision.answer is None:
            yield "decided", f"nothing: {decision.reason}", "bold"
        else:
            support = self._society.scenario.decision.describe_support(decision, len(voters))
            yield "decided", f"{self._shown(decision.answer, item)}   {support}", "bold"
        label = "votes" if decision.answer is None else "dissent"
        against: dict[str, list[str]] = {}
        for name, answer in votes.items():
            if answer is not None and (decision.answer is None or not same(answer, decision.answer)):
                known = next((other for other in against if same(other, answer)), answer)
                against.setdefault(known, []).append(name)
        named = Names(self._society).agent
        for answer, names in against.items():
            yield label, f"{self._shown(answer, item)}: {_list(list(map(named, names)))}", ""
            label = ""
        if not against and decision.answer is not None and len(voters) > 1:
            yield "dissent", "none", ""
        if silent := [name for name in voters if votes.get(name) is None]:
            yield "no answer", _list(list(map(named, silent))), ""
        if result.scored and result.decision.single:
            gold = f"   true answer: {self._shown(result.item.gold, item)}" if result.item.gold else ""
            mark, style = ("right", "green") if result.correct else ("wrong", "red")
            yield "verdict", f"{mark}{gold}", style
        usage = sum((turn.usage for turn in debate.turns), Usage())
        yield "cost", self._cost(len(debate.turns), usage), ""
        if people := describe_people(sum(turn.usage.person_seconds > 0 for turn in debate.turns), usage):
            yield "people", people, ""
        yield "time", f"the backend worked {usage.seconds:.1f} s", ""

    def _record(self, debate: _Debate, result: DebateResult, same: Same) -> DebateRecord:
        """Return the debate with its ballots read as the decision rule reads them."""
        assert self._society is not None
        record = DebateRecord(result.row("evaluation"), tuple(debate.turns), helpers_of(self._society))
        return read_ballots(self._society, record, same)

    @staticmethod
    def _cost(turns: int, usage: Usage) -> str:
        about = "about " if usage.estimated else ""
        cached = f" ({usage.cached_tokens:,} cached)" if usage.cached_tokens else ""
        return (
            f"{count(turns, 'turn')}, {about}{count(usage.generated_tokens, 'token')} generated, "
            f"{about}{count(usage.prompt_tokens, 'prompt token')}{cached}{usage.described_calls}"
        )

    def _shown(self, answer: str, item: str) -> str:
        """Return an answer on one line; of a multiple-choice question a letter and its option."""
        choices = self._items[item].choices if item in self._items else ()
        options = dict(zip(OPTION_LETTERS, choices, strict=False))
        return name_option(answer, options[answer]) if answer in options else shorten(answer, LONGEST_ANSWER)

    def _helps(self, turn: TurnId) -> bool:
        """Return whether an agent moderates, judges or summarizes in a turn: its reply is no answer."""
        phases = self._society.phases if self._society is not None else ()
        return all(phase.name != turn.phase or turn.agent not in phase.speakers for phase in phases)

    def _persona(self, turn: TurnId) -> str:
        plans = self._society.plans if self._society is not None else {}
        plan = plans.get((turn.phase, turn.agent.partition("/")[0]))
        return shorten(name_persona(plan.persona), LONGEST_PERSONA) if plan is not None else ""


def _list(names: Sequence[str]) -> str:
    """Return the names in one text; a long list is cut, and begins with its length."""
    if len(names) <= LISTED:
        return ", ".join(names)
    return f"{len(names)} agents: {', '.join(names[:LISTED])} and {len(names) - LISTED} more"
