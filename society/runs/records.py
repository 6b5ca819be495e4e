"""The debates of a run as records: each result with its turns, and whether each turn is right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import groupby, takewhile
from typing import TYPE_CHECKING

from society.components.decisions.base import vote_of
from society.components.decisions.counting import Majority
from society.core.errors import RunFolderError
from society.core.types import Ballot, Decision, Same, Turn, TurnId, Usage
from society.runs.votes import read_ballots, seed_decision
from society.scenario.expand import Society, expand
from society.store.rows import ResultRow

if TYPE_CHECKING:
    from society.runs.run import Run

Question = tuple[str, str]
"""Identity of a question across runs: the item's id and its text."""


_WITHOUT_RESULT = (
    "NOT EXISTS (SELECT 1 FROM results AS r"
    " WHERE r.iteration = turns.iteration AND r.item = turns.item AND r.sample = turns.sample)"
)
"""SQL that selects the turns of debates that have not ended."""


@dataclass(frozen=True)
class DebateRecord:
    """One finished debate: how it ended and every turn in it, in the order of phase, round and agent.

    `helping` has the phase and name of agents that only moderate, rank or summarise there. Their replies are no answers
    of their own. `stored` has the turns with the answers that the store has, if some of `turns` are ballots that the
    decision rule has read (see `society.runs.votes.read_ballots`).
    """

    result: ResultRow
    turns: tuple[Turn, ...]
    helping: frozenset[tuple[str, str]] = frozenset()
    stored: tuple[Turn, ...] | None = None

    @property
    def question(self) -> Question:
        """The item's id and text."""
        return (self.result.item, self.result.question)

    @property
    def scored(self) -> bool:
        """Return whether the question has a true answer, so that its answers are right or wrong."""
        return self.result.scored

    @property
    def as_stored(self) -> DebateRecord:
        """The record with the answers that the store has. The debate was decided on them."""
        return self if self.stored is None else replace(self, turns=self.stored, stored=None)

    def right(self, turn: Turn) -> bool:
        """Return whether the turn's answer is right; one that failed or could not be read is not."""
        return turn.answer is not None and self.result.verdicts.get(turn.answer, False)

    def helps(self, turn: Turn) -> bool:
        """Return whether an agent moderates, ranks, judges a match or summarizes in a turn: its reply is no answer."""
        return "/" in turn.id.agent or (turn.id.phase, turn.id.agent.partition("/")[0]) in self.helping

    def of(self, agent: str) -> list[Turn]:
        """Return an agent's turns as a speaker, in order; all its turns if it only helped."""
        turns = self.every(agent)
        return [turn for turn in turns if (turn.id.phase, agent) not in self.helping] or turns

    def every(self, agent: str) -> list[Turn]:
        """Return all turns of an agent, those as a helper included, in order."""
        return list(self._by_agent.get(agent, ()))

    @cached_property
    def _by_agent(self) -> dict[str, list[Turn]]:
        found: dict[str, list[Turn]] = {}
        for turn in self.turns:
            found.setdefault(turn.id.agent, []).append(turn)
        return found

    @cached_property
    def speakers(self) -> tuple[str, ...]:
        """The agents that spoke for themselves, in the order of their first turns."""
        return tuple(dict.fromkeys(turn.id.agent for turn in self.turns if not self.helps(turn)))

    @property
    def independent(self) -> list[Turn]:
        """The independent answers: first turns of agents that had read no other, in any role."""
        found: dict[str, Turn | None] = {}
        for turn in self.turns:
            name = turn.id.agent.partition("/")[0]
            if turn.reads or not self.helps(turn):
                found.setdefault(name, None if turn.reads else turn)
        return [turn for turn in found.values() if turn is not None]

    def opening(self, society: Society) -> list[Turn]:
        """Return the answers before debating: the first ones of the agents that had a vote at some time.

        If these all had read others by then, as a judge or an aggregator has, they are the independent answers.
        """
        turns = self.first(self.candidates(society))
        return turns if any(not turn.reads for turn in turns) else self.independent or turns

    def first(self, agents: Iterable[str]) -> list[Turn]:
        """Return the first turn of each of these agents that spoke."""
        return [turns[0] for agent in agents if (turns := self.of(agent))]

    def last(self, agents: Iterable[str]) -> list[Turn]:
        """Return the last turn of each of these agents that spoke."""
        return [turns[-1] for agent in agents if (turns := self.of(agent))]

    def voters(self, society: Society) -> Sequence[str]:
        """Return the agents that had a vote: those of the scenario, unless phases were skipped or agents taken out."""
        return self.result.decision.voters or society.voters

    def candidates(self, society: Society) -> Sequence[str]:
        """Return the agents that had a vote at some time: also those that were taken out before the decision."""
        if not society.may_skip or society.scenario.decision.electorate():
            return society.voters
        return society.last_phase({turn.id.phase for turn in self.turns}).speakers

    @property
    def usage(self) -> Usage:
        """The cost of the debate."""
        return sum((turn.usage for turn in self.turns), Usage())


def load_records(run: Run, iteration: int | None = None, split: str = "evaluation") -> list[DebateRecord]:
    """Return every finished debate of a split ("evaluation" or "training"), of one iteration or of all, in the order of
    iteration, item and sample. Ballots in the last phase count as the answer that they put first.

    A training learns from these records, and the report describes it with the same ones.
    """
    # Results first: a debate that ends between the two reads has its turns stored by then.
    results = [r for r in run.results() if r.split == split and iteration in (None, r.iteration)]
    stored = run.turns() if iteration is None else run.turns("iteration = ?", (iteration,))
    turns = {key: tuple(group) for key, group in groupby(stored, key=_debate)}
    society = expand(run.scenario)
    helping = helpers_of(society)
    same = training_sameness(society) if split == "training" else sameness(society)
    found = [DebateRecord(r, turns.get((r.iteration, r.item, r.sample), ()), helping) for r in results]
    _require_turns(run, found)
    return [read_ballots(society, record, same) for record in found]


