"""Every curve of a run as a picture: accuracy by round and by tokens, flips, iterations. Needs the extra `draw`.

plot_runs    writes what there is to draw of these runs into a folder
read_curves  the numbers behind the pictures
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from society.core.atomic import appearing
from society.core.errors import InputError, MissingExtraError
from society.core.hidden_chars import reveal
from society.metrics.comparison import latest, name_runs
from society.metrics.diversity import Mean
from society.metrics.iterations import IterationScore, run_iterations
from society.metrics.proportion import Proportion
from society.metrics.rounds import RoundScore, score_rounds
from society.metrics.tradeoff import Point, front, list_points
from society.pictures.topology import PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from society.runs.run import Run

Format = Literal["svg", "png", "pdf"]
TEXT, QUIET = "#222222", "#888888"
COLOURS = (PALETTE[5], PALETTE[6], PALETTE[2], PALETTE[3], PALETTE[1], PALETTE[0], PALETTE[7])
"""Of the runs, in order: the palette's darker colours first, for lines on white."""
UNDATED = {"svg": {"Date": None}, "png": {"Software": None}, "pdf": {"CreationDate": None}}


@dataclass(frozen=True)
class Curves:
    """One run's numbers; rounds and points are of its last iteration."""

    name: str
    rounds: list[RoundScore]
    points: list[Point]
    iterations: list[IterationScore]


def read_curves(runs: Sequence[Run]) -> list[Curves]:
    """The numbers of each run. Raises `InputError` for one without a finished debate."""
    from society.scenario.expand import expand

    found = []
    for run, name in zip(runs, name_runs(runs), strict=True):
        society, records = expand(run.scenario), latest(run)
        rounds = score_rounds(society, records)
        points = list_points(society, records, rounds)
        found.append(Curves(_label(name), rounds, points, run_iterations(run)))
    return found


def _label(name: str) -> str:
    """Return a run's name as one line of a picture. Legends leave out labels that begin with an underscore."""
    line = reveal(" ".join(name.split()))
    return f" {line}" if line.startswith("_") else line


def plot_runs(runs: Sequence[Run], folder: Path, form: Format = "svg") -> list[Path]:
    """Write `rounds`, `tokens`, `flips` (where agents speak twice) and `iterations` (where there are several).

    The same runs give the same files. Raises `InputError` where the folder cannot be written, `MissingExtraError`
    without matplotlib.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise MissingExtraError("society plot", "matplotlib", "draw") from error
    curves = read_curves(runs)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with matplotlib.rc_context(STYLE), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph .* missing")  # a name in a script that the font lacks
            return [_save(make(curves), folder / f"{name}.{form}", form) for name, make in choose(curves).items()]
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {error.strerror}.", "Choose another place with -o.") from error


STYLE: Any = {  # keys that matplotlib checks
    "font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": QUIET,
    "axes.labelcolor": TEXT, "text.color": TEXT, "xtick.color": TEXT, "ytick.color": TEXT, "axes.grid": True,
    "axes.axisbelow": True, "grid.color": "#E6E6E6", "grid.linewidth": 0.6, "legend.frameon": False,
    "text.parse_math": False, "figure.constrained_layout.use": True, "svg.hashsalt": "society",
}  # fmt: skip


def choose(curves: Sequence[Curves]) -> dict[str, Callable[[Sequence[Curves]], Figure]]:
    """The pictures that these runs have something to show in."""
    pictures: dict[str, Callable[[Sequence[Curves]], Figure]] = {"rounds": draw_rounds, "tokens": draw_tokens}
    if any(_moves(score) for run in curves for score in run.rounds):
        pictures["flips"] = draw_flips
    if any(len(run.iterations) > 1 for run in curves):
        pictures["iterations"] = draw_iterations
    return pictures


def _save(figure: Figure, path: Path, form: Format) -> Path:
    with appearing(path) as part:
        figure.savefig(part, format=form, dpi=200, metadata=UNDATED[form])
    return path


def _figure(width: float, height: float, panels: int = 1) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), facecolor="white")
    return figure, list(figure.subplots(1, panels, squeeze=False)[0])


def draw_rounds(curves: Sequence[Curves]) -> Figure:
    """Accuracy after each round with 95 % bands: of a vote and of single answers; of one run also each agent's."""
    longest = max((run.rounds for run in curves), key=len)
    figure, [axes] = _figure(max(4.6, 1.6 + 0.8 * len(longest)), 3.4)
    for colour, run in zip(_colours(curves), curves, strict=True):
        label = f"{run.name}: " if len(curves) > 1 else ""
        places = list(range(len(run.rounds)))
        if len(curves) == 1:
            _draw_agents(axes, run.rounds)
        _band(axes, places, [score.vote for score in run.rounds], colour, f"{label}vote", "-o")
        _band(axes, places, [score.answers for score in run.rounds], colour, f"{label}single answers", "--s", 0.08)
    axes.set_xticks(range(len(longest)), [score.name for score in longest])
    axes.set_xlim(-0.3, len(longest) - 0.7)
    _percent(axes, "accuracy")
    _legend(figure)
    return figure


