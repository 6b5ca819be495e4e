"""Checks of layered settings: overridden or ignored ones, truncation at temperature 0, and thoughts without room."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from pydantic import BaseModel

from backends.base import changed_options
from society.core.thoughts import SWITCHES
from society.scenario.binding import AgentPlan
from society.scenario.checks.effects.findings import Finding
from society.scenario.checks.effects.flow import Flow, PhaseFlow
from society.scenario.models.scenario import AgentSpec
from society.scenario.models.settings import SamplingSpec, ThinkingSpec
from society.scenario.reading.tree import Steps

Level = tuple[Steps, BaseModel]
"""Steps to a level of settings, and its model."""
Settings = list[tuple[AgentPlan, list[Level]]]
"""The levels of one kind of settings for each agent, the strongest last."""
ENGINE_OPTIONS = frozenset({"show", "tags"})
"""Options of thinking that need no backend: the engine reads them."""
TRUNCATIONS = {"top_k": 0, "top_p": 1, "min_p": 0}
"""Settings that exclude unlikely tokens, with the value that disables them."""
OWN = ("role", "backend", "adapter", "persona", "when")
"""Fields of an agent that a binding may override."""


def check_layers(flow: Flow) -> Iterator[Finding]:
    """Yield settings of sampling, thinking and bindings without effect."""
    plans = _distinct(flow)
    sampling, thinking = (
        [(plan, _setting_levels(flow, phase, plan, noun)) for phase, plan in plans] for noun in ("sampling", "thinking")
    )
    yield from _check_overridden(sampling)
    yield from _check_overridden(thinking)
    yield from _check_overridden([(plan, _own_levels(flow, phase, plan)) for phase, plan in plans])
    yield from _check_overridden([(plan, _value_levels(flow, phase, plan)) for phase, plan in plans], ("vars",))
    yield from _check_greedy(sampling)
    yield from _check_honoured(flow, sampling, thinking)
    yield from _check_switches(thinking)
    yield from _check_budgets(thinking)
    yield from _check_shown(thinking)
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


def _value_levels(flow: Flow, phase: PhaseFlow, plan: AgentPlan) -> list[Level]:
    """Return the levels of an agent's `vars`, the strongest last.

    The scenario's own is left out if some role speaks in no phase: memories and controllers may use it.
    """
    scenario = flow.scenario
    everywhere = {plan.role_name for _, plan in flow.plans()} == set(scenario.roles)
    return [
        *([((), scenario)] if everywhere else []),
        (("roles", plan.role_name), scenario.roles[plan.role_name]),
        (("agents", plan.group), scenario.agents[plan.group]),
        (("phases", phase.index), phase.spec),
        *_bindings(phase, plan),
    ]


def _setting_levels(flow: Flow, phase: PhaseFlow, plan: AgentPlan, noun: str) -> list[Level]:
    """Return the levels of an agent's `sampling` or `thinking`, the strongest last."""
    scenario = flow.scenario
    levels: list[Level] = [
        ((), scenario),
        (("roles", plan.role_name), scenario.roles[plan.role_name]),
        (("agents", plan.group), scenario.agents[plan.group]),
        *_bindings(phase, plan),
    ]
    return [((*steps, noun), getattr(level, noun)) for steps, level in levels]


def _given(level: BaseModel, own: Sequence[str] = OWN) -> list[Steps]:
    """Return the fields that a level sets, as steps below it. Each value of a mapping is a field.

    `own`: the fields of a level that has others beside its settings.
    """
    fields = type(level).model_fields if isinstance(level, SamplingSpec | ThinkingSpec) else own
    found: list[Steps] = []
    for field in fields:
        value = getattr(level, field, None)
        found += (
            [(field, key) for key in value] if isinstance(value, dict) else [(field,)] * (value not in (None, "", ()))
        )
    return found


def _winners(levels: list[Level], own: Sequence[str] = OWN) -> dict[Steps, Steps]:
    """Return the strongest level that sets each field."""
    return {field: steps for steps, level in levels for field in _given(level, own)}


def find_setting(flow: Flow, phase: PhaseFlow, plan: AgentPlan, noun: str, field: str) -> Steps:
    """Return the steps to a field of an agent's `sampling` or `thinking`, at the strongest level that sets it."""
    return (*_winners(_setting_levels(flow, phase, plan, noun))[field,], field)


def _check_overridden(found: Settings, own: Sequence[str] = OWN) -> Iterator[Finding]:
    reached: dict[tuple[Steps, Steps], bool] = {}
    for _, levels in found:
        winners = _winners(levels, own)
        for steps, level in levels:
            for field in _given(level, own):
                reached[steps, field] = reached.get((steps, field), False) or winners[field] == steps
    for (steps, field), used in reached.items():
        if not used:
            message = "has no effect: a lower level overrides it for all its agents; remove one of them"
            yield Finding((*steps, *field), message)


