"""Checks of roles and agents: the question, unused personas, memory, confidences and choices, identical debates."""

from __future__ import annotations

from collections.abc import Iterator

from society.components.facts import listing
from society.core.component import Component
from society.scenario.binding import AgentPlan
from society.scenario.checks.conditions import all_conditions, each_rule
from society.scenario.checks.effects.findings import Finding
from society.scenario.checks.effects.flow import Flow, PhaseFlow
from society.scenario.checks.effects.prompts import find_use, loops_question
from society.scenario.checks.effects.rules import is_ours
from society.scenario.members import judges
from society.scenario.models.memory import MemorySpec
from society.scenario.models.scenario import RoleSpec
from society.scenario.reading.tree import Steps


def check_agents(flow: Flow) -> Iterator[Finding]:
    """Yield unused settings of roles and agents."""
    yield from _check_personas(flow)
    yield from _check_people(flow)
    roles = {plan.role for _, plan in flow.plans()}
    if roles and not any("question" in find_use(role).variables for role in roles):
        message = "never show the question: no template of an agent uses `question`; add {{ question }} to one"
        yield Finding(("roles",), message, key=True)
    for name, role in flow.scenario.roles.items():
        plans = [(phase, plan) for phase, plan in flow.plans() if plan.role_name == name]
        if plans:
            yield from _check_role(flow, name, role, plans)
    yield from _check_shown(flow)
    yield from _check_loops(flow)
    yield from _check_repeats(flow)


def _check_shown(flow: Flow) -> Iterator[Finding]:
    """Yield prompts that lack what their agents need: the question, the answer to judge, the memory to rate."""
    needs: dict[tuple[str, str], str] = {}
    voters = frozenset(flow.society.voters)
    for phase in flow.phases:
        reading = {tie.reader for tie in phase.arriving}
        for name in voters.intersection(phase.plan.speakers if phase.ties is not None else ()):
            if not phase.before.get(name) and name not in reading:
                role = phase.plan.agents[name].role_name
                needs[role, "question"] = "its agents vote without having seen the question; add {{ question }}"
    for name in judges(flow.scenario):
        for _, plan in flow.plans(flow.society.members.get(name, ())):
            needs[plan.role_name, "judged"] = "the judge does not see what it judges; add {{ judged.answer }}"
    for plan in flow.society.rememberers:
        reflect = plan.memory.reflect.role if plan.memory.reflect is not None else None
        for role in filter(None, (plan.memory.rate, reflect)):
            needs[role, "memories"] = "its agents do not see the memories that it is about; add {{ memories[-1].text }}"
    for (role, variable), why in needs.items():
        if not find_use(flow.scenario.roles[role]).variables & {variable, "item" if variable == "question" else ""}:
            yield Finding(("roles", role, "prompt"), f"does not show `{variable}`: {why}")


def _check_loops(flow: Flow) -> Iterator[Finding]:
    """Yield prompts with the question only in a loop over messages, where a first turn has no message to read."""
    roles: dict[str, str] = {}
    for phase in flow.phases:
        later = phase.plan.rounds - 1
        reading = {tie.reader for tie in phase.arriving if tie.turns > (0 if tie.outside else later)}
        for name in phase.plan.speakers if phase.ties is not None and not phase.spec.on_edges else ():
            if not phase.before.get(name) and name not in reading and loops_question(phase.plan.agents[name].role):
                roles.setdefault(phase.plan.agents[name].role_name, phase.spec.name)
    for role, name in roles.items():
        message = f"shows the question only in a loop over `heard`, and the first turn in {name!r} has no message"
        yield Finding(("roles", role, "prompt"), f"{message}; add {{{{ question }}}} after the loop")


def _check_people(flow: Flow) -> Iterator[Finding]:
    """Yield backends by which one person plays several agents, and so sees the prompts of all of them."""
    played: dict[str, list[str]] = {}
    for agent, person in flow.society.people.items():
        played.setdefault(person, []).append(agent)
    for name, config in flow.scenario.backends.items():
        agents = played.pop(config.asked_person, ()) if config.asked_person else ()
        if len(agents) > 1:
            message = (
                f"one person, {config.asked_person!r}, plays {listing(agents)} and sees the prompts of all of them; "
                "give each agent a backend of its own, with another `person`, if that is not meant"
            )
            yield Finding(("backends", name), message, key=True)


def _check_role(flow: Flow, name: str, role: RoleSpec, plans: list[tuple[PhaseFlow, AgentPlan]]) -> Iterator[Finding]:
    turns: int | MemorySpec | None = role.memory
    steps: Steps = ("roles", name, "memory")
    if isinstance(turns, MemorySpec):
        turns, steps = turns.turns, (*steps, "turns")
    if turns is not None:
        earlier = max(count_earlier(phase, plan.name) for phase, plan in plans)
        if earlier <= turns:
            count = f"at most {earlier} earlier turn{'s' * (earlier > 1)}" if earlier else "no earlier turn"
            message = f"has no effect: its agents have {count}; remove it"
            yield Finding(steps, message)
    if role.confidence != "none" and not _uses_confidence(flow):
        message = "has no effect: no gate, decision or prompt uses confidences"
        yield Finding(("roles", name, "confidence"), f"{message}; set `decision: weighted`, or remove it")
    if role.choices and all(phase.moderated and plan.name == phase.spec.moderator for phase, plan in plans):
        message = "is not used: a moderator chooses among the speakers; remove it"
        yield Finding(("roles", name, "choices"), message)