def _draw_agents(axes: Axes, rounds: Sequence[RoundScore]) -> None:
    for i, name in enumerate(dict.fromkeys(name for score in rounds for name in score.agents)):
        told = [(at, score.agents[name].share) for at, score in enumerate(rounds) if name in score.agents]
        axes.plot(*zip(*told, strict=True), color="#BBBBBB", lw=0.9, label="each agent" if i == 0 else None)


def draw_tokens(curves: Sequence[Curves]) -> Figure:
    """Accuracy against generated tokens a question, with 95 % bars; the Pareto front of all points is a line.

    Votes of even size, which tie more, are left out of the picture.
    """
    figure, [axes] = _figure(5.4, 3.8)
    best = front([point for run in curves for point in run.points])
    axes.step([p.tokens for p in best], [p.accuracy for p in best], where="post", color=QUIET, lw=0.9, ls=":",
              label="Pareto front")  # fmt: skip
    for colour, run in zip(_colours(curves), curves, strict=True):
        for method, marker, name in (("debate", "o", "debate, round by round"), ("vote", "^", "vote of 1, 3, 5, ...")):
            label = f"{run.name}: {name}" if len(curves) > 1 else name
            shade = colour if len(curves) > 1 or method == "debate" else COLOURS[1]
            points = [p for p in run.points if p.method == method and p.votes % 2]
            if method == "vote" or len(run.rounds) > 1:  # after one round the debate is a vote
                _draw_points(axes, points, shade, marker, label)
    axes.set_xlabel("generated tokens a question")
    axes.set_xlim(left=0)
    _percent(axes, "accuracy")
    _legend(figure)
    return figure


def _draw_points(axes: Axes, points: Sequence[Point], colour: str, marker: str, label: str) -> None:
    if points:
        at, right = [p.tokens for p in points], [p.accuracy for p in points]
        reach = [[p.accuracy - p.low for p in points], [p.high - p.accuracy for p in points]]
        axes.errorbar(at, right, reach, fmt=marker, ls="-", lw=1.0, ms=5, color=colour, elinewidth=0.6, label=label,
                      mfc=colour if marker == "o" else "white")  # fmt: skip


def _moves(score: RoundScore) -> int:
    return score.flips.gained + score.flips.lost


def _turned(score: RoundScore) -> tuple[float, float, float, float]:
    """Return shares of the answers of agents that had spoken before: wrong to right, unreadable to right, right to
    wrong, right to unreadable."""
    flips, answers = score.flips, score.flips.total
    counts = (flips.wrong_to_right, flips.unread_to_right, flips.right_to_wrong, flips.right_to_unread)
    better, found, worse, lost = (number / answers for number in counts)
    return better, found, worse, lost


