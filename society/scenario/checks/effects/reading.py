"""Checks of graphs, edges and prompts: messages that no agent reads, and settings without effect."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter

from society.components.facts import listing
from society.scenario.checks.effects.findings import Finding
from society.scenario.checks.effects.flow import Flow, PhaseFlow, Tie, own_views
from society.scenario.checks.effects.rules import uses_weights
from society.scenario.expand import is_random
from society.scenario.models.phases import EdgeView
from society.scenario.reading.tree import Steps
from topologies.base import Occasion, Topology, each_place

SENDERS = "{% for message in heard %}{{ message.sender }}{% endfor %}"
LOOP = "{% for message in heard %}{{ message.text }}{% endfor %}"
WEIGHTS = "{% for message in heard %}{{ message.weight }}{% endfor %}"
UNWEIGHED = "no prompt of the phase shows `weight`, and no vote uses it; set `decision: {kind: weighted, by: edges}`"
EARLIER = "no prompt of the phase shows `weight`, and votes use the weights of the last phase with edges; remove it"


def check_reading(flow: Flow) -> Iterator[Finding]:
    """Yield messages that no agent reads and settings of reading without effect, phase by phase."""
    for phase in flow.phases:
        unweighed = EARLIER if flow.scenario.decision.reads_weights else UNWEIGHED
        why = "" if uses_weights(flow, phase) else f"{unweighed}, or add {WEIGHTS}"
        yield from _Reading(phase, why, flow.scenario.topologies).check()
    yield from _check_occasions(flow)


def _check_occasions(flow: Flow) -> Iterator[Finding]:
    """Yield graphs that are drawn for each sample or each phase, where there is one."""
    remedies: dict[Occasion, str] = {}
    if flow.scenario.samples == 1:
        remedies["sample"] = "set `samples: 2` or more"
    if len(flow.phases) == 1:
        remedies["phase"] = "add another phase"
    places: list[tuple[Steps, Topology | None]] = [(("topologies", n), t) for n, t in flow.scenario.topologies.items()]
    for phase in flow.phases:
        steps: Steps = ("phases", phase.index)
        places += [((*steps, "topology"), phase.spec.topology), ((*steps, "within"), phase.spec.within)]
    for steps, topology in places:
        parts = [*each_place(topology, steps)] if topology is not None else []
        for below, part in parts:
            inner = [occasion for piece in part.parts() for occasion in piece.occasions()]
            for occasion in part.occasions() - set(inner) & remedies.keys():
                message = f"is drawn for each {occasion}, but there is one; {remedies[occasion]}, or remove it here"
                yield Finding((*below, "redraw"), message)


class _Reading:
    """Checks of the messages in one phase."""

    def __init__(self, phase: PhaseFlow, unweighed: str, named: Mapping[str, Topology]) -> None:
        self.phase, self.spec, self.named = phase, phase.spec, named
        self.unweighed = unweighed  # why weights have no effect
        self.steps: Steps = ("phases", phase.index)
        self.given = phase.spec.model_fields_set
        self.ties = phase.ties or ()
        self.arriving = phase.arriving

    def check(self) -> Iterator[Finding]:
        yield from self._check_outsiders()
        if self.phase.ties is None:
            return
        silent = list(self._check_topology())
        yield from silent
        yield from self._check_draws()
        yield from self._check_order(bool(silent))
        yield from self._check_speak()
        yield from self._check_edges(bool(silent))
        yield from self._check_on_edges()
        yield from self._check_cap()
        yield from self._check_own()
        yield from self._check_prompts()

    def _at(self, *below: str | int, message: str, key: bool = False) -> Finding:
        return Finding((*self.steps, *below), message, key=key)

    def _check_outsiders(self) -> Iterator[Finding]:
        for j, name in enumerate(self.spec.reads):
            if not any(self.phase.before.get(agent) for agent in self.phase.plan.members.get(name, ())):
                message = f"{name!r} has no turn before this phase that others may read; let it speak earlier"
                yield self._at("reads", j, message=message)

    def _check_topology(self) -> Iterator[Finding]:
        """Yield graphs without edges, and graphs that deliver no message."""
        inside = [tie for tie in self.ties if tie.among]
        speaking = len(self.phase.plan.speakers)
        for field in ("topology", "within"):
            topology = getattr(self.spec, field)
            if topology is None or getattr(topology, "kind", "") == "none":
                continue
            if not inside:
                who = "one agent speaks" if speaking == 1 else f"it has no edge over these {speaking} agents"
                yield self._at(field, message=f"has no effect: {who}; add agents, or remove it")
            elif not any(tie.turns for tie in inside):
                remedy = "set `rounds: 2`"
                if self.spec.schedule == "simultaneous" and _has_order(inside):
                    remedy = f"set `schedule: topological`, by which agents read those before them, or {remedy}"
                message = "has no effect: there are no earlier turns to read in the only round"
                yield self._at(field, message=f"{message}; {remedy}")

    def _check_draws(self) -> Iterator[Finding]:
        """Yield random topologies with only one graph over these agents."""
        for field in ("topology", "within"):
            topology = getattr(self.spec, field)
            drawn = [] if topology is None else [f for f in topology.random_fields if f in topology.model_fields_set]
            if drawn and not is_random(topology, self.phase.plan):
                message = f"has no effect: there is only one such graph over {len(self.phase.plan.speakers)} agents"
                yield self._at(field, drawn[0], message=f"{message}; remove it")

    def _check_order(self, silent: bool) -> Iterator[Finding]:
        inside = [tie for tie in self.arriving if tie.among]
        schedule = self.spec.schedule
        if schedule == "moderated" and len(self.phase.plan.speakers) == 1:
            yield self._at(
                "schedule", message="leaves the moderator no choice: only one agent speaks; add agents to `agents`"
            )
        if schedule in ("sequential", "topological") and not inside and not silent:
            message = "has no effect: no agent reads another speaker of this phase; set `topology`"
            yield self._at("schedule", message=message)
        senders = Counter(tie.reader for tie in self.arriving if not tie.outside)
        ranked = schedule != "moderated" and self.phase.helpers  # a ranker is shown the messages in this order
        several = max(senders.values(), default=0) > 1 or (schedule == "sequential" and inside) or ranked
        if self.spec.order != "declared" and not several and not silent:
            yield self._at("order", message="has no effect: no reader has two senders; remove it")

    def _check_speak(self) -> Iterator[Finding]:
        if self.spec.speak != "heard":
            return
        rested = any(self.phase.spoke.get(name) for name in self.phase.plan.speakers)
        if self.phase.plan.rounds == 1 and not rested:
            message = "has no effect: all agents speak for the first time in the only round; set `rounds: 2`"
            yield self._at("speak", message=message)
        elif not self.arriving and self.phase.plan.rounds > 1 and not self.spec.controllers:
            message = "silences all agents after the first turn: no agent reads another; set `topology`"
            yield self._at("speak", message=message)
        elif self._always_reads():
            yield self._at(
                "speak",
                message="has no effect: there is always a message to read; set `unread` or a `gate` in `edges`",
            )

    def _always_reads(self) -> bool:
        """Return whether every speaker has a message to read at each later turn, as no gate applies."""
        if self.spec.controllers or self.phase.moderated:
            return False
        fed = {tie.reader for tie in self.arriving if not tie.view.gate and not tie.view.unread and self._is_sure(tie)}
        return fed >= set(self.phase.plan.speakers)

    def _is_sure(self, tie: Tie) -> bool:
        """Return whether the sender has spoken whenever the reader may be skipped.

        The sender spoke before the phase, or in a first round in which the reader must speak, too.
        """
        if tie.sender in self.phase.surely:
            return True
        return not tie.outside and not self.phase.spoke.get(tie.reader)

    def _check_edges(self, silent: bool) -> Iterator[Finding]:
        view = self.spec.edges
        given = [field for field in EdgeView.model_fields if field in view.model_fields_set]
        if given and not self.ties:
            if not silent:
                yield self._at("edges", message="has no effect: no agent reads another; set `topology`")
            return
        for field in given:
            shown = [tie for tie in self.ties if field not in tie.own]
            if not shown:
                message = "has no effect: every edge overrides it"
                yield self._at("edges", field, message=f"{message}; remove it")
            else:
                yield from self._check_field(("edges", field), field, shown)
        yield from self._check_drawn_weights()
        for below, fields, ties in own_views(self.phase):
            for field in fields:
                yield from self._check_field((*below, field), field, ties)

    def _check_drawn_weights(self) -> Iterator[Finding]:
        """Yield topologies whose graphs have weights without effect. Written edges are checked one by one."""
        written = {(t.sender, t.reader) for _, fields, own in own_views(self.phase) if "weight" in fields for t in own}
        drawn = any("weight" in tie.own and (tie.sender, tie.reader) not in written for tie in self.ties)
        if drawn and self.unweighed:
            topology = self.spec.topology
            field = "within" if topology is None or topology.declared_edges() else "topology"
            steps = self._find_weight(getattr(self.spec, field), (*self.steps, field))
            yield Finding(steps, f"has weights of edges without effect: {self.unweighed}")

    def _find_weight(self, topology: Topology, steps: Steps) -> Steps:
        """Return the steps to the first weight that a topology writes out, in named graphs, too, or to the topology."""
        for below, part in each_place(topology, steps):
            named = self.named.get(part.reference())
            if named is not None and (found := self._find_weight(named, at := ("topologies", part.reference()))) != at:
                return found
            for j, edge in enumerate(part.declared_edges()):
                if len(edge) == 3 and "weight" in edge[2]:
                    return (*below, "edges", j, 2, "weight")
        return steps

    def _check_field(self, below: Steps, field: str, ties: list[Tie]) -> Iterator[Finding]:
        view = ties[0].view
        if field in ("window", "anonymous", "gate") and all(tie.view.show == "nothing" for tie in ties):
            yield self._at(*below, message="has no effect: these edges show nothing; remove it")
        elif field == "window" and view.window > 1:
            most = max(tie.turns for tie in ties)
            if 0 < most < view.window:
                number = "one turn" if most == 1 else f"{most} turns"
                message = f"exceeds the turns to read: a sender has at most {number}; lower it"
                yield self._at(*below, message=message)
        elif field == "weight" and self.unweighed:
            yield self._at(*below, message=f"has no effect: {self.unweighed}")
        elif field == "anonymous" and view.anonymous:
            yield from self._check_anonymous(below, ties)

    def _check_anonymous(self, below: Steps, ties: list[Tie]) -> Iterator[Finding]:
        arriving = [tie for tie in ties if tie.arrives]
        readers = {self.spec.summarizer if tie.view.show == "summary" else tie.reader for tie in arriving}
        if arriving and not any(self.phase.use(name).shows("sender") for name in readers):
            message = f"has no effect: no prompt of a reader shows `sender`; add {SENDERS} to one"
            yield self._at(*below, message=message)

    def _check_on_edges(self) -> Iterator[Finding]:
        if not self.spec.on_edges:
            if self.spec.exchanges > 1:
                yield self._at("exchanges", message="has no effect: no agent speaks on edges; set `on_edges`")
            return
        among = [tie for tie in self.arriving if tie.among]
        if not among:
            yield self._at("on_edges", message="has no effect: no speaker reads another one; set `topology`")
        elif all(tie.view.show == "summary" for tie in among):
            message = "has no effect: edges that show a summary have no messages to read; set `show: full` in `edges`"
            yield self._at("on_edges", message=message)

    def _check_own(self) -> Iterator[Finding]:
        if self.spec.hear_own and not any(tie.sender == tie.reader for tie in self.arriving):
            why = "no speaker has an earlier turn to read; set `rounds: 2`, or remove it"
            if self.spec.edges.show == "nothing":
                why = "`edges` shows nothing of it; set `show: full` in `edges`, or remove it"
            yield self._at("hear_own", message=f"has no effect: {why}")

    def _check_cap(self) -> Iterator[Finding]:
        if self.spec.cap is None:
            return
        messages: Counter[str] = Counter()
        for tie in self.arriving:
            messages[tie.reader] += min(tie.turns, tie.view.window)
        most = max(messages.values(), default=0)
        if most <= self.spec.cap:
            number = "one message arrives" if most == 1 else f"{most} messages arrive"
            yield self._at("cap", message=f"has no effect: at most {number} per turn; lower it, or remove it")

    def _check_prompts(self) -> Iterator[Finding]:
        """Yield roles that receive messages and do not show them."""
        full = [tie.reader for tie in self.arriving if tie.view.show not in ("summary", "nothing")]
        summed = [tie.reader for tie in self.arriving if tie.view.show == "summary"]
        unshown = {name for c in self.spec.controllers if not c.shows_messages for name in c.helpers().values()}
        helpers = [name for name in self.phase.helpers if name not in unshown]
        helpers += [self.spec.summarizer] if summed else []
        yield from self._unshown([*full, *helpers], "heard", f"add {LOOP}")
        yield from self._unshown(summed, "summary", "add {{ summary }}, or set `show: full` in `edges`")

    def _unshown(self, agents: list[str], variable: str, remedy: str) -> Iterator[Finding]:
        blind = [name for name in dict.fromkeys(agents) if variable not in self.phase.use(name).variables]
        for role in dict.fromkeys(self.phase.plan.agents[name].role_name for name in blind):
            who = [name for name in blind if self.phase.plan.agents[name].role_name == role]
            message = (
                f"does not show `{variable}`, so messages to {listing(who, 2)} in the phase {self.spec.name!r} are lost"
            )
            yield Finding(("roles", role, "prompt"), f"{message}; {remedy}")


def _has_order(ties: Iterable[Tie]) -> bool:
    """Return whether edges have no cycle."""
    before: dict[str, set[str]] = {}
    for tie in ties:
        before.setdefault(tie.reader, set()).add(tie.sender)
    try:
        TopologicalSorter(before).prepare()
    except CycleError:
        return False
    return True
