"""Sequences of questions that build on earlier ones, and the simulated time of each question."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from society.core.errors import InputError
from society.core.moments import Moment, as_moment
from society.core.types import Item
from society.scenario.expand import Society
from society.scenario.models.memory import ClockSpec, read_time
from society.scenario.models.scenario import Scenario

Debates = Sequence[tuple[Item, int]]
"""Questions with the number of the sample, in the order in which they are debated."""


def list_sequences(scenario: Scenario, items: Sequence[Item], samples: range) -> Iterator[Debates]:
    """Yield the sequences of these questions, by `sequence`. Raises `InputError` where a question has no stream."""
    over = scenario.sequence.over
    if over == "samples":
        yield from ([(item, sample) for sample in samples] for item in items)
        return
    streams = list_streams(scenario.sequence.streams, items)
    if over == "both":
        yield from ([(item, sample) for sample in samples for item in stream] for stream in streams)
    else:
        yield from ([(item, sample) for item in stream] for sample in samples for stream in streams)


def list_streams(field: str | None, items: Sequence[Item]) -> list[list[Item]]:
    """Return the questions of each stream, in order. Raises `InputError` for a question without the field."""
    if field is None:
        return [list(items)]
    found: dict[str, list[Item]] = {}
    for item in items:
        found.setdefault(str(_field_of(item, field, "sequence.streams")), []).append(item)
    return list(found.values())


def _field_of(item: Item, field: str, key: str) -> object:
    if field not in item.fields or item.fields[field] in (None, ""):
        known = ", ".join(map(str, item.fields)) or "none"
        raise InputError(
            f"The question {item.id!r} has no field {field!r}, which `{key}` names. Its fields: {known}.",
            f"Correct `{key}`, or give each question of a `file` task the field.",
            tuple(key.split(".")),
        )
    return item.fields[field]


def plan_debates(society: Society, items: Sequence[Item], samples: range) -> Iterable[Debates]:
    """Return the sequences in which a society debates these questions. Each debate is one, unless they need order."""
    scenario = society.scenario
    if society.in_sequence:
        return list_sequences(scenario, items, samples)
    return ([(item, sample)] for item in items for sample in samples)


Times = Mapping[tuple[str, int], tuple[float, Moment | str]]
"""Hours since the first question and the moment of each debate, by item and sample. Without a clock, the hours are the
number of earlier questions of the sequence, and the moment is empty."""


def tell_times(scenario: Scenario, items: Sequence[Item], samples: range) -> Times:
    """Return the simulated time of each debate. Raises `InputError` for a time that cannot be read, or goes back."""
    found: dict[tuple[str, int], tuple[float, Moment | str]] = {}
    for debates in list_sequences(scenario, items, samples):
        if scenario.clock is None:
            found.update({(item.id, sample): (float(place), "") for place, (item, sample) in enumerate(debates)})
            continue
        times = _read_times(scenario, scenario.clock, debates)
        for (item, sample), time in zip(debates, times, strict=True):
            hours = (time - times[0]).total_seconds() / 3600
            found[item.id, sample] = (hours, as_moment(time, times[0]))
    return found


def _read_times(scenario: Scenario, clock: ClockSpec, debates: Debates) -> list[datetime]:
    """Return the times of a sequence. Those of a field begin again with each further sample."""
    if not clock.field:
        return [_tell(clock, place) for place in range(len(debates))]
    times: list[datetime] = []
    for item, sample in debates:
        given = _field_of(item, clock.field, "clock.field")
        try:
            time = read_time(given)
        except ValueError as error:
            cause = f"The time of the question {item.id!r}, {str(given)!r:.80}, {error}."
            raise InputError(cause, "Correct the row.", ("clock", "field")) from error
        if times and time < times[-1]:
            raise InputError(
                f"The question {item.id!r} (sample {sample + 1}) is at {time}, before the question that precedes it.",
                _find_remedy(scenario, sample != debates[len(times) - 1][1]),
                ("clock", "field"),
            )
        times.append(time)
    return times


def _find_remedy(scenario: Scenario, again: bool) -> str:
    """Return the remedy for times that go back. `again`: they do so where a further sample begins."""
    if again:
        return "Set `sequence`: `over: questions` or `over: samples`."
    if scenario.task.shuffle:
        return (
            "Set `shuffle: false` of the task, which asks the questions in a random order, and sort the rows by time."
        )
    return "Sort the rows by `clock.field`, or set `sequence`: `streams`."


def _tell(clock: ClockSpec, place: int) -> datetime:
    try:
        return clock.tell(place)
    except OverflowError as error:
        raise InputError(
            f"The clock passes the year 9999 at question {place + 1}.",
            "Lower `minutes` of `clock`, or start earlier.",
            ("clock", "start"),
        ) from error
