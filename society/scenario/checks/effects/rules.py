"""Checks of gates, stop rules, controllers and the decision. Each rule reports itself if it has no effect."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial

from society.components.controllers import Controller
from society.components.decisions.base import DecisionRule
from society.components.facts import DecisionFacts, GateFacts, PhaseFacts, Reasons, listing
from society.components.faults import faults_of
from society.components.gates import Gate
from society.components.stops import StopRule
from society.core.component import Component
from society.core.errors import InputError
from society.scenario.checks.conditions import each_rule
from society.scenario.checks.effects.findings import Finding
from society.scenario.checks.effects.flow import Flow, PhaseFlow, Tie, least_of, own_views
from society.scenario.checks.effects.prompts import find_use, may_letter
from society.scenario.expand import ends_more, is_random
from society.scenario.members import agents_of
from society.scenario.reading.tree import Steps

LETTERED = "{% for c in candidates %}{{ c.letter }}. {{ c.answer }} {% endfor %}"


def check_rules(flow: Flow) -> Iterator[Finding]:
    """Yield rules of the scenario without effect."""
    for phase in flow.phases:
        yield from _check_gates(flow, phase)
        if phase.spec.stop or phase.spec.controllers:
            facts = _phase_facts(flow, phase)
            yield from _check_stops(flow, phase, facts)
            yield from _check_controllers(phase, facts)
    yield from _check_decision(flow)
    for j, metric in enumerate(flow.scenario.metrics or ()):
        with faults_of(metric, "idle"):
            reasons = metric.idle(_is_numeric(flow), len(flow.society.voters))
        yield from explain(("metrics", j), metric, reasons)


def _is_numeric(flow: Flow) -> bool:
    return flow.scenario.task.format.equal in ("numeric", "math")


def explain(steps: Steps, rule: Component, reasons: Reasons, *, error: bool = False) -> Iterator[Finding]:
    """Yield a finding for each reason, at its field if the scenario sets the field, else at the rule."""
    for field, why in reasons.items():
        at = (*steps, field) if field in rule.model_fields_set else steps
        yield Finding(at, why, "error" if error else "warning")


def has_confidence(flow: Flow, agents: Iterable[str]) -> frozenset[str]:
    """Return the agents that have a role with a confidence in any phase."""
    sure = {plan.name for _, plan in flow.plans() if plan.role.confidence != "none"}
    return frozenset(agents) & sure


def _check_gates(flow: Flow, phase: PhaseFlow) -> Iterator[Finding]:
    for steps, gates, ties in _gated(phase):
        arriving = [tie for tie in ties if tie.arrives]
        senders = frozenset(tie.sender for tie in arriving)
        spoke = phase.plan.rounds > 1 or any(phase.spoke.get(tie.reader) for tie in arriving)
        window = max((tie.view.window for tie in arriving), default=1)
        facts = GateFacts(senders, has_confidence(flow, senders), spoke, window)
        for k, gate in enumerate(gates if arriving else ()):
            with faults_of(gate, "idle"):
                blocks, idle = gate.blocks(facts), gate.idle(facts)
            yield from explain((*steps, k), gate, blocks, error=True)
            yield from explain((*steps, k), gate, idle)


def _gated(phase: PhaseFlow) -> Iterator[tuple[Steps, tuple[Gate, ...], list[Tie]]]:
    """Yield the steps of each list of gates, the gates, and the edges that have them."""
    gates = phase.spec.edges.gate
    if gates:
        yield ("phases", phase.index, "edges", "gate"), gates, [t for t in phase.ties or () if "gate" not in t.own]
    for below, fields, own in own_views(phase):
        if "gate" in fields:
            yield ("phases", phase.index, *below, "gate"), own[0].view.gate, own


def _phase_facts(flow: Flow, phase: PhaseFlow) -> PhaseFacts:
    rounds = phase.spec.rounds
    turns = phase.debate + phase.a_round * (phase.plan.rounds - 1) + len(phase.helpers) * (not phase.moderated)
    tokens = phase.tokens + (turns - phase.debate) * phase.most_tokens_a_turn
    return PhaseFacts(
        rounds=rounds,
        speakers=phase.plan.speakers,
        spoken_before=frozenset(name for name in phase.plan.speakers if phase.spoke.get(name)),
        moderated=phase.moderated,
        least_turns=phase.least + least_of(phase),
        most_turns=turns,
        most_tokens=tokens,
        only_here=_only_in(flow, phase),
        random=_is_random(phase),
        confident=has_confidence(flow, phase.plan.speakers),
        members=flow.society.members,
        linked=phase.ties is None or any(tie.among for tie in phase.ties),
        weighed=uses_weights(flow, phase),
        decides=flow.scenario.decision.decides,
    )


def _only_in(flow: Flow, phase: PhaseFlow) -> frozenset[str]:
    """Return the voters that speak in this phase and in no other."""
    others = (other.speaking for other in flow.phases if other is not phase)
    return phase.speaking.intersection(flow.society.voters).difference(*others)


def uses_weights(flow: Flow, phase: PhaseFlow) -> bool:
    """Return whether a prompt of the phase shows the weights of edges, or the vote may use them."""
    last = flow.society.may_skip or not any(later.ties != () for later in flow.phases[phase.index + 1 :])
    shown = any(find_use(plan.role).shows("weight") for plan in phase.plan.agents.values())
    return shown or (last and flow.scenario.decision.reads_weights) or not all(map(is_ours, phase.spec.controllers))


def is_ours(rule: Component) -> bool:
    """Return whether a component is built in. What those of plugins use is unknown."""
    return type(rule).__module__.startswith("society.")


def _is_random(phase: PhaseFlow) -> bool:
    """Return whether a new draw of the phase's graph may differ."""
    drawn = [topology for topology in (phase.spec.topology, phase.spec.within) if topology is not None]
    try:
        return any(is_random(topology, phase.plan) for topology in drawn)
    except InputError:
        return True


