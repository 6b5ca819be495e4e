"""Figures of one run's debates: accuracy, rounds, costs, agents, influence.

`list_figures` returns those of a report; `society plot` draws some of the same charts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from society.core.plain import count
from society.core.types import Turn
from society.metrics.budget import BudgetVerdict
from society.metrics.flips import Flips, describe_flips
from society.metrics.iterations import IterationScore
from society.metrics.lost import describe_lost
from society.metrics.proportion import Proportion
from society.metrics.rounds import RoundScore, find_agreement, has_truth, score_rounds
from society.metrics.summary import Summary, count_flips
from society.metrics.tradeoff import Point as Method
from society.metrics.tradeoff import front, list_points
from society.pictures.agent_figures import agents_table, conformity_figure, edges_table
from society.pictures.figures import (
    Axis,
    Bar,
    Bars,
    Cell,
    Chart,
    Figure,
    Forest,
    Matrix,
    Part,
    Point,
    Row,
    Series,
    Table,
    percent,
    share_points,
    share_row,
)
from society.pictures.training_figures import (
    accuracy_chart,
    diversity_figure,
    entropy_chart,
    has_training,
    model_charts,
    training_figures,
)
from society.runs.records import DebateRecord, with_truth
from society.scenario.expand import Society

MAX_AGENTS = 8
"""Maximum number of agents with a line of their own."""
ACCURACY = Axis("accuracy", "share")


def list_figures(
    society: Society,
    latest: Sequence[DebateRecord],
    summary: Summary,
    budget: BudgetVerdict,
    iterations: Sequence[IterationScore],
    measured: Sequence[Mapping[str, Any]] = (),
) -> list[Figure]:
    """Return every figure that the run has data for.

    `latest`, `summary` and `budget` are of the last iteration. `measured` is the diversity that
    `society.metrics.measure.read_diversity` returns.
    """
    scores, several = score_rounds(society, latest), len(society.voters) > 1
    found: list[Figure | None] = [accuracy_figure(society, summary, budget, iterations)] if summary.scored else []
    if society.scenario.train is not None or len(iterations) > 1:
        found.append(accuracy_chart(iterations, several, has_training(iterations)))
    if len(scores) > 1:
        found += [rounds_chart(society, scores), _first_and_last(society, with_truth(latest)), flips_figure(scores)]
    if len(scores) > 1 and several:
        found.append(_agreement(society, latest))
    found += [_cost(society, latest, scores), conformity_figure(society, latest)]
    if several:
        found.append(diversity_figure(iterations, measured))
    if several and len(iterations) > 1:
        found.append(entropy_chart(iterations))
    found += [*model_charts(measured), *training_figures(iterations), _changes(scores)]
    found += [agents_table(society, latest, scores), edges_table(society, latest)]
    return [figure for figure in found if figure is not None]


def accuracy_figure(
    society: Society, summary: Summary, budget: BudgetVerdict, iterations: Sequence[IterationScore]
) -> Forest:
    """Return the headline: accuracy of one agent, before and after debating, and of a vote of equal cost if known."""
    one = len(society.voters) == 1
    rows = [] if one else [share_row("one agent alone", summary.alone)]
    if summary.flips.total and one:
        rows += [share_row("first answer", summary.before), share_row("last answer", summary.after, strong=True)]
    elif summary.flips.total:
        rows.append(share_row("one agent after debating", summary.last))
        rows.append(share_row("vote before debating", summary.before))
        rows.append(share_row("after debating", summary.after, strong=True))
    else:
        rows.append(share_row("the agent's answer" if one else "society's answer", summary.after, strong=True))
    if budget.difference is not None and budget.votes > 1:
        rows.append(Row(f"vote of {budget.votes}, equal tokens", budget.voting))
    when = f", iteration {iterations[-1].iteration}" if len(iterations) > 1 else ""
    note = f"Share of right answers, with 95% intervals. Counted as wrong: {describe_lost(summary.wrong)}."
    if summary.scored < summary.debates:
        note += f" Only the {summary.scored:,} of {summary.debates:,} debates with a true answer count here."
    if summary.split_right:
        note += f" In {count(summary.split_right, 'debate')} right answers count as different votes."
    if summary.ties_broken:
        note += f" {summary.ties_broken:,} decisions broke a tie."
    return Forest("accuracy", f"Accuracy{when}", note, rows)


def rounds_chart(society: Society, scores: Sequence[RoundScore]) -> Chart | None:
    """Return the accuracy after each round: of a vote, of single answers and of each agent; None without any."""
    if not has_truth(scores):
        return None
    places = range(len(scores))
    series = [Series("vote", share_points(places, [score.vote for score in scores]))]
    agents = list(dict.fromkeys(name for score in scores for name in score.agents))
    if len(society.voters) > 1:
        series.append(Series("single answers", share_points(places, [score.answers for score in scores])))
    if 1 < len(agents) <= MAX_AGENTS:
        series += [
            Series(name, share_points(places, _shares(name, scores)), "straight", "none", True, "each agent")
            for name in agents
        ]
    note = "Accuracy of each agent's latest answer, and of a majority vote over these, with 95% intervals."
    return Chart("rounds", "Accuracy by round", note, Axis(names=[score.name for score in scores]), ACCURACY, series)


def _shares(agent: str, scores: Sequence[RoundScore]) -> list[Proportion | None]:
    return [score.agents.get(agent) for score in scores]


STATES = ("right", "wrong", "unreadable")
FLIP_CELLS: Mapping[tuple[str, str], tuple[str, Any]] = {
    ("right", "wrong"): ("to_wrong", "bad"),
    ("right", "unreadable"): ("to_unread", "bad"),
    ("wrong", "right"): ("to_right", "good"),
    ("unreadable", "right"): ("to_read", "good"),
}
"""Tag and tone of the cells that list debates, by first and last state."""


def _first_and_last(society: Society, records: Sequence[DebateRecord]) -> Matrix | None:
    """Return the first against the last answer of each voter with two turns; failed turns count as unreadable."""
    pairs: Counter[tuple[str, str]] = Counter()
    for record in records:
        for spoken in filter(lambda turns: len(turns) > 1, map(record.of, record.candidates(society))):
            pairs[_state(record, spoken[0]), _state(record, spoken[-1])] += 1
    if not pairs:
        return None
    rows = [before for before in STATES if any(pairs[before, after] for after in STATES)]
    columns = [after for after in STATES if after != "unreadable" or any(pairs[before, after] for before in STATES)]
    cells = [[Cell(pairs[before, after], *FLIP_CELLS.get((before, after), ())) for after in columns] for before in rows]
    note = f"Voters by first and last answer: {describe_flips(count_flips(society, records))}. "
    note += "Click a coloured number to list its debates."
    named = [f"was {before}" for before in rows], [f"is {after}" for after in columns]
    return Matrix("flips", "First and last answers", note, *named, cells)


def _state(record: DebateRecord, turn: Turn) -> str:
    if turn.answer is None:
        return "unreadable"
    return "right" if record.right(turn) else "wrong"


def flips_figure(scores: Sequence[RoundScore]) -> Bars | None:
    """Return the shares of answers that became right (to the right) and stopped being right (to the left) by round."""
    again = [score for score in scores if score.flips.total]
    if not any(score.flips.gained or score.flips.lost for score in again):
        return None
    bars = [Bar(score.name, _flip_parts(score.flips)) for score in again]
    note = "Answers of agents that answered before, compared with that answer. Right: became right. Left: was right."
    return Bars("turned", "Answers that changed", note, Axis("share of answers", "share"), bars)


def _flip_parts(flips: Flips) -> list[Part]:
    return [
        Part("wrong to right", flips.wrong_to_right / flips.total, "good"),
        Part("unreadable to right", flips.unread_to_right / flips.total, "found"),
        Part("right to wrong", -flips.right_to_wrong / flips.total, "bad"),
        Part("right to unreadable", -flips.right_to_unread / flips.total, "lost"),
    ]


def _changes(scores: Sequence[RoundScore]) -> Table | None:
    """Return how each round changed the answers that the agents had given before."""
    if not any(score.flips.total for score in scores) or not has_truth(scores):
        return None
    columns = [
        *("after", "vote right", "wrong to right", "right to wrong", "right to unreadable", "unreadable to right"),
        *("unreadable", "failed", "cut off", "tokens per debate"),
    ]
    rows = [
        [
            *(s.name, percent(s.vote), s.flips.wrong_to_right, s.flips.right_to_wrong, s.lost, s.found),
            *(s.unread, s.failed, s.cut_off, round(s.spent)),
        ]
        for s in scores
    ]
    note = (
        "Turns of each round, compared with the same agent's answer before. Unreadable and failed turns count as "
        "wrong where there is a true answer. Cut off: ended at max_tokens."
    )
    return Table("changes", "Changes by round", note, columns, rows)


def _agreement(society: Society, records: Sequence[DebateRecord]) -> Bars:
    found = find_agreement(society, records)
    bars = [Bar(name, [Part("debates", number)]) for name, number in found.reached.items()]
    bars.append(Bar("never", [Part("debates", found.never, "faint")]))
    note = "Debates by the first round after which all voters kept one common answer."
    if found.right.n:
        note += f" Of the common answers, {found.right.share:.0%} were right."
    return Bars("agreement", "Round of agreement", note, Axis("debates", "whole"), bars)


def _cost(society: Society, records: Sequence[DebateRecord], scores: Sequence[RoundScore]) -> Chart | None:
    chart = cost_chart(list_points(society, records, scores))
    points = {(point.x, point.y) for series in chart.series for point in series.points}
    return chart if len(points) > 1 and any(tokens for tokens, _ in points) else None  # else there is no choice


def cost_chart(points: Sequence[Method]) -> Chart:
    """Return accuracy against generated tokens, with the Pareto front.

    Votes of even size are left out: they tie more often than those of the next smaller size.
    """
    shown = [point for point in points if point.votes % 2 and point.tokens == point.tokens]
    names = {"debate": "debate, by round", "vote": "vote of 1, 3, 5, ...", "run": "runs"}
    series = [
        _cost_series(names[method], found, "none" if method == "run" else "straight")
        for method in names
        if (found := [point for point in shown if point.method == method])
    ]
    series.append(front_series(shown))
    note = "Pareto front: no other method is more accurate for as few tokens. Bars: 95% intervals."
    axis = Axis("tokens generated per question", start=0)
    return Chart("cost", "Accuracy and cost", note, axis, ACCURACY, series)


def _cost_series(name: str, methods: Sequence[Method], line: Any) -> Series:
    points = [Point(m.tokens, m.accuracy, m.low, m.high, m.label) for m in methods]
    return Series(name, points, line, "bar")


def front_series(methods: Sequence[Method]) -> Series:
    """Return the Pareto front: the methods than which no other is more accurate for as few tokens."""
    best = [Point(method.tokens, method.accuracy) for method in front(methods)]
    return Series("Pareto front", best, "step", "none", faint=True)
