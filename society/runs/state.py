"""States of a run, their exit statuses, and the sessions of a run: the calls that worked on it.

RunState        where a run stands
Session         one call that worked on a run: its machine, its time and how it ended
read_sessions   the sessions in a store's table `meta`
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum

from society.core.errors import InputError, LimitReachedError, RunFolderError, SocietyError, WaitedTooLongError
from society.runs.files import read_list

SESSIONS = "sessions"
"""Name of the fact in the table `meta` that holds the sessions."""


class RunState(StrEnum):
    """The state of a run."""

    STARTING = "starting"
    RUNNING = "running"
    PAUSED = "paused"
    FINISHED = "finished"
    FAILED_TURNS = "failed turns"
    ABORTED = "aborted"
    EXHAUSTED = "waited too long"
    LIMITED = "limit reached"
    INTERRUPTED = "interrupted"
    KILLED = "killed"
    UNCLEAR = "unclear"

    @property
    def status(self) -> int | None:
        """Return the exit status of a command that ends so; None for a state that ends no command."""
        return MEANINGS[self][0]

    @property
    def meaning(self) -> str:
        """Return the state in a sentence."""
        return MEANINGS[self][1]

    @property
    def is_over(self) -> bool:
        """Return whether the run needs nothing more: every turn was tried."""
        return self in (RunState.FINISHED, RunState.FAILED_TURNS)

    @property
    def is_live(self) -> bool:
        """Return whether a process says that it works on the run. A killed process cannot correct this."""
        return self in (RunState.STARTING, RunState.RUNNING, RunState.PAUSED)


MEANINGS: Mapping[RunState, tuple[int | None, str]] = {
    RunState.STARTING: (None, "A process loads what the run needs. No turn was asked for yet."),
    RunState.RUNNING: (None, "A process works on the run."),
    RunState.PAUSED: (None, "The run waits for a server that does not answer."),
    RunState.FINISHED: (0, "Every turn is done."),
    RunState.FAILED_TURNS: (1, "The run is finished, and some turns failed. Resuming tries them again."),
    RunState.ABORTED: (
        SocietyError.status,
        "An error ended the run, such as 25 failed turns in a row, or a full disk if there was space for this state. "
        f"An input that cannot be used has the status {InputError.status}.",
    ),
    RunState.EXHAUSTED: (WaitedTooLongError.status, "A server was gone for longer than `retry.minutes`."),
    RunState.LIMITED: (LimitReachedError.status, "The run reached one of its `limits`."),
    RunState.INTERRUPTED: (130, "Ctrl-C ended the run. After SIGTERM the status is 143, after SIGHUP 129."),
    RunState.KILLED: (
        None,
        "The process ended without storing a state: SIGKILL, a power cut, a crash, a disk that stayed full.",
    ),
    RunState.UNCLEAR: (None, "The clocks of machines may differ. A look of 20 seconds tells whether the run goes on."),
}
"""Exit status and meaning of each state."""


@dataclass(frozen=True, slots=True)
class Session:
    """One call that worked on a run. Times are in UTC, as ISO 8601; texts that are not known are empty."""

    state: RunState = RunState.RUNNING
    reason: str = ""
    """Why the session paused, or why it ended in this state."""
    host: str = ""
    pid: str = ""
    started: str = ""
    ended: str = ""
    """Empty while the session goes on, and after a kill."""
    paused: str = "0"
    """Seconds spent waiting for servers, as a decimal number."""
    tokens: str = ""
    """Tokens of the run at the end of the session, as `limits` counts them. Empty without limits and prices."""
    dollars: str = ""
    """Cost of the run at the end of the session, as a decimal number; empty where all is free or a price unknown."""
    gpus: str = ""
    """Names of the GPUs of the process, separated by commas."""
    versions: str = ""
    """Packages whose versions differ from those of the run's start, which the fact `versions` has; "" if none does."""
    workers: str = ""
    """Processes elsewhere that generated or trained: machine, GPUs, and packages with other versions than here."""
    commit: str = ""
    """Git commit of the current folder's repository."""
    program_commit: str = ""
    """Git commit of this program, where it runs from a checkout."""
    lease: str = ""
    """Identity of the lease under which the call worked; empty for a merge, and for a call of an earlier version."""
    seconds: str = ""
    """Seconds from start to end by a steady clock, which may differ from the times. Empty without an end."""
    last: str = ""
    """Time of the run's last new turn or optimizer step, in this session or before; empty if unknown."""


_NAMES = tuple(field.name for field in fields(Session))


def read_sessions(meta: Mapping[str, str]) -> list[Session]:
    """Return the sessions of a run, the first one first; none for a run of an earlier version.

    One that stored no end was killed, unless it is the last one, which may go on: see `society.runs.calls`. Facts that
    a newer version added are left out. Raises `RunFolderError` for a fact that this program did not write.
    """
    found = [{name: value for name, value in one.items() if name in _NAMES} for one in read_list(meta, SESSIONS)]
    states = [one.pop("state", "") for one in found]
    stored = [state for state in RunState if state != RunState.UNCLEAR]
    if unknown := [state for state in states if state not in stored]:
        raise RunFolderError(f"The store has a run in the state {unknown[0]!r:.40}.", "Update society, or remove it.")
    sessions = [Session(RunState(state), **one) for state, one in zip(states, found, strict=True)]
    return [*settle(sessions[:-1]), *sessions[-1:]]


def settle(sessions: Sequence[Session]) -> list[Session]:
    """Return sessions of which none goes on: one that stored no end was killed."""
    return [replace(one, state=RunState.KILLED) if one.state.is_live else one for one in sessions]


def write_sessions(sessions: Sequence[Session]) -> dict[str, str]:
    """Return the fact that holds these sessions."""
    return {SESSIONS: json.dumps([asdict(session) for session in sessions])}
