"""Checks of conditions: rules that can never hold, and leave and stop rules that change nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import permutations

from society.components.facts import ConditionFacts, LeaveFacts
from society.components.faults import faults_of
from society.components.stops import StopRule
from society.scenario.checks.conditions import each_rule
from society.scenario.checks.effects.findings import Finding
from society.scenario.checks.effects.flow import Flow, PhaseFlow
from society.scenario.checks.effects.rules import explain, has_confidence
from society.scenario.models.phases import Conditions
from society.scenario.reading.tree import Steps


def check_conditions(flow: Flow) -> Iterator[Finding]:
    """Yield conditions and leave rules without effect."""
    for phase in flow.phases:
        steps: Steps = ("phases", phase.index)
        facts = _facts_before(flow, phase)
        if phase.spec.when and not facts.agents:
            message = "never holds: no agent has answered before this phase, so it is always skipped; remove it"
            yield Finding((*steps, "when"), message, "error")
        else:
            yield from _check((*steps, "when"), phase.spec.when, facts)
        yield from _check_turns(flow, phase)
        yield from _check_scopes(flow, phase)
        yield from _check_ends(flow, phase)
        yield from _check_lists((*steps, "stop"), phase.spec.stop)
        yield from _check_leave(flow, phase)
    for i, block in enumerate(flow.society.blocks):
        if block.until:
            yield from _check_until(flow, i)


def _check(steps: Steps, conditions: Conditions, facts: ConditionFacts) -> Iterator[Finding]:
    """Yield the rules of a condition that can never hold: an error if the whole condition cannot."""
    yield from _check_lists(steps, conditions)
    entries = [entry if isinstance(entry, tuple) else (entry,) for entry in conditions]
    impossible = bool(entries) and all(any(_never(rule, facts) for rule in parts) for parts in entries)
    for below, rule in each_rule(conditions):
        yield from explain((*steps, *below), rule, _never(rule, facts), error=impossible)
        with faults_of(rule, "trivial"):
            trivial = rule.trivial(facts.agents, facts.members)
        yield from explain((*steps, *below), rule, trivial)
        if rule.ends != "phase":
            message = "has no effect: only rules of `stop` end anything; remove it"
            yield Finding((*steps, *below, "ends"), message)


def _check_lists(steps: Steps, conditions: Conditions) -> Iterator[Finding]:
    """Yield inner lists that can never hold: an empty one, and one with a rule and its opposite."""
    for j, entry in enumerate(conditions):
        if entry == ():
            yield Finding((*steps, j), "never holds: the list is empty; name a rule, or remove it", "error")
        elif isinstance(entry, tuple) and (opposites := _find_opposites(entry)):
            message = f"never holds: {opposites} are opposites; put them into separate entries"
            yield Finding((*steps, j), message, "error")


def _find_opposites(rules: tuple[StopRule, ...]) -> str:
    """Return the kinds of two rules of which one holds exactly when the other does not; "" without such a pair."""
    pair = next(((other, one) for one, other in permutations(rules, 2) if one.opposes(other)), ())
    return " and ".join(f"`{getattr(rule, 'kind', '')}`" for rule in pair)


def _never(rule: StopRule, facts: ConditionFacts) -> dict[str, str]:
    with faults_of(rule, "never"):
        return dict(rule.never(facts))


def _facts_before(flow: Flow, phase: PhaseFlow) -> ConditionFacts:
    return _facts(flow, tuple(phase.spoke), 1, phase.debate, phase.tokens)


def _facts(flow: Flow, agents: tuple[str, ...], states: int, turns: int, tokens: int) -> ConditionFacts:
    return ConditionFacts(agents, states, turns, tokens, flow.society.members, has_confidence(flow, agents))


def _check_turns(flow: Flow, phase: PhaseFlow) -> Iterator[Finding]:
    """Yield conditions of turns that can never hold."""
    speakers = phase.plan.speakers
    turns = phase.debate + phase.a_round * phase.plan.rounds
    tokens = phase.tokens + (turns - phase.debate) * phase.most_tokens_a_turn
    for name, bound in phase.spec.bind.items():
        steps: Steps = ("phases", phase.index, "bind", name, "when")
        own = [agent for agent in phase.plan.members.get(name, ()) if agent in speakers]
        if not bound.when:
            continue
        if phase.moderated or not own:
            why = "the moderator chooses who speaks" if phase.moderated else "it speaks only when it is asked"
            yield Finding(steps, f"is not used: {why}; remove it")
            continue
        first = phase.plan.rounds == 1 and phase.spec.schedule == "simultaneous" and phase.spec.within is None
        answered = tuple(dict.fromkeys((*phase.spoke, *(() if first else speakers))))
        if not answered:
            message = "never holds: no agent has answered before its only turn, so it never speaks; remove it"
            yield Finding(steps, message, "error")
            continue
        yield from _check(steps, bound.when, replace(_facts(flow, answered, 1, turns, tokens), turn=True))


def _check_ends(flow: Flow, phase: PhaseFlow) -> Iterator[Finding]:
    """Yield stop rules that end more than their phase and can never hold."""
    agents = tuple(dict.fromkeys((*phase.spoke, *phase.plan.speakers, *phase.helpers)))
    turns = phase.debate + phase.a_round * phase.plan.rounds
    tokens = phase.tokens + (turns - phase.debate) * phase.most_tokens_a_turn
    facts = _facts(flow, agents, phase.plan.rounds, turns, tokens)
    for below, rule in each_rule(phase.spec.stop):
        if rule.ends != "phase":
            yield from explain(("phases", phase.index, "stop", *below), rule, _never(rule, facts))


def _check_scopes(flow: Flow, phase: PhaseFlow) -> Iterator[Finding]:
    repeated = {name for block in flow.scenario.repeat for name in block.phases}
    for below, rule in each_rule(phase.spec.stop):
        steps: Steps = ("phases", phase.index, "stop", *below)
        if rule.ends == "block" and phase.plan.name not in repeated:
            yield Finding((*steps, "ends"), "ends the phase alone: no block of `repeat` has it; add one, or remove it")


def _check_leave(flow: Flow, phase: PhaseFlow) -> Iterator[Finding]:
    last = phase.index == len(flow.phases) - 1
    speakers = frozenset(phase.plan.speakers)
    most = max((phase.spoke.get(name, 0) for name in speakers), default=0)
    facts = LeaveFacts(most + phase.plan.rounds - int(last), has_confidence(flow, speakers))
    for j, rule in enumerate(phase.spec.leave):
        steps: Steps = ("phases", phase.index, "leave", j)
        if last and phase.plan.rounds == 1:
            yield Finding(steps, "has no effect: it is the last round of the debate; set `rounds: 2` or more")
            continue
        with faults_of(rule, "idle"):
            reasons = dict(rule.idle(facts))
        yield from explain(steps, rule, reasons)


def _check_until(flow: Flow, index: int) -> Iterator[Finding]:
    block = flow.society.blocks[index]
    j = next(j for j, spec in enumerate(flow.scenario.repeat) if spec.phases[0] == block.phases[0].name)
    after = [phase for phase in flow.phases if phase.index > block.phases[-1].index]
    end = flow.phases[block.phases[-1].index]
    spoke = dict.fromkeys((*end.spoke, *end.plan.speakers))
    turns = after[0].debate if after else end.debate + end.a_round * end.plan.rounds
    tokens = after[0].tokens if after else end.tokens + end.a_round * end.plan.rounds * end.most_tokens_a_turn
    facts = _facts(flow, tuple(spoke), block.times - 1, turns, tokens)
    yield from _check(("repeat", j, "until"), block.until, facts)