def _check_stops(flow: Flow, phase: PhaseFlow, facts: PhaseFacts) -> Iterator[Finding]:
    for j, rule in enumerate(phase.spec.stop):
        steps: Steps = ("phases", phase.index, "stop", j)
        if facts.rounds == 1 and not ends_more(rule):
            yield Finding(steps, "has no effect: the phase has one round; set `rounds: 2` or more")
        elif isinstance(rule, StopRule):
            yield from explain(steps, rule, _skips(flow, phase, rule, facts) if ends_more(rule) else _idle(rule, facts))
        else:
            for k, part in enumerate(rule):
                yield from explain((*steps, k), part, {} if ends_more(rule) else _idle(part, facts))


def _skips(flow: Flow, phase: PhaseFlow, rule: StopRule, facts: PhaseFacts) -> Reasons:
    """Return why a rule that ends more than its phase always leaves out what follows the first round.

    A phase with `when` may be there to end the debate.
    """
    follows = facts.rounds > 1 or phase is not flow.phases[-1] or flow.scenario.repeat
    if phase.spec.when or not follows:
        return {}
    with faults_of(rule, "at_once"):
        return rule.at_once(facts)


def _check_controllers(phase: PhaseFlow, facts: PhaseFacts) -> Iterator[Finding]:
    controllers = phase.spec.controllers
    for j, controller in enumerate(controllers):
        steps: Steps = ("phases", phase.index, "controllers", j)
        if phase.moderated:
            yield Finding(steps, "is not used: a moderated phase keeps its graph; set another `schedule`")
            continue
        redrawn = any(later.redraws for later in controllers[j + 1 :])
        yield from explain(steps, controller, _idle(controller, replace(facts, changed=j > 0, redrawn=redrawn)))


def _idle(rule: StopRule | Controller, facts: PhaseFacts) -> Reasons:
    with faults_of(rule, "idle"):
        return rule.idle(facts)


def _check_whole_replies(flow: Flow) -> Iterator[Finding]:
    """Yield votes over whole replies, where a judge grades the answers: these replies are hardly ever equal."""
    whole = flow.scenario.task.answer.deferred and flow.scenario.task.format.extract[0] == "text"
    free = {agent for phase in flow.phases for agent, plan in phase.plan.agents.items() if not plan.role.choices}
    if whole and flow.scenario.decision.counts_answers and len(free.intersection(flow.society.voters)) > 1:
        why = "makes each whole reply an answer, and a vote counts equal answers, which such replies hardly ever are"
        remedy = "set `decision: none`, let an aggregator decide, or extract a part of the reply"
        yield Finding(("task", "answer", "extract"), f"{why}; {remedy}")


