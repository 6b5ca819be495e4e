"""Searches in a folder of documents."""

from __future__ import annotations

import asyncio
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from society.components.tools.base import Tool, ToolSession
from society.core.hashing import hash_path
from society.core.identity import fingerprint
from society.core.paths import ReadablePath
from society.retrieval.passages import Passage, list_documents, load_passages
from society.retrieval.ranking import Measure, Ranking, require_measure


class Search(Tool):
    """Finds passages in a folder of text, Markdown and PDF files, by their words or their meaning.

    Needs the extra `search`; `meaning` and `both` need the extra `encoder`, too. Documents are read once, before the
    first turn. A document that cannot be read is an error.
    """

    kind: Literal["search"] = "search"
    path: ReadablePath
    """Folder of the documents, or one document: .txt, .md, .rst or .pdf. Hidden files are left out."""
    results: int = Field(3, ge=1, le=100)
    """Maximum number of passages that a call returns."""
    passage: int = Field(600, ge=100, le=100_000)
    """Maximum number of characters of a passage. Documents are cut at paragraphs."""
    by: Measure = "words"
    """Measure of the ranking. `words`: BM25. `meaning`: a sentence encoder. `both`: reciprocal rank fusion of the two.
    Passages without a common word are no results of `words`."""

    about: ClassVar[str] = "Searches in documents, and returns the passages that fit best, each with its source."
    example: ClassVar[str] = "river through Paris"
    takes: ClassVar[str] = "query"

    def require(self) -> None:
        require_measure(self.by, f"The tool {self.label!r}")
        list_documents(self.path)
        _CONTENTS[self.path] = hash_path(self.path)
        self._load()

    def identity(self) -> str:
        return _identify(self.path, self.passage, self._contents)

    async def call(self, given: str, session: ToolSession) -> str:
        found = await asyncio.to_thread(self._find, given)
        if not found:
            return "No passage has any of these words."
        return "\n\n".join(f"[{number}] {passage.source}\n{passage.text}" for number, passage in enumerate(found, 1))

    @property
    def _contents(self) -> str:
        """The hash of the documents when they were read last."""
        return _CONTENTS.get(self.path) or _CONTENTS.setdefault(self.path, hash_path(self.path))

    def _load(self) -> tuple[Passage, ...]:
        return _load(self.path, self.passage, self._contents)

    def _find(self, query: str) -> list[Passage]:
        ranking = _rank(self.path, self.passage, self._contents, self.by)
        return [self._load()[index] for index, _ in ranking.rank(query, self.results)]


_CONTENTS: dict[Path, str] = {}
"""Hashes of the folders of documents, as of the last start of a run that uses them."""


@lru_cache(maxsize=16)
def _load(path: Path, longest: int, contents: str) -> tuple[Passage, ...]:
    return tuple(load_passages(path, longest))


@lru_cache(maxsize=16)
def _identify(path: Path, longest: int, contents: str) -> str:
    return fingerprint([[passage.source, passage.text] for passage in _load(path, longest, contents)])


@lru_cache(maxsize=16)
def _rank(path: Path, longest: int, contents: str, measure: Measure) -> Ranking:
    return Ranking([passage.text for passage in _load(path, longest, contents)], measure)
