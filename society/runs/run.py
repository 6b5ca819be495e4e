"""Reads a run's folder: turns, results, adapters, and the run's definition."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from society.core.errors import RunFolderError
from society.core.plain import natural_order
from society.core.regular_files import Stamp, read_stamp
from society.core.types import Adapter, Item, Turn, TurnId
from society.runs.calls import list_calls
from society.runs.files import QUESTIONS, own_tree, read_json, read_pruned, read_questions
from society.runs.places import find_store
from society.runs.state import Session
from society.scenario.expand import expand
from society.scenario.members import members, speakers
from society.scenario.models.scenario import Scenario
from society.scenario.reading.stored import open_stored, read_stored
from society.store import Store
from society.store.rows import TURNS, AdapterRow, ExampleRow, ResultRow

FEW_AGENTS = 300
"""Number of agents up to which a stored scenario is not compared with the number of turns."""
FORGED = "Society did not write it. If the run is your own, restore its folder from a copy."
MOST_ITERATIONS = 1000
"""Maximum number of iterations of any run."""


@dataclass(frozen=True)
class Run:
    """A run's folder, read-only. Every method reads the store afresh, so a run under way can be followed."""

    folder: Path

    @property
    def scenario(self) -> Scenario:
        """The resolved scenario, as it was run. The paths in it lead into the run's folder: nothing else is read."""
        return read_stored(self.meta().get("scenario", ""), self.folder)

    def open_scenario(self, allow: Sequence[Path] = (), files: bool = False) -> Scenario:
        """Return the scenario with paths to its models, and with `files` to every file that it names, if unchanged.

        The paths may lead into the run's folder and those of `allow`. Raises `InputError` for others.
        """
        meta = self.meta()
        hashes = read_json(meta, "files") if files else None
        return open_stored(meta.get("scenario", ""), self.folder, allow, hashes)

    def open_adapter(self, row: AdapterRow) -> Adapter:
        """Return an adapter in the run's folder. Raises `RunFolderError` where a link leads out of the folder."""
        path = own_tree(self.folder, row.path)
        if not path.exists() and row.path in read_pruned(self.meta()):
            raise RunFolderError(
                f"The adapter {row.path} of the run in {self.folder} was removed by `society prune`.",
                "Name a later iteration, or restore the adapter from a copy.",
            )
        return Adapter(str(row.hash), str(path), row.base)

    def questions(self) -> list[Item] | None:
        """Return the evaluation's questions, in order; None for a run of an older version, which stored none."""
        return read_questions(self.folder)

    def meta(self) -> dict[str, str]:
        """Return versions, model hashes and the resolved scenario as JSON, by name."""
        with self.open_store(whole=False) as store:
            return store.meta()

    def turns(self, where: str = "1", values: Sequence[object] = ()) -> list[Turn]:
        """Return turns in the order of iteration, item (as in the task), sample, phase, round and agent.

        `where` is SQL over the columns of turns.
        """
        scenario = self.scenario
        self._require_agents(scenario)
        society = expand(scenario)
        most = {phase.name: phase.rounds for phase in society.phases}
        agents = {name: i for i, name in enumerate(society.agents)}
        item = self._item_order()

        def place(turn: Turn) -> tuple[object, ...]:
            i = turn.id
            agent = agents.get(i.agent.partition("/")[0])  # a helper's turn is named after its reader, too
            if i.phase not in most or agent is None:
                raise self._foreign(f"a turn of {i.agent!r:.90} in the phase {i.phase!r:.90}")
            if i.round > most[i.phase]:
                raise self._foreign(f"a turn in round {i.round} of the phase {i.phase!r:.90}")
            self._require_iteration(i.iteration)
            spoken = (society.place(i.phase, i.round), society.order(i.phase, i.agent), i.agent)
            return (i.iteration, item(i.item), i.sample, *spoken)

        with self.open_store(whole=where == "1") as store:
            return sorted(store.turns(where, values), key=place)

    def recalled(self, turns: Iterable[Turn]) -> dict[TurnId, Turn]:
        """Return the turns of earlier questions whose texts the prompts of these turns showed as memories."""
        found: dict[TurnId, Turn] = {}
        with self.open_store(whole=False) as store:
            for i in dict.fromkeys(past for turn in turns for past in turn.recalls):
                key = (i.iteration, i.item, i.sample, i.phase, i.round, i.agent)
                found.update((turn.id, turn) for turn in store.turns(TURNS.where_key, key))
        return found

    def _require_iteration(self, iteration: int) -> None:
        """Raise `RunFolderError` for an iteration that no run has, however often it is resumed."""
        if iteration > MOST_ITERATIONS:
            raise self._foreign(f"the iteration {iteration}")

    def _require_agents(self, scenario: Scenario) -> None:
        """Raise `RunFolderError` for far more agents than turns: in an ended debate, every speaker has a turn.

        The reader's time and memory grow with the agents. Only the scenario, and no turn, would have to be forged.
        """
        count = len(speakers(scenario, 0, members(scenario)))
        if count <= FEW_AGENTS or scenario.phases[0].schedule == "moderated":
            return
        with self.open_store() as store:
            ended = store.debates("evaluation") or store.debates("training")
            turns = store.count("1")
        if ended and turns < count:
            raise RunFolderError(
                f"The run in {self.folder} has {turns:,} turns, fewer than its scenario has agents: {count:,}.",
                FORGED,
            )

    def _foreign(self, fault: str) -> RunFolderError:
        """Return the error for rows that no run of the stored scenario writes."""
        return RunFolderError(
            f"The run in {self.folder} has {fault}, which its scenario does not have.",
            FORGED,
        )

    def results(self, where: str = "1", values: Sequence[object] = ()) -> list[ResultRow]:
        """Return how each debate ended, in the order of iteration, item (as in the task) and sample.

        `where` is SQL over the columns.
        """
        item = self._item_order()
        with self.open_store(whole=where == "1") as store:
            rows = list(store.results(where, values))
        for row in rows:
            self._require_iteration(row.iteration)
        return sorted(rows, key=lambda row: (row.iteration, item(row.item), row.sample))

    def debates(self, split: str = "evaluation") -> list[tuple[int, str, int]]:
        """Return iteration, item and sample of each debate of a split that has ended, in the order of `results`."""
        item = self._item_order()
        with self.open_store(whole=False) as store:
            return sorted(store.debates(split), key=lambda debate: (debate[0], item(debate[1]), debate[2]))

    def _item_order(self) -> Callable[[str], tuple[object, ...]]:
        """Return a sort key for items: their index in the task, or their id with numbers in it as numbers."""
        places = _place_items(self.folder, read_stamp(self.folder / QUESTIONS))

        def order(item: str) -> tuple[object, ...]:
            return (places[item],) if item in places else (len(places), natural_order(item), item)

        return order

    def sessions(self) -> list[Session]:
        """Return the calls that worked on the run, the first one first; none for a run of an earlier version."""
        return list_calls(self.folder, self.meta())

    def count_turns(self) -> int:
        """Return the number of turns, including those of training debates and of unfinished debates."""
        with self.open_store(whole=False) as store:
            return store.count("1")

    def count_failed(self) -> int:
        """Return the number of failed turns, including those of training debates."""
        with self.open_store(whole=False) as store:
            return store.count("status = 'failed'")

    def count_reused(self) -> int:
        """Return the number of turns whose reply was reused from another run."""
        with self.open_store(whole=False) as store:
            return store.count("reused = 1")

    def adapters(self) -> list[AdapterRow]:
        """Return every training, in the order of iteration, learner and agent."""
        with self.open_store() as store:
            return store.adapters()

    def examples(self) -> list[ExampleRow]:
        """Return the origin of every training row, in the order of iteration, learner, agent and number."""
        with self.open_store() as store:
            return store.examples()

    def open_store(self, whole: bool = True) -> Store:
        """Return the run's store for reading, as a context manager. `whole`: check it whole, and not rows as read."""
        return Store(find_store(self.folder), read_only=True, whole=whole)


@lru_cache(maxsize=1)
def _place_items(folder: Path, stamp: Stamp | None) -> dict[str, int]:
    """Return the index of each item in the task, by its id; `stamp` is that of the file of questions."""
    return {item.id: place for place, item in enumerate(read_questions(folder) or ())}
