"""Checks of layered settings: overridden or ignored ones, and truncation at temperature 0."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from pydantic import BaseModel

from backends.base import changed_options
from society.scenario.checks.effects.findings import Finding
from society.scenario.checks.effects.flow import Flow, PhaseFlow
from society.scenario.expand import AgentPlan
from society.scenario.models.scenario import AgentSpec, SamplingSpec
from society.scenario.reading.tree import Steps

Level = tuple[Steps, BaseModel]
"""Steps to a level of settings, and its model."""
TRUNCATIONS = {"top_k": 0, "top_p": 1, "min_p": 0}
"""Settings that exclude unlikely tokens, with the value that disables them."""
OWN = ("role", "backend", "adapter", "persona")
"""Fields of an agent that a binding may override."""


def check_layers(flow: Flow) -> Iterator[Finding]:
    """Yield settings of sampling and bindings without effect."""
    plans = _distinct(flow)
    yield from _check_overridden([(plan, _sampling_levels(flow, phase, plan)) for phase, plan in plans])
    yield from _check_overridden([(plan, _own_levels(flow, phase, plan)) for phase, plan in plans])
    yield from _check_greedy([(plan, _sampling_levels(flow, phase, plan)) for phase, plan in plans])
    yield from _check_honoured(flow, [(plan, _sampling_levels(flow, phase, plan)) for phase, plan in plans])
    yield from _check_bindings(flow)


def _distinct(flow: Flow) -> list[tuple[PhaseFlow, AgentPlan]]:
    """Return one agent of each set of identical agents, for each phase."""
    found: dict[tuple[int, str, str], tuple[PhaseFlow, AgentPlan]] = {}
    for phase, plan in flow.plans():
        single = plan.name if plan.name in phase.spec.bind else ""
        found.setdefault((phase.index, plan.group, single), (phase, plan))
    return list(found.values())


def _bindings(phase: PhaseFlow, plan: AgentPlan) -> list[Level]:
    """Return the bindings of an agent in a phase: that of its group, then its own."""
    keys = [key for key in dict.fromkeys((plan.group, plan.name)) if key in phase.spec.bind]
    return [(("phases", phase.index, "bind", key), phase.spec.bind[key]) for key in keys]


def _own_levels(flow: Flow, phase: PhaseFlow, plan: AgentPlan) -> list[Level]:
    """Return the levels of an agent's role, backend, adapter and persona, the strongest last."""
    return [(("agents", plan.group), flow.scenario.agents[plan.group]), *_bindings(phase, plan)]


def _sampling_levels(flow: Flow, phase: PhaseFlow, plan: AgentPlan) -> list[Level]:
    """Return the levels of an agent's sampling, the strongest last."""
    scenario = flow.scenario
    role, agent = scenario.roles[plan.role_name], scenario.agents[plan.group]
    above: list[Level] = [
        (("sampling",), scenario.sampling),
        (("roles", plan.role_name, "sampling"), role.sampling),
        (("agents", plan.group, "sampling"), agent.sampling),
    ]
    return above + [((*steps, "sampling"), getattr(bound, "sampling")) for steps, bound in _bindings(phase, plan)]  # noqa: B009


def _given(level: BaseModel) -> list[str]:
    """Return the fields that a level sets."""
    fields = SamplingSpec.model_fields if isinstance(level, SamplingSpec) else OWN
    return [field for field in fields if getattr(level, field, None) not in (None, "")]


def _winners(levels: list[Level]) -> dict[str, Steps]:
    """Return the strongest level that sets each field."""
    return {field: steps for steps, level in levels for field in _given(level)}


def _check_overridden(found: list[tuple[AgentPlan, list[Level]]]) -> Iterator[Finding]:
    reached: dict[tuple[Steps, str], bool] = {}
    for _, levels in found:
        winners = _winners(levels)
        for steps, level in levels:
            for field in _given(level):
                reached[steps, field] = reached.get((steps, field), False) or winners[field] == steps
    for (steps, field), used in reached.items():
        if not used:
            message = "has no effect: a lower level overrides it for all its agents; remove one of them"
            yield Finding((*steps, field), message)


def _check_greedy(found: list[tuple[AgentPlan, list[Level]]]) -> Iterator[Finding]:
    """Yield truncation settings of agents with temperature 0."""
    greedy: dict[tuple[Steps, str], list[bool]] = defaultdict(list)
    for plan, levels in found:
        for field, steps in _winners(levels).items():
            if field in TRUNCATIONS and getattr(plan.sampling, field) != TRUNCATIONS[field]:
                greedy[steps, field].append(plan.sampling.temperature == 0)
    for (steps, field), all_greedy in greedy.items():
        if all(all_greedy):
            yield Finding((*steps, field), "has no effect at temperature 0; remove it, or raise `temperature`")


def _check_honoured(flow: Flow, found: list[tuple[AgentPlan, list[Level]]]) -> Iterator[Finding]:
    """Yield options of sampling that the backend of an agent ignores, once for each place and backend."""
    refused: dict[tuple[Steps, str], AgentPlan] = {}
    for plan, levels in found:
        honoured, winners = flow.scenario.backends[plan.backend].sampling_options, _winners(levels)
        for field in changed_options(plan.sampling):
            if field not in honoured:
                refused.setdefault(((*winners[field], field), plan.backend), plan)
    for (steps, backend), plan in refused.items():
        kind = getattr(flow.scenario.backends[backend], "kind", backend)
        message = f"the backend {backend!r} of {plan.name!r} ignores it: `{kind}` does not list it in sampling_options"
        yield Finding(steps, f"{message}; remove it, or use a backend of another kind", "error")


def _check_bindings(flow: Flow) -> Iterator[Finding]:
    for phase in flow.phases:
        for name, bound in phase.spec.bind.items():
            steps: Steps = ("phases", phase.index, "bind", name)
            if not _given(bound) and not _given(bound.sampling):
                yield Finding(steps, "has no effect: it is empty; remove it", key=True)
            above = _above(flow, phase, name)
            for field in ("role", "backend", "adapter"):
                if above and getattr(bound, field) and all(getattr(bound, field) == getattr(a, field) for a in above):
                    yield Finding(
                        (*steps, field), f"has no effect: it is the {field} without this binding, too; remove it"
                    )


def _above(flow: Flow, phase: PhaseFlow, name: str) -> list[AgentSpec]:
    """Return the specs that a binding overrides. There are none if the group of its agents has its own binding."""
    groups = dict.fromkeys(plan.group for plan in phase.plan.agents.values() if name in (plan.name, plan.group))
    own = name in flow.scenario.agents or not any(group in phase.spec.bind for group in groups)
    return [flow.scenario.agents[group] for group in groups] if own else []
