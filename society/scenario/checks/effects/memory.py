"""Checks of memory beyond a debate, of the order of questions, and of the clock."""

from __future__ import annotations

from collections.abc import Iterator

from society.scenario.binding import AgentPlan
from society.scenario.checks.effects.findings import Finding
from society.scenario.checks.effects.flow import Flow
from society.scenario.checks.effects.prompts import Use, find_use
from society.scenario.checks.learned import LEARNED
from society.scenario.expand import NOTE, REFLECTION
from society.scenario.models.memory import MemorySpec
from society.scenario.models.scenario import Scenario
from society.scenario.reading.tree import Steps

SHOW = "{% for m in memories %}{{ m.text }} {% endfor %}"


def memory_levels(scenario: Scenario) -> Iterator[tuple[Steps, MemorySpec]]:
    """Yield each memory that a scenario sets, with its steps."""
    if scenario.memory is not None:
        yield ("memory",), scenario.memory
    for name, role in scenario.roles.items():
        if isinstance(role.memory, MemorySpec):
            yield ("roles", name, "memory"), role.memory
    for name, agent in scenario.agents.items():
        if agent.memory is not None:
            yield ("agents", name, "memory"), agent.memory


def check_memory(flow: Flow) -> Iterator[Finding]:
    """Yield memories that nobody recalls, prompts that show none, and fields without effect."""
    lasting = [(steps, level) for steps, level in memory_levels(flow.scenario) if level.lasts]
    for steps, level in lasting:
        plans = list(_plans(flow, steps))
        yield from _check_level(flow, steps, level, plans)
    for name in sorted({NOTE, REFLECTION}.intersection(flow.scenario.agents) if lasting else ()):
        message = f"is the name of turns that write memories (NAME/{name}); rename the agent"
        yield Finding(("agents", name), message, "error", key=True)
    yield from _check_sequence(flow)
    yield from _check_clock(flow)


def _plans(flow: Flow, steps: Steps) -> Iterator[AgentPlan]:
    """Yield the plans of the agents, as speakers or helpers, that have the memory of this level."""
    for _, plan in flow.plans():
        if steps[0] == "memory" or plan.role_name == steps[1] or plan.group == steps[1]:
            yield plan


def _check_level(flow: Flow, steps: Steps, level: MemorySpec, plans: list[AgentPlan]) -> Iterator[Finding]:
    recalling = [plan for plan in plans if "memories" in find_use(plan.role).variables]
    shared = any(plan.memory.scope != "agent" for _, plan in flow.plans())
    if not recalling and not (shared and steps[0] != "memory"):
        roles = list(dict.fromkeys(plan.role_name for plan in plans))
        if len(roles) == 1:
            message = f"does not show `memories`, so what its agents remember is lost; add {SHOW}"
            yield Finding(("roles", roles[0], "prompt"), message)
        else:
            message = f"has no effect: no prompt of its agents shows `memories`; add {SHOW} to one"
            yield Finding(steps, message, key=True)
        return
    speaking = set(flow.society.speaking)
    alone = [plan for plan in recalling if plan.memory.scope == "agent" and plan.name not in speaking]
    if alone and len(alone) == len(recalling):
        message = (
            f"has no effect: {alone[0].name!r} never speaks, so it has no memories of its own; set `scope: society`"
        )
        yield Finding(steps, message, key=True)
    yield from _check_scope(flow, steps, level, plans)
    for plan in {id(plan.memory): plan for plan in plans}.values():
        yield from _check_merged(flow, steps, level, plan.memory)


def _check_scope(flow: Flow, steps: Steps, level: MemorySpec, plans: list[AgentPlan]) -> Iterator[Finding]:
    if level.scope == "group" and all(len(flow.society.members[plan.group]) == 1 for plan in plans):
        yield Finding((*steps, "scope"), "has no effect: the group has one agent; raise `count`, or remove it")
    elif level.scope != "agent" and len(flow.society.speaking) == 1:
        yield Finding((*steps, "scope"), "has no effect: one agent speaks; add agents, or remove it")


