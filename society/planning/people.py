"""The time that a scenario asks of people: how often each is asked, and for how many minutes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from society.core.plain import count, duration
from society.planning.dry_run import PlannedTurn
from society.scenario.expand import Society

WORDS_PER_TOKEN = 0.75
"""Words of English text in a token, about."""
READ = 238
"""Words that adults read silently in a minute (Brysbaert 2019, doi 10.1016/j.jml.2019.104047)."""
TYPED = 52
"""Words that volunteers typed in a minute (Dhakal et al. 2018, doi 10.1145/3173574.3174220)."""
REPLY = 20
"""Words of a reply that the estimate supposes. A reply may be shorter than `max_tokens`, and takes time to think of."""


def minutes_of_people(society: Society, turns: Sequence[PlannedTurn], debates: int) -> dict[str, tuple[int, float]]:
    """Return how often each person is asked in these debates at most, and the minutes of reading and typing."""
    found: dict[str, tuple[int, float]] = {}
    for turn in turns:
        if person := society.scenario.backends[turn.backend].asked_person:
            times, minutes = found.get(person, (0, 0.0))
            typed = turn.replies * min(turn.answer * WORDS_PER_TOKEN, REPLY)
            each = turn.read * WORDS_PER_TOKEN / READ + typed / TYPED
            found[person] = (times + debates * turn.replies, minutes + debates * each)
    return found


def describe_people(society: Society, turns: Sequence[PlannedTurn], debates: int) -> Iterator[str]:
    """Yield for each person a sentence on how often and for how long the person is asked."""
    for person, (times, minutes) in minutes_of_people(society, turns, debates).items():
        yield (
            f"The person {person!r} is asked at most {count(times, 'question')}: {duration(60 * minutes)} of reading "
            f"({READ} words a minute) and typing ({REPLY} words a reply, {TYPED} a minute), without thinking."
        )
