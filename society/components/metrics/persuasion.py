"""Persuasion: changes to an answer that an agent had just read from others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import ClassVar, Literal

from society.components.metrics.base import (
    Debate,
    Metric,
    MetricFacts,
    Number,
    Question,
    Sums,
    Totals,
    percent,
    ratio,
)
from society.core.plain import count
from society.core.types import Turn

KINDS = ("persuaded", "returned", "own")


class Persuasion(Metric):
    """Changes of opinions to an answer that the agent had just read, and the agents that it read the answer from."""

    kind: Literal["persuasion"] = "persuasion"
    question: ClassVar[str] = "Who persuades whom?"
    note: ClassVar[str] = (
        "A change is a turn whose readable answer differs from the agent's last readable answer. Persuaded: for this "
        "turn, the agent read the new answer from another agent, and it had not given that answer earlier. Returned: "
        "it had given the answer earlier. Own: nobody that it read had the answer. If several others had it, each one "
        "is credited with an equal part of the change. Towards: of changes of numbers, those that end closer to the "
        "mean of the numbers that the agent read. Limits: an agent may have changed without reading, so these are "
        "coincidences and no causes; a run of the same scenario without a topology shows how many happen by chance. "
        "Only answers count, not arguments."
    )

    @classmethod
    def suits(cls, facts: MetricFacts) -> bool:
        return not facts.scored and facts.voters > 1

    def count(self, question: Question) -> Totals:
        totals: Sums = defaultdict(float)
        for debate in question.debates:
            latest: dict[str, Turn] = {}
            given: dict[str, set[str]] = {}
            for turn in debate.turns:
                agent, label = turn.id.agent, question.label(turn)
                if agent in latest:
                    _count_turn(totals, question, debate, latest[agent], turn, given[agent])
                if label is not None:
                    latest[agent] = turn
                    given.setdefault(agent, set()).add(label)
        return totals

    def numbers(self, totals: Totals, stages: Sequence[str]) -> Iterable[Number]:
        changes = round(totals.get(("changes",), 0))
        for name in KINDS:
            share = ratio(totals, (name,), ("changes",))
            yield Number(name, share, changes, unit="share", headline=name == "persuaded")
        measured = round(totals.get(("measured",), 0))
        if measured:
            yield Number("towards", ratio(totals, ("towards",), ("measured",)), measured, unit="share", headline=True)
        senders = [key for key in totals if key[0] == "shown"]
        for _, sender in sorted(senders, key=lambda key: (-totals.get(("won", key[1]), 0), str(key[1]))):
            won, shown = totals.get(("won", sender), 0), round(totals["shown", sender])
            yield Number("changes won", won, shown, group=str(sender))
        edges = [key for key in totals if key[0] == "credit"]
        for key in sorted(edges, key=lambda key: (-totals[key], *map(str, key[1:]))):
            n = round(totals["read", key[1], key[2]])
            yield Number("changes won", totals[key], n, group=f"{key[1]} → {key[2]}")

    def describe(self, numbers: Sequence[Number]) -> tuple[str, str]:
        shares = {number.name: number for number in numbers if not number.group}
        changes = shares["persuaded"].n
        if not changes:
            return "Nobody", "No agent changed its answer."
        told = f"of {count(changes, 'change')}, {percent(shares['persuaded'])} were to an answer that the agent had "
        told += f"just read, {percent(shares['returned'])} back to an earlier one of its own"
        told += f", {percent(shares['own'])} to one that nobody it read had"
        if "towards" in shares:
            told += f"; {percent(shares['towards'])} moved towards the mean of what it read"
        best = next((number for number in numbers if number.group and number.value), None)
        short = "Nobody"
        if best is not None:
            short = f"Mostly {best.group}"
            told += f"; {best.group} won most ({best.value:.3g})"
        return short, f"{told}."


def _count_turn(totals: Sums, question: Question, debate: Debate, before: Turn, turn: Turn, given: set[str]) -> None:
    """Count the turn of an agent with a readable answer before, as shown to others' answers and as a change."""
    was, now = question.label(before), question.label(turn)
    heard = {source.id.agent: source for source in debate.heard.get(turn.id, ())}
    for sender, source in heard.items():
        totals["read", sender, turn.id.agent] += question.label(source) not in (None, was)
        totals["shown", sender] += question.label(source) not in (None, was)
    if now is None or now == was:
        return
    totals["changes",] += 1
    senders = [sender for sender, source in heard.items() if question.label(source) == now]
    if now in given:
        totals["returned",] += 1
    elif senders:
        totals["persuaded",] += 1
        for sender in senders:
            totals["won", sender] += 1 / len(senders)
            totals["credit", sender, turn.id.agent] += 1 / len(senders)
    else:
        totals["own",] += 1
    old, new = question.value(before), question.value(turn)
    read = question.list_values(heard.values())
    if question.numeric and old is not None and new is not None and read:
        totals["measured",] += 1
        totals["towards",] += abs(new - fmean(read)) < abs(old - fmean(read))
