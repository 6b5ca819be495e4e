"""Follows a run in progress: reads new rows of its store, never writes, and holds the data of the page.

A debate keeps the position at which it was first read, so positions that the page knows stay valid.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from threading import Lock

from society.core.errors import RunFolderError
from society.core.plain import count, duration
from society.core.types import Decision, Item, Turn, TurnId
from society.metrics.iterations import IterationScore
from society.metrics.turn_count import Speed, describe_turns, estimate_turns, plan_turns
from society.report.data import RunData, build_chunk, build_index, conclude
from society.report.rows import Json, RowMaker
from society.runs.locking import is_running
from society.runs.places import find_store
from society.runs.records import DebateRecord, helpers_of, sameness, training_sameness
from society.runs.run import Run
from society.runs.votes import read_ballots
from society.scenario.expand import expand
from society.store import Store
from society.store.rows import ResultRow
from society.view.training import Debate, TrainingProgress

PAUSE_FACTOR = 4
"""Minimum pause between two computations of the statistics, in durations of the last one."""


class Follower:
    """The data of a run in progress. All public methods are thread-safe."""

    def __init__(self, folder: Path) -> None:
        """Read the run's scenario. Raises `RunFolderError` for a folder without a started run."""
        run = Run(folder)
        self._meta = run.meta()
        if "scenario" not in self._meta:
            raise RunFolderError(f"The run in {folder} has not started yet.", "Try again in a moment.")
        self._name = folder.resolve().name
        self._society = expand(run.scenario)
        self._items: Mapping[str, Item] = {item.id: item for item in run.questions() or ()}
        self._phases = frozenset(phase.name for phase in self._society.phases)
        self._agents = {name: i for i, name in enumerate(self._society.agents)}
        self._helping = helpers_of(self._society)
        self._same = sameness(self._society)
        self._training_same = training_sameness(self._society)
        self._maker = RowMaker(self._society, self._same)
        self._turns: dict[Debate, dict[TurnId, Turn]] = {}
        self._results: dict[Debate, ResultRow] = {}
        self._records: dict[Debate, DebateRecord] = {}
        self._rows: dict[Debate, Json] = {}
        self._verdicts: dict[tuple[str, str], bool] = {}
        self._cursor = (0, 0)
        self._version = 0
        self._iterations: list[IterationScore] = []
        self._conclusions: Json = {"findings": [], "figures": []}
        self._stale, self._due = False, 0.0
        self._folder, self._running = folder, bool(is_running(folder))
        self._training = TrainingProgress(self._society)
        self._speed = Speed()
        self._lock = Lock()

    def index(self, cursor: str = "") -> Json | None:
        """Return the page's index with its `cursor`, or None if nothing changed since that of `cursor`."""
        with self._lock:
            self._read()
            if self._stale and time.monotonic() >= self._due:
                self._conclude()
            if cursor == str(self._version):
                return None
            return build_index([self._data()]) | {"cursor": str(self._version)}

    def chunk(self, kind: str, number: int) -> list[object]:
        """Return a chunk of texts, of a kind of `society.report.page.KINDS`, as numbered in the latest index."""
        with self._lock:
            return build_chunk(self._data(), kind, number)

    def _data(self) -> RunData:
        return RunData(
            self._name,
            self._society,
            self._meta,
            list(self._records.values()),
            list(self._rows.values()),
            {"text": self._describe_progress(), "whole": self._whole},
            self._conclusions,
            self._iterations,
            expected=self._expected or None,
            turns=sum(map(len, self._turns.values())),
            running=self._running,
        )

    @property
    def _expected(self) -> int:
        """Return the number of debates of an evaluation; 0 if the questions cannot be loaded here."""
        return len(self._items) * self._society.scenario.samples

    @property
    def _latest(self) -> int:
        """Return the last iteration with a decided debate of the evaluation."""
        return max((debate[0] for debate in self._results), default=0)

    @property
    def _decided(self) -> int:
        """Return the number of decided debates of that iteration."""
        latest = self._latest
        return sum(debate[0] == latest for debate in self._results)

    @property
    def _whole(self) -> bool:
        """Return whether all debates of the last evaluation have ended."""
        spec = self._society.scenario.train
        reached = spec is None or self._latest >= spec.iterations
        return reached and 0 < self._expected <= self._decided

    def _describe_progress(self) -> str:
        """Return the progress in one line, such as "running: 18 of about 240 turns, 3 of 40 debates"."""
        turns = sum(map(len, self._turns.values()))
        latest, decided, whole = self._latest, self._decided, self._whole
        text = f"{decided:,} of {self._expected:,} debates" if self._expected else count(decided, "debate")
        if self._society.scenario.train is not None:
            text = f"{self._training.describe(latest)}; {text} of evaluation {latest:,}"
            return f"{self._state}{text}, {count(turns, 'turn')}"
        ended = sum(len(self._turns.get(debate, ())) for debate in self._results)
        expected = estimate_turns(plan_turns(self._society), self._expected, turns, decided, ended)
        left = self._speed.remaining(turns, expected) if self._running and self._expected else None
        time_left = "" if left is None or whole else f", about {duration(left)} to go"
        counted = describe_turns(turns, expected, whole or not self._expected)
        return f"{self._state}{counted}, {text}{time_left}"

    @property
    def _state(self) -> str:
        """Return the state of the run in front of its counts; "" if nothing is known to work on an unfinished one."""
        if self._whole:
            return "finished: "
        return "running: " if self._running else ""

    def _conclude(self) -> None:
        started = time.monotonic()
        if self._society.scenario.train is not None:
            decided = [self._records[debate] for debate in self._records if debate in self._results]
            self._iterations = self._training.score(decided, self._record)
        self._conclusions = conclude(self._data())
        self._stale = False
        self._due = time.monotonic() + PAUSE_FACTOR * (time.monotonic() - started)
        self._version += 1

    def _read(self) -> None:
        """Read the rows written since the last time. The last known row is read again, as it may have been replaced."""
        with Store(find_store(self._folder), read_only=True) as store:
            position = store.position()
            turns = list(store.turns("rowid >= ?", (self._cursor[0],)))
            results = list(store.results("rowid >= ?", (self._cursor[1],)))
            trained = self._training.read(store)
        added = [self._training.add(result) for result in results if result.split == "training"]
        trained |= any(added)
        evaluated = [result for result in results if result.split == "evaluation"]
        found = [*map(self._add_turn, turns), *map(self._add_result, evaluated)]
        changed = dict.fromkeys(debate for debate in found if debate is not None)
        self._cursor = position
        before, self._running = self._running, bool(is_running(self._folder))
        if trained or before != self._running:
            self._stale = True
            self._version += 1
        if before != self._running:
            self._due = 0.0  # a run that stops or goes on changes the findings at once
        for debate in changed:
            self._update(debate)
        self._version += bool(changed)

    def _add_turn(self, turn: Turn) -> Debate | None:
        debate = (turn.id.iteration, turn.id.item, turn.id.sample)
        known = self._turns.setdefault(debate, {})
        if known.get(turn.id) == turn:
            return None
        known[turn.id] = turn
        return debate

    def _add_result(self, result: ResultRow) -> Debate | None:
        debate = (result.iteration, result.item, result.sample)
        if self._results.get(debate) == result:
            return None
        self._results[debate] = result
        self._stale = True
        return debate

    def _update(self, debate: Debate) -> None:
        """Build record and row of the debate again if the page shows the debate."""
        result = self._results.get(debate) or self._pending(debate)
        if result is None:
            return
        record = self._record(debate, result)
        self._records[debate] = record
        self._rows[debate] = self._maker.row(record, pending=debate not in self._results)

    def _record(self, debate: Debate, result: ResultRow) -> DebateRecord:
        turns = tuple(sorted(self._turns.get(debate, {}).values(), key=self._place))
        same = self._training_same if result.split == "training" else self._same
        return read_ballots(self._society, DebateRecord(result, turns, self._helping), same)

    def _place(self, turn: Turn) -> tuple[tuple[int, ...], int, str]:
        i = turn.id
        if i.phase not in self._phases or i.agent.partition("/")[0] not in self._agents:
            return (), -1, i.agent
        return self._society.place(i.phase, i.round), self._society.order(i.phase, i.agent), i.agent

    def _pending(self, debate: Debate) -> ResultRow | None:
        """Return the result of an undecided debate, or None if its question is not known or not of the evaluation."""
        iteration, name, sample = debate
        item = self._items.get(name)
        if item is None:
            return None
        given = {turn.answer for turn in self._turns[debate].values() if turn.answer is not None}
        task = self._society.scenario.task
        scored = task.scores(item) and not task.answer.deferred
        verdicts = {answer: self._is_right(answer, item) for answer in given if scored}
        undecided = Decision(None, reason="in progress")
        outcome = (undecided, False, verdicts, scored)
        return ResultRow(iteration, name, sample, "evaluation", item.question, item.gold, *outcome)

    def _is_right(self, answer: str, item: Item) -> bool:
        key = (item.id, answer)
        if key not in self._verdicts:
            self._verdicts[key] = self._society.scenario.task.correct(answer, item)
        return self._verdicts[key]