def _check_greedy(found: Settings) -> Iterator[Finding]:
    """Yield truncation settings of agents with temperature 0."""
    greedy: dict[tuple[Steps, str], list[bool]] = defaultdict(list)
    for plan, levels in found:
        for (field, *_), steps in _winners(levels).items():
            if field in TRUNCATIONS and getattr(plan.sampling, field) != TRUNCATIONS[field]:
                greedy[steps, field].append(plan.sampling.temperature == 0)
    for (steps, field), all_greedy in greedy.items():
        if all(all_greedy):
            yield Finding((*steps, field), "has no effect at temperature 0; remove it, or raise `temperature`")


def _check_honoured(flow: Flow, sampling: Settings, thinking: Settings) -> Iterator[Finding]:
    """Yield options of sampling and thinking that the backend of an agent ignores, once for each place and backend.

    People ignore most options, which is no error: an option for all agents need not leave them out.
    """
    yield from _check_people(flow, sampling)
    yield from _check_people(flow, thinking)
    sampling, thinking = (
        [(plan, levels) for plan, levels in found if not flow.scenario.backends[plan.backend].asked_person]
        for found in (sampling, thinking)
    )
    refused: dict[tuple[Steps, str], tuple[AgentPlan, str]] = {}
    for plan, levels in sampling:
        config, winners = flow.scenario.backends[plan.backend], _winners(levels)
        for name in changed_options(plan.sampling):
            if name not in config.sampling_options:
                refused.setdefault(((*winners[name,], name), plan.backend), (plan, "sampling_options"))
    for plan, levels in thinking:
        honoured = flow.scenario.backends[plan.backend].thinking_options | ENGINE_OPTIONS
        for field, steps in _winners(levels).items():
            if field[0] not in honoured:
                refused.setdefault(((*steps, *field), plan.backend), (plan, "thinking_options"))
    for (steps, backend), (plan, listed) in refused.items():
        kind = getattr(flow.scenario.backends[backend], "kind", backend)
        message = f"the backend {backend!r} of {plan.name!r} ignores it: `{kind}` does not list it in {listed}"
        yield Finding(steps, f"{message}; remove it, or use a backend of another kind", "error")


def _check_people(flow: Flow, found: Settings) -> Iterator[Finding]:
    """Yield options of sampling and thinking that concern people alone, who ignore them."""
    concerned: dict[tuple[Steps, Steps], bool] = {}
    for plan, levels in found:
        config = flow.scenario.backends[plan.backend]
        for field, steps in _winners(levels).items():
            heeded = not config.asked_person or field[0] in config.sampling_options
            concerned[steps, field] = concerned.get((steps, field), False) or heeded
    for (steps, field), heeded in concerned.items():
        if not heeded:
            yield Finding((*steps, *field), "has no effect: a person answers; remove it")


def _contradicts(plan: AgentPlan) -> str:
    """Return the variable of an agent's chat template that says the opposite of its `enabled`; "" if none does."""
    opposite = None if plan.thinking.enabled is None else not plan.thinking.enabled
    return next((name for name, value in plan.template_args if name in SWITCHES and value is opposite), "")


def _check_switches(thinking: Settings) -> Iterator[Finding]:
    """Yield variables of the chat template that contradict `enabled`, once for each place."""
    found: dict[Steps, bool] = {}
    for plan, levels in thinking:
        if name := _contradicts(plan):
            found[*_winners(levels)["template_args", name], "template_args", name] = bool(plan.thinking.enabled)
    for steps, enabled in found.items():
        message = f"contradicts `enabled`, which is {str(enabled).lower()} for the same agent; remove one of them"
        yield Finding(steps, message, "error")


def _check_shown(thinking: Settings) -> Iterator[Finding]:
    """Yield `show` where nothing is thought that readers could see."""
    found: dict[Steps, list[AgentPlan]] = defaultdict(list)
    for plan, levels in thinking:
        if plan.shows_thoughts and ("show",) in (winners := _winners(levels)):
            found[*winners["show",], "show"].append(plan)
    for steps, plans in found.items():
        if all(plan.thinking.enabled is False and not _contradicts(plan) for plan in plans):
            yield Finding(steps, "has no effect: `enabled` is false, so nothing is thought; remove one of them")


def _check_budgets(thinking: Settings) -> Iterator[Finding]:
    """Yield budgets of thoughts that leave no token for the text, or that nothing spends."""
    found: dict[Steps, list[AgentPlan]] = defaultdict(list)
    for plan, levels in thinking:
        if plan.thinking.budget is not None:
            found[*_winners(levels)["budget",], "budget"].append(plan)
    for steps, plans in found.items():
        if all(plan.thinking.enabled is False and not _contradicts(plan) for plan in plans):
            yield Finding(steps, "has no effect: `enabled` is false, so nothing is thought; remove one of them")
        for plan in plans:
            if (plan.thinking.budget or 0) >= plan.sampling.max_tokens:
                message = (
                    f"leaves no token for the text: max_tokens is {plan.sampling.max_tokens} and counts the thought; "
                    "lower it, or raise `sampling.max_tokens`"
                )
                yield Finding(steps, message, "error")
                break


def _check_bindings(flow: Flow) -> Iterator[Finding]:
    for phase in flow.phases:
        for name, bound in phase.spec.bind.items():
            steps: Steps = ("phases", phase.index, "bind", name)
            if not _given(bound) and not _given(bound.sampling) and not _given(bound.thinking):
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