def load_unfinished(run: Run) -> list[DebateRecord]:
    """Return the evaluation's debates that have turns and no result, in the order of `load_records`.

    Their decision is missing, with the reason "not finished", and nothing in them is right or wrong.
    """
    questions = {item.id: item for item in run.questions() or ()}
    helping = helpers_of(expand(run.scenario))
    found = []
    for debate, group in groupby(run.turns(_WITHOUT_RESULT), key=_debate):
        if (item := questions.get(debate[1])) is not None:
            decision = Decision(None, reason="not finished")
            result = ResultRow(*debate, "evaluation", item.question, item.gold, decision, False, {}, scored=False)
            found.append(DebateRecord(result, tuple(group), helping))
    return found


def load_record(run: Run, debate: tuple[int, str, int]) -> DebateRecord:
    """Return one finished debate, by iteration, item and sample; nothing else of the run is read."""
    where = "iteration = ? AND item = ? AND sample = ?"
    [result] = run.results(where, debate)
    society = expand(run.scenario)
    same = training_sameness(society) if result.split == "training" else sameness(society)
    record = DebateRecord(result, tuple(run.turns(where, debate)), helpers_of(society))
    _require_turns(run, [record])
    return read_ballots(society, record, same)


def _require_turns(run: Run, records: Sequence[DebateRecord]) -> None:
    """Raise `RunFolderError` for results without turns: a run stores the turns of a debate before its result."""
    silent = sum(not record.turns for record in records)
    if not silent:
        return
    count = "1 result has" if silent == 1 else f"{silent} results have"
    raise RunFolderError(
        f"{count} no turns in the run in {run.folder}: the store is incomplete.",
        "Restore the folder from a copy, or run the scenario again in a new folder (--out; Python: `out`).",
    )


def helpers_of(society: Society) -> frozenset[tuple[str, str]]:
    """Return the phases and agents in which an agent helps and does not speak."""
    return frozenset(
        (phase.name, name) for phase in society.phases for name in phase.agents if name not in phase.speakers
    )


def _debate(turn: Turn) -> tuple[int, str, int]:
    return (turn.id.iteration, turn.id.item, turn.id.sample)


def total_usage(records: Sequence[DebateRecord]) -> Usage:
    """Return what all these debates cost together; the seconds are those in which their backends were busy."""
    return sum((record.usage for record in records), Usage())


def with_truth(records: Iterable[DebateRecord]) -> list[DebateRecord]:
    """Return the debates on questions with a true answer, in order: only these are right or wrong."""
    return [record for record in records if record.scored]


def by_iteration(records: Iterable[DebateRecord]) -> dict[int, list[DebateRecord]]:
    """Return the debates of each iteration, in order."""
    found: dict[int, list[DebateRecord]] = {}
    for record in records:
        found.setdefault(record.result.iteration, []).append(record)
    return dict(sorted(found.items()))


def by_question(records: Iterable[DebateRecord]) -> dict[Question, list[DebateRecord]]:
    """Return the debates of each question, in the order first met: its samples belong together."""
    found: dict[Question, list[DebateRecord]] = {}
    for record in records:
        found.setdefault(record.question, []).append(record)
    return found


def sameness(society: Society) -> Same:
    """Return the task's `same`, asked once for each pair of answers."""
    return cache_same(society.scenario.task.same)


def training_sameness(society: Society) -> Same:
    """Return the `same` of the task that training questions come from, asked once for each pair of answers."""
    spec = society.scenario.train
    task = spec.task if spec is not None and spec.task is not None else society.scenario.task
    return cache_same(task.same)


def cache_same(compare: Same) -> Same:
    """Return the same comparison, which remembers each pair of answers."""

    @cache
    def same(a: str, b: str) -> bool:
        return a == b or compare(a, b)

    return same


def vote_on(society: Society, record: DebateRecord, turns: Sequence[Turn], same: Same) -> Decision:
    """Return the majority vote over these turns of a debate, by the scenario's policies: ties, missing answers, quorum.

    A tie that is drawn has the draw of the debate's own decision, so that equal votes have equal decisions.
    """
    rule = society.scenario.decision
    majority = Majority(ties=rule.ties, unparsed=rule.unparsed, failed=rule.failed, quorum=rule.quorum)
    votes = [vote_of(turn.id.agent, turn) for turn in turns]
    if not votes:
        return Decision(None, reason="nobody spoke")
    seed = seed_decision(society, record)
    return majority.decide(Ballot(votes, _list_earlier(record, turns), (), same, seed))


def _list_earlier(record: DebateRecord, turns: Sequence[Turn]) -> Mapping[str, Sequence[Turn]]:
    """Return each voter's turns before its vote. A voter with several votes has none: its earlier answers are votes."""
    votes = Counter(turn.id.agent for turn in turns)
    single = [turn.id for turn in turns if votes[turn.id.agent] == 1]
    return {vote.agent: _turns_before(record, vote) for vote in single}


def _turns_before(record: DebateRecord, vote: TurnId) -> list[Turn]:
    return list(takewhile(lambda turn: turn.id != vote, record.of(vote.agent)))


def vote_is_right(society: Society, record: DebateRecord, turns: Sequence[Turn], same: Same) -> bool:
    """Return whether a majority vote over these turns would have been right; ties (by policy) and silence are not."""
    answer = vote_on(society, record, turns, same).answer
    return answer is not None and record.result.verdicts.get(answer, False)
