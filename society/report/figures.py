"""The figures of a report as plain data, each of a kind that the page knows how to draw.

forest    rows of a value with its interval           line      series of points with bands over a common axis
scatter   points with intervals, some joined          matrix    counts, each a filter of the debates
bars      counts                                      table     columns and rows
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from society.core.types import Turn
from society.metrics.budget import BudgetVerdict
from society.metrics.flips import Flips, describe_flips
from society.metrics.influence import count_flows, measure_conformity
from society.metrics.iterations import IterationScore
from society.metrics.proportion import Proportion
from society.metrics.rounds import RoundScore, find_agreement, score_rounds
from society.metrics.summary import Summary, count_flips, describe_lost
from society.metrics.tradeoff import Point, front, list_points
from society.report.training import (
    accuracy_figure,
    diversity_figure,
    model_figures,
    share_series,
    training_figures,
    trains,
)
from society.report.verdict import count_agent_flips
from society.runs.records import DebateRecord
from society.scenario.expand import Society

Json = dict[str, Any]
MOST_AGENTS = 8
"""More agents than these get no line of their own."""
MOST_EDGES = 16


def list_figures(
    society: Society,
    latest: Sequence[DebateRecord],
    summary: Summary,
    budget: BudgetVerdict,
    iterations: Sequence[IterationScore],
    measured: Sequence[Mapping[str, Any]] = (),
) -> list[Json]:
    """Every figure that a run's debates can fill; `latest`, `summary` and `budget` are of its last iteration.
    `measured` is the diversity that models were asked for (`society.metrics.measure.read_diversity`)."""
    scores, several = score_rounds(society, latest), len(society.voters) > 1
    found = [_accuracy(society, summary, budget, iterations)]
    if society.scenario.train is not None or len(iterations) > 1:
        found.append(accuracy_figure(iterations, several, trains(iterations)))
    if len(scores) > 1:
        found += [_rounds(society, scores), _flips(society, latest)]
    if len(scores) > 1 and several:
        found.append(_agreement(society, latest))
    found += [_cost(society, latest, scores), _conformity(society, latest)]
    found += [diversity_figure(iterations, measured)] if several else []
    found += [*model_figures(measured), *training_figures(iterations), _changes(scores)]
    found += [_agents(society, latest, scores), _edges(society, latest)]
    return [figure for figure in found if figure]


def _accuracy(society: Society, summary: Summary, budget: BudgetVerdict, iterations: Sequence[IterationScore]) -> Json:
    """The headline: alone, before and after debating, and a vote of equal cost where the run allows to say."""
    one = len(society.voters) == 1
    rows = [] if one else [_row("one agent alone", summary.alone)]
    if summary.flips.total:
        rows += [] if one else [_row("one agent after debating", summary.last)]
        before, after = ("first answer", "last answer") if one else ("vote before debating", "after debating")
        rows += [_row(before, summary.before), _row(after, summary.after, True)]
    else:
        rows.append(_row("the agent's answer" if one else "society's answer", summary.after, True))
    if budget.difference is not None and budget.votes > 1:
        rows.append(
            {"name": f"vote of {budget.votes}, equal tokens", "value": budget.voting, "low": None, "high": None}
        )
    when = f", iteration {iterations[-1].iteration}" if len(iterations) > 1 else ""
    broken = f" {summary.ties_broken:,} decisions broke a tie." if summary.ties_broken else ""
    return {
        "kind": "forest", "id": "accuracy", "title": f"Accuracy{when}", "rows": rows,
        "note": "Share of questions answered rightly, with 95% intervals. "
                f"Counted as wrong: {describe_lost(summary)}.{broken}",
    }  # fmt: skip


def _row(name: str, share: Proportion, strong: bool = False) -> Json:
    return {"name": name, "value": share.share, "low": share.low, "high": share.high, "n": share.n, "strong": strong}


def _rounds(society: Society, scores: Sequence[RoundScore]) -> Json:
    series = [share_series("vote", [s.vote for s in scores], band=True)]
    if len(society.voters) > 1:
        series.append(share_series("single answers", [s.answers for s in scores], band=True))
    agents = list(scores[-1].agents)
    if 1 < len(agents) <= MOST_AGENTS:
        series += [share_series(name, [s.agents.get(name) for s in scores], faint=True) for name in agents]
    return {
        "kind": "line", "id": "rounds", "title": "Round by round",
        "x": [score.name for score in scores], "series": series,
        "note": "Accuracy of the answers that stand after each round; thin lines are single agents.",
    }  # fmt: skip


STATES = ("right", "wrong", "unreadable")


def _flips(society: Society, records: Sequence[DebateRecord]) -> Json:
    """First against last answer of each voter that spoke twice; a failed turn's answer is unreadable."""
    pairs = Counter(
        (_state(record, spoken[0]), _state(record, spoken[-1]))
        for record in records for agent in society.voters if len(spoken := record.of(agent)) > 1
    )  # fmt: skip
    if not pairs:
        return {}
    told = {("right", "wrong"): ("to_wrong", "bad"), ("right", "unreadable"): ("to_unread", "bad"),
            ("wrong", "right"): ("to_right", "good"), ("unreadable", "right"): ("to_read", "good")}  # fmt: skip
    shown = [was for was in STATES if any(pairs[was, now] for now in STATES)]
    columns = [now for now in STATES if now != "unreadable" or any(pairs[was, now] for was in STATES)]
    cells = [
        [{"value": pairs[was, now]} | dict(zip(("tag", "tone"), told.get((was, now), ()), strict=False))
         for now in columns]
        for was in shown
    ]  # fmt: skip
    return {
        "kind": "matrix", "id": "flips", "title": "Minds changed", "rows": [f"was {was}" for was in shown],
        "columns": [f"is {now}" for now in columns], "cells": cells,
        "note": f"Each voter's first answer against its last: {describe_flips(count_flips(society, records))}. "
                "Click a coloured number to list its debates.",
    }  # fmt: skip


