"""Exports a trained society: its adapters, its training rows, and a scenario that uses the adapters.

    adapters/LEARNER/AGENT/       a PEFT folder (after full finetuning, a model folder); "shared" for all agents
    adapters/LEARNER/AGENT.gguf   the same adapter for llama.cpp
    merged/LEARNER/AGENT/         base and adapter as one model, on request
    training_rows.jsonl           all training rows: messages, learned text, rule, source
    files/                        files that the scenario reads, such as questions
    scenario.yaml                 the debate with these adapters; written last

Each file and folder is complete or absent.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from society.core.atomic import atomic_write
from society.core.disks import advise
from society.core.errors import InputError, StoreError
from society.core.plain import count, to_plain
from society.core.types import ChatMessage, Example, Turn, TurnId
from society.runs.files import read_json
from society.runs.run import Run
from society.scenario.expand import Society, expand
from society.scenario.models.scenario import Scenario
from society.scenario.write import to_yaml
from society.store.rows import AdapterRow, ExampleRow
from society.training.finetuning import complete_examples
from society.training.learners import Learner, backend_of, learners
from society.training.selection import after_prompt, find_prompts, make_example

if TYPE_CHECKING:
    from backends.abilities import Exporter

Places = dict[tuple[str, str], str]
"""The path of an agent's adapter in a phase, by phase and agent."""


