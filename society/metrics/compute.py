"""The compute of a run up to an iteration, and whether two runs are compute-matched.

Two runs are matched if their trained, generated and prompt tokens, and the time of people, are within 2 % of each
other. Generated and prompt tokens are those of the training debates and of the compared debates. Evaluations in
between are not counted, as they only measure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf

from society.core.types import Usage
from society.runs.records import DebateRecord, total_usage
from society.store.rows import AdapterRow

TOLERANCE = 0.02
"""Maximum relative difference of two matched counts."""

PEOPLE = "seconds of people"
"""Name of the time that people took."""


@dataclass(frozen=True, slots=True)
class Compute:
    """The compute of one run: of the compared debates, and of finetuning before them.

    `rows`, `trained_tokens` and `seconds` are those of all finetunings; tokens count every epoch. `training` is the
    usage of the `turns` of the training debates, and `answering` that of the compared debates. `trains` states whether
    the scenario has `train:`.
    """

    rows: int
    trained_tokens: int
    seconds: float
    turns: int
    training: Usage
    answering: Usage
    trains: bool = False

    @property
    def counts(self) -> dict[str, int]:
        """The counts that must match, by name."""
        return {
            "tokens trained on": self.trained_tokens,
            "tokens generated": self.training.generated_tokens + self.answering.generated_tokens,
            "prompt tokens": self.training.prompt_tokens + self.answering.prompt_tokens,
            PEOPLE: round(self.training.person_seconds + self.answering.person_seconds),
        }

    @property
    def written(self) -> dict[str, str]:
        """The counts in words, by name."""
        estimated = self.training.estimated or self.answering.estimated
        exact = ("tokens trained on", PEOPLE)
        return {name: write_tokens(count, estimated and name not in exact) for name, count in self.counts.items()}


@dataclass(frozen=True, slots=True)
class ComputeMatch:
    """The result of matching the compute of two runs.

    `within` is the maximum relative difference of their counts, or inf if one of them is 0. `apart` names the counts
    that differ by more than `TOLERANCE`. `known` is False if a run counted no tokens, or if runs with `train:` trained
    nothing.
    """

    known: bool
    within: float
    apart: tuple[str, ...]
    sentence: str

    @property
    def matched(self) -> bool:
        """Return whether the two runs are compute-matched."""
        return self.known and not self.apart


def write_tokens(count: int, estimated: bool) -> str:
    """Return a number of tokens in words; a server that counts none leaves an estimate."""
    return f"about {count:,}" if estimated else f"{count:,}"


def measure_compute(
    compared: Sequence[DebateRecord],
    training: Sequence[DebateRecord],
    adapters: Sequence[AdapterRow],
    trains: bool = False,
) -> Compute:
    """Return the compute of these debates and of the training before their iteration."""
    reached = compared[0].result.iteration
    before = [record for record in training if record.result.iteration < reached]
    trained = [row for row in adapters if row.iteration < reached]
    return Compute(
        rows=sum(row.examples for row in trained),
        trained_tokens=sum(row.tokens for row in trained),
        seconds=sum(row.seconds for row in trained),
        turns=sum(len(record.turns) for record in before),
        training=total_usage(before),
        answering=total_usage(compared),
        trains=trains,
    )


def match_compute(names: tuple[str, str], first: Compute, second: Compute) -> ComputeMatch:
    """Compare the compute of two runs with these names."""
    one, other = names
    if not first.answering.generated_tokens or not second.answering.generated_tokens:
        silent = one if not first.answering.generated_tokens else other
        sentence = f"It cannot be said whether {other} and {one} are compute-matched: {silent} counted no tokens."
        return ComputeMatch(False, inf, (), sentence)
    if (first.trains or second.trains) and not first.trained_tokens and not second.trained_tokens:
        sentence = (
            f"{other} and {one} cannot be called compute-matched: neither trained on any token before the debates that "
            "are compared, and a scenario of theirs has `train:`."
        )
        return ComputeMatch(False, inf, (), sentence)
    shares = {name: _difference(first.counts[name], count) for name, count in second.counts.items()}
    apart = tuple(name for name, share in shares.items() if share > TOLERANCE)
    within = max(shares.values())
    if not apart:
        told = ", ".join(_tell(names, first, second))
        sentence = f"{other} and {one} are compute-matched within {_percent(within)}: {told}."
    else:
        told = ", ".join(_tell(names, first, second, apart))
        sentence = f"{other} and {one} are not compute-matched: {told}."
    return ComputeMatch(True, within, apart, sentence)


def _difference(one: int, other: int) -> float:
    """Return the relative difference of the larger count to the smaller."""
    least, most = sorted((one, other))
    if least == most:
        return 0.0
    return most / least - 1 if least else inf


def _tell(names: tuple[str, str], first: Compute, second: Compute, apart: Sequence[str] | None = None) -> Iterator[str]:
    """Return the counts of two runs in words: all that are not 0, or the unmatched ones with their difference."""
    for name, count in second.counts.items():
        base = first.counts[name]
        if apart is None and (count or base):
            yield f"{second.written[name]} and {first.written[name]} {name}"
        elif apart is not None and name in apart:
            yield f"{second.written[name]} {name} against {first.written[name]} ({_relative(base, count)})"


def _relative(base: int, count: int) -> str:
    if not base or not count:
        return "one of them has none"
    return f"{100 * (count / base - 1):+.1f}%"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%"
