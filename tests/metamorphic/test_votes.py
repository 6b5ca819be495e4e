"""Decisions: what the order, the names, the number and the scale of votes may change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume
from hypothesis import strategies as st

from society.components.decisions.base import DecisionRule
from society.components.registry import kinds
from society.core.types import Ballot, Decision, Turn, TurnId, Vote
from tests.metamorphic.relation import relation

COUNTING = ("majority", "supermajority", "unanimity", "weighted", "trajectory")
BALLOTS = ("approval", "borda", "ranked")
ANSWERS = "ABC"
PAPERS = ("A", "B > A", "C, A", "B\nC > B > A", "none of them")


def rule(kind: str, **fields: Any) -> DecisionRule:
    made = kinds("decision")[kind](**fields)
    assert isinstance(made, DecisionRule)
    return made


@st.composite
def ballots(draw: st.DrawFn, voters: tuple[int, int] = (1, 6)) -> Ballot:
    """Votes with their history, on three candidates."""
    votes, history = [], {}
    for i in range(draw(st.integers(*voters))):
        agent = f"v{i}"
        answers = draw(st.lists(st.sampled_from([*ANSWERS, None]), min_size=1, max_size=3))
        papers = draw(st.lists(st.sampled_from(PAPERS), min_size=len(answers), max_size=len(answers)))
        confidence = draw(st.sampled_from([None, 0.2, 0.25, 0.5, 0.8, 1.0]))
        said = list(zip(answers, papers, strict=True))
        history[agent] = [turn(agent, number, answer, text) for number, (answer, text) in enumerate(said, 1)]
        votes.append(Vote(agent, answers[-1], confidence, failed=answers[-1] is None and draw(st.booleans())))
    return Ballot(votes, history, tuple(ANSWERS), same=lambda a, b: a == b, seed=draw(st.integers(0, 9)))


def turn(agent: str, number: int, answer: str | None, text: str) -> Turn:
    return Turn(TurnId(0, "q", "talk", number, agent), "", (), text, answer)


def essence(decision: Decision) -> tuple[object, ...]:
    """Return a decision without the order of its tied answers."""
    return (decision.answer, round(decision.support, 9), decision.reason, sorted(decision.tied))


policies = st.fixed_dictionaries(
    {},
    optional={
        "unparsed": st.sampled_from(["abstain", "earlier", "veto", "exclude"]),
        "failed": st.sampled_from(["abstain", "earlier", "veto", "exclude"]),
    },
)
every = st.sampled_from([*COUNTING, *BALLOTS])


@relation(150, kind=every, ballot=ballots(), policy=policies, data=st.data())
def test_the_order_of_voters_decides_nothing_but_ties(
    kind: str, ballot: Ballot, policy: Any, data: st.DataObject
) -> None:
    turned = replace(ballot, votes=data.draw(st.permutations(ballot.votes)))
    abstaining = rule(kind, **policy)
    assert essence(abstaining.decide(ballot)) == essence(abstaining.decide(turned))
    for ties in ("first", "random"):
        one, other = (rule(kind, ties=ties, **policy).decide(b) for b in (ballot, turned))
        assert sorted(one.tied) == sorted(other.tied)
        if not one.tied:
            assert essence(one) == essence(other)


@relation(100, kind=every, ballot=ballots(), policy=policies, ties=st.sampled_from(["abstain", "first", "random"]))
def test_the_names_of_voters_decide_nothing(kind: str, ballot: Ballot, policy: Any, ties: str) -> None:
    votes = [replace(vote, agent=f"other-{vote.agent}") for vote in ballot.votes]
    history = {f"other-{agent}": turns for agent, turns in ballot.history.items()}
    decided = rule(kind, ties=ties, **policy)
    assert decided.decide(ballot) == decided.decide(replace(ballot, votes=votes, history=history))


@relation(100, kind=st.sampled_from(COUNTING), ballot=ballots(), policy=policies, names=st.permutations(ANSWERS))
def test_renaming_the_answers_renames_the_decision(
    kind: str, ballot: Ballot, policy: Any, names: Sequence[str]
) -> None:
    def other(answer: str | None) -> str | None:
        return None if answer is None else names[ANSWERS.index(answer)]

    history = {
        agent: [replace(said, answer=other(said.answer)) for said in turns] for agent, turns in ballot.history.items()
    }
    votes = [replace(vote, answer=other(vote.answer)) for vote in ballot.votes]
    decided = rule(kind, ties="first", **policy)
    before = decided.decide(ballot)
    expected = replace(before, answer=other(before.answer), tied=tuple(str(other(a)) for a in before.tied))
    assert decided.decide(replace(ballot, votes=votes, history=history)) == expected


@relation(100, kind=every, ballot=ballots(), policy=policies, times=st.integers(2, 3))
def test_an_electorate_that_is_doubled_decides_the_same(kind: str, ballot: Ballot, policy: Any, times: int) -> None:
    votes = [replace(vote, agent=f"{vote.agent}/{i}") for i in range(times) for vote in ballot.votes]
    history = {f"{agent}/{i}": turns for i in range(times) for agent, turns in ballot.history.items()}
    decided = rule(kind, **policy)
    before, after = decided.decide(ballot), decided.decide(replace(ballot, votes=votes, history=history))
    assert (before.answer, sorted(before.tied)) == (after.answer, sorted(after.tied))
    assert before.support == pytest.approx(after.support)


@relation(150, ballot=ballots(), scale=st.floats(0.01, 1.0), ties=st.sampled_from(["abstain", "first", "random"]))
def test_scaling_all_confidences_changes_no_weighted_decision(ballot: Ballot, scale: float, ties: str) -> None:
    votes = [replace(vote, confidence=0.5 if vote.confidence is None else vote.confidence) for vote in ballot.votes]
    scaled = [replace(vote, confidence=scale * (vote.confidence or 0)) for vote in votes]
    weighted = rule("weighted", ties=ties)
    assert weighted.decide(replace(ballot, votes=votes)) == weighted.decide(replace(ballot, votes=scaled))


@relation(100, kind=st.sampled_from(["majority", "supermajority", "weighted"]), ballot=ballots())
def test_another_voter_for_the_winner_leaves_it_the_winner(kind: str, ballot: Ballot) -> None:
    decided = rule(kind)
    before = decided.decide(ballot)
    assume(before.answer is not None)
    votes = [*ballot.votes, Vote("late", before.answer, 0.5)]
    after = decided.decide(replace(ballot, votes=votes))
    assert after.answer == before.answer
    assert after.support >= before.support - 1e-9


@relation(100, kind=st.sampled_from(COUNTING), ballot=ballots(), policy=policies)
def test_a_voter_without_an_answer_moves_no_votes_between_answers(kind: str, ballot: Ballot, policy: Any) -> None:
    assume(all(vote.answer is not None for vote in ballot.votes))
    more = replace(ballot, votes=[*ballot.votes, Vote("mute", None)], history={**ballot.history, "mute": []})
    before, after = rule(kind).decide(ballot), rule(kind).decide(more)
    if after.answer is not None:
        assert after.answer == before.answer
    assert after.support <= before.support + 1e-9
    excluded = rule(kind, unparsed="exclude")
    assert excluded.decide(more) == excluded.decide(ballot)


@relation(60, kind=st.sampled_from(COUNTING), answer=st.sampled_from(ANSWERS), voters=st.integers(2, 5))
def test_what_all_say_is_decided_by_every_rule(kind: str, answer: str, voters: int) -> None:
    votes = [Vote(f"v{i}", answer, 0.7) for i in range(voters)]
    history = {vote.agent: [turn(vote.agent, 1, answer, answer)] for vote in votes}
    decision = rule(kind).decide(Ballot(votes, history, (), same=lambda a, b: a == b, seed=0))
    assert (decision.answer, decision.support, decision.tied) == (answer, 1.0, ())
