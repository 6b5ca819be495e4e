"""Debate, evaluate, select, finetune; and again: the method of "Multiagent Finetuning" (arXiv 2501.05707).

Before the first iteration and after each, or some, the society debates the evaluation questions. An iteration debates
the training questions, trains every learner's adapters on what was said, and lets the agents speak with them from then
on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from society.errors import BackendError, InputError
from society.gather import gather
from society.identity import derive_seed
from society.metrics.records import DebateRecord
from society.scenario.expand import PhasePlan, Society
from society.scenario.members import agents_of
from society.scenario.questions import Items
from society.scenario.training import LearnerSpec, TrainSpec
from society.store.adapters import SHARED, AdapterRow, ExampleRow
from society.training.selection import TrainingSet, select_examples
from society.types import Adapter, Item

if TYPE_CHECKING:
    from backends.base import Backend
    from backends.training import Training
    from society.store import Store

Debates = Callable[[Society, Sequence[Item], int, str], Awaitable[list[DebateRecord]]]
"""Debates these items with this society in this iteration, for "evaluation" or "training"."""
OnStep = Callable[[str, str, int, int, float], None]
"""Called after an optimiser step with learner, agent, step, steps and loss."""


@dataclass(frozen=True)
class Learner:
    """One adapter to be: what it is called, whose data it gets, who will speak with it."""

    name: str
    agent: str  # SHARED: one for all
    spec: LearnerSpec
    teachers: tuple[str, ...]
    speakers: tuple[str, ...]

    @property
    def places(self) -> list[tuple[str, str]]:
        """The phases and agents that speak with it."""
        return [(phase, agent) for phase in self.spec.phases for agent in self.speakers]

    @property
    def folder(self) -> Path:
        """Where its adapter lies, within a folder of adapters."""
        return Path(self.name) / self.agent.replace(SHARED, "shared")


@dataclass
class TrainingLoop:
    """The state of a society that is being finetuned."""

    society: Society
    spec: TrainSpec
    items: Items
    backends: Mapping[str, Backend]
    store: Store
    folder: Path
    hashes: dict[str, str]  # from an adapter's path to its hash: what the speaker looks up
    debate: Debates
    on_step: OnStep
    current: dict[tuple[str, str], Adapter] = field(default_factory=dict)  # by learner and agent

    async def run(self) -> None:
        """Everything, from the untrained society to the last evaluation."""
        done = {(row.iteration, row.learner, row.agent): row for row in self.store.adapters()}
        for iteration in range(self.spec.iterations + 1):
            society = with_adapters(self.society, self._spoken())
            if self.spec.evaluates(iteration):
                await self.debate(society, self.items.evaluation, iteration, "evaluation")
            if iteration < self.spec.iterations:
                records = await self.debate(society, self.items.training, iteration, "training")
                missing = [
                    learner for learner in learners(self.society, self.spec)
                    if (row := done.get((iteration, learner.name, learner.agent))) is None
                    or not await self._take_up(learner, row)
                ]  # fmt: skip
                await self._train_all(missing, iteration, records)

    async def _train_all(self, missing: Sequence[Learner], iteration: int, records: Sequence[DebateRecord]) -> None:
        """Train these learners, as many side by side as the executor allows; in their order where that is one."""
        waiting = iter(missing)

        async def worker(shared: Iterator[Learner]) -> None:
            for learner in shared:
                await self._train(learner, iteration, records)

        await gather(worker(waiting) for _ in range(self.society.scenario.executor.side_by_side))

    def _spoken(self) -> dict[tuple[str, str], str]:
        """The path of what each agent last learned, by phase and agent."""
        paths: dict[tuple[str, str], str] = {}
        for learner in learners(self.society, self.spec):
            adapter = self.current.get((learner.name, learner.agent))
            if adapter is not None:
                paths |= dict.fromkeys(learner.places, adapter.path)
        return paths

    async def _take_up(self, learner: Learner, row: AdapterRow) -> bool:
        """Use a training that a run before this one finished; False if its files are gone."""
        if row.hash is None:
            return True
        path = self.folder / row.path
        if not path.exists():
            return False
        await self._speak_with(learner, Adapter(row.hash, str(path), row.base))
        return True

    async def _speak_with(self, learner: Learner, adapter: Adapter) -> None:
        self.current[learner.name, learner.agent] = adapter
        self.hashes[adapter.path] = adapter.hash
        backend = self.backends[backend_of(self.society, learner)]
        if backend.adapters is not None:
            await backend.adapters.load(adapter)

    async def _train(self, learner: Learner, iteration: int, records: Sequence[DebateRecord]) -> None:
        """Select, finetune, and store what came of it; the adapter's folder appears whole or not at all."""
        seed = derive_seed(self.society.scenario.seed, "train", iteration, learner.name, learner.agent)
        same = self.society.scenario.task.same
        chosen = select_examples(learner.spec, learner.teachers, records, self.spec.label, same, seed)
        place = Path("adapters") / f"{iteration + 1}" / learner.folder
        if not chosen.examples:
            self._nothing_to_learn(learner, iteration, chosen)
            return
        trained = await self._finetune(learner, chosen, seed, self.folder / place)
        row = AdapterRow(
            iteration, learner.name, learner.agent, trained.adapter.hash, str(place), trained.adapter.base,
            trained.examples, {**chosen.left_out, "too long": trained.dropped}, trained.losses, trained.tokens,
            trained.seconds,
        )  # fmt: skip
        self.store.add_training(row, [
            ExampleRow(iteration, learner.name, learner.agent, number, example.source, example.rule)
            for number, example in enumerate(chosen.examples)
        ])  # fmt: skip
        await self._speak_with(learner, replace(trained.adapter, path=str(self.folder / place)))

    async def _finetune(self, learner: Learner, chosen: TrainingSet, seed: int, place: Path) -> Training:
        trainer = self.backends[backend_of(self.society, learner)].trainer
        if trainer is None:
            raise BackendError(f"The backend of learner {learner.name!r} cannot train.", "Use the backend hf.")
        start = self.current.get((learner.name, learner.agent)) if self.spec.start == "previous" else None
        place.parent.mkdir(parents=True, exist_ok=True)

        def tell(step: int, steps: int, loss: float, tokens: int) -> None:
            self.on_step(learner.name, learner.agent, step, steps, loss)

        spread: dict[str, Any] = {} if self.spec.parallel is None else {"parallel": self.spec.parallel}
        return await trainer.train(chosen.examples, self.spec.settings, start, place, seed=seed, on_step=tell, **spread)

    def _nothing_to_learn(self, learner: Learner, iteration: int, chosen: TrainingSet) -> None:
        why = ", ".join(f"{count} {reason}" for reason, count in chosen.left_out.items() if count) or "no turns"
        who = f"learner {learner.name!r}, agent {learner.agent!r}, iteration {iteration}"
        if self.spec.on_empty == "stop":
            raise InputError(
                f"There is nothing to learn from for {who}: {why}.",
                "Debate more questions (train.questions), select otherwise, or set train.on_empty: keep.",
            )
        row = AdapterRow(iteration, learner.name, learner.agent, None, "", "", 0, chosen.left_out, (), 0, 0.0)
        self.store.add_training(row, ())


