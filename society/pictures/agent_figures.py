"""Figures of a run's agents: accuracy and changes by agent, adoption by edge, conformity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from society.core.types import Turn
from society.metrics.accuracy import share_true
from society.metrics.flips import Flips
from society.metrics.influence import count_flows, measure_conformity
from society.metrics.proportion import Proportion
from society.metrics.rounds import RoundScore, has_truth
from society.metrics.summary import count_agent_flips
from society.pictures.figures import (
    Forest,
    Table,
    percent,
    share_row,
)
from society.runs.names import Names
from society.runs.records import DebateRecord
from society.scenario.expand import Society

MAX_EDGES = 16
"""Maximum number of edges in the table of influence."""


def agents_table(society: Society, records: Sequence[DebateRecord], scores: Sequence[RoundScore]) -> Table:
    """Return each agent's accuracy, changed answers and tokens.

    There are no changes where no agent spoke twice, and no accuracy without true answers.
    """
    flips, known = count_agent_flips(society, records), has_truth(scores)
    twice = any(moved.total for moved in flips.values())
    columns = ["agent", "right"] if known else ["agent"]
    if twice:
        columns = ["agent", "first answer right", "last answer right", "wrong to right", "right to wrong"]
        columns += ["right to unreadable", "unreadable to right"]
    rows: list[list[Any]] = []
    names = Names(society)
    for name in society.agents:
        turns = [turn for record in records for turn in record.every(name)]
        spoken = [(record, own) for record in records if (own := _speak(record, name))]
        seen = [_share(spoken, place) for place in (0, -1)]
        first = percent(seen[0]) if seen[0].n else ""
        row: list[Any] = [names.agent(name), first] if known else [names.agent(name)]
        if twice:
            moved = flips.get(name, Flips())
            row += [percent(seen[-1]) if seen[-1].n else "", moved.wrong_to_right, moved.right_to_wrong]
            row += [moved.right_to_unread, moved.unread_to_right]
        unreadable = sum(turn.answer is None and turn.status == "ok" for _, own in spoken for turn in own)
        failed = sum(turn.status == "failed" for turn in turns)
        rows.append([*row, unreadable, failed, sum(turn.usage.generated_tokens for turn in turns)])
    note = "Changes from an agent's first to its last answer. " if twice else ""
    wrong = "Unreadable and failed turns count as wrong where there is a true answer."
    note += wrong if known else "Unreadable: turns without a readable answer."
    return Table(
        "agents", "Accuracy by agent" if known else "Agents", note, [*columns, "unreadable", "failed", "tokens"], rows
    )


def _speak(record: DebateRecord, agent: str) -> list[Turn]:
    """Return the turns of an agent in which it gives an answer of its own."""
    return [turn for turn in record.every(agent) if not record.helps(turn)]


def _share(spoken: Sequence[tuple[DebateRecord, Sequence[Turn]]], place: int) -> Proportion:
    """Return the share of right answers among these turns of an agent, one for each debate."""
    return share_true((record.question, [record.right(turns[place])]) for record, turns in spoken if record.scored)


def edges_table(society: Society, records: Sequence[DebateRecord]) -> Table | None:
    """Return the edges over which most answers were adopted."""
    flows = sorted((f for f in count_flows(society, records) if f.differed), key=lambda flow: -flow.adopted)
    if not flows:
        return None
    note = (
        "Turns whose reader had another answer than the sender, and those of them that adopted the sender's answer. "
        "Unreadable: the sender's answer, or the reader's before or after."
    )
    if len(flows) > MAX_EDGES:
        note += f" The {MAX_EDGES} edges with most adopted answers of {len(flows)}."
    known = any(record.scored for record in records)
    columns = ["edge", "differed", "adopted", *(["wrong to right", "right to wrong"] if known else []), "unreadable"]
    named = Names(society).agent
    rows = [
        [
            named(f"{f.sender} → {f.reader}"),
            f.differed,
            f.adopted,
            *((f.helped, f.harmed) if known else ()),
            f.silent + f.muted,
        ]
        for f in flows[:MAX_EDGES]
    ]
    return Table("edges", "Influence by edge", note, columns, rows)


def conformity_figure(society: Society, records: Sequence[DebateRecord]) -> Forest | None:
    """Return the shares of answers that followed the majority of what was read; None where nobody read one."""
    found = measure_conformity(society, records)
    followed = [
        share_row("followed a right majority", found.followed_right),
        share_row("followed a wrong majority", found.followed_wrong),
    ]
    if not any(record.scored for record in records):
        followed = [share_row("followed the majority", found.followed)]
    rows = [*followed, share_row("changes to the majority", found.towards)]
    if not any(row.n for row in rows):
        return None
    note = (
        "Agents that read a majority for another answer than their own: the share that adopted it. Changes: the share "
        f"of all changed answers that became the majority's. Left out: {found.undecided:,} turns that read no "
        f"majority, {found.silent:,} without a readable answer before."
    )
    return Forest("conformity", "Conformity", note, [row for row in rows if row.n])
