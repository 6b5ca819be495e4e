"""A training in which agents vote on candidates learns from the answers that the ballots name, as the report says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import society
from society.components.decisions.base import vote_of
from society.components.decisions.voting import Approval
from society.components.plugin_files import set_plugins
from society.core.types import Ballot, Turn, TurnId
from society.metrics.iterations import run_iterations
from society.runs.records import load_records, sameness
from society.runs.run import Run
from society.runs.votes import fill_ballot, rebuild_ballot
from society.scenario.expand import expand

GUESSER = Path(__file__).with_name("guesser.py")
CHOICE = {
    "kind": "inline",
    "items": [{"question": f"Which colour is {word}?", "gold": "B"} for word in ("one", "two", "three", "four")],
    "choices": ["red", "green", "blue"],
    "limit": 2,
}
Vote = Callable[..., Run]


@pytest.fixture
def vote(tmp_path: Path) -> Iterator[Vote]:
    """Return a function that trains the agents a, b and c, which reply and then vote as it is told."""
    society.load_plugins(GUESSER)

    def run(replies: tuple[str, str, str], votes: tuple[str, str, str], **fields: Any) -> Run:
        stages = {"propose": dict(zip("abc", replies, strict=True)), "vote": dict(zip("abc", votes, strict=True))}
        scenario = {
            "version": 1,
            "name": "voters",
            "task": {"kind": "arithmetic", "form": "a+b", "high": 3, "limit": 2},
            "backends": {"local": "guesser"},
            "roles": {
                f"{stage}-{name}": {"prompt": f"{{{{ question }}}} [[{text}]]"}
                for stage, texts in stages.items()
                for name, text in texts.items()
            },
            "agents": {name: {"role": f"propose-{name}"} for name in "abc"},
            "phases": [{"name": "propose"}, {"name": "vote", "bind": {n: {"role": f"vote-{n}"} for n in "abc"}}],
            "decision": {"kind": "approval"},
            "train": {"iterations": 1, "questions": 2, "learners": {"voter": {"phases": ["vote"]}}},
        }
        scenario["train"] |= fields.pop("train", {})
        society.run(society.Scenario(**{**scenario, **fields}), tmp_path / "run", progress=False)
        return Run(tmp_path / "run")

    yield run
    set_plugins()


@pytest.mark.parametrize("kind", ["approval", "borda", "ranked"])
def test_those_who_voted_for_the_decision_are_trained(vote: Vote, kind: str) -> None:
    """Candidate A is the answer B: read as answers, the ballots of a and b would be against the decision."""
    run = vote(("B", "A", "A"), ("A", "A", "B"), task=CHOICE, decision={"kind": kind})
    assert {row.decision.answer for row in run.results()} == {"B"}
    assert {row.agent: row.examples for row in run.adapters()} == {"a": 2, "b": 2, "c": 0}
    assert run_iterations(run)[0].rows_right["agrees"].successes == 4


@pytest.mark.parametrize("over", ["last", "all"])
def test_ballots_are_votes_for_a_label(vote: Vote, over: str) -> None:
    run = vote(("4", "4", "5"), ("A", "B", "A"), train={"label": {"kind": "vote", "over": over}})
    assert {row.agent: row.examples for row in run.adapters()} == {"a": 2, "b": 0, "c": 2}
    [score, _] = run_iterations(run)
    assert (score.labelled, score.unlabelled, score.left_out) == (2, 0, {"voter": {"not selected": 2}})


def test_a_decision_is_counted_on_the_answers_that_it_was_made_on(vote: Vote) -> None:
    """The record has the answers that ballots name; the ballot is rebuilt from the stored turns."""
    run = vote(("B", "A", "A"), ("A", "A", "B"), task=CHOICE)
    record, made = load_records(run)[0], expand(run.scenario)
    ballot = rebuild_ballot(made, record, sameness(made))
    assert [turn.answer for turn in record.last("abc")] == ["B", "B", "A"]
    assert [vote.answer for vote in ballot.votes] == ["A", "A", "B"]
    assert [vote.answer for vote in fill_ballot(ballot, record).votes] == ["B", "B", "A"]
    assert record.as_stored.as_stored == record.as_stored


def test_a_voter_that_failed_has_replied_if_an_earlier_ballot_counts() -> None:
    """Its answer before the vote is no ballot."""
    answer = Turn(TurnId(0, "q", "propose", 1, "a"), "", (), "It is 4.", "4")
    paper = replace(answer, id=TurnId(0, "q", "vote", 1, "a"), text="A", answer=None)
    failed = replace(answer, id=TurnId(0, "q", "vote", 2, "a"), text="", answer=None, status="failed")
    rule = Approval(unparsed="earlier")
    for said, decided, replies in (([answer, paper, failed], "4", 1), ([answer, failed], None, 0)):
        ballot = Ballot([vote_of("a", failed)], {"a": said}, ("4", "5"), str.__eq__, seed=0)
        assert (rule.decide(ballot).answer, rule.replies(ballot)) == (decided, replies)
