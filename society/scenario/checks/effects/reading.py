"""Graphs, edges and prompts: what nobody reads, and settings of reading that change nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from society.components.facts import listing
from society.scenario.checks.effects.findings import Finding
from society.scenario.checks.effects.flow import Flow, PhaseFlow, Tie, own_views
from society.scenario.models.scenario import EdgeView
from society.scenario.reading.tree import Steps

LOOP = "{% for message in heard %}{{ message.text }}{% endfor %}"


def check_reading(flow: Flow) -> Iterator[Finding]:
    """Yield what is wrong with who reads what, phase by phase."""
    for phase in flow.phases:
        yield from _Reading(phase).check()


class _Reading:
    """The reading of one phase."""

    def __init__(self, phase: PhaseFlow) -> None:
        self.phase, self.spec = phase, phase.spec
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
        yield from self._check_cap()
        yield from self._check_prompts()

    def _at(self, *below: str | int, says: str, key: bool = False) -> Finding:
        return Finding((*self.steps, *below), says, key=key)

    def _check_outsiders(self) -> Iterator[Finding]:
        for j, name in enumerate(self.spec.reads):
            if not any(self.phase.before.get(agent) for agent in self.phase.plan.members.get(name, ())):
                says = (
                    f"{name!r} says nothing before this phase, so there is nothing of it to read; let it speak earlier"
                )
                yield self._at("reads", j, says=says)

    def _check_topology(self) -> Iterator[Finding]:
        """Yield a graph without edges, or one along which nothing can arrive."""
        inside = [tie for tie in self.ties if not tie.outside]
        speaking = len(self.phase.plan.speakers)
        for field in ("topology", "within"):
            topology = getattr(self.spec, field)
            if topology is None or getattr(topology, "kind", "") == "none":
                continue
            if not inside:
                who = "one agent speaks" if speaking == 1 else f"it has no edge over these {speaking} agents"
                yield self._at(field, says=f"changes nothing: {who}; add agents, or leave it out")
            elif not any(tie.turns for tie in inside):
                yield self._at(
                    field,
                    says="changes nothing: in the only round nobody has said anything yet; give the phase `rounds: 2`",
                )

    def _check_draws(self) -> Iterator[Finding]:
        """Yield random topologies of which there is only one over so many agents."""
        for field in ("topology", "within"):
            topology = getattr(self.spec, field)
            drawn = [] if topology is None else [f for f in topology.random_fields if f in topology.model_fields_set]
            if drawn and not topology.is_random(self.phase.plan.speakers, self.phase.plan.members):
                says = f"changes nothing: there is one such graph over {len(self.phase.plan.speakers)} agents"
                yield self._at(field, drawn[0], says=f"{says}; leave it out")

    def _check_order(self, silent: bool) -> Iterator[Finding]:
        inside = [tie for tie in self.arriving if not tie.outside]
        schedule = self.spec.schedule
        if schedule == "moderated" and len(self.phase.plan.speakers) == 1:
            yield self._at("schedule", says="leaves the moderator no choice: one agent speaks; add some to `agents`")
        if schedule in ("sequential", "topological") and not inside and not silent:
            says = "changes nothing: nobody reads another speaker of this phase; give it a `topology`"
            yield self._at("schedule", says=says)
        senders = Counter(tie.reader for tie in inside)
        ranked = schedule != "moderated" and self.phase.helpers  # a ranker is shown them in this order
        several = max(senders.values(), default=0) > 1 or (schedule == "sequential" and inside) or ranked
        if self.spec.order != "declared" and not several and not silent:
            yield self._at("order", says="changes nothing: no reader has two senders to put in order; leave it out")

    def _check_speak(self) -> Iterator[Finding]:
        if self.spec.speak != "heard":
            return
        rested = any(self.phase.spoke.get(name) for name in self.phase.plan.speakers)
        if self.spec.rounds == 1 and not rested:
            says = "changes nothing: in the only round everybody speaks for the first time; give the phase `rounds: 2`"
            yield self._at("speak", says=says)
        elif not self.arriving and self.spec.rounds > 1:
            says = "lets everybody rest after the first turn: nobody reads anybody; give the phase a `topology`"
            yield self._at("speak", says=says)
        elif self._always_reads():
            yield self._at("speak", says="changes nothing: there is always something to read; give `edges` a `gate`")

    def _always_reads(self) -> bool:
        """Return whether every speaker has something to read whenever it speaks again: no gate can hold it back."""
        if self.spec.controllers or self.phase.moderated:
            return False
        fed = {tie.reader for tie in self.arriving if not tie.view.gate and self._is_sure(tie)}
        return fed >= set(self.phase.plan.speakers)

    def _is_sure(self, tie: Tie) -> bool:
        """Return whether the sender has spoken for sure whenever the reader may rest: before the phase, or in a first
        round in which the reader cannot rest, as it has not spoken either."""
        if tie.sender in self.phase.surely:
            return True
        return not tie.outside and not self.phase.spoke.get(tie.reader)

    def _check_edges(self, silent: bool) -> Iterator[Finding]:
        view = self.spec.edges
        given = [field for field in EdgeView.model_fields if field in view.model_fields_set]
        if given and not self.ties:
            if not silent:
                yield self._at("edges", says="changes nothing: nobody reads anybody here; give the phase a `topology`")
            return
        for field in given:
            shown = [tie for tie in self.ties if field not in tie.own]
            if not shown:
                says = "changes nothing: every edge has its own"
                yield self._at("edges", field, says=f"{says}; leave one of them out")
            else:
                yield from self._check_field(("edges", field), field, shown)
        for below, fields, ties in own_views(self.phase):
            for field in fields:
                yield from self._check_field((*below, field), field, ties)

    def _check_field(self, below: Steps, field: str, ties: list[Tie]) -> Iterator[Finding]:
        view = ties[0].view
        if field in ("window", "anonymous", "gate") and all(tie.view.show == "nothing" for tie in ties):
            yield self._at(*below, says="changes nothing: these edges show nothing; leave it out")
        elif field == "window" and view.window > 1:
            most = max(tie.turns for tie in ties)
            if 0 < most < view.window:
                number = "one turn" if most == 1 else f"{most} turns"
                says = f"is more than there is to read: a sender has at most {number} by then; lower it"
                yield self._at(*below, says=says)
        elif field == "anonymous" and view.anonymous:
            yield from self._check_anonymous(below, ties)

    def _check_anonymous(self, below: Steps, ties: list[Tie]) -> Iterator[Finding]:
        arriving = [tie for tie in ties if tie.arrives]
        readers = {self.spec.summarizer if tie.view.show == "summary" else tie.reader for tie in arriving}
        if arriving and not any(self.phase.use(name).shows("sender") for name in readers):
            says = "changes nothing: no prompt of a reader shows `sender`; write {{ message.sender }} there"
            yield self._at(*below, says=says)

    def _check_cap(self) -> Iterator[Finding]:
        if self.spec.cap is None:
            return
        messages: Counter[str] = Counter()
        for tie in self.arriving:
            messages[tie.reader] += min(tie.turns, tie.view.window)
        most = max(messages.values(), default=0)
        if most <= self.spec.cap:
            number = "one message arrives" if most == 1 else f"{most} messages arrive"
            yield self._at("cap", says=f"changes nothing: at most {number} at a turn; lower it, or leave it out")

    def _check_prompts(self) -> Iterator[Finding]:
        """Yield roles that are sent something and do not show it."""
        full = [tie.reader for tie in self.arriving if tie.view.show in ("full", "answer")]
        summed = [tie.reader for tie in self.arriving if tie.view.show == "summary"]
        helpers = [*self.phase.helpers, *([self.spec.summarizer] if summed else [])]
        yield from self._unshown([*full, *helpers], "heard", f"write {LOOP}")
        yield from self._unshown(summed, "summary", "write {{ summary }}, or let the edges show `full`")

    def _unshown(self, agents: list[str], variable: str, remedy: str) -> Iterator[Finding]:
        blind = [name for name in dict.fromkeys(agents) if variable not in self.phase.use(name).variables]
        for role in dict.fromkeys(self.phase.plan.agents[name].role_name for name in blind):
            who = [name for name in blind if self.phase.plan.agents[name].role_name == role]
            says = (
                f"does not show `{variable}`, so what {listing(who, 2)} reads in the phase {self.spec.name!r} is lost"
            )
            yield Finding(("roles", role, "prompt"), f"{says}; {remedy}")
