"""Debate, evaluate, select, finetune; and again: the method of "Multiagent Finetuning" (arXiv 2501.05707).

Before the first iteration and after each, or some, the society debates the evaluation questions. An iteration debates
the training questions, trains every learner's adapters on what was said, and lets the agents speak with them from then
on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from society.components.faults import faults_of
from society.core.concurrency import gather
from society.core.definition import is_tuning
from society.core.errors import BackendError, InputError
from society.core.identity import derive_seed, fingerprint
from society.core.types import Adapter, Example, Item
from society.runs.records import DebateRecord
from society.scenario.expand import PhasePlan, Society
from society.scenario.members import agents_of
from society.scenario.models.training import LearnerSpec, TrainSpec
from society.scenario.questions import Items
from society.store.rows import SHARED, AdapterRow, ExampleRow, Split
from society.training.labels import Labels, open_labels
from society.training.selection import TrainingSet, select_examples

if TYPE_CHECKING:
    from backends.base import Backend
    from backends.training import Training
    from society.store import Store

Debates = Callable[[Society, Sequence[Item], int, Split], Awaitable[list[DebateRecord]]]
"""Debates these items with this society in this iteration, for "evaluation" or "training"."""
TOO_LONG = "too long"
"""Why the trainer left rows out."""
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


@dataclass(frozen=True)
class Lesson:
    """One finetuning to be: who learns, from which rows, with which seed and from which adapter on (None: the base).
    `model` is the hash of the base."""

    iteration: int
    learner: Learner
    chosen: TrainingSet
    seed: int
    start: Adapter | None
    model: str
    spec: TrainSpec

    @property
    def place(self) -> tuple[int, str, str]:
        """Iteration, learner and agent: where the store has what came of it."""
        return self.iteration, self.learner.name, self.learner.agent

    @property
    def sources(self) -> list[ExampleRow]:
        """Where the rows come from, in the order trained on."""
        return [
            ExampleRow(*self.place, number, example.source, example.rule)
            for number, example in enumerate(self.chosen.examples)
        ]

    @cached_property
    def trained_on(self) -> str:
        """A hash of everything that shapes the adapter. Options that only tune speed are not in it."""
        rows = [
            [[(m.role, m.content) for m in example.messages], example.tokens, example.finish_reason]
            for example in self.chosen.examples
        ]
        start = self.start.hash if self.start else None
        settings = self.spec.settings
        tuning = {name for name, info in type(settings).model_fields.items() if is_tuning(info.json_schema_extra)}
        # Defaults are left out, so that the hash stays when an option is added.
        options = settings.model_dump(mode="json", exclude_defaults=True, exclude=tuning)
        return fingerprint([rows, options, self.seed, self.model, start])


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
                lessons = [self._lesson(learner, iteration, records) for learner in learners(self.society, self.spec)]
                missing = [lesson for lesson in lessons if not await self._take_up(lesson, done.get(lesson.place))]
                await self._train_all(missing)

    async def _train_all(self, missing: Sequence[Lesson]) -> None:
        """Train these learners, as many side by side as the executor allows; in their order where that is one."""
        waiting = iter(missing)

        async def worker(shared: Iterator[Lesson]) -> None:
            for lesson in shared:
                await self._train(lesson)

        await gather(worker(waiting) for _ in range(self.society.scenario.executor.side_by_side))

    def _spoken(self) -> dict[tuple[str, str], str]:
        """The path of what each agent last learned, by phase and agent."""
        paths: dict[tuple[str, str], str] = {}
        for learner in learners(self.society, self.spec):
            adapter = self.current.get((learner.name, learner.agent))
            if adapter is not None:
                paths |= dict.fromkeys(learner.places, adapter.path)
        return paths

    async def _take_up(self, lesson: Lesson, row: AdapterRow | None) -> bool:
        """Use a training that a run before this one finished; False if it learned from other rows, or in another way,
        than this one would, or if its files are gone."""
        if row is None or row.trained_on != lesson.trained_on:
            return False
        if row.hash is not None:
            path = self.folder / row.path
            if not path.exists():
                return False
            await self._speak_with(lesson.learner, Adapter(row.hash, str(path), row.base))
        too_long = {TOO_LONG: row.left_out[TOO_LONG]} if TOO_LONG in row.left_out else {}
        now = replace(row, left_out={**lesson.chosen.left_out, **too_long})
        sources = self.store.examples("iteration=? AND learner=? AND agent=?", lesson.place)
        if now != row or sources != lesson.sources:
            self.store.add_training(now, lesson.sources)
        return True

    def _lesson(self, learner: Learner, iteration: int, records: Sequence[DebateRecord]) -> Lesson:
        """Select what a learner learns in this iteration, and say what it starts from."""
        seed = derive_seed(self.society.scenario.seed, "train", iteration, learner.name, learner.agent)
        # The draw of rows does not depend on who shares an adapter, so a control takes the society's rows.
        draw = derive_seed(self.society.scenario.seed, "select", iteration, learner.name)
        place = f"for the learner {learner.name!r}, agent {learner.agent!r}, iteration {iteration}"
        with faults_of(learner.spec.select, "choose", place):
            chosen = select_examples(learner.spec, learner.teachers, records, self._labels, draw)
        model = backend_of(self.society, learner)
        hashes = {name: backend.model_hash for name, backend in self.backends.items()}
        chosen.examples = with_own_tokens(self.society, hashes, model, chosen.examples)
        start = self.current.get((learner.name, learner.agent)) if self.spec.start == "previous" else None
        return Lesson(iteration, learner, chosen, seed, start, hashes[model], self.spec)

    @cached_property
    def _labels(self) -> Labels:
        return open_labels(self.society, self.spec)

    async def _speak_with(self, learner: Learner, adapter: Adapter) -> None:
        self.current[learner.name, learner.agent] = adapter
        self.hashes[adapter.path] = adapter.hash
        backend = self.backends[backend_of(self.society, learner)]
        if backend.adapters is not None:
            await backend.adapters.load(adapter)

    async def _train(self, lesson: Lesson) -> None:
        """Finetune, and store what came of it; the adapter's folder appears whole or not at all."""
        learner, chosen = lesson.learner, lesson.chosen
        place = Path("adapters") / f"{lesson.iteration + 1}" / learner.folder
        if not chosen.examples:
            self._nothing_to_learn(lesson)
            return
        trained = await self._finetune(lesson, self.folder / place)
        left_out = {**chosen.left_out, TOO_LONG: trained.dropped}
        row = AdapterRow(
            lesson.iteration,
            learner.name,
            learner.agent,
            trained.adapter.hash,
            str(place),
            trained.adapter.base,
            trained.examples,
            left_out,
            trained.losses,
            trained.tokens,
            trained.seconds,
            lesson.trained_on,
        )
        self.store.add_training(row, lesson.sources)
        await self._speak_with(learner, replace(trained.adapter, path=str(self.folder / place)))

    async def _finetune(self, lesson: Lesson, place: Path) -> Training:
        learner = lesson.learner
        trainer = self.backends[backend_of(self.society, learner)].trainer
        if trainer is None:
            raise BackendError(f"The backend of learner {learner.name!r} cannot train.", "Use the backend hf.")
        place.parent.mkdir(parents=True, exist_ok=True)

        def tell(step: int, steps: int, loss: float, tokens: int) -> None:
            self.on_step(learner.name, learner.agent, step, steps, loss)

        spread: dict[str, Any] = {} if self.spec.parallel is None else {"parallel": self.spec.parallel}
        examples, settings = lesson.chosen.examples, self.spec.settings
        return await trainer.train(examples, settings, lesson.start, place, seed=lesson.seed, on_step=tell, **spread)

    def _nothing_to_learn(self, lesson: Lesson) -> None:
        learner, left_out = lesson.learner, lesson.chosen.left_out
        why = ", ".join(f"{count} {reason}" for reason, count in left_out.items() if count) or "no turns"
        who = f"learner {learner.name!r}, agent {learner.agent!r}, iteration {lesson.iteration}"
        if self.spec.on_empty == "stop":
            raise InputError(
                f"There is nothing to learn from for {who}: {why}.",
                "Debate more questions (train.questions), select otherwise, or set train.on_empty: keep.",
            )
        row = AdapterRow(
            lesson.iteration, learner.name, learner.agent, None, "", "", 0, left_out, (), 0, 0.0, lesson.trained_on
        )
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


def with_own_tokens(
    society: Society, models: Mapping[str, str], backend: str, examples: Sequence[Example]
) -> list[Example]:
    """Return the examples with the token ids only of those that were drawn by the model of this backend: those of
    another model mean nothing to it. `models` has the hash of each backend's model."""
    own = {
        (phase.name, agent)
        for phase in society.phases
        for agent, plan in phase.agents.items()
        if models.get(plan.backend) == models.get(backend)
    }
    return [
        example if (example.source.phase, example.source.agent) in own else replace(example, tokens=None)
        for example in examples
    ]


def with_adapters(society: Society, paths: Mapping[tuple[str, str], str]) -> Society:
    """The society with these adapters, by phase and agent."""

    def adapted(phase: PhasePlan) -> PhasePlan:
        agents = {
            a: replace(plan, adapter=paths.get((phase.name, a), plan.adapter)) for a, plan in phase.agents.items()
        }
        return replace(phase, agents=agents)

    return replace(society, phases=tuple(adapted(phase) for phase in society.phases))
