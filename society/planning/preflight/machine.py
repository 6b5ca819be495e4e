"""Checks of what a scenario needs on the machine: models, adapters, libraries, tools, prices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from backends.base import BackendConfig
from society.components.faults import faults_of
from society.components.tools.base import Tool
from society.core.errors import MissingExtraError, SocietyError
from society.core.types import Thinking
from society.planning.preflight.findings import Findings
from society.retrieval.growing import require_index
from society.runs.opening import check_thinking, find_prices
from society.scenario.binding import AgentPlan
from society.scenario.expand import PhasePlan, Society
from society.scenario.models.settings import ThinkingSpec
from society.scenario.reading.tree import Steps

FETCH = "get it by `society fetch` where there is a network"


@dataclass(frozen=True)
class MachineChecks:
    """Checks of models, adapters, libraries, tools and prices."""

    society: Society
    findings: Findings

    def check(self) -> None:
        """Add the problems of models, then those of what depends on them."""
        self._check_models()
        known = not self.findings.problems
        self._check_libraries()
        self._check_prices()
        self._check_thinking()
        self._check_adapters(known)
        self._check_gates()
        self._check_tools()
        if known:
            self._check_training()

    def _check_models(self) -> None:
        for name in self.society.used_backends:
            config: BackendConfig = self.society.scenario.backends[name]
            try:
                with faults_of(config, "check_files", f"of the backend {name!r}"):
                    config.check_files()
                    missing = config.missing if self.findings.offline else ""
                if missing:
                    self.findings.add(("backends", name, "model"), f"{missing} is not on this machine; {FETCH}")
            except SocietyError as error:
                self.findings.add_error(("backends", name), error)

    def _check_libraries(self) -> None:
        """Check that the libraries of the backends are installed, if they are opened on this machine."""
        if self.society.scenario.executor.shares_runs:  # other machines open them
            return
        for name in self.society.used_backends:
            config: BackendConfig = self.society.scenario.backends[name]
            try:
                with faults_of(config, "check_libraries", f"as the backend {name!r}"):
                    config.check_libraries()
            except MissingExtraError as error:
                self.findings.add_error(("backends", name), error)
            except SocietyError:  # this machine may have no GPU, and another one has it
                continue

    def _check_prices(self) -> None:
        """Check that the price of each backend is known if the scenario limits the dollars."""
        try:
            find_prices(self.society)
        except SocietyError as error:
            self.findings.add_error(("limits", "dollars"), error)

    def _check_thinking(self) -> None:
        """Ask each backend whether its model can think as its agents shall."""
        for plan in self.society.thinkers:
            try:
                check_thinking(self.society, plan)
            except SocietyError as error:
                self.findings.add_error(self._find_thinking(plan), error)

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
                self.findings.add(steps, f"there is no adapter {path}; give its file or folder")
            if not known or not Path(path).exists():
                continue
            config = self.society.scenario.backends[backend]
            try:
                with faults_of(config, "check_adapter", f"of the backend {backend!r}"):
                    config.check_adapter(Path(path))
            except SocietyError as error:
                self.findings.add_error(steps, error)

    def _find_adapter(self, phase: PhasePlan, plan: AgentPlan) -> Steps:
        """Return the steps to the adapter of an agent in a phase: that of the phase, or its own."""
        bound = [name for name in (plan.name, plan.group) if name in phase.spec.bind and phase.spec.bind[name].adapter]
        return ("phases", phase.index, "bind", bound[0], "adapter") if bound else ("agents", plan.group, "adapter")

    def _check_gates(self) -> None:
        """Check that libraries of the phases' gates and of memories are installed."""
        for measure in self.society.recall_measures:
            try:
                require_index(measure)
            except SocietyError as error:
                self.findings.add_error(("memory", "recall", "by"), error)
        for phase in self.society.phases:
            for j, gate in enumerate(phase.spec.edges.gate):
                try:
                    gate.require()
                except MissingExtraError as error:
                    steps: Steps = ("phases", phase.index, "edges", "gate", j)
                    self.findings.add(steps, f"{error.cause} {error.remedy}")

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
                self.findings.add_error(steps, error)

    def _check_training(self) -> None:
        """Check that the layers to train exist, and that trainings can start from the agents' adapters."""
        spec = self.society.scenario.train
        if spec is None:
            return
        from society.training.learners import check_layers

        try:
            check_layers(self.society, spec)
        except SocietyError as error:
            self.findings.add_error((), error)