def count_earlier(phase: PhaseFlow, agent: str) -> int:
    """Return the maximum number of its own turns in an agent's chat in this phase. The chat of a summary has none."""
    if agent in phase.speaking or (phase.moderated and agent == phase.spec.moderator):
        on_edge = phase.spec.exchanges - 1 if phase.on_edges else 0
        return phase.before.get(agent, 0) + phase.plan.rounds - 1 + on_edge
    if agent not in phase.helpers:
        return 0
    return phase.before.get(agent, 0) + phase.apart.get(agent, 0) + phase.helpers[agent] - 1


def _uses_confidence(flow: Flow) -> bool:
    """Return whether a rule or a prompt may use confidences. Rules of plugins may."""
    if any(find_use(plan.role).shows("confidence") for _, plan in flow.plans()):
        return True
    return any(rule.reads_confidence or not is_ours(rule) for rule in _rules(flow))


def _rules(flow: Flow) -> Iterator[Component]:
    yield flow.scenario.decision
    yield from (rule for _, conditions in all_conditions(flow.scenario) for _, rule in each_rule(conditions))
    for phase in flow.phases:
        yield from phase.spec.controllers
        yield from phase.spec.leave
        yield from (gate for tie in phase.ties or () for gate in tie.view.gate)
        yield from phase.spec.edges.gate
    if flow.scenario.train is not None:
        for learner in flow.scenario.train.learners.values():
            yield from learner.selectors


def _check_personas(flow: Flow) -> Iterator[Finding]:
    for name, spec in flow.scenario.agents.items():
        if not spec.persona:
            continue
        if isinstance(spec.persona, tuple) and len(spec.persona) > spec.count:
            agents = "one agent" if spec.count == 1 else f"{spec.count} agents"
            message = f"is never used: the group has {agents}; raise `count`, or remove it"
            yield Finding(("agents", name, "persona", spec.count), message)
        if isinstance(spec.persona, tuple) and (message := _describe_sharing(name, len(spec.persona), spec.count)):
            yield Finding(("agents", name, "persona"), message)
        plans = [plan for _, plan in flow.plans(flow.society.members[name])]
        if plans and not any("persona" in find_use(plan.role).variables for plan in plans):
            message = "has no effect: no prompt of its roles shows `persona`; add {{ persona }} to one"
            yield Finding(("agents", name, "persona"), message)


def _describe_sharing(group: str, personas: int, agents: int) -> str:
    """Return which agents share a persona if a list has fewer entries than the group has agents, unevenly; or ""."""
    if personas == 1 or agents % personas == 0 or personas > agents:
        return ""
    return (
        f"has {personas} entries for {agents} agents, which take them in turn: {group}-1 and {group}-{personas + 1} "
        "share the first one; write one entry per agent, or a divisor of their number"
    )


def _check_repeats(flow: Flow) -> Iterator[Finding]:
    """Yield debates or agents that must be identical, as every temperature is 0."""
    plans = flow.plans()
    backends = {plan.backend for _, plan in plans}
    greedy = all(plan.sampling.temperature == 0 for _, plan in plans)
    if not greedy or not all(flow.scenario.backends[name].greedy_at_zero for name in backends):
        return
    drawn = any(p.spec.order == "shuffled" or p.spec.cap is not None or p.spec.controllers for p in flow.phases)
    if flow.scenario.samples > 1 and not drawn:
        message = "repeats identical debates: every temperature is 0; raise a temperature, or remove it"
        yield Finding(("samples",), message)
    for name, spec in flow.scenario.agents.items():
        members = flow.society.members[name]
        roles = {plan.role for _, plan in flow.plans(members)}
        bound = any(agent in phase.spec.bind for phase in flow.phases for agent in members)
        told_apart = any(
            find_use(role).variables & {"name", "persona", "readers"} or find_use(role).shows("sender")
            for role in roles
        )
        alike = all(_read_alike(phase, frozenset(members)) for phase in flow.phases)
        if spec.count > 1 and roles and not told_apart and not bound and alike and not drawn:
            message = "gives identical replies: every temperature is 0, and all read alike; raise a temperature"
            yield Finding(("agents", name, "count"), message)


def _read_alike(phase: PhaseFlow, group: frozenset[str]) -> bool:
    """Return whether all agents of a group that speak in a phase read equally many of the group, and the same others.

    Then their prompts are equal, if those of the group have said the same.
    """
    if phase.ties is None or phase.plan.spec.within is not None or phase.moderated:
        return False
    own: dict[str, int] = dict.fromkeys(group & phase.speaking, 0)
    others: dict[str, set[str]] = {name: set() for name in own}
    for tie in phase.arriving:
        if tie.reader in own and tie.sender not in group:
            others[tie.reader].add(tie.sender)
        elif tie.reader in own and tie.sender != tie.reader:
            own[tie.reader] += 1
    in_turn = phase.spec.schedule != "simultaneous" and any(own.values())
    return not in_turn and len(set(own.values())) <= 1 and len(set(map(frozenset, others.values()))) <= 1
