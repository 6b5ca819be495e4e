"""Figures over the iterations of training: accuracy and labels, training rows, costs, diversity.

The diversity of words is known for every run, that of embeddings and likelihoods only after `society diversity`
(`society.metrics.measure`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

from society.core.types import Usage
from society.metrics.diversity import Mean
from society.metrics.iterations import IterationScore
from society.metrics.likelihood import BASE
from society.pictures.figures import (
    Axis,
    Chart,
    Figure,
    Forest,
    Point,
    Row,
    Series,
    Table,
    mean_interval,
    mean_points,
    note_intervals,
    percent,
    share_points,
)

MAX_SERIES = 6
"""Number of colours of the page. With more agents, the sum of each learner is shown."""
VOTES = ("first", "last", "all")
"""Votes on the evaluation questions beside the decision."""
ITERATION = Axis("iteration", "whole")
TEXT_MEASURES = {"agree": "consensus", "different words": "distinct_1", "different word pairs": "distinct_2"}
"""Fields of `TextDiversity` in [0, 1], by their names in figures."""
UNKNOWN = Mean(float("nan"), float("nan"), 0)


def accuracy_chart(scores: Sequence[IterationScore], alone: bool, labels: bool) -> Chart | None:
    """Return accuracy by iteration; with `alone` that of single first answers, with `labels` that of pseudo-labels."""
    places = [score.iteration for score in scores]
    lines = {"society": [score.accuracy for score in scores]}
    if alone:
        lines["single answers"] = [score.alone for score in scores]
    if labels:
        lines["pseudo-labels"] = [score.labels for score in scores]
    note = "Accuracy with 95% intervals. Iteration 0 is before any training."
    if labels:
        note += " Pseudo-labels: answers that training questions were labelled with."
    series = [Series(name, share_points(places, shares)) for name, shares in lines.items()]
    return _chart("iterations", "Accuracy by iteration", note, Axis("accuracy", "share"), series)


def consensus_chart(scores: Sequence[IterationScore]) -> Chart | None:
    """Return the mean share of the voters that agree, by iteration."""
    means = [score.diversity.consensus for score in scores]
    note = "Share of the voters that give the most frequent answer, with two standard errors."
    axis = Axis("agents with the\nmost frequent answer", "share")
    return _chart("consensus", "Consensus", note, axis, [_mean_series("consensus", scores, means, 0.0, 1.0)])


def entropy_chart(scores: Sequence[IterationScore]) -> Chart | None:
    """Return the mean entropy of the voters' answers, in bits, by iteration."""
    means = [score.diversity.entropy for score in scores]
    note = "Entropy of the distribution of the voters' last answers, with two standard errors."
    axis = Axis("entropy of answers (bits)")
    return _chart("entropy", "Entropy of answers", note, axis, [_mean_series("entropy", scores, means, 0.0)])


def training_figures(scores: Sequence[IterationScore]) -> list[Figure]:
    """Return what each iteration labelled and trained on; an empty list before the first training."""
    if not has_training(scores):
        return []
    found = [
        _rows_chart(scores),
        _iterations(scores),
        _estimates(scores),
        _labels_of_learners(scores),
        _costs(scores),
        _left_out(scores),
    ]
    return [figure for figure in found if figure is not None]


def has_training(scores: Sequence[IterationScore]) -> bool:
    """Return whether training has begun in any iteration."""
    return any(score.examples or score.training_usage != Usage() for score in scores)


def _rows_chart(scores: Sequence[IterationScore]) -> Chart | None:
    """Return the number of training rows by learner and agent, in the iterations with training."""
    trained = [score for score in scores if score.examples]
    names = list(dict.fromkeys(name for score in trained for name in score.examples))
    if len(names) <= MAX_SERIES:
        sizes = {name: [score.examples.get(name, 0) for score in trained] for name in names}
    else:
        sizes = {name: [sum(_sizes(score, name)) for score in trained] for name in _learners(trained)}
    series = []
    for name, numbers in sizes.items():
        points = [Point(score.iteration, number) for score, number in zip(trained, numbers, strict=True)]
        series.append(Series(name, points, interval="none"))
    note = "Training rows of each learner and agent, taken from the training debates of the same iteration."
    joined = _join_equal(series)
    if len(joined) < len(series):
        note += " Learners and agents with equal numbers share a line."
    return _chart("examples", "Training rows", note, Axis("rows", start=0), joined)


def _join_equal(series: Sequence[Series]) -> list[Series]:
    """Return one series for all those with the same points, with their names joined: one line would hide the others."""
    groups: dict[tuple[Point, ...], list[Series]] = {}
    for one in series:
        groups.setdefault(tuple(one.points), []).append(one)
    return [replace(group[0], name=", ".join(one.name for one in group)) for group in groups.values()]


def _learners(scores: Sequence[IterationScore]) -> list[str]:
    return list(dict.fromkeys(name.split("/")[0] for score in scores for name in score.examples))


