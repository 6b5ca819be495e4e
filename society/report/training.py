"""The figures over iterations of training: accuracy and labels, what was learned from, and how diverse agents stay.

Diversity of words is known of every run; that of vectors and likelihoods only where it was measured
(`society.metrics.measure`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from society.core.types import Usage
from society.metrics.diversity import Mean
from society.metrics.iterations import IterationScore
from society.metrics.likelihood import BASE
from society.metrics.proportion import Proportion

Json = dict[str, Any]
MOST_SERIES = 6
"""As many as the page has colours for; with more agents, each learner's sum is shown."""


def accuracy_figure(scores: Sequence[IterationScore], alone: bool, labels: bool) -> Json:
    """Accuracy by iteration; `alone`: of single first answers too, `labels`: of the pseudo-labels too."""
    series = [share_series("society", [s.accuracy for s in scores], band=True)]
    if alone:
        series.append(share_series("single answers", [s.alone for s in scores], band=True))
    if labels:
        series.append(share_series("pseudo-labels", [s.labels for s in scores], band=True))
    said = ["decisions", *["single first answers"] * alone, *["the labels that training questions were given"] * labels]
    return _line("iterations", "Over iterations of training", scores, series,
                 f"Accuracy of {_list(said)}, with 95% intervals. Iteration 0 is before any training.")  # fmt: skip


def training_figures(scores: Sequence[IterationScore]) -> list[Json]:
    """What each iteration labelled and learned from, as curves and in numbers; nothing before the first did."""
    if not trains(scores):
        return []
    return [figure for figure in (_sets(scores), _steps(scores), _costs(scores), _left_out(scores)) if figure]


def trains(scores: Sequence[IterationScore]) -> bool:
    """Whether training has begun in any iteration, as far as the scores were given it."""
    return any(score.examples or score.training_usage != Usage() for score in scores)


def _sets(scores: Sequence[IterationScore]) -> Json:
    """Examples by learner and agent, in the iterations that trained."""
    trained = [score for score in scores if score.examples]
    names = list(dict.fromkeys(name for score in trained for name in score.examples))
    series = [_curve(name, [[float(s.examples.get(name, 0)), None, None] for s in trained]) for name in names]
    if len(names) > MOST_SERIES:
        series = [
            _curve(learner, [[float(sum(_sizes(s, learner))), None, None] for s in trained])
            for learner in _learners(trained)
        ]
    note = "Training rows of each learner and agent, made in that iteration's debates."
    return _line("examples", "What they learn from", trained, series, note, "rows")


def _learners(scores: Sequence[IterationScore]) -> list[str]:
    return list(dict.fromkeys(name.split("/")[0] for score in scores for name in score.examples))


def _sizes(score: IterationScore, learner: str) -> list[int]:
    return [rows for name, rows in score.examples.items() if name.split("/")[0] == learner]


def _steps(scores: Sequence[IterationScore]) -> Json:
    learners, rules = _learners(scores), list(dict.fromkeys(rule for score in scores for rule in score.rows_right))
    return {
        "kind": "table", "id": "training", "title": "Iteration by iteration",
        "rows": [_step(score, learners, rules) for score in scores],
        "columns": ["iteration", "accuracy", "labels right", "labels", "no label", *[f"{n} rows" for n in learners],
                    *[f"{rule}: right" for rule in rules], "repeated rows", "tokens trained on"],
        "note": "Labels are those that training used (`train.label`, `train.quorum`). A tie gives none, nor does a "
                "decision that too few voters back. Rows: all agents together, and the fewest and most of one; by the "
                "rule that took them, the share that teaches a right answer. "
                f"{_tell_reasons(scores)}",
    }  # fmt: skip


def _step(score: IterationScore, learners: Sequence[str], rules: Sequence[str]) -> list[Any]:
    """The cells of one iteration."""
    debated = bool(score.labels.n or score.unlabelled)
    return [
        f"{score.iteration}",
        _share(score.accuracy),
        _share(score.labels),
        score.labels.n if debated else "-",
        score.unlabelled if debated else "-",
        *[_spread(_sizes(score, learner)) for learner in learners],
        *[_share(score.rows_right[rule]) if rule in score.rows_right else "-" for rule in rules],
        score.repeated or "-",
        score.trained_tokens or "-",
    ]


