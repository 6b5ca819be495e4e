"""Ratings from 1 to 10 that replies give."""

from __future__ import annotations

import pytest

from society.answers.ratings import read_rating

RATED = [
    ("8", 8),
    ("I give it 9.", 9),
    ("On a scale from 1 to 10, I would rate this a 9.", 9),
    ("From 1 (everyday) to 10 (decisive), this is a 6.", 6),
    ("On a scale of 1-10, with 1 being everyday and 10 being decisive: 4", 4),
    ("On a scale of 10, a 3.", 3),
    ("8/10", 8),
    ("8 / 10", 8),
    ("I'd say 7 out of 10, as 9 people came.", 7),
    ("Importance: 8/10", 8),
    ("7.5", 8),
    ("7,5", 8),
    ("6.4/10", 6),
    ("Rating: 8.0", 8),
    ("**Rating:** 8 (1 = everyday, 10 = decisive)", 8),
    ("Importance (1-10): 7", 7),
    ("Rating: 7. It happened at 10 in room 3.", 7),
    ("3. It concerned 5 people.", 3),
    ("It concerned 5 people.\n3", 3),
    ("The 10-year-old was there: 2", 2),
    ("It is not a 9 but a 5.", 5),
    ("\\boxed{6}", 6),
    ("First 4, no, 6", 6),
    ("10", 10),
    ("9/10, because 2 of 10 agreed", 9),
    ("Importance: 8/10\n\nReason: 2 out of 10 agents agreed.", 8),
    ("Rating: 8/10. The last one was 3/10.", 8),
    ("Rating: 8. 2 of 10 peers agreed.", 8),
    ("It is 8 out of 10 because 9 people came.", 8),
    ("\\boxed{8 out of 10}", 8),
    ("It is not 9 out of 10. I say 3.", 3),
    ("Rating (out of 10): 6", 6),
    ("Rating (at most 10): 6", 6),
    ("On 2023-02-13 at 08:00 we met, so 4.", 4),
]
UNREAD = ["", "Very!", "A 10-year-old was there.", "11", "0", "100%", "3/4", "08:00", "From 1 to 10.", "-5", "it is v2"]


@pytest.mark.parametrize(("text", "rating"), RATED)
def test_a_rating_is_read_where_the_reply_gives_it(text: str, rating: int) -> None:
    assert read_rating(text) == rating


@pytest.mark.parametrize("text", UNREAD)
def test_other_numbers_are_no_rating(text: str) -> None:
    assert read_rating(text) is None


@pytest.mark.parametrize("part", ["1 to ", "rating ", "rate ", "1 (", "9 %", "1.1", "((", "rating (", "not a 1 "])
def test_long_replies_are_read(part: str) -> None:
    """A pattern with more than linear work would not end."""
    assert read_rating(part * 100_000 + "\n7") == 7