def draw_flips(curves: Sequence[Curves]) -> Figure:
    """Draw the shares of answers that turned right (up) and that were right before (down) in each round."""
    again = {run.name: [score for score in run.rounds if score.flips.total] for run in curves}
    shown = {name: rounds for name, rounds in again.items() if rounds}
    most = max(map(len, shown.values()))
    figure, panels = _figure(max(4.0, (1.2 + 0.8 * most) * len(shown)), 3.2, len(shown))
    for axes, (name, rounds) in zip(panels, shown.items(), strict=True):
        for i, score in enumerate(rounds):
            better, found, worse, lost = _turned(score)
            axes.bar(i, better, 0.6, color=PALETTE[2], label="wrong to right")
            axes.bar(i, found, 0.6, bottom=better, color=PALETTE[1], label="unreadable to right")
            axes.bar(i, -worse, 0.6, color=PALETTE[6], label="right to wrong")
            axes.bar(i, -lost, 0.6, bottom=-worse, color=PALETTE[7], label="right to unreadable")
        axes.axhline(0, color=TEXT, lw=0.8)
        axes.set_xticks(range(len(rounds)), [score.name for score in rounds])
        axes.set_xlim(-0.7, len(rounds) - 0.3)
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * abs(value):g} %")
        if len(curves) > 1:
            axes.set_title(name, fontsize=9)
    turned = [_turned(score) for rounds in shown.values() for score in rounds]
    reach = 1.1 * max(max(better + found, worse + lost) for better, found, worse, lost in turned)
    for axes in panels:
        axes.set_ylim(-reach, reach)
    panels[0].set_ylabel("share of answers given again")
    _legend(figure)
    return figure


def draw_iterations(curves: Sequence[Curves]) -> Figure:
    """Over iterations, with 95 % bands: accuracy and label quality; consensus; entropy of answers."""
    from matplotlib.ticker import MaxNLocator

    figure, panels = _figure(10.5, 3.4, 3)
    for colour, run in zip(_colours(curves), curves, strict=True):
        label = f"{run.name}: " if len(curves) > 1 else ""
        at = [score.iteration for score in run.iterations]
        _band(panels[0], at, [score.accuracy for score in run.iterations], colour, f"{label}society's answer", "-o")
        _band(panels[0], at, [score.labels for score in run.iterations], colour, f"{label}pseudo-labels", ":^", 0.06)
        _mean_band(panels[1], at, [score.diversity.consensus for score in run.iterations], colour)
        _mean_band(panels[2], at, [score.diversity.entropy for score in run.iterations], colour)
    for axes in panels:
        axes.set_xlabel("iteration")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _percent(panels[0], "accuracy")
    _percent(panels[1], "agents behind the\nmost frequent answer")
    panels[2].set_ylabel("entropy of answers (bits)")
    _legend(figure)
    return figure


def _colours(curves: Sequence[Curves]) -> list[str]:
    return [COLOURS[i % len(COLOURS)] for i in range(len(curves))]


def _band(
    axes: Axes,
    at: Sequence[int],
    shares: Sequence[Proportion],
    colour: str,
    label: str,
    style: str,
    alpha: float = 0.15,
) -> None:
    known = [(x, share) for x, share in zip(at, shares, strict=True) if share.n]
    at, shares = [x for x, _ in known], [share for _, share in known]
    axes.plot(at, [share.share for share in shares], style, color=colour, ms=4.5, lw=1.5, label=label)
    low, high = [share.low for share in shares], [share.high for share in shares]
    if len(at) == 1:
        axes.vlines(at, low, high, color=colour, lw=0.8)
    else:
        axes.fill_between(at, low, high, color=colour, alpha=alpha, lw=0)


def _mean_band(axes: Axes, at: Sequence[int], means: Sequence[Mean], colour: str) -> None:
    """1.96 standard errors either way, where there is a mean."""
    known = [(x, mean) for x, mean in zip(at, means, strict=True) if mean.n]
    at, means = [x for x, _ in known], [mean for _, mean in known]
    low, high = ([m.value + side * m.error for m in means] for side in (-1.96, 1.96))
    axes.plot(at, [mean.value for mean in means], "-o", color=colour, ms=4.5, lw=1.5)
    axes.fill_between(at, low, high, color=colour, alpha=0.15, lw=0)


def _percent(axes: Axes, label: str) -> None:
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
    axes.set_ylabel(label)


def _legend(figure: Figure) -> None:
    """One legend below all panels, each label once."""
    entries = {
        label: handle for axes in figure.axes for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    widest = 0.6 + 0.065 * max(map(len, entries))  # inches of the longest entry
    columns = max(1, min(len(entries), int(figure.get_figwidth() / widest)))
    figure.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=columns, fontsize=8)