def _costs(scores: Sequence[IterationScore]) -> Json:
    """What each iteration's training debates and finetunings cost."""
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
    return {
        "kind": "table", "id": "training-cost", "title": "What training cost", "rows": rows,
        "columns": ["iteration", "turns", "generated", "read", "trained on", "seconds"],
        "note": "Turns, tokens generated and prompt tokens read of the training debates; tokens trained on, each epoch "
                "counted, and seconds of finetuning.",
    }  # fmt: skip


def _tell_reasons(scores: Sequence[IterationScore]) -> str:
    """Why debates gave no label, over all iterations, in words."""
    total = sum((Counter(score.reasons) for score in scores), Counter[str]())
    told = ", ".join(f"{number:,} {reason}" for reason, number in total.items())
    return f"Debates without a label: {told}." if told else "Every debate gave a label."


def _left_out(scores: Sequence[IterationScore]) -> Json:
    """The turns that no learner learned from, by learner and reason, over all iterations."""
    total: dict[tuple[str, str], int] = {}
    for score in scores:
        for learner, reasons in score.left_out.items():
            for reason, number in reasons.items():
                total[learner, reason] = total.get((learner, reason), 0) + number
    if not total:
        return {}
    return {
        "kind": "table", "id": "left-out", "title": "What nobody learned from",
        "columns": ["learner", "why", "turns"],
        "rows": [[learner, reason, number] for (learner, reason), number in total.items()],
        "note": "Turns of the training debates that became no training row, over all iterations. With "
                "`data: everyone` a turn is counted for each agent that could have learned it.",
    }  # fmt: skip


def _share(share: Proportion) -> str:
    return f"{share.share:.1%}" if share.n else "-"


def _spread(sizes: Sequence[int]) -> str:
    if not sizes:
        return "-"
    return f"{sum(sizes):,}" if len(sizes) == 1 else f"{sum(sizes):,} ({min(sizes):,} to {max(sizes):,})"


WORDS = {"agree": "consensus", "different words": "distinct_1", "different word pairs": "distinct_2"}


def diversity_figure(scores: Sequence[IterationScore], measured: Sequence[Mapping[str, Any]]) -> Json:
    """Over iterations as curves; of a single one as rows. Entropy has another unit, so it is told in words."""
    means = {name: [getattr(s.diversity, field) for s in scores] for name, field in WORDS.items()}
    vectors = {entry["iteration"]: read_mean(entry["embedding"]) for entry in measured}
    unknown = Mean(float("nan"), float("nan"), 0)
    means["different meaning"] = [vectors.get(score.iteration, unknown) for score in scores]
    means = {name: found for name, found in means.items() if any(mean.n for mean in found)}
    encoder = f" Different meaning: 1 - cosine similarity of responses ({measured[-1]['encoder']})." if vectors else ""
    entropy = next((score.diversity.entropy for score in reversed(scores) if score.debates), unknown)
    note = (
        "Share of voters that agree in the end (lower is more diverse), and of different words and word pairs among "
        f"responses that match the consensus (higher is more diverse), with two standard errors.{encoder} "
        f"Entropy of the answers: {entropy.value:.2f} bits."
    )
    if len(scores) > 1:
        series = [mean_series(name, found, 0.0, 1.0) for name, found in means.items()]
        return _line("diversity", "Diversity", scores, series, note)
    rows = [
        dict(zip(("value", "low", "high"), bounds(mean, 0.0, 1.0), strict=True)) | {"name": name, "n": mean.n}
        for name, (mean,) in means.items()
    ]
    return {"kind": "forest", "id": "diversity", "title": "Diversity", "rows": rows, "note": note} if rows else {}


