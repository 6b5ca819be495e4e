"""The iterations of "Multiagent Finetuning" (arXiv 2501.05707): evaluate, debate, select rows, finetune.

Before the first iteration and after each iteration, or after some, the society debates the evaluation questions. An
iteration debates the training questions and trains every learner's adapters on the turns. From then on, the agents
speak with these adapters.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backends.training import TOO_LONG, UNBALANCED, Training, checkpoint_of, require_training
from society.components.faults import faults_of
from society.components.plugin_files import hash_code, is_built_in
from society.core.concurrency import gather
from society.core.errors import BackendError, InputError, TooLongError
from society.core.identity import derive_seed
from society.core.types import Adapter, Item
from society.runs.files import own_tree, read_pruned
from society.runs.records import DebateRecord
from society.scenario.expand import PhasePlan, Society
from society.scenario.models.training import TrainSpec
from society.scenario.questions import Items
from society.simulation.outages import Availability
from society.store.rows import AdapterRow, Split
from society.training.alone import alone
from society.training.ending import remove_trainings, returned_row
from society.training.finetuning import Finetuning, complete_examples, mark_omitted, prompt_options
from society.training.labels import History, open_history
from society.training.learners import Learner, backend_of, check_layers, given_adapter, learners
from society.training.prune import pruned_error
from society.training.selection import select_examples
from society.training.signals import Alarm, Values, find_alarm, measure_signals

if TYPE_CHECKING:
    from backends.base import Backend
    from society.store import Store

Debates = Callable[[Society, Sequence[Item], int, Split, range], Awaitable[list[DebateRecord]]]
"""Debates items with a society in an iteration, for the split "evaluation" or "training", in these samples."""
EMPTY: Mapping[int, str] = {}
OnStep = Callable[[str, str, int, int, float], None]
"""Called after an optimizer step with learner, agent, step, total steps and loss."""


@dataclass
class TrainingLoop:
    """The state of a society that is being finetuned."""

    society: Society
    spec: TrainSpec
    items: Items
    backends: Mapping[str, Backend]
    store: Store
    folder: Path
    hashes: dict[str, str]
    """Hashes of adapters by path, shared with the speaker."""
    debate: Debates
    on_step: OnStep
    find_availability: Callable[[str], Availability]
    """Returns the record of whether a backend can be reached."""
    current: dict[tuple[str, str], Adapter] = field(default_factory=dict)
    """The latest adapter by learner and agent."""
    pruned: set[str] = field(default_factory=set)
    """Hashes of adapters in use that `society prune` removed, shared with the speaker."""
    _records: dict[int, list[DebateRecord]] = field(default_factory=dict)
    """The training debates by iteration."""
    _earlier: list[dict[tuple[str, str], Adapter]] = field(default_factory=list)
    """The adapters that each iteration began with."""
    _signal: list[Values] = field(default_factory=list)
    """The guard's signal by iteration."""

    async def run(self) -> None:
        """Run all iterations, from the untrained society to the last evaluation."""
        check_layers(self.society, self.spec)
        done = {(row.iteration, row.learner, row.agent): row for row in self.store.adapters()}
        for iteration in range(self.spec.iterations + 1):
            society = with_adapters(self.society, self._adapter_paths())
            self._earlier.append(dict(self.current))
            if self.spec.evaluates(iteration):
                await self.debate(
                    society, self.items.evaluation, iteration, "evaluation", range(society.scenario.samples)
                )
            else:
                self._drop_stale_evaluation(society, iteration)
            if iteration < self.spec.iterations:
                await self._debate_training(society, iteration)
                if (alarm := self._watch(iteration)) is not None:
                    await self._end(alarm)
                    return
                finetunings = [self._prepare(learner, iteration) for learner in learners(self.society, self.spec)]
                missing = [
                    finetuning
                    for finetuning in finetunings
                    if not await self._reuse(finetuning, done.get(finetuning.place))
                ]
                await self._train_all(missing)

    async def _debate_training(self, society: Society, iteration: int) -> None:
        """Debate the training questions, and draw the additional votes that labels need."""
        count = self.spec.draws(iteration)
        samples = society.scenario.samples
        if count:
            more = range(samples, samples + count)
            await self.debate(alone(society), self.items.training, iteration, "training", more)
        records = await self.debate(society, self.items.training, iteration, "training", range(samples))
        self._records[iteration] = self._history.add(records)

    def _drop_stale_evaluation(self, society: Society, iteration: int) -> None:
        """Remove an evaluation that an earlier session stored and this one does not ask for, if the weights differ.

        A helper's turn, such as `scribe/b`, has no plan of its own: it fits if this session has its adapter.
        """
        now = {
            (phase.name, agent): plan.adapter and self.hashes.get(plan.adapter, plan.adapter)
            for phase in society.phases
            for agent, plan in phase.agents.items()
        }
        known = {None, *self.hashes.values()}
        stored = self.store.evaluated_with(iteration)
        if any(adapter not in known or now.get((phase, agent), adapter) != adapter for phase, agent, adapter in stored):
            self.store.remove_evaluation(iteration)

    def _watch(self, iteration: int) -> Alarm | None:
        """Return the alarm of the guard that ends the training in this iteration."""
        guard = self.spec.guard
        if guard is None or guard.then == "report":
            return None
        labels = self._history.labels(self.spec, self.spec.label)
        found = measure_signals(self.society, labels, self._records[iteration], self._records[0])
        self._signal.append(found[guard.signal])
        return find_alarm(guard, self._signal)

    async def _end(self, alarm: Alarm) -> None:
        """End the training, with the weights of the best iteration if the guard wants them.

        The society does not change any more, so it is evaluated as that of the last iteration. Of other later
        iterations, nothing that an earlier session stored stays.
        """
        returns = self.spec.guard is not None and self.spec.guard.then == "best"
        if returns:
            self.current = dict(self._earlier[alarm.best])
        for kept in self.current.values():
            if not Path(kept.path).exists():
                raise pruned_error(self.folder, kept.path)
        samples, last = range(self.society.scenario.samples), self.spec.iterations
        remove_trainings(self.store, self.folder, alarm.iteration, last)
        for learner in learners(self.society, self.spec) if returns else ():
            adapter = self.current.get((learner.name, learner.agent))
            self.store.add_training(returned_row(learner, adapter, alarm, self.folder), ())
        society = with_adapters(self.society, self._adapter_paths())
        await self.debate(society, self.items.evaluation, last, "evaluation", samples)
        # Only now: a reader of the running store knows new rows by row ids above those of all others.
        self.store.remove_debates(alarm.iteration, last)

    async def _train_all(self, missing: Sequence[Finetuning]) -> None:
        """Run these finetunings, as many at the same time as the executor allows."""
        waiting = iter(missing)

        async def worker(shared: Iterator[Finetuning]) -> None:
            for finetuning in shared:
                await self._train(finetuning)

        await gather(worker(waiting) for _ in range(self.society.scenario.executor.side_by_side))

    def _adapter_paths(self) -> dict[tuple[str, str], str]:
        """Return the path of each agent's latest adapter, by phase and agent."""
        paths: dict[tuple[str, str], str] = {}
        for learner in learners(self.society, self.spec):
            adapter = self.current.get((learner.name, learner.agent))
            if adapter is not None:
                paths |= dict.fromkeys(learner.places, adapter.path)
        return paths

    async def _reuse(self, finetuning: Finetuning, row: AdapterRow | None) -> bool:
        """Use the result of a finished finetuning with the same rows and settings, and return whether there is one.

        There is none if its rows or settings differ, or if its files are gone. If they were pruned, it is used as far
        as the turns that it made are stored.
        """
        if row is None or row.trained_on != finetuning.trained_on:
            return False
        if row.hash is not None:
            path = self.folder / row.path
            adapter = Adapter(row.hash, str(path), row.base)
            if path.exists():
                await self._use_adapter(finetuning.learner, adapter)
            elif row.path in read_pruned(self.store.meta()):
                self.pruned.add(row.hash)
                self._note_adapter(finetuning.learner, adapter)
            else:
                return False
        stored = self.store.examples("iteration=? AND learner=? AND agent=?", finetuning.place)
        omitted = {source.number: source.left_out for source in stored if source.left_out}
        sources = mark_omitted(finetuning.sources, omitted)
        now = replace(row, left_out=_count(finetuning.chosen.left_out, row.left_out.get(TOO_LONG), omitted))
        if now != row or stored != sources:
            self.store.add_training(now, sources)
        return True

    def _prepare(self, learner: Learner, iteration: int) -> Finetuning:
        """Return the finetuning of a learner in this iteration, with its rows and its start."""
        seed = derive_seed(self.society.scenario.seed, "train", iteration, learner.name, learner.agent)
        # The draw does not depend on which agents share an adapter, so a control gets the society's rows.
        draw = derive_seed(self.society.scenario.seed, "select", iteration, learner.name)
        first = 0 if learner.spec.accumulate else iteration
        records = [record for number in range(first, iteration + 1) for record in self._records[number]]
        labels = self._history.labels(self.spec, self.spec.label_of(learner.spec))
        others = tuple(name for name in learner.agents if name not in learner.sources)
        chosen = select_examples(
            learner.spec,
            learner.sources,
            records,
            labels,
            draw,
            learner.describe(iteration),
            others,
            lambda turn: prompt_options(self.society, turn.id),
        )
        model = backend_of(self.society, learner)
        hashes = {name: backend.model_hash for name, backend in self.backends.items()}
        paired = learner.spec.objective.contrast == "pair"
        chosen.examples = complete_examples(self.society, hashes, model, chosen.examples, paired)
        start = self._start(learner, hashes[model]) if self.spec.start == "previous" else None
        code = hash_code(learner.spec.objective, self.society.scenario.backends[model])
        return Finetuning(iteration, learner, chosen, seed, start, hashes[model], self.spec, code)

    def _start(self, learner: Learner, model: str) -> Adapter | None:
        """Return the latest adapter of a learner, at first the one that the scenario gives its agents, if any."""
        trained, path = self.current.get((learner.name, learner.agent)), given_adapter(self.society, learner)
        if trained is not None or path is None:
            return trained
        return Adapter(self.hashes[path], path, model)

    @cached_property
    def _history(self) -> History:
        return open_history(self.society)

    def _note_adapter(self, learner: Learner, adapter: Adapter) -> None:
        self.current[learner.name, learner.agent] = adapter
        self.hashes[adapter.path] = adapter.hash

    async def _use_adapter(self, learner: Learner, adapter: Adapter) -> None:
        self._note_adapter(learner, adapter)
        self.pruned.discard(adapter.hash)
        name = backend_of(self.society, learner)
        if (loader := self.backends[name].adapters) is not None:
            await self.find_availability(name).reach(partial(loader.load, adapter))

    async def _train(self, finetuning: Finetuning) -> None:
        """Finetune, and store the result. The adapter's folder is complete or absent."""
        learner, chosen = finetuning.learner, finetuning.chosen
        place = Path("adapters") / f"{finetuning.iteration + 1}" / learner.folder
        if not chosen.examples:
            self._nothing_to_learn(finetuning)
            return
        if finetuning.start is not None and finetuning.start.hash in self.pruned:
            raise pruned_error(self.folder, finetuning.start.path)
        try:
            trained = await self._finetune(finetuning, self.folder / place)
        except TooLongError:
            if self.spec.on_empty == "stop":
                raise
            omitted = dict.fromkeys(range(len(chosen.examples)), TOO_LONG)
            self._keep(finetuning, {**chosen.left_out, TOO_LONG: len(omitted)}, omitted)
            return
        row = AdapterRow(
            *finetuning.place,
            hash=trained.adapter.hash,
            path=str(place),
            base=trained.adapter.base,
            examples=trained.examples,
            left_out=_count(chosen.left_out, trained.dropped, trained.omitted),
            losses=trained.losses,
            tokens=trained.tokens,
            seconds=trained.seconds,
            trained_on=finetuning.trained_on,
        )
        self.store.add_training(row, mark_omitted(finetuning.sources, trained.omitted))
        shutil.rmtree(checkpoint_of(self.folder / place), ignore_errors=True)
        await self._use_adapter(learner, replace(trained.adapter, path=str(self.folder / place)))

    async def _finetune(self, finetuning: Finetuning, place: Path) -> Training:
        learner = finetuning.learner
        backend = backend_of(self.society, learner)
        trainer = self.backends[backend].trainer
        if trainer is None:
            raise BackendError(f"The backend of learner {learner.name!r} cannot train.", "Use the backend hf.")
        place.parent.mkdir(parents=True, exist_ok=True)
        own_tree(self.folder, str(checkpoint_of(place).relative_to(self.folder)))  # no link leads out of the run

        def report(step: int, steps: int, loss: float, tokens: int) -> None:
            self.on_step(learner.name, learner.agent, step, steps, loss)

        objective = learner.spec.objective if learner.spec.objective.contrast else None
        asked = {"parallel": self.spec.parallel, "objective": objective}
        spread: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
        examples, settings = finetuning.chosen.examples, self.spec.settings
        more = {"seed": finetuning.seed, "on_step": report, **spread}
        train = partial(trainer.train, examples, settings, finetuning.start, place, **more)
        config = self.society.scenario.backends[backend]
        named = faults_of(config, "train", learner.describe(finetuning.iteration))
        with nullcontext() if is_built_in(type(config)) else named:
            return require_training(await self.find_availability(backend).reach(train))

    def _nothing_to_learn(self, finetuning: Finetuning) -> None:
        learner, left_out = finetuning.learner, finetuning.chosen.left_out
        why = ", ".join(f"{count} {reason}" for reason, count in left_out.items() if count) or "no turns"
        if self.spec.on_empty == "stop":
            raise InputError(
                f"There are no training rows {learner.describe(finetuning.iteration)}: {why}.",
                "Debate more questions (train.questions), use another `select`, or set train.on_empty: keep.",
            )
        self._keep(finetuning, left_out)

    def _keep(self, finetuning: Finetuning, left_out: Mapping[str, int], omitted: Mapping[int, str] = EMPTY) -> None:
        """Store that a learner keeps its weights, as no row can be learned."""
        row = AdapterRow(*finetuning.place, None, "", "", 0, left_out, (), 0, 0.0, finetuning.trained_on)
        self.store.add_training(row, mark_omitted(finetuning.sources, omitted))


def _count(left_out: Mapping[str, int], too_long: int | None, omitted: Mapping[int, str]) -> dict[str, int]:
    """Return the numbers of turns left out by reason, with those of rows that the trainer omitted."""
    found = Counter(left_out)
    found[UNBALANCED] += sum(reason == UNBALANCED for reason in omitted.values())
    return {**+found, **({} if too_long is None else {TOO_LONG: too_long})}


def with_adapters(society: Society, paths: Mapping[tuple[str, str], str]) -> Society:
    """Return the society with these adapters, by phase and agent."""

    def adapted(phase: PhasePlan) -> PhasePlan:
        agents = {
            agent: replace(plan, adapter=paths.get((phase.name, agent), plan.adapter))
            for agent, plan in phase.agents.items()
        }
        return replace(phase, agents=agents)

    return replace(society, phases=tuple(adapted(phase) for phase in society.phases))