def learners(society: Society, spec: TrainSpec) -> list[Learner]:
    """Every adapter that an iteration trains."""
    found: list[Learner] = []
    for name, learner in spec.learners.items():
        spoken = dict.fromkeys(a for p in society.phases if p.name in learner.phases for a in p.speakers)
        agents = agents_of(learner.agents, society.members) or tuple(spoken)
        if learner.adapter == "shared":
            found.append(Learner(name, SHARED, learner, agents, agents))
        else:
            teachers = {agent: agents if learner.data == "everyone" else (agent,) for agent in agents}
            found += [Learner(name, agent, learner, teachers[agent], (agent,)) for agent in agents]
    return found


def backend_of(society: Society, learner: Learner) -> str:
    """The name of the backend that trains this learner and speaks with what it learned."""
    phase = next(p for p in society.phases if p.name in learner.spec.phases)
    return phase.agents[learner.speakers[0]].backend


def with_adapters(society: Society, paths: Mapping[tuple[str, str], str]) -> Society:
    """The society with these adapters, by phase and agent."""

    def adapted(phase: PhasePlan) -> PhasePlan:
        agents = {
            a: replace(plan, adapter=paths.get((phase.name, a), plan.adapter)) for a, plan in phase.agents.items()
        }
        return replace(phase, agents=agents)

    return replace(society, phases=tuple(adapted(phase) for phase in society.phases))