def model_figures(measured: Sequence[Mapping[str, Any]]) -> list[Json]:
    """Cross-likelihood and KL by iteration, where `society diversity` measured them (arXiv 2501.05707)."""
    seen = [entry for entry in measured if entry.get("likelihood")]
    if not seen:
        return []
    nll, kl = ([entry["likelihood"][name] for entry in seen] for name in ("nll", "kl"))
    own = _means("own responses", nll, lambda model, speaker: model == speaker)
    others = _means("the others' responses", nll, lambda model, speaker: BASE != model != speaker)
    base = _means("from the base", kl, lambda _, other: other == BASE)
    apart = _means("from one another", kl, lambda _, other: other != BASE)
    x, wide = (
        [f"{entry['iteration']}" for entry in seen],
        "Bands: two standard errors, taken as if pairs moved together.",
    )
    found = [
        ("likelihood", "How models see each other", [own, others], "nats a token",
         f"Mean negative log-likelihood of responses under the agents' models (higher is more diverse). {wide}"),
        ("kl", "How far models are apart", [base, apart], "nats a response",
         f"KL divergence, estimated from each agent's responses; it can come out below 0 by chance. {wide}"),
    ]  # fmt: skip
    kept = ((*head, [s for s in series if _drawn(s)], unit, note) for *head, series, unit, note in found)
    return [
        {"kind": "line", "id": key, "title": title, "x": x, "axis": "iteration", "unit": unit,
         "series": series, "note": note}
        for key, title, series, unit, note in kept if series
    ]  # fmt: skip


def _means(name: str, matrices: Sequence[Mapping[str, Mapping[str, Any]]], which: Any) -> Json:
    """The mean over the pairs that `which` takes, iteration by iteration, with their mean standard error."""
    found = []
    for matrix in matrices:
        cells = [read_mean(cell) for a, row in matrix.items() for b, cell in row.items() if which(a, b)]
        known = [cell for cell in cells if cell.n]
        value = fmean(cell.value for cell in known) if known else float("nan")
        error = fmean(cell.error for cell in known) if known else float("nan")
        found.append(Mean(value, error, sum(cell.n for cell in known)))
    return mean_series(name, found)


def read_mean(stored: Mapping[str, Any]) -> Mean:
    """A `Mean` from plain data, where null stands for NaN."""
    value, error = (float("nan") if stored[name] is None else stored[name] for name in ("value", "error"))
    return Mean(value, error, stored["n"])


def mean_series(name: str, means: Sequence[Mean], least: float = float("-inf"), most: float = float("inf")) -> Json:
    """A curve of means with two standard errors each way, kept between `least` and `most`."""
    return _curve(name, [bounds(mean, least, most) if mean.n else None for mean in means], band=True)


def bounds(mean: Mean, least: float, most: float) -> list[float | None]:
    """Value, low and high; without bounds where there is too little for an error."""
    if mean.error != mean.error:
        return [mean.value, None, None]
    return [mean.value, max(least, mean.value - 2 * mean.error), min(most, mean.value + 2 * mean.error)]


def share_series(name: str, shares: Sequence[Proportion | None], band: bool = False, faint: bool = False) -> Json:
    """A curve of shares with their intervals."""
    return _curve(name, [None if s is None or not s.n else [s.share, s.low, s.high] for s in shares], band, faint)


def _curve(name: str, points: Sequence[list[float | None] | None], band: bool = False, faint: bool = False) -> Json:
    return {"name": name, "points": points, "band": band, "faint": faint}


def _drawn(series: Json) -> bool:
    return any(point is not None for point in series["points"])


def _line(
    key: str, title: str, scores: Sequence[IterationScore], series: Sequence[Json], note: str, unit: str = ""
) -> Json:
    drawn = [curve for curve in series if _drawn(curve)]
    return {
        "kind": "line", "id": key, "title": title, "x": [f"{score.iteration}" for score in scores],
        "axis": "iteration", "unit": unit, "series": drawn, "note": note,
    } if drawn else {}  # fmt: skip


def _list(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', of '.join(words[:-1])} and of {words[-1]}"
