"""The figures of a report as plain data, each of a kind that the page knows how to draw.

forest    rows of a value with its interval           line      series of points with bands over a common axis
scatter   points with intervals, some joined          matrix    counts, each a filter of the debates
bars      counts                                      table     columns and rows
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from society.metrics.budget import BudgetVerdict
from society.metrics.diversity import Mean
from society.metrics.influence import count_flows, measure_conformity
from society.metrics.iterations import IterationScore, score_iterations
from society.metrics.proportion import Proportion
from society.metrics.records import DebateRecord
from society.metrics.rounds import RoundScore, find_agreement, score_rounds
from society.metrics.summary import Summary
from society.metrics.tradeoff import Point, front, list_points
from society.report.verdict import count_agent_flips
from society.scenario.expand import Society

Json = dict[str, Any]
MOST_AGENTS = 8
"""More agents than these get no line of their own."""
MOST_EDGES = 16


def list_figures(
    society: Society,
    records: Sequence[DebateRecord],
    latest: Sequence[DebateRecord],
    summary: Summary,
    budget: BudgetVerdict,
) -> list[Json]:
    """Every figure that a run's debates can fill; `latest`, `summary` and `budget` are of its last iteration."""
    scores, iterations = score_rounds(society, latest), score_iterations(society, records)
    found = [_accuracy(summary, budget, iterations), _iterations(iterations)]
    if len(scores) > 1:
        found += [_rounds(scores), _flips(summary), _agreement(society, latest)]
    found += [_cost(society, latest, scores), _conformity(society, latest), _diversity(iterations)]
    found += [_agents(society, latest, scores), _edges(society, latest)]
    return [figure for figure in found if figure]


def _accuracy(summary: Summary, budget: BudgetVerdict, iterations: Sequence[IterationScore]) -> Json:
    """The headline: alone, before and after debating, and a vote of equal cost where the run allows to say."""
    rows = [_row("one agent alone", summary.alone)]
    if summary.flips != type(summary.flips)():
        rows += [_row("vote before debating", summary.before), _row("after debating", summary.after, True)]
    else:
        rows.append(_row("society's answer", summary.after, True))
    if budget.difference is not None and budget.votes > 1:
        rows.append(
            {"name": f"vote of {budget.votes}, equal tokens", "value": budget.voting, "low": None, "high": None}
        )
    when = f", iteration {iterations[-1].iteration}" if len(iterations) > 1 else ""
    lost = f"{summary.undecided} undecided, {summary.unparsed} unreadable, {summary.failed} failed"
    return {
        "kind": "forest", "id": "accuracy", "title": f"Accuracy{when}", "rows": rows,
        "note": f"Share of questions answered rightly, with 95% intervals. Counted as wrong: {lost}.",
    }  # fmt: skip


def _row(name: str, share: Proportion, strong: bool = False) -> Json:
    return {"name": name, "value": share.share, "low": share.low, "high": share.high, "n": share.n, "strong": strong}


def _rounds(scores: Sequence[RoundScore]) -> Json:
    series = [
        _series("vote", [s.vote for s in scores], band=True),
        _series("single answers", [s.answers for s in scores], band=True),
    ]
    agents = list(scores[-1].agents)
    if 1 < len(agents) <= MOST_AGENTS:
        series += [_series(name, [s.agents.get(name) for s in scores], faint=True) for name in agents]
    return {
        "kind": "line", "id": "rounds", "title": "Round by round",
        "x": [score.name for score in scores], "series": series,
        "note": "Accuracy of the answers that stand after each round; thin lines are single agents.",
    }  # fmt: skip


def _series(name: str, shares: Sequence[Proportion | None], band: bool = False, faint: bool = False) -> Json:
    points = [None if s is None or not s.n else [s.share, s.low, s.high] for s in shares]
    return {"name": name, "points": points, "band": band, "faint": faint}