def _state(record: DebateRecord, turn: Turn) -> str:
    return "unreadable" if turn.answer is None else "right" if record.right(turn) else "wrong"


def _changes(scores: Sequence[RoundScore]) -> Json:
    """What each round did to the answers that stood before it."""
    if not any(score.flips.total for score in scores):
        return {}
    rows = [
        [s.name, _percent(s.vote), s.flips.wrong_to_right, s.flips.right_to_wrong, s.lost, s.found, s.unread, s.failed,
         s.cut_off, round(s.spent)]
        for s in scores
    ]  # fmt: skip
    return {
        "kind": "table", "id": "changes", "title": "What each round changed", "rows": rows,
        "columns": ["after", "vote right", "mended", "spoiled", "lost", "found", "unreadable", "failed", "cut off",
                    "tokens a debate"],
        "note": "Against each agent's answer before. Mended: wrong, then right. Spoiled: right, then wrong. Lost: "
                "right, then unreadable or failed. Found: the other way. Mended and found less spoiled and lost is the "
                "change in right answers. Unreadable and failed turns count as wrong; cut off: ended at max_tokens.",
    }  # fmt: skip


def _agreement(society: Society, records: Sequence[DebateRecord]) -> Json:
    found = find_agreement(society, records)
    bars = [{"name": name, "value": number} for name, number in found.reached.items()]
    share = f" Where they agreed, {found.right.share:.0%} were right." if found.right.n else ""
    return {
        "kind": "bars", "id": "agreement", "title": "When all agreed for good",
        "bars": [*bars, {"name": "never", "value": found.never, "faint": True}],
        "note": f"Debates by the round from which every voter stood by one answer.{share}",
    }  # fmt: skip


def _cost(society: Society, records: Sequence[DebateRecord], scores: Sequence[RoundScore]) -> Json:
    points = [point for point in list_points(society, records, scores) if point.tokens == point.tokens]
    if len({(point.tokens, point.accuracy) for point in points}) < 2 or not any(point.tokens for point in points):
        return {}  # nothing to choose between
    return scatter_figure("What accuracy costs", points)


