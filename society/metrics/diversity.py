"""How different the agents are: from their answers and words alone (free), and from vectors of their responses.

Measures of the paper (Subramaniam et al. 2025, arXiv 2501.05707) are over the responses whose answer matches the
consensus; `society.metrics.likelihood` has those that need the models' log-probabilities.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from society.answers import group
from society.core.types import Same, Turn
from society.runs.records import DebateRecord, sameness
from society.scenario.expand import Society

Embed = Callable[[Sequence[str]], Awaitable[list[list[float]]]]
"""Texts to vectors of one length: a backend's `embeddings.embed`, or `society.metrics.encoders.load_encoder`."""
Which = Literal["first", "last"]
"""Whether to take the first or the last turn of each voter in a debate."""


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean over `n` debates or responses and its standard error (the sample deviation over the root of n). NaN
    where n is too small: for the value 0, for the error below 2."""

    value: float
    error: float
    n: int

    def __str__(self) -> str:
        return f"{self.value:.3f} ± {self.error:.3f} (n = {self.n})" if self.n else "- (n = 0)"


def mean_of(values: Sequence[float]) -> Mean:
    """The mean of independent values with its standard error."""
    from statistics import fmean, stdev

    n = len(values)
    error = stdev(values) / n**0.5 if n > 1 else float("nan")
    return Mean(fmean(values) if n else float("nan"), error, n)


@dataclass(frozen=True, slots=True)
class TextDiversity:
    """Of the voters' last turns, each a mean over debates.

    `consensus`: share of the voters that give the most frequent answer, in (0, 1]; lower is more diverse (arXiv
    2501.05707). `entropy`: of the distribution of their answers, in bits (Shannon 1948); a voter without a readable
    answer counts as of one further class. `distinct_1`, `distinct_2`: different n-grams among all n-grams of their
    responses that match the consensus, in (0, 1] (Li et al. 2016, arXiv 1510.03055), over debates with at least two.
    """

    consensus: Mean
    entropy: Mean
    distinct_1: Mean
    distinct_2: Mean


def measure_texts(society: Society, records: Sequence[DebateRecord]) -> TextDiversity:
    """What can be said without any model."""
    same = sameness(society)
    turns = [record.last(society.voters) for record in records]
    spread = [split_answers([turn.answer for turn in t], same) for t in turns if t]
    texts = matching_texts(society, records)
    return TextDiversity(
        consensus=mean_of([consensus_share(sizes, silent) for sizes, silent in spread]),
        entropy=mean_of([entropy([*sizes, silent]) for sizes, silent in spread]),
        distinct_1=mean_of(_known(distinct_n(t, 1) for t in texts)),
        distinct_2=mean_of(_known(distinct_n(t, 2) for t in texts)),
    )


def _known(values: Iterable[float]) -> list[float]:
    return [value for value in values if value == value]


def split_answers(answers: Sequence[str | None], same: Same) -> tuple[list[int], int]:
    """The sizes of the classes of equal answers, in the order first given, and how many were not readable."""
    readable = [answer for answer in answers if answer is not None]
    return [len(members) for members in group(readable, same)], len(answers) - len(readable)


def consensus_share(sizes: Sequence[int], silent: int = 0) -> float:
    """max(sizes) / (sum(sizes) + silent): the share of voters behind the most frequent answer; 0 if all are silent."""
    return max(sizes, default=0) / (sum(sizes) + silent)


def entropy(sizes: Sequence[int]) -> float:
    """-sum p log2 p over the shares p of classes of these sizes, in bits (Shannon 1948), by scipy."""
    from scipy.stats import entropy as shannon

    return float(shannon(sizes, base=2))


def distinct_n(texts: Sequence[str], n: int) -> float:
    """Different n-grams of words among all of them, over all texts together (Li et al. 2016); NaN if there are none.

    Words are separated by white space; letter case does not count.
    """
    grams: Counter[tuple[str, ...]] = Counter()
    for text in texts:
        words = text.lower().split()
        grams.update(zip(*(words[i:] for i in range(n)), strict=False))
    return len(grams) / grams.total() if grams else float("nan")


def matching_turns(society: Society, record: DebateRecord, same: Same, which: Which = "last") -> list[Turn]:
    """The voters' first or last turns whose answer is the debate's consensus; none where it did not decide."""
    consensus = record.result.decision.answer
    turns = record.first(society.voters) if which == "first" else record.last(society.voters)
    return [t for t in turns if consensus is not None and t.answer is not None and same(t.answer, consensus)]


def matching_texts(society: Society, records: Sequence[DebateRecord], which: Which = "last") -> list[list[str]]:
    """For each debate in which at least two responses match the consensus, these responses."""
    same = sameness(society)
    texts = [[t.text for t in matching_turns(society, r, same, which) if t.text.strip()] for r in records]
    return [found for found in texts if len(found) > 1]


async def embedding_dissimilarity(texts: Sequence[Sequence[str]], embed: Embed) -> Mean:
    """1 minus the mean cosine similarity of all pairs of responses to one question; the mean over questions.

    In [0, 2], 0 where all point the same way. `texts` has the responses to each question; questions with fewer than
    two are left out and not counted in `n`. From arXiv 2501.05707 (there under a T5-3B encoder).
    """
    pairs = [found for found in texts if len(found) > 1]
    flat = list(dict.fromkeys(text for found in pairs for text in found))
    vectors = dict(zip(flat, await embed(flat), strict=True)) if flat else {}
    return mean_of([_dissimilarity([vectors[text] for text in found]) for found in pairs])


def _dissimilarity(vectors: Sequence[Sequence[float]]) -> float:
    """1 minus the mean of the upper triangle of the cosine matrix; a zero vector is like nothing."""
    import numpy as np

    matrix = np.asarray(vectors, dtype=float)
    lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
    unit = np.divide(matrix, lengths, out=np.zeros_like(matrix), where=lengths > 0)
    return float(1 - (unit @ unit.T)[np.triu_indices(len(matrix), 1)].mean())