def _check_merged(flow: Flow, steps: Steps, level: MemorySpec, memory: MemorySpec) -> Iterator[Finding]:
    """Yield fields of a level that change nothing, or cannot work, in the memory of its agents."""
    recall, reflect = memory.recall, memory.reflect
    threshold = reflect is not None and reflect.threshold is not None
    if level.rate is not None and not recall.importance and not threshold and not _shows(flow, "importance"):
        message = "has no effect: nothing uses the importance; set `recall: {importance: 1}`, or remove it"
        yield Finding((*steps, "rate"), message)
    if memory.rate is None and recall.importance and "recall" in level.model_fields_set:
        message = "needs `rate`, the role whose prompt asks for a number from 1 to 10: nobody rates memories"
        yield Finding((*steps, "recall", "importance"), message, "error")
    if memory.rate is None and threshold and "reflect" in level.model_fields_set:
        message = "needs `rate`, the role whose prompt asks for a number from 1 to 10: the sum stays 0"
        yield Finding((*steps, "reflect", "threshold"), message, "error")
    if "recall" in level.model_fields_set:
        yield from _check_recall(flow, (*steps, "recall"), memory)
    yield from _check_feedback(flow, steps, level, memory)


def _check_recall(flow: Flow, steps: Steps, memory: MemorySpec) -> Iterator[Finding]:
    recall, given = memory.recall, memory.recall.model_fields_set
    for field, weight in (("decay", "recency"), ("since", "recency"), ("by", "relevance"), ("query", "relevance")):
        if field in given and not getattr(recall, weight):
            yield Finding((*steps, field), f"has no effect: `{weight}` is 0; raise it, or remove this")
    if recall.window is not None and recall.window < recall.most and {"window", "most"} <= given:
        message = f"exceeds `window`, which leaves {recall.window} memories to recall; lower it, or raise `window`"
        yield Finding((*steps, "most"), message)
    if recall.query == "heard" and not any(phase.arriving or phase.ties is None for phase in flow.phases):
        yield Finding((*steps, "query"), "has no effect: no agent reads another; set `topology`, or remove it")
    if recall.same and (flow.scenario.sequence.over == "questions" or flow.scenario.samples == 1):
        message = (
            "recalls nothing: each question is asked once in a sequence; set `samples: 2` or more and "
            "`sequence: {over: samples}`"
        )
        yield Finding((*steps, "same"), message)


def _check_feedback(flow: Flow, steps: Steps, level: MemorySpec, memory: MemorySpec) -> Iterator[Finding]:
    shown = [part for part in LEARNED if _shows(flow, part)]
    if level.feedback != "none" and not shown and not _whole(flow):
        message = "has no effect: no prompt shows what agents learn; add {{ outcome.decision }} to one"
        yield Finding((*steps, "feedback"), message)
    again = flow.scenario.samples > 1 and flow.scenario.sequence.over != "questions"
    if level.feedback == "gold" and again:
        message = "shows agents the true answer of a question that they are asked again; set `feedback: verdict`"
        yield Finding((*steps, "feedback"), message)


def _uses(flow: Flow) -> Iterator[Use]:
    yield from (find_use(role) for role in flow.scenario.roles.values())


def _shows(flow: Flow, part: str) -> bool:
    """Return whether a prompt of the scenario may show this part of a memory, or of an outcome."""
    return any(part in use.parts for use in _uses(flow))


def _whole(flow: Flow) -> bool:
    """Return whether a prompt shows `outcome`, or memories, as a whole."""
    return any("outcome" in use.variables and not use.parts.intersection(LEARNED) for use in _uses(flow))


def _check_sequence(flow: Flow) -> Iterator[Finding]:
    scenario = flow.scenario
    given = scenario.sequence.model_fields_set
    if given and not flow.society.in_sequence and not (scenario.clock and given == {"streams"}):
        message = "has no effect: no question builds on an earlier one; set `memory`, or remove it"
        yield Finding(("sequence",), message, key=True)
    elif scenario.sequence.over == "samples" and scenario.samples == 1:
        message = "leaves one debate in each sequence, so nothing is remembered; set `samples: 2` or more"
        yield Finding(("sequence", "over"), message)
    elif scenario.sequence.over == "both" and scenario.samples == 1:
        yield Finding(("sequence", "over"), "has no effect: there is one sample; set `samples: 2` or more")


def _check_clock(flow: Flow) -> Iterator[Finding]:
    if flow.scenario.clock is None:
        return
    decays = any(plan.memory.recall.recency for plan in flow.society.rememberers)
    shown = any("now" in use.variables or ("memories" in use.variables and "time" in use.parts) for use in _uses(flow))
    if not decays and not shown:
        message = "has no effect: no prompt shows `now`, or when memories were written; add {{ now }} to one"
        yield Finding(("clock",), message, key=True)