def scatter_figure(title: str, points: Sequence[Point]) -> Json:
    """Accuracy against generated tokens, and which points no other beats."""
    best = front(points)
    return {
        "kind": "scatter", "id": "cost", "title": title, "x": "tokens generated a question",
        "points": [
            {"name": p.label, "method": p.method, "x": p.tokens, "y": p.accuracy, "low": p.low, "high": p.high,
             "front": p in best}
            for p in points
        ],
        "note": "Votes over 1, 2, ... independent answers against the debate after each round. Filled points are "
                "beaten by no other (the Pareto front).",
    }  # fmt: skip


def _agents(society: Society, records: Sequence[DebateRecord], scores: Sequence[RoundScore]) -> Json:
    flips = count_agent_flips(society, records)
    spent = {name: [t for r in records for t in r.every(name)] for name in society.agents}
    rows: list[list[Any]] = []
    for name, turns in spent.items():
        seen = [score.agents[name] for score in scores if name in score.agents]
        moved = flips.get(name, Flips())
        rows.append([
            name, _percent(seen[0]) if seen else "", _percent(seen[-1]) if seen else "",
            moved.wrong_to_right, moved.right_to_wrong, moved.right_to_unread, moved.unread_to_right,
            sum(t.answer is None and t.status == "ok" for t in turns), sum(t.status == "failed" for t in turns),
            sum(t.usage.generated_tokens for t in turns),
        ])  # fmt: skip
    columns = [
        "agent", "right at first", "right at last", "mended", "spoiled", "lost", "found", "unreadable", "failed",
        "tokens",
    ]  # fmt: skip
    note = (
        "Mended: first answer wrong, last one right. Spoiled: the other way. Lost: right at first, unreadable at last. "
        "Found: the other way."
    )
    if not any(moved.total for moved in flips.values()):  # nobody spoke twice
        columns = ["agent", "right", *columns[7:]]
        rows, note = [[*row[:2], *row[7:]] for row in rows], "Unreadable and failed turns count as wrong."
    return {
        "kind": "table", "id": "agents", "title": "Agent by agent", "rows": rows, "columns": columns, "note": note
    }  # fmt: skip


def _percent(share: Proportion) -> str:
    return f"{share.share:.1%}" if share.n else "-"


def _edges(society: Society, records: Sequence[DebateRecord]) -> Json:
    flows = sorted((f for f in count_flows(society, records) if f.differed), key=lambda flow: -flow.adopted)
    if not flows:
        return {}
    more = f" The {MOST_EDGES} strongest of {len(flows)}." if len(flows) > MOST_EDGES else ""
    return {
        "kind": "table", "id": "edges", "title": "Who moves whom",
        "columns": ["who to whom", "differed", "adopted", "mended", "spoiled", "unreadable"],
        "rows": [
            [f"{f.sender} → {f.reader}", f.differed, f.adopted, f.helped, f.harmed, f.silent + f.muted]
            for f in flows[:MOST_EDGES]
        ],
        "note": "How often a reader that thought otherwise took over what it read. Unreadable: the sender's answer, or "
                f"the reader's before or after.{more}",
    }  # fmt: skip


def _conformity(society: Society, records: Sequence[DebateRecord]) -> Json:
    found = measure_conformity(society, records)
    rows = [
        _row("followed a right majority", found.followed_right),
        _row("followed a wrong majority", found.followed_wrong),
        _row("changes to the majority", found.towards),
    ]
    rows = [row for row in rows if row["n"]]
    return {
        "kind": "forest", "id": "conformity", "title": "Conformity", "rows": rows,
        "note": "Of the agents that read a majority for another answer than their own, those that went over to it; "
                "and of all changed answers, to unreadable ones too, those that became the majority's. Left out: "
                f"{found.undecided:,} turns that read no majority, {found.silent:,} without a readable answer before.",
    } if rows else {}  # fmt: skip
