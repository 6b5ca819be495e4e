"""Indexes of texts that are added one after another, such as the memories of agents.

`Ranking` indexes all its texts at once. These indexes grow: adding a text takes the same time however many there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Protocol
from weakref import finalize

from society.core.errors import InputError
from society.retrieval.encoders import encode_once
from society.retrieval.ranking import ENCODER, require_measure, split_words

if TYPE_CHECKING:
    import numpy as np

BUFFER = 16384
"""Bytes of new words that an index keeps outside its tables. FTS5's default, a megabyte, suits few large tables."""


class GrowingIndex(Protocol):
    """Texts, numbered from 0 in the order in which they are added."""

    def add(self, text: str) -> None:
        """Add a text."""

    def score(self, query: str, first: int = 0) -> Mapping[int, float]:
        """Return the similarity of each text from number `first` on; texts without any are left out."""


def require_index(measure: Literal["words", "meaning"]) -> None:
    """Raise `MissingExtraError` or `InputError` where this machine lacks what an index needs. Nothing is loaded."""
    if measure == "words":
        WordIndexes().new()
    else:
        require_measure(measure, "The relevance of memories by meaning")


class WordIndexes:
    """Indexes by words, in one database in memory: BM25 of SQLite's FTS5, with k1 = 1.2 and b = 0.75.

    Words are those of `Ranking`. The database knows each by a number, so its own rules for words do not matter.
    """

    def __init__(self) -> None:
        import sqlite3

        self.database = sqlite3.connect(":memory:")
        finalize(self, self.database.close)
        self.numbers: dict[str, int] = {}
        """Number of each word."""
        self._count = 0

    def new(self) -> WordIndex:
        """Return a new index. Raises `InputError` where this Python's SQLite has no FTS5."""
        import sqlite3

        self._count += 1
        name = f"texts_{self._count}"
        try:
            self.database.execute(f"CREATE VIRTUAL TABLE {name} USING fts5(words, content='', tokenize='ascii')")
            self.database.execute(f"INSERT INTO {name} ({name}, rank) VALUES ('hashsize', {BUFFER})")
        except sqlite3.OperationalError as error:
            raise InputError(
                f"The relevance of memories by words needs SQLite with FTS5: {error}.",
                "Use a Python with FTS5, as python.org, conda and Linux distributions have it, or `by: meaning`.",
            ) from error
        return WordIndex(self, name)


class WordIndex:
    """An index of texts by their words."""

    def __init__(self, shared: WordIndexes, name: str) -> None:
        self._shared = shared  # its database is closed when no index needs it
        self._database, self._numbers = shared.database, shared.numbers
        self._name, self._size = name, 0

    def add(self, text: str) -> None:
        """Add a text."""
        words = [str(self._numbers.setdefault(word, len(self._numbers))) for word in split_words(text)]
        values = (self._size, " ".join(words))
        self._database.execute(f"INSERT INTO {self._name} (rowid, words) VALUES (?, ?)", values)
        self._size += 1

    def score(self, query: str, first: int = 0) -> Mapping[int, float]:
        """Return the BM25 score of each text from number `first` on that shares a word with the query."""
        numbers = {self._numbers[word] for word in split_words(query) if word in self._numbers}
        if not numbers:
            return {}
        found = f"SELECT rowid, -bm25({self._name}) FROM {self._name} WHERE {self._name} MATCH ? AND rowid >= ?"
        return dict(self._database.execute(found, (" OR ".join(map(str, sorted(numbers))), first)))


class MeaningIndex:
    """An index of texts by their meaning: cosine similarities of a sentence encoder."""

    def __init__(self) -> None:
        self._vectors: list[np.ndarray[Any, Any]] = []

    def add(self, text: str) -> None:
        """Add a text."""
        self._vectors.append(_encode(text))

    def score(self, query: str, first: int = 0) -> Mapping[int, float]:
        """Return the cosine similarity of each text from number `first` on."""
        import numpy as np

        if not self._vectors[first:]:
            return {}
        scores = np.stack(self._vectors[first:]) @ _encode(query)
        return dict(enumerate(map(float, scores), first))


def _encode(text: str) -> np.ndarray[Any, Any]:
    import numpy as np

    return np.asarray(encode_once(ENCODER, text), dtype=np.float32)
