"""Every decision rule on votes worked by hand, and its policies on ties and missing answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from society.answers.format import AnswerFormat
from society.components.contracts import make_state, make_turn
from society.components.decisions.base import DecisionRule, vote_of
from society.components.decisions.counting import Majority, Supermajority, Unanimity, Weighted
from society.components.decisions.single import Judge
from society.components.decisions.trajectory import Trajectory
from society.components.decisions.voting import Approval, Borda, Ranked, read_letters
from society.components.share_stops import Consensus
from society.core.types import Ballot, ChatMessage, Decision, Turn, TurnId, Vote


def ballot(
    answers: Sequence[str | None],
    confidences: Sequence[float | None] | None = None,
    history: dict[str, list[str | None]] | None = None,
    papers: Sequence[str] = (),
    candidates: Sequence[str] = (),
) -> Ballot:
    names = [f"a-{i}" for i in range(1, max(len(answers), len(papers)) + 1)]
    given = list(answers) or [None] * len(names)
    sure = confidences or [None] * len(names)
    spoken = history or {n: [a] for n, a in zip(names, given, strict=True)}
    turns = {n: [_turn(n, i, f"I say {a}", a) for i, a in enumerate(said, 1)] for n, said in spoken.items()}
    if papers:
        turns = {n: [_turn(n, 1, paper, None)] for n, paper in zip(names, papers, strict=True)}
    votes = [Vote(n, a, c) for n, a, c in zip(names, given, sure, strict=True)]
    return Ballot(votes, turns, candidates, str.__eq__, seed=7)


def _turn(agent: str, number: int, text: str, answer: str | None) -> Turn:
    return Turn(TurnId(0, "q", "p", number, agent), "k", (ChatMessage("user", "?"),), text, answer)


def test_majority_is_a_plurality_and_counts_the_silent_in_its_support() -> None:
    decision = Majority().decide(ballot(["x", "y", "x", None]))
    assert (decision.answer, decision.support) == ("x", 0.5)


@pytest.mark.parametrize(("ties", "answer"), [("abstain", None), ("first", "x")])
def test_a_three_way_split_is_decided_by_policy_alone(ties: str, answer: str | None) -> None:
    decision = Majority(ties=ties).decide(ballot(["x", "z", "y"]))  # type: ignore[arg-type]
    assert decision.answer == answer
    assert decision.tied == ("x", "z", "y")


def test_random_ties_are_seeded_and_reach_every_answer() -> None:
    rule = Majority(ties="random")
    split = ballot(["x", "y"])
    drawn = {rule.decide(Ballot(split.votes, split.history, (), str.__eq__, seed)).answer for seed in range(20)}
    assert drawn == {"x", "y"}
    assert rule.decide(split) == rule.decide(split)


@pytest.mark.parametrize(("policy", "answer"), [("abstain", "x"), ("earlier", "y"), ("veto", None)])
def test_missing_answers_follow_the_policy(policy: str, answer: str | None) -> None:
    votes = ballot(["x", None, None], history={"a-1": ["x"], "a-2": ["y", None], "a-3": ["y", None]})
    assert Majority(unparsed=policy).decide(votes).answer == answer  # type: ignore[arg-type]


def with_failures(votes: Ballot, *agents: str) -> Ballot:
    return replace(votes, votes=[replace(vote, failed=vote.agent in agents) for vote in votes.votes])


@pytest.mark.parametrize(
    ("failed", "answer", "support"),
    [
        (None, "x", 2 / 6),
        ("abstain", "x", 2 / 6),
        ("earlier", "y", 3 / 6),
        ("veto", None, 0),
        ("exclude", "x", 2 / 3),
    ],
)
def test_failed_turns_follow_a_policy_of_their_own(failed: str | None, answer: str | None, support: float) -> None:
    """Two say x, three said y before their last turns failed, one cannot be read."""
    gone = {f"a-{i}": ["y", None] for i in (3, 4, 5)}
    votes = ballot(["x", "x", *[None] * 4], history={"a-1": ["x"], "a-2": ["x"], **gone, "a-6": ["z", None]})
    decision = Majority(failed=failed).decide(with_failures(votes, *gone))  # type: ignore[arg-type]
    assert decision.answer == answer
    assert decision.support == pytest.approx(support)


@pytest.mark.parametrize(
    "rule", [Majority(failed="exclude"), Trajectory(failed="exclude"), Unanimity(unparsed="exclude")]
)
def test_when_all_are_excluded_nobody_decides(rule: DecisionRule) -> None:
    decision = rule.decide(with_failures(ballot([None, None]), "a-1", "a-2"))
    assert decision.answer is None
    assert decision.reason


def test_the_unanimity_of_those_who_could_speak() -> None:
    votes = with_failures(ballot(["x", "x", None]), "a-3")
    assert Unanimity(failed="exclude").decide(votes).answer == "x"
    assert Unanimity().decide(votes).answer is None


@pytest.mark.parametrize(("failed", "support"), [("abstain", 2 / 3), ("exclude", 1), ("veto", 0)])
def test_failed_voters_leave_a_vote_on_candidates(failed: str, support: float) -> None:
    votes = ballot([], papers=["", "B", "B, A"], candidates=["x", "y", "z"])
    decision = Approval(failed=failed).decide(with_failures(votes, "a-1"))  # type: ignore[arg-type]
    assert (decision.answer, decision.support) == ("y" if support else None, pytest.approx(support))


def test_an_earlier_paper_of_the_same_phase_counts_where_the_policy_says_so() -> None:
    votes = ballot([], papers=["?", "A"], candidates=["x", "y"])
    history = {"a-1": [_turn("a-1", 1, "B", None), _turn("a-1", 2, "", None)], "a-2": votes.history["a-2"]}
    failed = with_failures(replace(votes, history=history), "a-1")
    assert Approval(failed="earlier").decide(failed).tied == ("x", "y")
    assert Approval().decide(failed).answer == "x"


def test_nobody_answers() -> None:
    assert Majority().decide(ballot([None, None])).reason == "no voter gave a readable answer"


@pytest.mark.parametrize(("answers", "expected"), [(["x", "x", "y"], "x"), (["x", "x", "y", "y", "x"], None)])
def test_supermajority(answers: list[str], expected: str | None) -> None:
    assert Supermajority().decide(ballot(answers)).answer == expected


def test_unanimity() -> None:
    assert Unanimity().decide(ballot(["x", "x"])).answer == "x"
    assert Unanimity().decide(ballot(["x", None])).answer is None


def test_confidence_outweighs_numbers() -> None:
    rule = Weighted()
    assert rule.decide(ballot(["x", "x", "y"], [0.2, 0.3, 0.9])).answer == "y"
    assert rule.decide(ballot(["x", "x", "y"], [0.5, None, 0.9])).answer == "x"  # None counts 0.5


def test_the_judge_alone_decides() -> None:
    assert Judge(agent="judge").electorate() == ("judge",)
    assert Judge(agent="judge").decide(ballot(["z"])).answer == "z"


@pytest.mark.parametrize(("unparsed", "answer"), [("abstain", None), ("earlier", "z"), ("veto", None)])
def test_a_judge_without_a_readable_last_answer_decides_only_where_earlier_answers_count(
    unparsed: Literal["abstain", "earlier", "veto"], answer: str | None
) -> None:
    votes = ballot([None], history={"a-1": ["z", None]})
    assert Judge(agent="a-1", unparsed=unparsed).decide(votes).answer == answer


@pytest.mark.parametrize(
    ("text", "letters"),
    [("B > A > C", [1, 0, 2]), ("I approve A and C.", [0, 2]), ("A\nB", [0, 1]), ("none", []), ("D, B, B", [1])],
)
def test_letters_of_a_voting_paper(text: str, letters: list[int]) -> None:
    assert read_letters(text, 3) == letters


PAPERS = ["B > C", "B > A", "A > C > B", "C > A > B", "A > B"]


def test_approval() -> None:
    votes = ballot([], papers=["A, B", "B", "C, B", "A"], candidates=["x", "y", "z"])
    assert Approval().decide(votes).answer == "y"


def test_borda_by_hand() -> None:
    """Points A: 0+1+2+1+2 = 6, B: 2+2+0+0+1 = 5, C: 1+0+1+2+0 = 4."""
    assert Borda().decide(ballot([], papers=PAPERS, candidates=["x", "y", "z"])).answer == "x"


def test_instant_runoff_by_hand() -> None:
    """First places A 2, B 2, C 1: C drops out, its paper goes to A, who then has 3 of 5."""
    assert Ranked().decide(ballot([], papers=PAPERS, candidates=["x", "y", "z"])).answer == "x"


def test_unreadable_papers_are_no_votes() -> None:
    votes = ballot([], papers=["?", "B"], candidates=["x", "y"])
    assert Approval().decide(votes).answer == "y"
    assert Approval(unparsed="veto").decide(votes).answer is None


def test_trajectory_by_hand() -> None:
    """x: 20 - 25/2; y: 20 + 30/2 + 20/2; z: 20 - 25/2 + 30/2 ..., so the held y wins over the late z."""
    votes = ballot(["y", "y", "z"], history={"a-1": ["x", "y"], "a-2": ["y", "y"], "a-3": ["x", "z"]})
    assert Trajectory().decide(votes).answer == "y"


@given(
    answers=st.lists(st.sampled_from(["x", "y", None]), min_size=1, max_size=9),
    rule=st.sampled_from([Majority(), Supermajority(), Unanimity(), Weighted(), Trajectory()]),
)
def test_no_rule_invents_an_answer(answers: list[str | None], rule: DecisionRule) -> None:
    decision = rule.decide(ballot(answers))
    assert decision.answer is None or decision.answer in answers
    assert 0 <= decision.support <= 1
    if decision.answer is None:
        assert decision.reason


# Quorum


RULES = [Majority, Supermajority, Unanimity, Weighted, Trajectory]


@pytest.mark.parametrize("kind", RULES)
@given(answers=st.lists(st.sampled_from(["x", "y", None]), min_size=1, max_size=6), quorum=st.integers(1, 7))
def test_no_decision_stands_on_fewer_voters_than_its_quorum(
    kind: type[DecisionRule], answers: list[str | None], quorum: int
) -> None:
    """With enough voters behind it a decision is the one without a quorum."""
    votes = ballot(answers)
    free, bound = kind().decide(votes), kind(quorum=quorum).decide(votes)
    assert kind().quorum == 1  # as it was before there was a quorum
    if free.answer is None or answers.count(free.answer) >= quorum or quorum == 1:
        assert bound == free
    else:
        assert bound.answer is None
        assert bound.reason == f"{answers.count(free.answer)} of {len(answers)} voters agree, " + (
            f"fewer than the quorum of {quorum}"
        )
        assert bound.support == free.support


@pytest.mark.parametrize("kind", [Approval, Borda, Ranked])
def test_votes_on_candidates_have_a_quorum_too(kind: type[Approval] | type[Borda] | type[Ranked]) -> None:
    lone = ballot([], papers=["B", "?", "?"], candidates=["x", "y"])
    assert kind().decide(lone).answer == "y"
    refused = kind(quorum=2).decide(lone)
    assert refused.answer is None
    assert "1 of 3 voters agree" in refused.reason
    assert kind(quorum=2).decide(ballot([], papers=["B", "B", "?"], candidates=["x", "y"])).answer == "y"
    left = kind(quorum=2, unparsed="exclude").decide(lone)
    assert (left.answer, left.support) == (None, 1.0)


def test_backers_are_counted_as_the_rule_counts_them() -> None:
    history = {"a-1": ["x"], "a-2": ["x", None], "a-3": ["y"]}
    votes = ballot(["x", None, "y"], history=history)  # type: ignore[arg-type]
    for rule, backers in ((Majority(ties="first"), 1), (Majority(unparsed="earlier"), 2)):
        assert rule.backers(rule.decide(votes), votes) == backers
    split = ballot(["x", "y"])
    assert Majority().backers(Majority().decide(split), split) == 0
    judged = ballot(["x"])
    assert Judge(agent="a-1").backers(Judge(agent="a-1").decide(judged), judged) == 1
    papers = ballot([], papers=["A, B", "B", "?"], candidates=["x", "y"])
    assert Approval().backers(Approval().decide(papers), papers) == 2


@pytest.mark.parametrize(
    ("answers", "share", "reached"),
    [
        (("x", None, None), 0.3, False),  # one answer among unreadable ones
        (("x", "x", None), 0.5, True),
        (("x", None, None), 1.0, False),
        (("x",), 1.0, True),  # a round of one speaker
        ((None,), 1.0, False),
        (("x", "x", "x"), 1.0, True),
    ],
)
def test_a_lone_answer_is_no_consensus_that_ends_a_phase(
    answers: Sequence[str | None], share: float, reached: bool
) -> None:
    assert Consensus(share=share).reached(make_state([answers])) is reached
    assert Consensus(share=0.3, quorum=1).reached(make_state([("x", None, None)]))


@pytest.mark.parametrize("rule", [Majority(), Trajectory()], ids=lambda rule: rule.kind)
def test_the_order_of_agents_changes_no_decision(rule: DecisionRule) -> None:
    """ "5" equals "5 cm" and "$5", which differ, so the spelling that is decided may be right or wrong."""
    same = AnswerFormat(equal="numeric").same
    decided = {
        rule.decide(replace(ballot(order), same=same)).answer for order in permutations(["5 cm", "5", "$5", "5 cm"])
    }
    assert decided == {"5 cm"}


# A vote over all turns


def test_a_vote_over_all_turns_counts_each_turn() -> None:
    rounds = {"a": ["4", "5"], "b": ["4", "5"], "c": ["4", None], "d": [None, "6"]}
    turns = {name: [make_turn(name, answer, i) for i, answer in enumerate(said, 1)] for name, said in rounds.items()}
    votes = [vote_of(name, spoken[-1]) for name, spoken in turns.items()]
    ballot = Ballot(votes, turns, (), str.__eq__, seed=0)
    last, every = Majority(), Majority(over="all")
    assert last.decide(ballot).answer == "5"
    assert every.decide(ballot) == Decision("4", 3 / 8)
    assert (every.backers(every.decide(ballot), ballot), every.replies(ballot)) == (3, 8)
    assert every.describe_support(every.decide(ballot), 4) == "38% of the turns of 4 voters"
    assert Majority(over="all", quorum=4).decide(ballot).answer is None
    assert Majority(over="all", unparsed="exclude").decide(ballot).support == 3 / 6
    assert Majority(over="all", unparsed="veto").decide(ballot).reason == "2 of 8 voters without an answer"


def test_two_turns_of_one_voter_are_no_quorum_of_two() -> None:
    rounds = {"a": ["4", "4"], "b": [None, None], "c": [None, "5"]}
    turns = {name: [make_turn(name, answer, i) for i, answer in enumerate(said, 1)] for name, said in rounds.items()}
    votes = [vote_of(name, spoken[-1]) for name, spoken in turns.items()]
    ballot = Ballot(votes, turns, (), str.__eq__, seed=0)
    every = Majority(over="all")
    decision = every.decide(ballot)
    assert (decision.answer, every.backers(decision, ballot), every.supporters(decision, ballot)) == ("4", 2, 1)
    refused = Majority(over="all", quorum=2).decide(ballot)
    assert (refused.answer, refused.reason) == (None, "1 of 3 voters agree, fewer than the quorum of 2")


def test_a_failed_turn_is_no_reply_in_a_vote_over_all_turns() -> None:
    failed = replace(make_turn("a", None, 2), status="failed")
    history = {"a": [make_turn("a", "4"), failed], "b": [make_turn("b", "4")]}
    ballot = Ballot([vote_of("a", failed), vote_of("b", history["b"][-1])], history, (), str.__eq__, seed=0)
    assert Majority(over="all").decide(ballot) == Decision("4", 2 / 3)
    assert Majority(over="all").replies(ballot) == 2
