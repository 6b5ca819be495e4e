"""Ranks texts by a query: BM25 over their words, cosine similarity of sentence embeddings, or both together."""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cached_property
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

from society.core.errors import MissingExtraError
from society.retrieval.encoders import ENCODERS, encode, find_encoder

if TYPE_CHECKING:
    import numpy as np

Measure = Literal["words", "meaning", "both"]
"""How texts are ranked: by their words (BM25), by the meaning of the whole text (a sentence encoder), or by both."""
ENCODER = next(iter(ENCODERS))
"""The sentence encoder of `meaning`."""
FUSION = 60
"""Constant of reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009)."""
LONGEST_WORD = 100
"""Maximum number of characters of a word; longer ones are cut there."""


def require_measure(measure: Measure, needed_by: str) -> None:
    """Raise `MissingExtraError` where the libraries of a measure are not installed. Nothing is loaded."""
    if measure != "meaning" and find_spec("bm25s") is None:
        raise MissingExtraError(needed_by, "bm25s", "search")
    if measure != "words":
        find_encoder(ENCODER)


def rank(query: str, texts: Sequence[str], k: int, measure: Measure = "words") -> list[tuple[int, float]]:
    """Return the index and the score of the `k` texts that fit a query best. See `Ranking.rank`."""
    return Ranking(texts, measure).rank(query, k)


class Ranking:
    """Texts that are indexed once and ranked by many queries.

    BM25 is that of Lucene, with k1 = 1.5 and b = 0.75 (library bm25s). Words are compared without case; each character
    of a script without spaces is a word. Indexing takes time in proportion to the number of words.
    """

    def __init__(self, texts: Sequence[str], measure: Measure = "words") -> None:
        self.texts = tuple(texts)
        self.measure = measure

    def rank(self, query: str, k: int) -> list[tuple[int, float]]:
        """Return the index and the score of at most `k` texts, the best first; among equals, the earlier text first.

        A text that shares no word with the query is not ranked by words. The scores are those of BM25, cosine
        similarities, or sums of reciprocal ranks for `both`. Raises `MissingExtraError` without the library.
        """
        if not self.texts or k < 1:
            return []
        if self.measure == "words":
            return self._by_words(query)[:k]
        if self.measure == "meaning":
            return self._by_meaning(query)[:k]
        return _fuse([self._by_words(query), self._by_meaning(query)])[:k]

    def _by_words(self, query: str) -> list[tuple[int, float]]:
        words = split_words(query)
        if self._bm25 is None or not words:
            return []
        return [(index, score) for index, score in _sorted(self._bm25.get_scores(words)) if score > 0]

    def _by_meaning(self, query: str) -> list[tuple[int, float]]:
        if not query.strip():
            return []
        import numpy as np

        [vector] = encode(ENCODER, [query])
        return _sorted(self._vectors @ np.asarray(vector, dtype=np.float32))

    @cached_property
    def _bm25(self) -> Any:
        """The index of bm25s; None if no text has a word."""
        try:
            import bm25s
        except ImportError as error:
            raise MissingExtraError("A ranking by words", str(error.name), "search") from error
        logging.getLogger("bm25s").setLevel(logging.WARNING)  # its default sends each step to every handler
        words = [split_words(text) for text in self.texts]
        if not any(words):
            return None
        index = bm25s.BM25()
        index.index(words, show_progress=False)
        return index

    @cached_property
    def _vectors(self) -> np.ndarray[Any, Any]:
        import numpy as np

        return np.asarray(encode(ENCODER, self.texts), dtype=np.float32)


def split_words(text: str) -> list[str]:
    """Return the words of a text in lower case, in their compatible Unicode form."""
    return [word[:LONGEST_WORD] for word in _pattern().findall(unicodedata.normalize("NFKC", text).casefold())]


def _pattern() -> Any:
    import regex

    return regex.compile(
        r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]\p{M}*|[\p{L}\p{M}\p{N}_]+"
    )


def _sorted(scores: np.ndarray[Any, Any]) -> list[tuple[int, float]]:
    """Return indices and scores, the highest score first; equal ones in their order."""
    import numpy as np

    order = np.argsort(-scores, kind="stable")
    return [(int(index), float(scores[index])) for index in order]


def _fuse(rankings: Iterable[Sequence[tuple[int, float]]]) -> list[tuple[int, float]]:
    """Return one ranking by the sums of the reciprocal ranks."""
    sums: dict[int, float] = {}
    for ranking in rankings:
        for place, (index, _) in enumerate(ranking, 1):
            sums[index] = sums.get(index, 0.0) + 1 / (FUSION + place)
    return sorted(sums.items(), key=lambda entry: (-entry[1], entry[0]))