def _sizes(score: IterationScore, learner: str) -> list[int]:
    return [rows for name, rows in score.examples.items() if name.split("/")[0] == learner]


def _iterations(scores: Sequence[IterationScore]) -> Table:
    learners, rules = _learners(scores), list(dict.fromkeys(rule for score in scores for rule in score.rows_right))
    columns = ["iteration", "accuracy", "labels right", "labels", "no label", *(f"{name} rows" for name in learners)]
    columns += [*(f"{rule}: right" for rule in rules), "repeated rows", "tokens trained on"]
    note = (
        "Labels of the training debates (`train.label`, `train.quorum`); ties and decisions below the quorum give no "
        "label. Rows: sum over agents (fewest to most per agent). By selection rule: share of rows with a right "
        "answer. "
    )
    note += _describe_reasons(scores)
    rows = [_iteration_row(score, learners, rules) for score in scores]
    return Table("training", "Training by iteration", note, columns, rows)


def _iteration_row(score: IterationScore, learners: Sequence[str], rules: Sequence[str]) -> list[Any]:
    debated = bool(score.labelled or score.unlabelled)
    return [
        f"{score.iteration}",
        percent(score.accuracy),
        percent(score.labels),
        score.labelled if debated else "-",
        score.unlabelled if debated else "-",
        *[_total_and_range(_sizes(score, learner)) for learner in learners],
        *[percent(score.rows_right[rule]) if rule in score.rows_right else "-" for rule in rules],
        score.repeated or "-",
        score.trained_tokens or "-",
    ]


def _estimates(scores: Sequence[IterationScore]) -> Table | None:
    """Return the estimates without true answers beside the truth, by iteration."""
    shown = [score for score in scores if score.signals]
    if not shown:
        return None
    names = list(shown[0].signals)
    columns = ["iteration", *names, "labels right", "accuracy", *(f"vote of {name} answers" for name in VOTES)]
    note = (
        "Estimates from the training debates, with standard errors. Agreement: first answers that are the label. "
        "Corrected: last answers that are the label after another readable first answer. Margin: lead of the most "
        "frequent last answer. Base: questions on which the vote of all turns is that of iteration 0; a tie counts as "
        "another vote. Drift: distance of first answers from those of iteration 0. Base and drift have no value in "
        "iteration 0. Labels and accuracy are the truth, which the training does not see."
    )
    for score in shown:
        if score.alarm is not None:
            note += f" The guard found in iteration {score.iteration} that its estimate was best in {score.alarm}."
    rows = [_estimate_row(score, names) for score in shown]
    return Table("estimates", "Estimates without true answers", note, columns, rows)


def _estimate_row(score: IterationScore, names: Sequence[str]) -> list[Any]:
    estimates = [str(score.signals[name]) for name in names]
    truth = [score.labels, score.accuracy, *(score.votes[name] for name in VOTES)]
    return [f"{score.iteration}", *estimates, *map(percent, truth)]


def _labels_of_learners(scores: Sequence[IterationScore]) -> Table | None:
    """Return how many labels of each learner are right, where learners have labels of their own."""
    rows = [
        [f"{score.iteration}", name, percent(one.right), one.right.n + one.unscored, one.missing, _join(one.reasons)]
        for score in scores
        for name, one in score.learner_labels.items()
    ]
    if not rows:
        return None
    note = "Labels by learner. Where each agent has a label of its own, the labels of all agents are counted."
    columns = ["iteration", "learner", "labels right", "labels", "no label", "reasons"]
    return Table("learner-labels", "Labels by learner", note, columns, rows)


def _join(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number:,} {reason}" for reason, number in counts.items()) or "-"


def _costs(scores: Sequence[IterationScore]) -> Table:
    """Return what the training debates and the finetuning of each iteration cost."""
    rows = [
        [
            f"{score.iteration}",
            score.training_turns,
            score.training_usage.generated_tokens,
            score.training_usage.prompt_tokens,
            score.trained_tokens,
            round(score.trained_seconds, 1),
        ]
        for score in scores
        if score.training_turns or score.trained_tokens
    ]
    columns = ["iteration", "turns", "tokens generated", "prompt tokens", "tokens trained on", "seconds"]
    note = "Turns and tokens of the training debates. Tokens trained on count every epoch; seconds are of finetuning."
    return Table("training-cost", "Cost of training", note, columns, rows)


def _describe_reasons(scores: Sequence[IterationScore]) -> str:
    """Return why debates gave no label, over all iterations, as a sentence."""
    total = sum((Counter(score.reasons) for score in scores), Counter[str]())
    reasons = ", ".join(f"{number:,} {reason}" for reason, number in total.items())
    return f"Debates without a label: {reasons}." if reasons else "Every debate gave a label."


