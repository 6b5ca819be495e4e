"""The check of a scenario before a run: the scenario itself, the files that it names, and the prompts of a dry run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from backends.base import BackendConfig, CheckChat
from society.components.decisions.base import DecisionRule
from society.components.faults import faults_of
from society.components.tools.base import Tool
from society.core.errors import InputError, MissingExtraError, NoSandboxError, SocietyError, TurnError
from society.core.plain import count
from society.core.problems import Problem, make_problem, sort_problems
from society.core.templating.prompts import TemplateError
from society.core.types import ChatMessage, Item, Thinking
from society.planning.chats import find_check
from society.retrieval.growing import require_index
from society.runs.opening import check_thinking, find_prices
from society.scenario.binding import AgentPlan
from society.scenario.checks.effects.flow import follow
from society.scenario.checks.expected import awaiting_rules, check_expected
from society.scenario.checks.prompts.report import check_prompts, depend_on_items
from society.scenario.checks.templates import line_of
from society.scenario.expand import PhasePlan, Society, expand
from society.scenario.load import Folders, Overrides, Source, load_tree
from society.scenario.models.settings import ThinkingSpec
from society.scenario.questions import Items, load_items
from society.scenario.reading.source import Node
from society.scenario.reading.tree import Steps, find_node, find_place, write_path
from society.tasks.base import Task
from society.tasks.readers import AbsentFieldError

FETCH = "get it by `society fetch` where there is a network"
MOST_ANSWERED = 100
"""Maximum number of questions of which some answer is looked for among the choices of a role."""
MOST_FLAWS = 20
"""Maximum number of errors that are listed for the rows of a task."""


def check(
    source: Source, overrides: Overrides = (), allow: Folders = (), folder: Path | str = ".", offline: bool = False
) -> list[Problem]:
    """Return all problems of a scenario, warnings included, in the order of the file or by field of the dictionary.

    `source` is the YAML file of a scenario, or a dictionary with its keys. `overrides` are changes such as
    `phases.debate.rounds=3`. Relative paths in a dictionary start at `folder`. Files elsewhere may be read if their
    folder is in `allow`. The list is empty if the scenario has no problem.

    The check reads data files and the headers of local models, and renders the prompts of one debate, also with the
    models' chat templates. It needs no network and loads no weights. Models that must be downloaded first are not
    checked; with `offline`, they and missing data sets are errors, as on a machine without a network.
    """
    scenario, root, problems = load_tree(source, overrides, allow, folder)
    if scenario is None or root is None or any(problem.level == "error" for problem in problems):
        return problems
    return sort_problems([*problems, *_Preflight(expand(scenario), root, problems, offline).check()])


class _Preflight:
    """Checks of a valid scenario that read its files. `problems` collects what they find; `known` was found before."""

    def __init__(self, society: Society, root: Node, known: Sequence[Problem], offline: bool = False) -> None:
        self.society, self.root, self.known, self.offline = society, root, known, offline
        self.problems: list[Problem] = []

    def check(self) -> list[Problem]:
        """Return the problems of models, thinking, adapters, training and questions, then those of prompts."""
        self._check_models()
        known = not self.problems
        self._check_prices()
        self._check_thinking()
        self._check_adapters(known)
        self._check_gates()
        self._check_tools()
        if known:
            self._check_training()
        items = self._load_items()
        if items is not None:
            self._check_readable(items.evaluation)
            self._check_choices(items.evaluation)
            try:
                self._check_variables(items.every)
            except SocietyError as error:
                self._add_error((), error)
            self._check_prompts(items)
        return self.problems

    def _check_gates(self) -> None:
        """Check that libraries of the phases' gates and of memories are installed."""
        for measure in self.society.recall_measures:
            try:
                require_index(measure)
            except SocietyError as error:
                self._add_error(("memory", "recall", "by"), error)
        for phase in self.society.phases:
            for j, gate in enumerate(phase.spec.edges.gate):
                try:
                    gate.require()
                except MissingExtraError as error:
                    steps: Steps = ("phases", phase.index, "edges", "gate", j)
                    self._add(steps, f"{error.cause} {error.remedy}")

    def _check_tools(self) -> None:
        """Check that each tool can work here."""
        scenario = self.society.scenario
        lists: list[tuple[Steps, Sequence[Tool]]] = [
            *((("roles", name, "tools"), role.tools) for name, role in scenario.roles.items()),
            *((("agents", name, "tools"), spec.tools or ()) for name, spec in scenario.agents.items()),
        ]
        used = self.society.tools
        for steps, tool in (((*steps, j), tool) for steps, tools in lists for j, tool in enumerate(tools)):
            try:
                with faults_of(tool, "require"):
                    if tool in used:
                        tool.require()
            except SocietyError as error:
                self._add_error(steps, error)

    @property
    def _backends(self) -> list[str]:
        """Names of the backends in use."""
        agents = (agent for phase in self.society.phases for agent in phase.agents.values())
        return list(dict.fromkeys(agent.backend for agent in agents))

    def _add(self, steps: Steps, message: str, **details: Any) -> None:
        place = find_place(self.root, steps)
        self.problems.append(make_problem(place, write_path(self.root, steps), message, **details))

    def _add_error(self, steps: Steps, error: SocietyError, warns: bool = False) -> None:
        """Add an error of a component. What this machine lacks is a warning, but an error `offline`."""
        message = " ".join(filter(None, (error.cause, error.remedy)))
        warns = warns or (not self.offline and isinstance(error, MissingExtraError | NoSandboxError))
        self._add((*steps, *error.below), message, level="warning" if warns else "error")

    def _check_models(self) -> None:
        for name in self._backends:
            config: BackendConfig = self.society.scenario.backends[name]
            try:
                with faults_of(config, "check_files", f"of the backend {name!r}"):
                    config.check_files()
                    missing = config.missing if self.offline else ""
                if missing:
                    self._add(("backends", name, "model"), f"{missing} is not on this machine; {FETCH}")
                if self.offline:
                    self._check_libraries(name, config)
            except SocietyError as error:
                self._add_error(("backends", name), error)

    def _check_libraries(self, name: str, config: BackendConfig) -> None:
        """Check that the libraries of a backend are installed, if it is opened on this machine."""
        if self.society.scenario.executor.shares_runs:  # other machines open it
            return
        try:
            with faults_of(config, "open", f"as the backend {name!r}"):
                config.open()
        except MissingExtraError as error:
            self._add_error(("backends", name), error)
        except SocietyError:  # this machine may have no GPU, and another one has it
            return

    def _check_prices(self) -> None:
        """Check that the price of each backend is known if the scenario limits the dollars."""
        try:
            find_prices(self.society)
        except SocietyError as error:
            self._add_error(("limits", "dollars"), error)

    def _check_thinking(self) -> None:
        """Ask each backend whether its model can think as its agents shall."""
        for plan in self.society.thinkers:
            try:
                check_thinking(self.society, plan)
            except SocietyError as error:
                self._add_error(self._find_thinking(plan), error)

    def _find_thinking(self, plan: AgentPlan) -> Steps:
        """Return the steps to the strongest level whose `thinking` the backend refuses."""
        scenario = self.society.scenario
        phase = next(phase for phase in self.society.phases if phase.agents.get(plan.name) is plan)
        bound = [name for name in dict.fromkeys((plan.name, plan.group)) if name in phase.spec.bind]
        levels: list[tuple[Steps, ThinkingSpec]] = [
            *((("phases", phase.index, "bind", name), phase.spec.bind[name].thinking) for name in bound),
            (("agents", plan.group), scenario.agents[plan.group].thinking),
            (("roles", plan.role_name), plan.role.thinking),
            ((), scenario.thinking),
        ]
        set_here = [
            (steps, level) for steps, level in levels if level.over(Thinking()) != Thinking() or level.args_over(())
        ]
        refused = (steps for steps, level in set_here if self._refuses(plan, level))
        return (*next(refused, set_here[0][0]), "thinking")

    def _refuses(self, plan: AgentPlan, level: ThinkingSpec) -> bool:
        """Return whether the backend of an agent refuses what this level alone sets, where no other overrides it."""
        own = dict(plan.template_args)
        args = tuple(pair for pair in level.args_over(()) if own[pair[0]] == pair[1])
        given = {field.name: getattr(level, field.name) for field in fields(Thinking)}
        kept = {name: value for name, value in given.items() if value == getattr(plan.thinking, name)}
        try:
            check_thinking(self.society, replace(plan, thinking=Thinking(**kept), template_args=args))
        except SocietyError:
            return True
        return False

    def _check_adapters(self, known: bool) -> None:
        """Check that the adapters exist and, where the models are `known`, that they can be used."""
        found = [
            (self._find_adapter(phase, plan), plan) for phase in self.society.phases for plan in phase.agents.values()
        ]
        used = dict.fromkeys((steps, plan.adapter, plan.backend) for steps, plan in found if plan.adapter)
        for steps, path, backend in used:
            if not Path(path).exists():
                self._add(steps, f"there is no adapter {path}; give its file or folder")
            if not known or not Path(path).exists():
                continue
            config = self.society.scenario.backends[backend]
            try:
                with faults_of(config, "check_adapter", f"of the backend {backend!r}"):
                    config.check_adapter(Path(path))
            except SocietyError as error:
                self._add_error(steps, error)

    def _find_adapter(self, phase: PhasePlan, plan: AgentPlan) -> Steps:
        """Return the steps to the adapter of an agent in a phase: that of the phase, or its own."""
        bound = [name for name in (plan.name, plan.group) if name in phase.spec.bind and phase.spec.bind[name].adapter]
        return ("phases", phase.index, "bind", bound[0], "adapter") if bound else ("agents", plan.group, "adapter")

    def _check_training(self) -> None:
        """Check that the layers to train exist, and that trainings can start from the agents' adapters."""
        spec = self.society.scenario.train
        if spec is None:
            return
        from society.training.learners import check_layers

        try:
            check_layers(self.society, spec)
        except SocietyError as error:
            self._add_error((), error)

    def _load_items(self) -> Items | None:
        """Return the questions of the scenario, or None if they cannot be loaded."""

        def warn(steps: Steps, name: str, message: str) -> None:
            self._add(steps, message, level="warning")

        def steps_of(task: Task) -> Steps:
            return ("task",) if task is self.society.scenario.task else ("train", "task")

        missing = [task for task in self._tasks if task.missing]
        for task in missing:
            if self.offline:
                self._add(steps_of(task), f"{task.origin} is not on this machine; {FETCH}")
            else:
                warn(steps_of(task), task.origin, task.missing)
        if missing:
            return None
        try:
            items, fault = load_items(self.society, warn), None
        except SocietyError as error:
            items, fault = None, error
        flaws = [(steps_of(task), flaw) for task in self._tasks for flaw in self._find_flaws(task)]
        for steps, flaw in flaws:
            self._add_error(steps, flaw, warns=items is not None)
        if fault is not None and fault.cause not in [flaw.cause for _, flaw in flaws]:
            self._add_error((), fault)
        return items

    def _check_readable(self, items: Sequence[Item]) -> None:
        """Check that each voter has a reply that can be read: a turn without `choices`, or a choice with an answer."""
        task, decision = self.society.scenario.task, self.society.scenario.decision
        if type(decision).read_answer is not DecisionRule.read_answer or getattr(decision, "kind", "") == "none":
            return
        some = items[:MOST_ANSWERED]
        known: dict[tuple[str, ...], bool] = {}
        for voter in self.society.voters:
            roles = {
                p.agents[voter].role_name: p.agents[voter].role for p in self.society.phases if voter in p.speakers
            }
            for role in roles.values():
                with suppress(SocietyError):
                    if role.choices not in known:
                        read = (task.parse(choice, item) for item in some for choice in role.choices)
                        known[role.choices] = not role.choices or any(answer is not None for answer in read)
            if roles and not any(known.get(role.choices, True) for role in roles.values()):
                why = "holds no answer that `task.answer.extract` finds, so no vote can be read"
                name = [*roles][-1]
                self._add(("roles", name, "choices"), f"{why}; list others, or set `extract`", level="warning")
                return

    def _check_choices(self, items: Sequence[Item]) -> None:
        """Check that a reply of each role with `choices` is right for some question, if the role answers questions."""
        task = self.society.scenario.task
        scored = [item for item in items if item.gold][:MOST_ANSWERED]
        if task.answer.deferred or not scored:
            return
        plans = {
            plan.role_name: plan.role
            for phase in self.society.phases
            for plan in map(phase.agents.get, self.society.voters)
            if plan
        }
        for name, role in plans.items():
            with suppress(SocietyError):  # the code of a task that fails is reported elsewhere
                right = any(_is_right(task, choice, item) for item in scored for choice in role.choices)
                at = write_path(self.root, ("roles", name, "choices"))
                if role.choices and not right and at not in [problem.path for problem in self.problems]:
                    why = (
                        f"holds no right answer to any of {count(len(scored), 'question')}, such as {scored[0].gold!r}"
                    )
                    self._add(("roles", name, "choices"), f"{why}; list the answers, or remove it", level="warning")

    @property
    def _tasks(self) -> list[Task]:
        return list(self.society.scenario.tasks.values())

    def _find_flaws(self, task: Task) -> Iterator[SocietyError]:
        """Yield the errors of the rows of a task, at most `MOST_FLAWS` of them and the number of the others.

        Rows outside the slice that is used are read, too. Their errors are warnings.
        """
        try:
            with faults_of(task, "flaws"):
                flaws = list(_gather(task.flaws(self.society.scenario.seed)))
        except SocietyError:  # reported when the questions are loaded
            return
        yield from flaws[:MOST_FLAWS]
        if len(flaws) > MOST_FLAWS:
            cause = f"{task.origin}: rows have {len(flaws) - MOST_FLAWS:,} more errors."
            yield InputError(cause, below=task.locate(None))

    def _check_prompts(self, items: Items) -> None:
        """Render the prompts of two debates, with the models' chat templates, too; of a large society, those of a part.

        In the first one, replies have one word each. In the second one, some are empty or unreadable.
        """
        from society.planning.dry_run import dry_run

        said: dict[str, list[str]] = {}
        checks = self._find_checks(said)
        words: list[int] = []

        def count_words(messages: Sequence[ChatMessage], *_: object) -> int:
            words.append(sum(len(message.content.split()) for message in messages))
            return _overestimate(messages)

        counts = dict.fromkeys(self.society.scenario.backends, count_words)
        try:
            for poor in (False, True):
                dry_run(self.society, items.evaluation[0], counts, checks, poor, part=True)
            self._check_lengths(items, min(filter(None, words), default=0))  # an empty prompt measures the counter
        except TemplateError as error:
            self._add_template_error(error)
        except TurnError as error:
            self._add_error(("roles", error.role), error)
        except SocietyError as error:
            self._add_error((), error)
        for name, sentences in said.items():
            for sentence in dict.fromkeys(sentences):
                self._add(("backends", name, "model"), sentence, level="warning")

    def _check_lengths(self, items: Items, words: int) -> None:
        """Check that training rows can be as long as a prompt, of which the shortest has this many `words`."""
        train = self.society.scenario.train
        if train is None or train.settings.too_long != "drop":
            return
        sizes = [len(item.question.split()) for item in items.every]
        least = words - sizes[0] + min(sizes)
        if train.settings.max_length <= least:
            message = f"leaves out every training row: each prompt has at least {least} words; raise it"
            self._add(("train", "settings", "max_length"), message, level="warning")

    def _check_variables(self, items: Sequence[Item]) -> None:
        """Check the values of variables in prompts that depend on the questions. The others were checked before."""
        scenario = self.society.scenario
        asked = depend_on_items(scenario)
        if not asked and not any(True for _ in awaiting_rules(scenario)):
            return
        known = {(problem.path, problem.line, problem.column) for problem in self.known}
        flow = follow(scenario)
        found = [*(check_prompts(flow, self.root, items) if asked else ()), *check_expected(flow, self.root, items)]
        self.problems += [one for one in found if (one.path, one.line, one.column) not in known]

    def _find_checks(self, said: dict[str, list[str]]) -> dict[str, CheckChat]:
        """Return the checks of chats, by backend. Each change of a chat adds a sentence to the backend's in `said`."""
        if any(problem.level == "error" for problem in self.problems):
            return {}
        checks: dict[str, CheckChat] = {}
        for name in self._backends:
            try:
                check = find_check(self.society, name, said.setdefault(name, []).append)
            except SocietyError as error:
                self._add_error(("backends", name), error)
            else:
                checks |= {} if check is None else {name: check}
        return checks

    def _add_template_error(self, error: TemplateError) -> None:
        """Add an error of a template at its line."""
        node = find_node(self.root, error.field)
        place = line_of(node, error.line) if error.line else node.place
        cause = error.cause.removeprefix(f"{'.'.join(error.field)}, ")
        if any(one.level == "error" and (one.file, one.line) == (place.file, place.line) for one in self.problems):
            return  # the check of variables has found the reason
        self.problems.append(make_problem(place, write_path(self.root, error.field), f"{cause} {error.remedy}"))


def _is_right(task: Task, reply: str, item: Item) -> bool:
    answer = task.parse(reply, item)
    return answer is not None and task.correct(answer, item)


def _overestimate(messages: Sequence[ChatMessage], *_: object) -> int:
    """Return an upper bound for the tokens of a prompt, so high that a reply of any length has one word."""
    return sum(1_000_000 * len(message.content) for message in messages)


def _gather(flaws: Iterable[InputError]) -> Iterator[InputError]:
    """Yield the errors of rows. Rows with the same error have one, with their number."""
    rows: Counter[Hashable] = Counter()
    first: dict[Hashable, InputError] = {}
    for flaw in flaws:
        same = flaw.known if isinstance(flaw, AbsentFieldError) else flaw.cause.partition(": ")[2] + flaw.remedy
        key: Hashable = (flaw.below, same)
        first.setdefault(key, flaw)
        rows[key] += 1
    for key, flaw in first.items():
        others = rows[key] - 1
        more = f" The same holds for {count(others, 'more row')}." if others else ""
        yield InputError(flaw.cause, f"{flaw.remedy}{more}", flaw.below) if others else flaw