def _check_decision(flow: Flow) -> Iterator[Finding]:
    yield from _check_whole_replies(flow)
    decision, steps = flow.scenario.decision, ("decision",)
    turns = {name: flow.spoken(name) for name in flow.society.voters}
    if silent := [name for name, count in turns.items() if not count]:
        yield from _check_silent(flow, silent)
        turns = {name: count for name, count in turns.items() if count}
    yield from _check_moderators(flow, turns)
    if not turns:
        return
    last = flow.phases[-1]
    late = frozenset(turns).intersection(last.plan.speakers)
    facts = DecisionFacts(
        turns=turns,
        confident=has_confidence(flow, frozenset(turns)),
        last=late,
        candidates=any(phase.plan.speakers for phase in flow.phases[:-1]),
        numeric=_is_numeric(flow),
        read=frozenset(turns) & _read(flow, frozenset(turns)),
    )
    yield from _check_lonely(flow, turns)
    if type(decision).read_answer is not DecisionRule.read_answer and _may_skip_ballots(flow):
        message = "reads ballots, but the phase in which they are written may be skipped; then no vote can be read"
        yield Finding(steps, f"{message}: let the last phase always take place, or use another rule", "error")
    with faults_of(decision, "idle"):
        undecided, idle = decision.undecided(facts), decision.idle(facts)
    yield from explain(steps, decision, undecided, error=True)
    if undecided:
        return
    if decision.ballots_count_as:
        yield from _check_ballots(last, late)
    yield from explain(steps, decision, idle)


def _check_ballots(last: PhaseFlow, voters: Iterable[str]) -> Iterator[Finding]:
    """Yield prompts of voters that do not show the letters among which they vote."""
    blind = {last.plan.agents[name].role_name for name in voters if "candidates" not in last.use(name).variables}
    for role in sorted(blind):
        message = f"shows no `candidates`, and votes are the letters of these; write {LETTERED} there"
        yield Finding(("roles", role, "prompt"), message)
    unlettered = {last.plan.agents[name].role_name for name in voters if not may_letter(last.plan.agents[name].role)}
    for role in sorted(unlettered - blind):
        message = f"does not show `letter` of `candidates`, and votes are letters; write {LETTERED} there"
        yield Finding(("roles", role, "prompt"), message)


def _check_lonely(flow: Flow, turns: Mapping[str, int]) -> Iterator[Finding]:
    """Yield the last phase of the only voter, if it reads nobody: the others then speak in vain."""
    alone = next(iter(turns)) if len(turns) == 1 else ""
    phases = [phase for phase in flow.phases if alone in phase.speaking]
    others = {name for phase in flow.phases for name in phase.speaking} - {alone}
    if not alone or not phases or not others:
        return
    if any(map(partial(_hears, alone), phases)):
        return
    if not any({"candidates", "memories"} & phase.use(alone).variables for phase in phases):
        message = f"decides alone, and reads no other agent: {alone!r} needs `reads`, or a `topology`, in this phase"
        yield Finding(("phases", phases[-1].index, "agents"), message)


def _hears(agent: str, phase: PhaseFlow) -> bool:
    """Return whether an agent may read another one in a phase. True if the graph is too large to check."""
    return phase.ties is None or any(tie.reader == agent and tie.sender != agent for tie in phase.ties)


def _read(flow: Flow, voters: frozenset[str]) -> frozenset[str]:
    """Return the agents that others may read; all voters if a graph is too large to check."""
    if any(phase.ties is None for phase in flow.phases):
        return voters
    return frozenset(tie.sender for phase in flow.phases for tie in phase.ties or () if tie.view.weight)


def _may_skip_ballots(flow: Flow) -> bool:
    """Return whether a debate may end without the last phase."""
    earlier = (rule for phase in flow.phases[:-1] for _, rule in each_rule(phase.spec.stop))
    return bool(flow.phases[-1].spec.when) or any(map(ends_more, earlier))


def _check_moderators(flow: Flow, voters: Iterable[str]) -> Iterator[Finding]:
    """Yield voters that only moderate: their replies are names of speakers."""
    others = {name for phase in flow.phases for name in (*phase.speaking, *(() if phase.moderated else phase.helpers))}
    decision = flow.scenario.decision
    for j, name in enumerate(decision.electorate()):
        asked = agents_of([name], flow.society.members)
        if asked and set(asked).intersection(voters).difference(others):
            field: Steps = ("voters", j) if decision.voters else ("agent",)
            message = f"{listing(asked)} only moderates, so its vote is the name of a speaker"
            yield Finding(("decision", *field), f"{message}; name others, or let it speak in a phase")


def _check_silent(flow: Flow, silent: list[str]) -> Iterator[Finding]:
    """Yield voters that never speak. They are errors if no voter is left."""
    decision = flow.scenario.decision
    left = len(silent) < len(flow.society.voters)
    for j, name in enumerate(decision.electorate()):
        never = [agent for agent in agents_of([name], flow.society.members) if agent in silent]
        if never:
            field: Steps = ("voters", j) if decision.voters else ("agent",)
            message = (
                f"{listing(never)} never answers the question, so it has no vote; add it to the `agents` of a phase"
            )
            yield Finding(("decision", *field), message, "warning" if left else "error")
