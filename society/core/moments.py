"""Moments of simulated time, as prompts show them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


@dataclass(frozen=True, slots=True)
class Moment:
    """A simulated time. As text it is "Monday 13 February 2023, 08:00", in every locale."""

    weekday: str
    date: str
    """Day, month and year: 13 February 2023."""
    time: str
    """Time of the day: 08:00."""
    hour: int
    day: int
    """Number of the simulated day, from 1."""

    def __str__(self) -> str:
        return f"{self.weekday} {self.date}, {self.time}"


def as_moment(at: datetime, first: datetime) -> Moment:
    """Return a time as prompts show it. `first` is the time of the first question."""
    date = f"{at.day} {MONTHS[at.month - 1]} {at.year}"
    return Moment(DAYS[at.weekday()], date, f"{at:%H:%M}", at.hour, (at.date() - first.date()).days + 1)
