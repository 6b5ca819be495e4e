"""Diversity of the agents, from their answers and words, and from embeddings of their responses.

The measures of Subramaniam et al. 2025 (arXiv 2501.05707) are over responses whose answer matches the consensus.
`society.metrics.likelihood` has the measures that need log-probabilities.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from society.answers import group
from society.core.types import Same, Turn
from society.retrieval.encoders import Embed
from society.runs.records import DebateRecord, Question, sameness
from society.scenario.expand import Society

Which = Literal["first", "last"]
"""Turn of each voter in a debate that is measured: the first or the last."""


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean over `n` questions with its standard error (sample deviation / sqrt(n)).

    The value is NaN for n = 0, and the error for n < 2.
    """

    value: float
    error: float
    n: int

    def __str__(self) -> str:
        return f"{self.value:.3f} ± {self.error:.3f} (n = {self.n})" if self.n else "- (n = 0)"


def mean_of(values: Sequence[float]) -> Mean:
    """Return the mean of independent values with its standard error."""
    from statistics import fmean, stdev

    n = len(values)
    error = stdev(values) / n**0.5 if n > 1 else float("nan")
    return Mean(fmean(values) if n else float("nan"), error, n)


def mean_over_questions(values: Iterable[tuple[Hashable, float]]) -> Mean:
    """Return the mean over questions of the mean of their values: those of one question are not independent."""
    from statistics import fmean

    found: dict[Hashable, list[float]] = {}
    for question, value in values:
        found.setdefault(question, []).append(value)
    return mean_of([fmean(each) for each in found.values()])


@dataclass(frozen=True, slots=True)
class TextDiversity:
    """Diversity of the voters' last turns, as means over questions of the means of their debates.

    `consensus` is the share of voters with the most frequent answer, in (0, 1]; lower is more diverse (arXiv
    2501.05707). `entropy` is that of the distribution of answers, in bits (Shannon 1948); voters without a readable
    answer are one further class. `distinct_1` and `distinct_2` are the shares of distinct n-grams in responses that
    match the consensus, in (0, 1] (Li et al. 2016, arXiv 1510.03055), over debates with at least two.
    """

    consensus: Mean
    entropy: Mean
    distinct_1: Mean
    distinct_2: Mean


def measure_texts(society: Society, records: Sequence[DebateRecord]) -> TextDiversity:
    """Return the diversity that needs no model."""
    same = sameness(society)
    turns = [(record.question, record.last(record.voters(society))) for record in records]
    spread = [(question, split_answers([turn.answer for turn in t], same)) for question, t in turns if t]
    texts = matching_texts(society, records)
    return TextDiversity(
        consensus=mean_over_questions((q, consensus_share(sizes, silent)) for q, (sizes, silent) in spread),
        entropy=mean_over_questions((q, entropy([*sizes, silent])) for q, (sizes, silent) in spread),
        distinct_1=_mean_known((q, distinct_n(found, 1)) for q, found in texts),
        distinct_2=_mean_known((q, distinct_n(found, 2)) for q, found in texts),
    )


def _mean_known(values: Iterable[tuple[Question, float]]) -> Mean:
    return mean_over_questions((question, value) for question, value in values if value == value)


def split_answers(answers: Sequence[str | None], same: Same) -> tuple[list[int], int]:
    """Return the sizes of the classes of equal answers, in the order first given, and the number of unreadable ones."""
    readable = [answer for answer in answers if answer is not None]
    return [len(members) for members in group(readable, same)], len(answers) - len(readable)


def consensus_share(sizes: Sequence[int], silent: int = 0) -> float:
    """Return max(sizes) / (sum(sizes) + silent), the share of the most frequent answer; 0 if all are silent."""
    return max(sizes, default=0) / (sum(sizes) + silent)


def entropy(sizes: Sequence[int]) -> float:
    """Return -sum p log2 p over the shares p of classes of these sizes, in bits (Shannon 1948)."""
    from math import log2

    total = sum(sizes)
    return -sum(size / total * log2(size / total) for size in sizes if size) + 0.0  # no -0.0


def distinct_n(texts: Sequence[str], n: int) -> float:
    """Return the share of distinct n-grams of words over all texts (Li et al. 2016), or NaN without n-grams.

    Words are separated by white space and compared without case.
    """
    grams: Counter[tuple[str, ...]] = Counter()
    for text in texts:
        words = text.lower().split()
        grams.update(zip(*(words[i:] for i in range(n)), strict=False))
    return len(grams) / grams.total() if grams else float("nan")


def matching_turns(society: Society, record: DebateRecord, same: Same, which: Which = "last") -> list[Turn]:
    """Return the voters' first or last turns whose answer is the consensus; none for an undecided debate."""
    consensus = record.result.decision.answer
    turns = record.first(record.candidates(society)) if which == "first" else record.last(record.voters(society))
    return [t for t in turns if consensus is not None and t.answer is not None and same(t.answer, consensus)]


def matching_texts(
    society: Society, records: Sequence[DebateRecord], which: Which = "last"
) -> list[tuple[Question, list[str]]]:
    """Return the question and the responses that match the consensus, for each debate with at least two."""
    same = sameness(society)
    texts = [(r.question, [t.text for t in matching_turns(society, r, same, which) if t.text.strip()]) for r in records]
    return [(question, found) for question, found in texts if len(found) > 1]


async def embedding_dissimilarity(texts: Sequence[tuple[Question, Sequence[str]]], embed: Embed) -> Mean:
    """Return 1 minus the mean cosine similarity of all pairs of responses to a question, as a mean over questions.

    The value is in [0, 2], and 0 for equal directions. `texts` has the responses of each debate with its question;
    debates with fewer than two are omitted, and questions without any other are not counted in `n`. Source: arXiv
    2501.05707, which uses a T5-3B encoder.
    """
    pairs = [(question, found) for question, found in texts if len(found) > 1]
    flat = list(dict.fromkeys(text for _, found in pairs for text in found))
    vectors = dict(zip(flat, await embed(flat), strict=True)) if flat else {}
    return mean_over_questions((q, _dissimilarity([vectors[text] for text in found])) for q, found in pairs)


def _dissimilarity(vectors: Sequence[Sequence[float]]) -> float:
    """Return 1 minus the mean cosine similarity of all pairs. Similarities to a zero vector are 0."""
    from math import fsum, hypot

    lengths = [hypot(*vector) or 1.0 for vector in vectors]
    units = [[x / length for x in vector] for vector, length in zip(vectors, lengths, strict=True)]
    # The squared length of a sum of vectors is that of its vectors and twice the sum of all products of pairs.
    of_sum = fsum(fsum(column) ** 2 for column in zip(*units, strict=True))
    own = fsum(x * x for unit in units for x in unit)
    return 1 - (of_sum - own) / (len(units) * (len(units) - 1))
