"""Problems of a run as findings: missing debates, failed turns, unreadable replies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from society.core.plain import count, shorten
from society.metrics.summary import (
    is_given_up,
    is_unclear,
)
from society.report.verdict import Finding
from society.runs.records import (
    DebateRecord,
    with_truth,
)
from society.scenario.expand import Society

MAX_ERROR = 160
"""Maximum number of characters of an error that a finding repeats."""


def find_trouble(
    society: Society, records: Sequence[DebateRecord], expected: int | None, running: bool = False
) -> list[dict[str, Any]]:
    """Return problems of the last iteration as findings: missing debates, failed turns, unreadable replies."""
    reached, wanted = records[0].result.iteration, society.scenario.train.iterations if society.scenario.train else 0
    turns = [turn for record in records for turn in record.turns]
    failed = [turn for turn in turns if turn.status == "failed"]
    unclear = [turn for turn in turns if is_unclear(turn)]
    given_up = [turn for turn in turns if is_given_up(turn)]
    missing = expected is not None and len(records) < expected
    found = []
    if missing or reached < wanted:
        done = f"{len(records):,} of {count(expected or len(records), 'debate')}"
        where = f"Iteration {reached} of {wanted}, {done}" if wanted else done
        detail = f"{where}. All findings and figures are of the finished debates. "
        detail += (
            "A process works on the run now."
            if running
            else "Resume with `society run --resume` (Python: resume=True)."
        )
        found.append(Finding("Is the run finished?", "It is running" if running else "No", detail))
    if failed:
        detail = f"{len(failed):,} of {count(len(turns), 'turn')} failed{_describe_wrong(records)}. "
        detail += f"The first error: {shorten(failed[0].error, MAX_ERROR)}"
        found.append(Finding("Did every turn succeed?", "No", detail))
    if given_up:
        detail = f"Reading gave up on {len(given_up):,} of {count(len(turns), 'turn')}. "
        detail += shorten(given_up[0].error, MAX_ERROR)
        found.append(Finding("Was every reply read to its end?", "No", detail))
    if unclear:
        detail = f"Not in {count(len(unclear), 'turn')}; the remarks say what followed. "
        detail += shorten(unclear[0].error, MAX_ERROR)
        found.append(Finding("Did the moderator always name one speaker?", "No", detail))
    return [asdict(finding) for finding in found]


def _describe_wrong(records: Sequence[DebateRecord]) -> str:
    """Return how many of the failed turns count as wrong, after their number."""
    known = with_truth(records)
    wrong = sum(turn.status == "failed" for record in known for turn in record.turns)
    if len(known) == len(records):
        return " and count as wrong"
    return f"; the {wrong:,} on a question with a true answer count as wrong" if known else ""
