"""Checks of tools: lists that no agent uses, bounds without effect, and replies that cannot hold a call."""

from __future__ import annotations

from collections.abc import Iterator

from society.scenario.binding import AgentPlan
from society.scenario.checks.effects.findings import Finding
from society.scenario.checks.effects.flow import Flow, PhaseFlow
from society.scenario.models.scenario import RoleSpec

Plans = list[tuple[PhaseFlow, AgentPlan]]


def check_tools(flow: Flow) -> Iterator[Finding]:
    """Yield tools and bounds without effect, and tools of agents whose replies are chosen from a list."""
    for name, role in flow.scenario.roles.items():
        plans = [(phase, plan) for phase, plan in flow.plans() if plan.role_name == name]
        if plans:
            yield from _check_role(flow, name, role, plans)
    for name, spec in flow.scenario.agents.items():
        roles = {plan.role_name: plan.role for _, plan in flow.plans(flow.society.members[name])}
        if spec.tools is not None and roles and all(role.tools == spec.tools for role in roles.values()):
            message = "has no effect: the role has the same tools; remove it"
            yield Finding(("agents", name, "tools"), message)


def _check_role(flow: Flow, name: str, role: RoleSpec, plans: Plans) -> Iterator[Finding]:
    equipped = [(phase, plan) for phase, plan in plans if plan.toolbox is not None]
    if role.tools and all(flow.scenario.agents[plan.group].tools is not None for _, plan in plans):
        yield Finding(
            ("roles", name, "tools"), "has no effect: all agents of the role have `tools` of their own; remove it"
        )
    if "tool_use" in role.model_fields_set and not equipped:
        yield Finding(
            ("roles", name, "tool_use"), "has no effect: no agent of the role has tools; set `tools`, or remove it"
        )
    if any(plan.role.choices or (phase.moderated and plan.name == phase.spec.moderator) for phase, plan in equipped):
        message = "cannot be called: each reply of the agent is one of a list; remove `tools`, or `choices`"
        yield Finding(("roles", name, "tools"), message, "error", key=True)
    if any(plan.sampling.stop for _, plan in equipped):
        message = (
            "its calls in plain text are refused: a stop text may cut a call; remove `stop` of sampling, or `tools`"
        )
        yield Finding(("roles", name), message, key=True)
    for i, example in enumerate(role.tool_use.examples):
        boxes = [plan.toolbox for _, plan in equipped if plan.toolbox is not None]
        if boxes and not any(example.tool in box.tools for box in boxes):
            message = f"names no tool of the role's agents: {', '.join(boxes[0].tools)}; correct it"
            yield Finding(("roles", name, "tool_use", "examples", i, "tool"), message, "error")
    most = role.tool_use.tokens
    longest = max((plan.sampling.max_tokens for _, plan in equipped), default=0)
    if most is not None and equipped and most >= longest * (role.tool_use.calls + 1):
        message = f"has no effect: {role.tool_use.calls + 1} replies have at most {longest:,} tokens each; lower it"
        yield Finding(("roles", name, "tool_use", "tokens"), message)