def _left_out(scores: Sequence[IterationScore]) -> Table | None:
    """Return the number of turns that became no training row, by learner and reason, over all iterations."""
    total: Counter[tuple[str, str]] = Counter()
    for score in scores:
        for learner, reasons in score.left_out.items():
            total.update({(learner, reason): number for reason, number in reasons.items()})
    if not total:
        return None
    rows = [[learner, reason, number] for (learner, reason), number in total.items()]
    note = (
        "Turns of the training debates that became no training row, over all iterations. With `data: everyone`, a turn "
        "counts once for each agent that could be trained on it."
    )
    return Table("left-out", "Turns not trained on", note, ["learner", "reason", "turns"], rows)


def _total_and_range(sizes: Sequence[int]) -> str:
    if not sizes:
        return "-"
    return f"{sum(sizes):,}" if len(sizes) == 1 else f"{sum(sizes):,} ({min(sizes):,} to {max(sizes):,})"


def diversity_figure(scores: Sequence[IterationScore], measured: Sequence[Mapping[str, Any]]) -> Chart | Forest | None:
    """Return the measures of diversity in [0, 1]: a chart by iteration, a forest plot for a single iteration."""
    vectors = {entry["iteration"]: read_mean(entry["embedding"]) for entry in measured}
    measures = {name: [getattr(score.diversity, field) for score in scores] for name, field in TEXT_MEASURES.items()}
    measures["different meaning"] = [vectors.get(score.iteration, UNKNOWN) for score in scores]
    known = {name: means for name, means in measures.items() if any(mean.n for mean in means)}
    note = (
        "Agree: share of voters with the most frequent last answer; lower is more diverse. Words: share of distinct "
        "words and word pairs in responses that match the consensus; higher is more diverse. Intervals: two standard "
        "errors."
    )
    if vectors:
        note += f" Meaning: 1 - cosine similarity of responses ({measured[-1]['encoder']})."
    if len(scores) > 1:
        series = [_mean_series(name, scores, means, 0.0, 1.0) for name, means in known.items()]
        return _chart("diversity", "Diversity", note, Axis(unit="share"), series)
    if not known:
        return None
    note += f" Entropy of the answers: {scores[0].diversity.entropy.value:.2f} bits."
    rows = [Row(name, mean.value, *mean_interval(mean, 0.0, 1.0), mean.n) for name, (mean,) in known.items()]
    return Forest("diversity", "Diversity", note, rows)


def model_charts(measured: Sequence[Mapping[str, Any]]) -> list[Chart]:
    """Return cross-likelihood and KL by iteration, where `society diversity` measured them (arXiv 2501.05707)."""
    seen = [entry for entry in measured if entry.get("likelihood")]
    likelihood = _chart(
        "likelihood",
        "Likelihood of responses",
        "Mean negative log-likelihood of responses under the agents' models; higher is more diverse.",
        Axis("nats per token"),
        [
            _pair_series("own responses", seen, "nll", lambda model, speaker: model == speaker),
            _pair_series("others' responses", seen, "nll", lambda model, speaker: BASE != model != speaker),
        ],
    )
    divergence = _chart(
        "kl",
        "KL divergence of models",
        "Estimated from each agent's responses; an estimate can fall below 0 by chance.",
        Axis("nats per response"),
        [
            _pair_series("from the base", seen, "kl", lambda _, other: other == BASE),
            _pair_series("from one another", seen, "kl", lambda _, other: other != BASE),
        ],
    )
    wide = "two standard errors, averaged over pairs"
    return [
        replace(chart, note=chart.note + note_intervals(chart.series, wide))
        for chart in (likelihood, divergence)
        if chart is not None
    ]


def _pair_series(
    name: str, measured: Sequence[Mapping[str, Any]], matrix: str, takes: Callable[[str, str], bool]
) -> Series:
    """Return the mean over the pairs that `takes` accepts, by iteration, with their mean standard error."""
    points: list[Point] = []
    for entry in measured:
        rows = entry["likelihood"][matrix].items()
        cells = [read_mean(cell) for a, row in rows for b, cell in row.items() if takes(a, b)]
        known = [cell for cell in cells if cell.n]
        if known:
            mean = Mean(fmean(cell.value for cell in known), fmean(cell.error for cell in known), len(known))
            points += mean_points([entry["iteration"]], [mean])
    return Series(name, points)


def read_mean(stored: Mapping[str, Any]) -> Mean:
    """Return a `Mean` from plain data, where null stands for NaN."""
    value, error = (float("nan") if stored[name] is None else stored[name] for name in ("value", "error"))
    return Mean(value, error, stored["n"])


def _mean_series(
    name: str, scores: Sequence[IterationScore], means: Sequence[Mean], low: float, high: float = float("inf")
) -> Series:
    return Series(name, mean_points([score.iteration for score in scores], means, low, high))


def _chart(id: str, title: str, note: str, axis: Axis, series: Sequence[Series]) -> Chart | None:
    """Return a chart over iterations without its empty series, or None if all are empty."""
    known = [one for one in series if one.points]
    return Chart(id, title, note, ITERATION, axis, known) if known else None
