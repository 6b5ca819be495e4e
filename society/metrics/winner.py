"""The result of comparing runs in one sentence: the best run, and the certainty that it is the best."""

from __future__ import annotations

from dataclasses import dataclass

from society.core.plain import count, list_names
from society.metrics.comparison import Comparison, Pair, RunScore
from society.metrics.statistics import Difference, describe_chance

LEVEL = 0.05
"""Maximum p, adjusted for all compared pairs, of a difference that is called shown."""


@dataclass(frozen=True, slots=True)
class Winner:
    """The conclusion of a comparison. `answer` has a few words; `detail` gives the numbers behind it.

    `name` is the run that is better than each other one, or "" if no run is shown to be.
    """

    name: str
    answer: str
    detail: str


def find_winner(found: Comparison) -> Winner:
    """Return the run that is better than each other run, by the paired differences, or say that none can be shown.

    A difference is shown if its p, adjusted for all pairs (Holm 1979), is below `LEVEL` and its 95 % interval excludes
    0. Runs with equal accuracy are no winners. Runs without true answers take no part.
    """
    order = sorted((run for run in found.runs if run.accuracy.n), key=lambda run: -run.accuracy.share)
    if 2 * len(found.pairs) < len(order) * (len(order) - 1) or len(order) < 2:
        detail = "The runs have no true answers, or none to a question of both. Their other numbers are below."
        return Winner("", "There is no accuracy to compare", detail)
    best, second = order[:2]
    against = {other.name: _towards(best.name, other.name, found.pairs) for other in order[1:]}
    beaten = [name for name, (pair, difference) in against.items() if difference.value > 0 and is_shown(pair)]
    told = _describe(best, second, *against[second.name], len(found.pairs))
    if len(beaten) == len(against):
        over = second.name if len(against) == 1 else "every other run"
        return Winner(best.name, f"{best.name} is better than {over}", f"{told}{_cost(best, second)}")
    left = [name for name in against if name not in beaten]
    if beaten:
        over, open_ = list_names(beaten, "other run"), list_names(left, "other run")
        detail = f"It is better than {over}, but not shown to be better than {open_}. "
        return Winner("", f"{best.name} leads, and no winner can be shown", f"{detail}{told}")
    if any(is_shown(pair) for pair in found.pairs):
        return Winner("", "No winner can be shown", f"{told} Some other pairs differ, see the paired differences.")
    return Winner("", "No difference can be shown", f"{told}{_needed(against[second.name][0])}")


def is_shown(pair: Pair) -> bool:
    """Return whether the difference of a pair is shown: by its adjusted p and by its interval."""
    return pair.p_holm < LEVEL and (pair.difference.low > 0 or pair.difference.high < 0)


def _towards(best: str, other: str, pairs: tuple[Pair, ...]) -> tuple[Pair, Difference]:
    """Return the pair of two runs, and its difference as the first run minus the second one."""
    pair = next(pair for pair in pairs if {pair.first, pair.second} == {best, other})
    return pair, pair.difference if pair.second == best else pair.difference.reversed()


def _describe(best: RunScore, second: RunScore, pair: Pair, difference: Difference, pairs: int) -> str:
    adjusted = f", adjusted for {count(pairs, 'comparison')}" if pairs > 1 else ""
    return (
        f"{best.name} is right on {best.accuracy.share:.1%}, {second.name} on {second.accuracy.share:.1%}: "
        f"{difference.points} on the {count(difference.questions, 'question')} of both; "
        f"{describe_chance(pair.p_holm)} ({difference.test}{adjusted})."
    )


def _cost(best: RunScore, second: RunScore) -> str:
    """Return the ratio of the tokens that both runs generated for a question; "" where one counted none."""
    ours, theirs = (run.usage.generated_tokens / run.debates for run in (best, second))
    if not ours or not theirs:
        return ""
    return f" It generated {ours / theirs:.2g} times as many tokens a question."


def _needed(pair: Pair) -> str:
    return "" if pair.needed is None else f" {pair.sentence}"
