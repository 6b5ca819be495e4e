"""The plan of one agent in one phase: the levels of settings, from the scenario to the binding in the phase, merged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any, TypeVar

from society.components.tools.toolbox import Toolbox
from society.core.types import Sampling, TemplateArgs, Thinking
from society.scenario.models.memory import MemorySpec
from society.scenario.models.phases import Binding, Conditions, PhaseSpec
from society.scenario.models.scenario import AgentSpec, RoleSpec, Scenario
from society.scenario.models.settings import Persona, ThinkingSpec

NO_MEMORY = MemorySpec()
"""Memory of agents that keep nothing beyond a debate, and all their turns in it."""


class Fields(dict[str, Any]):
    """A persona with fields. As text, it is its field `persona` if it has one, otherwise all fields."""

    def __str__(self) -> str:
        text = self.get("persona")
        if isinstance(text, str):
            return text
        return ", ".join(f"{name}: {_listed(value)}" for name, value in self.items() if value not in (None, ""))


def _listed(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


@dataclass(frozen=True)
class AgentPlan:
    """The resolved settings of one agent in one phase."""

    name: str
    group: str
    role_name: str
    role: RoleSpec
    backend: str
    adapter: str | None
    persona: str | Fields
    sampling: Sampling
    thinking: Thinking
    template_args: TemplateArgs
    shows_thoughts: bool
    """Whether readers of the agent's full text see its thoughts, too."""
    toolbox: Toolbox | None = None
    """Its tools and their bounds; None if it has none."""
    when: Conditions = ()
    vars: Mapping[str, Any] = field(default_factory=dict)
    memory: MemorySpec = NO_MEMORY


def bind_all(
    scenario: Scenario, names: Iterable[str], owners: Mapping[str, str], phase: PhaseSpec
) -> Iterator[tuple[str, AgentPlan]]:
    """Yield the plan of each agent in a phase by its name. Members of a group without own bindings share it."""
    shared: dict[str, AgentPlan] = {}
    for name in names:
        group = owners[name]
        if name in phase.bind:
            yield name, bind(scenario, name, group, phase)
            continue
        if group not in shared:
            shared[group] = bind(scenario, name, group, phase)
        plan, spec = shared[group], scenario.agents[group]
        persona = plan.persona
        if isinstance(spec.persona, tuple) and (group not in phase.bind or phase.bind[group].persona is None):
            persona = _as_fields(_persona(spec, name, group) or "")
        yield name, plan if plan.name == name else replace(plan, name=name, persona=persona)


def bind(scenario: Scenario, name: str, group: str, phase: PhaseSpec, role_name: str = "") -> AgentPlan:
    """Return the plan of an agent in a phase, or in another role for once. Its own binding overrides its group's."""
    spec = scenario.agents[group]
    layers = [phase.bind[key] for key in dict.fromkeys((name, group)) if key in phase.bind]
    role_name = role_name or _first((b.role for b in layers), spec.role) or next(iter(scenario.roles))
    role = scenario.roles[role_name]
    sampling = Sampling()
    for level in (scenario.sampling, role.sampling, spec.sampling, *(b.sampling for b in reversed(layers))):
        sampling = level.over(sampling)
    thinking = (scenario.thinking, role.thinking, spec.thinking, *(b.thinking for b in reversed(layers)))
    adapter = _first((b.adapter for b in layers), spec.adapter)
    return AgentPlan(
        name=name,
        group=group,
        role_name=role_name,
        role=role,
        backend=_first((b.backend for b in layers), spec.backend) or next(iter(scenario.backends)),
        adapter=str(adapter) if adapter else None,
        persona=_as_fields(_first((b.persona for b in layers), _persona(spec, name, group)) or ""),
        sampling=sampling,
        when=next((b.when for b in layers if b.when), ()),
        vars=_merge_vars(scenario, role, spec, phase, *reversed(layers)),
        toolbox=_make_toolbox(role, spec),
        memory=_merge_memory(scenario, role, spec),
        **_merge_thinking(thinking),
    )


def _make_toolbox(role: RoleSpec, spec: AgentSpec) -> Toolbox | None:
    tools = role.tools if spec.tools is None else spec.tools
    return Toolbox({tool.label: tool for tool in tools}, role.tool_use) if tools else None


def _merge_thinking(levels: Sequence[ThinkingSpec]) -> dict[str, Any]:
    """Return the fields of an `AgentPlan` on thinking. Of these levels, the last one is the strongest."""
    thinking = Thinking()
    args: TemplateArgs = ()
    for level in levels:
        thinking, args = level.over(thinking), level.args_over(args)
    shown = _first((level.show for level in reversed(levels)), False)
    return {"thinking": thinking, "template_args": args, "shows_thoughts": bool(shown)}


def _merge_memory(scenario: Scenario, role: RoleSpec, spec: AgentSpec) -> MemorySpec:
    """Return the memory of an agent in a role. Each level overrides fields of those before it."""
    own = MemorySpec(turns=role.memory) if isinstance(role.memory, int) else role.memory
    levels = [level for level in (scenario.memory, own, spec.memory) if level is not None]
    return reduce(lambda below, level: level.over(below), levels, NO_MEMORY)


def _merge_vars(*levels: Scenario | RoleSpec | AgentSpec | PhaseSpec | Binding) -> dict[str, Any]:
    """Return the values for templates. Each level overrides those before it."""
    return {name: value for level in levels for name, value in level.vars.items()}


T = TypeVar("T")


def _first(values: Iterable[T | None], default: T | None) -> T | None:
    return next((value for value in values if value is not None), default)


def _as_fields(persona: Persona) -> str | Fields:
    return persona if isinstance(persona, str) else Fields(persona)


def _persona(spec: AgentSpec, name: str, group: str) -> Persona | None:
    if not isinstance(spec.persona, tuple):
        return spec.persona
    position = int(name.removeprefix(f"{group}-")) - 1 if name != group else 0
    return spec.persona[position % len(spec.persona)]
