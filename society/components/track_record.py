"""A controller by which edges follow the track record of the agents, over rounds or over earlier questions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from society.answers import group
from society.components.controllers import ControlContext, Controller
from society.components.facts import PhaseFacts, Reasons, Remark
from society.core.errors import FieldError
from society.core.types import RoundState

if TYPE_CHECKING:
    import networkx as nx

Tally = tuple[Sequence[str], Sequence[str]]
"""Agents that had an answer at one time, and those among them whose answer was good."""


class TrackRecord(Controller):
    """The edges from each agent follow its record: how often its answers were good.

    An answer is good if the most frequent answer of the round is the same, or with `over: questions` the decision. Its
    record is (good + 1) / (answers + 2), after Laplace. The weight of each edge is multiplied by the record of its
    sender. With `keep`, each agent reads only the senders with the best records.

    With `over: questions`, a sample's questions are debated one after another, in the order of the task. Samples run
    beside each other.
    """

    only_removes: ClassVar[bool] = True
    restores: ClassVar[bool] = True
    kind: Literal["track_record"] = "track_record"
    over: Literal["rounds", "questions"] = "rounds"
    """Source of the record: the earlier rounds of the phase, or the earlier questions of the run."""
    by: Literal["agreement", "gold"] = "agreement"
    """Good answers. `agreement`: those that most agents gave, or the society decided. `gold`: the true answers, known
    after each question."""
    keep: int | None = Field(None, ge=1)
    """Number of speakers that an agent reads, those with the best records. Among equal ones, the first are read."""
    after: int = Field(1, ge=1)
    """Number of rounds or questions before the edges change. A round counts if one answer is the most frequent one. A
    question counts if the society decided on an answer, or with `by: gold` if it has a true answer."""

    @model_validator(mode="after")
    def _is_known(self) -> Self:
        if self.by == "gold" and self.over == "rounds":
            why = "nobody knows the true answer during the debate"
            raise FieldError(f"`by: gold` needs `over: questions`: {why}", "by", "over")
        return self

    def reads_earlier(self) -> bool:
        return self.over == "questions"

    async def next_graph(self, graph: nx.DiGraph[str], context: ControlContext) -> nx.DiGraph[str]:
        tallies = list(self._tallies(context))
        if len(tallies) < self.after:
            return graph
        answers = Counter(name for spoke, _ in tallies for name in spoke)
        good = Counter(name for _, right in tallies for name in right)
        record = {name: (good[name] + 1) / (answers[name] + 2) for name in context.speakers}
        changed = context.restored(graph)
        for reader in [name for name in context.speakers if name in changed]:
            senders = [name for name in context.speakers if changed.has_edge(name, reader)]
            best = sorted(senders, key=lambda name: -record[name])[: self.keep]
            for sender in senders:
                if sender in best:
                    # A controller before this one may have kept the edge with its weight of the round before.
                    drawn = context.declared if context.declared.has_edge(sender, reader) else changed
                    weight = drawn.edges[sender, reader].get("weight", context.weight)
                    changed.edges[sender, reader]["weight"] = weight * record[sender]
                else:
                    changed.remove_edge(sender, reader)
        return changed

    def _tallies(self, context: ControlContext) -> Iterator[Tally]:
        """Yield the answers of each round or question that tells good answers from others."""
        if self.over == "rounds":
            yield from _count_rounds(context.state)
            return
        for past in context.earlier:
            good = past.right if self.by == "gold" else past.agreed
            if good is not None:
                yield past.answered, good

    def idle(self, facts: PhaseFacts) -> Reasons:
        if self.over == "rounds" and self.after >= facts.rounds:
            why = f"there is no round after round {self.after} in a phase of {facts.rounds}"
            return {"after": f"no edge changes: {why}; lower it, or raise `rounds`"}
        if self.keep is not None and self.keep >= len(facts.speakers) - 1:
            return {"keep": f"leaves out no edge: an agent has at most {len(facts.speakers) - 1} senders; lower it"}
        if self.over == "questions" and self.by == "agreement" and not facts.decides:
            why = "no decision is a single answer, so no answer is good"
            return {"over": f"no edge changes: {why}; use `over: rounds`, `by: gold`, or another decision"}
        if self.keep is None and not facts.weighed:
            why = "the weights have no effect: no prompt of the phase shows `weight`, and no vote uses it"
            return {
                "": f"{why}; set `keep`, add {{{{ message.weight }}}}, or `decision: {{kind: weighted, by: edges}}`"
            }
        return facts.keeps_edges()

    def remarks(self, questions: int, scored: int) -> Iterator[str]:
        if self.over == "rounds":
            return
        known, found = questions, "questions"
        remedy = "use more questions, or lower `after`"
        if self.by == "gold":
            known, found = scored, f"of {questions} questions with a true answer"
            remedy = "give the questions true answers, set `by: agreement`, or lower `after`"
        if known <= self.after:
            why = f"`track_record` changes no edge: it has {known} {found}, and begins after {self.after}"
            yield Remark(f"{why}; {remedy}", ("after",))


def _count_rounds(state: RoundState | None) -> Iterator[Tally]:
    """Yield the answers of each round in which one answer is the most frequent one."""
    if state is None:
        return
    for turns in state.rounds:
        given = [(name, turn.answer) for name, turn in turns.items() if turn.answer is not None]
        groups = sorted(group([answer for _, answer in given], state.same), key=len)
        if groups and (len(groups) == 1 or len(groups[-1]) > len(groups[-2])):
            yield [name for name, _ in given], [given[i][0] for i in groups[-1]]