def _flips(summary: Summary) -> Json:
    flips = summary.flips
    if flips == type(flips)():
        return {}
    return {
        "kind": "matrix", "id": "flips", "title": "Minds changed", "rows": ["was right", "was wrong"],
        "columns": ["still or now right", "wrong"],
        "cells": [
            [{"value": flips.kept_right}, {"value": flips.right_to_wrong, "tag": "to_wrong", "tone": "bad"}],
            [{"value": flips.wrong_to_right, "tag": "to_right", "tone": "good"},
             {"value": flips.kept_wrong + flips.wrong_to_wrong}],
        ],
        "note": f"Each voter's first answer against its last. Of the wrong that stayed wrong, {flips.wrong_to_wrong} "
                f"changed to another wrong answer; {flips.unread} pairs had an unreadable answer.",
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
    if not any(point.tokens for point in points):
        return {}
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
    spent = {name: [t for r in records for t in r.of(name)] for name in society.agents}
    rows = []
    for name, turns in spent.items():
        seen = [score.agents[name] for score in scores if name in score.agents]
        kinds = flips.get(name, Counter())
        rows.append([
            name, _percent(seen[0]) if seen else "", _percent(seen[-1]) if seen else "",
            kinds["wrong_to_right"], kinds["right_to_wrong"],
            sum(t.answer is None and t.status == "ok" for t in turns), sum(t.status == "failed" for t in turns),
            sum(t.usage.generated_tokens for t in turns),
        ])  # fmt: skip
    return {
        "kind": "table", "id": "agents", "title": "Agent by agent", "rows": rows,
        "columns": ["agent", "right at first", "right at last", "mended", "spoiled", "unreadable", "failed", "tokens"],
        "note": "Mended: first answer wrong, last one right. Spoiled: the other way.",
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
        "columns": ["who to whom", "differed", "adopted", "mended", "spoiled"],
        "rows": [[f"{f.sender} → {f.reader}", f.differed, f.adopted, f.helped, f.harmed] for f in flows[:MOST_EDGES]],
        "note": f"How often a reader that thought otherwise took over what it read.{more}",
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
                "and of all changed answers, those that became the majority's.",
    } if rows else {}  # fmt: skip


def _iterations(scores: Sequence[IterationScore]) -> Json:
    if len(scores) < 2:
        return {}
    axis = [f"{score.iteration}" for score in scores]
    accuracy = [
        _series("society", [s.accuracy for s in scores], band=True),
        _series("single answers", [s.alone for s in scores], band=True),
        _series("pseudo-labels", [s.labels for s in scores], band=True),
    ]
    return {
        "kind": "line", "id": "iterations", "title": "Over iterations of training", "x": axis, "series": accuracy,
        "note": "Accuracy of decisions, of single first answers, and of the answers that may serve as labels.",
    }  # fmt: skip


def _diversity(scores: Sequence[IterationScore]) -> Json:
    """Over iterations as curves; of a single one as rows. Entropy has another unit, so it is told in words."""
    names = {"agree": "consensus", "different words": "distinct_1", "different word pairs": "distinct_2"}
    means = {name: [getattr(s.diversity, field) for s in scores] for name, field in names.items()}
    last = scores[-1].diversity.entropy
    figure = {
        "id": "diversity", "title": "Diversity",
        "note": "Share of voters that agree in the end (lower is more diverse), and of different words and word pairs "
                "among responses that match the consensus (higher is more diverse), with two standard errors. "
                f"Entropy of the answers: {last.value:.2f} bits.",
    }  # fmt: skip
    if len(scores) == 1:
        rows = [{"name": name, **_bounds(mean), "n": mean.n} for name, (mean,) in means.items() if mean.n]
        return figure | {"kind": "forest", "rows": rows} if rows else {}
    series = [
        {"name": name, "band": True, "faint": False, "points": [[*_bounds(m).values()] if m.n else None for m in found]}
        for name, found in means.items()
    ]
    return figure | {"kind": "line", "x": [f"{score.iteration}" for score in scores], "series": series}


def _bounds(mean: Mean) -> Json:
    """Two standard errors each way; none where there is too little for an error."""
    reach = 2 * mean.error
    return {"value": mean.value, "low": max(0.0, mean.value - reach), "high": min(1.0, mean.value + reach)}
