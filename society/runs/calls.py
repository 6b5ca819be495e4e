"""The calls that worked on a run: what the store has of them, and what the lease of the folder knows of the last one.

A call that loads its models, or that was killed then, has stored nothing. Nor can a killed call store its end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from society.runs.lease import Lease, find_lease
from society.runs.locking import is_running
from society.runs.state import RunState, Session, read_sessions, settle


def list_calls(folder: Path, meta: Mapping[str, str]) -> list[Session]:
    """Return the calls that worked on a run, the first one first; `meta` has the facts of its store.

    There are none for a run of an earlier version. Raises `RunFolderError` for facts that this program did not write.
    """
    found = find_lease(folder)
    return find_calls(meta, found.lease if found else None, is_running(folder))


def find_calls(meta: Mapping[str, str], lease: Lease | None, running: bool | None) -> list[Session]:
    """Return the calls of a run with this lease. `running` is what `is_running` returned."""
    calls = add_call(read_sessions(meta), lease)
    if not calls or not calls[-1].state.is_live or running:
        return calls
    state = RunState.UNCLEAR if running is None else RunState.KILLED
    return [*calls[:-1], replace(calls[-1], state=state)]


def add_call(stored: Sequence[Session], lease: Lease | None) -> list[Session]:
    """Return the stored calls, and the one that holds a lease or was killed with it, if it has stored nothing yet."""
    if lease is None or lease.ended or not lease.runs or lease.token in {call.lease for call in stored}:
        return list(stored)
    state = RunState.PAUSED if lease.waiting else RunState.STARTING
    before = stored[-1] if stored else Session()
    call = Session(state, lease.waiting, lease.host, str(lease.pid), lease=lease.token)
    return [*settle(stored), replace(call, tokens=before.tokens, dollars=before.dollars, last=before.last)]
