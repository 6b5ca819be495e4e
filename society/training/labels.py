"""Labels of training debates, by the label rule of a learner, with the thresholds of `train:`.

A label by votes needs enough voters that agree (see `Labels`). Its votes may be those of an earlier iteration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from society.components.decisions.base import DecisionRule
from society.components.faults import faults_of
from society.components.labels.base import NO_QUORUM, Evidence, Label, LabelRule, require_label
from society.components.labels.votes import ConsensusLabel
from society.core.types import Ballot, Same, Turn
from society.runs.records import DebateRecord, training_sameness
from society.runs.votes import count_votes, fill_ballot, rebuild_ballot
from society.scenario.expand import Society
from society.scenario.models.training import TrainSpec

NO_DEBATE = "no debate in the iteration that labels"
"""Reason for a debate whose question was not debated in the iteration that its label comes from."""


@dataclass(frozen=True)
class Labels:
    """Labels by one rule. `evidence` returns what is known about a debate, as of the iteration that labels it.

    A label by votes needs at least `quorum` of them, and more than the share `majority`. With a `quorum` of 2 or more,
    they are of at least two different voters.
    """

    rule: LabelRule
    same: Same
    evidence: Callable[[DebateRecord, LabelRule], Evidence | None]
    quorum: int = 2
    majority: float = 0.5

    def find(self, record: DebateRecord, agent: str = "") -> Label:
        """Return the label of this debate for the rows of an agent."""
        evidence = self.evidence(record, self.rule)
        if evidence is None:
            return Label(None, NO_DEBATE)
        with faults_of(self.rule, "find", f"on the question {record.result.item!r}"):
            label = require_label(self.rule.find(evidence, agent), self.rule)
        if label.given and label.votes is not None and not self._suffices(label, label.votes):
            return replace(label, answer=None, reason=NO_QUORUM)
        return label

    def _suffices(self, label: Label, votes: int) -> bool:
        supporters = label.backers if label.supporters is None else label.supporters
        enough = label.backers >= self.quorum and supporters >= min(self.quorum, 2)
        return enough and label.backers > self.majority * votes + 1e-9

    def agree(self, turn: Turn, label: Label, record: DebateRecord) -> bool:
        """Return whether the answer of a turn in this debate is the label."""
        return turn.answer is not None and self.accept(turn.answer, label, record)

    def accept(self, answer: str | None, label: Label, record: DebateRecord) -> bool:
        """Return whether an answer in this debate is the label."""
        evidence = self.evidence(record, self.rule) if answer is not None and label.given else None
        if answer is None or evidence is None:
            return False
        with faults_of(self.rule, "agrees", f"on the question {record.result.item!r}"):
            return bool(self.rule.agrees(answer, label, evidence))

    def is_right(self, record: DebateRecord, label: Label) -> bool | None:
        """Return whether a label that this debate was given is a true answer; None if its verdict is not known."""
        if label.answer is None:
            return True if self.rule.needs_truth else None
        evidence = self.evidence(record, self.rule)
        return None if evidence is None or evidence.right is None else evidence.right(label.answer)


@dataclass
class History:
    """The training debates of the iterations so far, from which labels come."""

    society: Society
    same: Same
    _debates: dict[tuple[int, str, int], DebateRecord] = field(default_factory=dict)
    _drawn: dict[tuple[int, str], list[DebateRecord]] = field(default_factory=dict)
    _known: dict[tuple[int, str, int, int], Evidence] = field(default_factory=dict)

    def add(self, records: Iterable[DebateRecord]) -> list[DebateRecord]:
        """Add records of training debates, and return them without the additional votes among them."""
        debates = []
        for record in records:
            result = record.result
            if is_drawn(self.society, record):
                self._drawn.setdefault((result.iteration, result.item), []).append(record)
            else:
                self._debates[result.iteration, result.item, result.sample] = record
                debates.append(record)
        return debates

    def evidence(self, record: DebateRecord, rule: LabelRule) -> Evidence | None:
        """Return what labels a debate: the debate itself, or that on the same question in an earlier iteration."""
        result = record.result
        with faults_of(rule, "origin"):
            origin = rule.origin(result.iteration)
        with faults_of(rule, "draws"):
            draws = rule.draws(origin)
        debate = (origin, result.item, result.sample)
        if (*debate, draws) not in self._known:
            source = record if origin == result.iteration else self._debates.get(debate)
            if source is None:
                return None
            ballot = rebuild_ballot(self.society, source, self.same)
            end = self.society.scenario.samples + draws
            drawn = [one for one in self._drawn.get(debate[:2], ()) if one.result.sample < end]
            self._known[*debate, draws] = find_evidence(self.society.scenario.decision, ballot, source, drawn)
        return self._known[*debate, draws]

    def labels(self, spec: TrainSpec, rule: LabelRule) -> Labels:
        """Return the labels by a rule of the scenario's `train:` block."""
        return Labels(rule, self.same, self.evidence, spec.quorum, spec.majority)


def is_drawn(society: Society, record: DebateRecord) -> bool:
    """Return whether a record has additional votes for labels: it is numbered after the debates of the scenario."""
    return record.result.sample >= society.scenario.samples


def find_evidence(
    rule: DecisionRule, ballot: Ballot, record: DebateRecord, drawn: Sequence[DebateRecord] = ()
) -> Evidence:
    """Return what is known about a debate for its label. `rule` decided the debate on the `ballot`.

    Voters' turns have the answers of the record, so that a ballot such as "B > C" is a vote for an answer. `drawn` are
    the records of additional votes.
    """
    support = count_votes(rule, ballot, record)
    decision, same, read = record.result.decision, ballot.same, fill_ballot(ballot, record)
    others: dict[str, int] = {}
    for vote in rule.settle(read):
        if vote.answer is not None and not (decision.answer is not None and same(vote.answer, decision.answer)):
            known = next((answer for answer in others if same(answer, vote.answer)), vote.answer)
            others[known] = others.get(known, 0) + 1
    rivals = max(others.values(), default=0)
    votes = [turn for one in drawn for turn in one.turns if not one.helps(turn)]
    right = partial(find_verdict, _join_verdicts([record, *drawn]), same=same) if record.scored else None
    counts = (support.backers, rivals, support.spoke)
    return Evidence(read.history, votes, decision, *counts, same, right, support.supporters)


def _join_verdicts(records: Iterable[DebateRecord]) -> dict[str, bool]:
    """Return the verdict on each answer in debates of one question; the first debate with an answer counts."""
    found: dict[str, bool] = {}
    for record in records:
        for answer, verdict in record.result.verdicts.items():
            found.setdefault(answer, verdict)
    return found


def find_verdict(verdicts: Mapping[str, bool], answer: str, same: Same) -> bool | None:
    """Return whether an answer is right, by the verdict on it or on an equal answer; None if nobody gave one.

    True answers are not compared here: a question may have several, or be judged by tests or by an agent.
    """
    if answer in verdicts:
        return verdicts[answer]
    return next((verdict for given, verdict in verdicts.items() if same(given, answer)), None)


def consensus_labels(society: Society, same: Same) -> Labels:
    """Return labels from the decisions of this society with the default quorum. One voter is its own consensus."""
    return Labels(ConsensusLabel(), same, History(society, same).evidence, quorum=min(2, len(society.voters)))


def open_history(society: Society) -> History:
    """Return an empty history for the training debates of a society."""
    return History(society, training_sameness(society))