@dataclass
class TrainingExport:
    """One export of a run's training.

    `iteration` counts evaluations: the society of iteration 1 was finetuned once. The default is the last one. `model`:
    the base as GGUF, for the scenario, if the run's own model did not come from a GGUF. Files that the run names are
    copied, and its models are opened, if they are in its folder or in the folders of `allow`.
    """

    run: Run
    folder: Path
    iteration: int | None = None
    model: str = ""
    merged: bool = False
    allow: Sequence[Path] = ()
    written: list[Path] = field(default_factory=list)
    _copied: dict[Path, str] = field(default_factory=dict)

    def check(self) -> None:
        """Raise `InputError` if the run has no adapters, a file may not be read, or `model` is another base."""
        _ = self.rows, self.scenario
        for learner in self._learners():
            if (name := backend_of(self.society, learner)) not in self.exporters:
                raise self._lacks(name)
        for exporter in self.exporters.values():
            if self.model:
                exporter.check_base(self.model)

    def _lacks(self, name: str) -> InputError:
        """Return the error for a backend that exports nothing of what it trained."""
        return InputError(
            f"The backend {name!r} exports nothing of what it trained, so there are no adapters for other programs and "
            "no scenario that uses them. Tables and training rows are complete.",
            f"Copy the folder {self.run.folder / 'adapters'}.",
        )

    def write(self) -> list[Path]:
        """Write all parts, and return their paths.

        Raises `InputError` if they cannot be made, before anything is written (see `check`), or not written. If a
        backend exports nothing, the training rows are written before the error.
        """
        _ = self.rows, self.scenario
        unable = sorted({backend_of(self.society, learner) for learner in self._learners()} - {*self.exporters})
        if not unable:
            self.check()
        try:
            if unable:
                self._write_rows()
                raise self._lacks(unable[0])
            places = self._write_adapters()
            self._write_rows()
            self._write_scenario(places)
        except (OSError, StoreError) as error:
            why = error.__cause__ if isinstance(error, StoreError) else error
            raise InputError(
                f"{self.folder} cannot be written: {getattr(why, 'strerror', None) or why}.",
                advise(why, "Choose another place with --to (Python: folder)."),
            ) from error
        return self.written

    @cached_property
    def scenario(self) -> Scenario:
        """The run's scenario, with paths to files that may be read."""
        return self.run.open_scenario(self.allow, files=True)

    @cached_property
    def society(self) -> Society:
        """The society before any training."""
        return expand(self.scenario)

    @cached_property
    def rows(self) -> dict[tuple[str, str], AdapterRow]:
        """The latest trained adapter of each learner and agent at that iteration."""
        every = (row for row in self.run.adapters() if row.hash or row.back_to is not None)
        latest = {(r.learner, r.agent): r for r in every if _before(r.iteration, self.iteration)}
        rows = {place: row for place, row in latest.items() if row.hash}
        if not rows:
            what = "adapters" if self.iteration is None else f"adapters in iteration {self.iteration}"
            remedy = "Name a run that has trained."
            if latest:
                what += ", as its guard returned to the weights before any finetuning"
                remedy = "Name an earlier iteration with --iteration (Python: iteration), or another run."
            raise InputError(f"The run in {self.run.folder} has no {what}.", remedy)
        return rows

    @cached_property
    def exporters(self) -> dict[str, Exporter]:
        """The exporter of each backend that trained and has one."""
        found: dict[str, Exporter] = {}
        for learner in self._learners():
            name = backend_of(self.society, learner)
            exporter = found.get(name) or self.society.scenario.backends[name].exporter()
            if exporter is not None:
                found[name] = exporter
        return found

    def _learners(self) -> list[Learner]:
        spec = self.society.scenario.train
        every = learners(self.society, spec) if spec else []
        return [learner for learner in every if (learner.name, learner.agent) in self.rows]

    def _write_adapters(self) -> dict[bool, Places]:
        """Write every adapter. Return the paths of the GGUF adapters (True) and of the folders (False) by agent."""
        places: dict[bool, Places] = {True: {}, False: {}}
        for learner in self._learners():
            exporter = self.exporters[backend_of(self.society, learner)]
            row = self.rows[learner.name, learner.agent]
            adapter = self.run.open_adapter(row)
            folder = self.folder / "adapters" / learner.folder
            gguf = exporter.write(adapter, folder)
            for lora, path in ((True, gguf), (False, folder)):
                if path is not None:
                    self.written.append(path)
                    places[lora] |= dict.fromkeys(learner.places, str(path.relative_to(self.folder)))
            if self.merged:
                self.written.append(exporter.merge(adapter, self.folder / "merged" / learner.folder))
        return places

    def _write_rows(self) -> None:
        wanted = (row for row in training_rows(self.run) if _before(row["iteration"], self.iteration))
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in wanted)
        self._put("training_rows.jsonl", lambda part: part.write_text(text, "utf-8"))

    def _write_scenario(self, places: Mapping[bool, Places]) -> None:
        from society.scenario import load_scenario

        data = self._scenario(places)

        def write(part: Path) -> None:
            part.write_text(self._head() + to_yaml(data), "utf-8")
            load_scenario(part, allow=self.allow)  # a scenario that cannot run is not written

        self._put("scenario.yaml", write)

    def _scenario(self, places: Mapping[bool, Places]) -> dict[str, Any]:
        """Return the scenario without training, with each agent bound to its adapter; on llama.cpp where possible."""
        scenario = self.scenario
        data: dict[str, Any] = self._local(scenario.model_dump(exclude_unset=True, exclude={"train"}))
        data["name"] = f"{scenario.name[:56]}-trained"
        given = {plan.backend for phase in self.society.phases for plan in phase.agents.values() if plan.adapter}
        for learner in self._learners():
            backend = backend_of(self.society, learner)
            fits = backend not in given and set(learner.places) <= set(places[True])
            portable = self.exporters[backend].portable(self.model, self._context()) if fits else None
            if portable is not None:
                data["backends"][backend] = self._local(portable.model_dump(exclude_unset=True))
            for phase, agent in learner.places:
                _bind(data, phase, agent, places[portable is not None][phase, agent])
        return data

    def _context(self) -> int:
        """Return the tokens of the run's longest prompt together with the longest answer; at least 2048."""
        prompt = max(turn.usage.prompt_tokens for turn in self.run.turns())
        answer = max(plan.sampling.max_tokens for phase in self.society.phases for plan in phase.agents.values())
        return max(2048, -(-(prompt + answer) // 256) * 256)

    def _local(self, value: Any) -> Any:
        """Return plain data, with every file that it names copied into the export."""
        if isinstance(value, dict):
            return {key: self._local(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._local(item) for item in value]
        return self._copy(value) if isinstance(value, Path) else value

    def _copy(self, source: Path) -> str:
        if source not in self._copied:
            self._copied[source] = f"files/{len(self._copied) + 1}/{source.name}"  # the ids of items contain the name
            copy = shutil.copytree if source.is_dir() else shutil.copyfile
            self._put(self._copied[source], lambda part: copy(source, part))
        return self._copied[source]

    def _head(self) -> str:
        last = max(row.iteration + 1 if row.back_to is None else row.back_to for row in self.rows.values())
        trained = count(last, "finetuning")
        return f"# The society of the run {self.run.folder.name!r} after {trained}. Run it from anywhere.\n"

    def _put(self, name: str, write: Callable[[Path], object]) -> None:
        """Write a file or folder beside its place with `write`, then rename it in one step."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as part:
            write(part)
        self.written.append(path)


def training_examples(run: Run) -> Iterator[tuple[AdapterRow, ExampleRow, Example]]:
    """Yield every training row as it was trained on, rebuilt from the turns, with its adapter and its origin.

    Rows that the trainer omitted are among them (see `ExampleRow.left_out`).
    """
    society, models = expand(run.scenario), read_json(run.meta(), "models")
    spec = society.scenario.train
    backends = {(one.name, one.agent): backend_of(society, one) for one in (learners(society, spec) if spec else [])}
    turns = {turn.id: turn for turn in run.turns()}
    adapters = {(row.iteration, row.learner, row.agent): row for row in run.adapters()}
    paired = {name for name, one in (spec.learners if spec else {}).items() if one.objective.contrast == "pair"}
    for place, group in groupby(run.examples(), key=lambda row: (row.iteration, row.learner, row.agent)):
        rows, pairs = [*group], place[1] in paired
        examples = [
            _make_again(turns, row, prompt) for row, prompt in zip(rows, find_prompts(rows, pairs), strict=True)
        ]
        completed = complete_examples(society, models, backends[place[1:]], examples, pairs)
        for row, example in zip(rows, completed, strict=True):
            yield adapters[place], row, example


def _make_again(turns: Mapping[TurnId, Turn], row: ExampleRow, prompt: TurnId) -> Example:
    """Return the example of a row, whose reply follows the prompt of this turn."""
    example = make_example(turns[row.source], row.rule, row.weight, row.part, row.desired)
    return example if prompt == row.source else after_prompt(example, turns[prompt])


def training_rows(run: Run) -> Iterator[dict[str, Any]]:
    """Yield every training row as plain data.

    `messages` ends with the learned assistant message, without the `thought` before it. `tokens` are the drawn token
    ids of both, or None if they were tokenized; the first `thought_tokens` are those of the thought, which is learned
    if `learn_thought`. `trained` is False for a row that the trainer omitted, for the reason `left_out`.
    """
    for adapter, row, example in training_examples(run):
        yield {
            "iteration": adapter.iteration,
            "learner": adapter.learner,
            "agent": adapter.agent,
            "number": row.number,
            "trained": not row.left_out and adapter.hash is not None,
            "left_out": row.left_out,
            "rule": example.rule,
            "weight": example.weight,
            "desired": example.desired,
            "source": asdict(example.source),
            "messages": [_plain(message) for message in example.messages],
            "learned": example.messages[-1].content,
            "tokens": None if example.tokens is None else list(example.tokens),
            "thought": example.thought,
            "thought_tokens": example.thought_tokens,
            "learn_thought": example.learn_thought,
        }


def _plain(message: ChatMessage) -> dict[str, Any]:
    """Return a message as data, with its calls of tools where it has any."""
    return {name: value for name, value in to_plain(message).items() if value or name != "calls"}


def _before(iteration: int, end: int | None) -> bool:
    return end is None or iteration < end


def _bind(data: dict[str, Any], phase: str, agent: str, adapter: str) -> None:
    """Bind an agent to an adapter in a phase, and keep its other bindings there."""
    spec = next(spec for spec in data["phases"] if spec["name"] == phase)
    bound = spec.setdefault("bind", {})
    bound[agent] = {**bound.get(agent, {}), "adapter": adapter}
