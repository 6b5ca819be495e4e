"""The votes behind a decision, read again from a run, are those that the engine decided on."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from society.answers.ballots import read_letters
from society.metrics.summary import summarize
from society.runs.records import DebateRecord, sameness
from society.runs.votes import count_support, rebuild_ballot
from society.scenario.expand import expand
from society.scenario.models.scenario import Scenario

HELPS = """
task: {kind: arithmetic, form: a+b, limit: 6, answer: {extract: [text]}}
backends: {scripted: {kind: scripted, rules: [{when: WHO, say: t-2}, {choose: ["four", "five", "", "six"]}]}}
roles: {talker: {prompt: "{{ question }}"}, chair: {prompt: WHO}}
agents: {t: {count: 3, role: talker}}
phases:
  - {name: open, agents: [t]}
  - {name: talk, agents: [t-2, t-3], schedule: moderated, moderator: t-1, bind: {t-1: {role: chair}}, rounds: 2}
decision: {kind: KIND, voters: [t]}
"""
VOTES = """
task: {kind: arithmetic, form: a+b, limit: 8, answer: {extract: [text]}}
backends:
  scripted:
    kind: scripted
    rules: [{when: VOTE, choose: ["A", "B", "B, A", "nothing", "C > A"]}, {choose: ["four", "five", "six"]}]
roles:
  talker: {prompt: "{{ question }}"}
  voter: {prompt: "VOTE {% for c in candidates %}{{ c.letter }} {% endfor %}"}
agents: {t: {count: 3, role: talker}}
phases: [{name: talk}, {name: vote, bind: {t: {role: voter}}}]
decision: {kind: KIND}
"""


REPEATED = """
task: {kind: inline, items: [{question: Q1, gold: 3}], answer: {equal: numeric}}
backends:
  scripted:
    kind: scripted
    rules:
      - {when: VOTE AGAIN, say: B}
      - {when: VOTE, say: A}
      - {when: a-1 HEARD, say: say 5}
      - {when: a-1, say: say 3}
      - {when: HEARD, say: say 7}
      - {when: "", say: say 4}
roles:
  r: {prompt: "{{ name }}{% for m in heard %} HEARD{% endfor %} {{ question }}", memory: 0}
  v:
    prompt: "VOTE{% if own %} AGAIN{% endif %} {% for c in candidates %}{{ c.letter }}. {{ c.answer }} {% endfor %}"
    memory: 0
agents: {a: {count: 2, role: r}, v: {count: 2, role: v}}
phases:
  - {name: talk, agents: [a], topology: complete, reads: [v]}
  - {name: vote, agents: [v], reads: [a]}
repeat: [{phases: [talk, vote], times: 2}]
decision: {kind: KIND}
"""


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        *[(HELPS, kind) for kind in ("majority", "unanimity", "trajectory", "weighted", "majority, quorum: 2")],
        *[(HELPS, f"majority, unparsed: {policy}") for policy in ("earlier", "exclude", "veto")],
        *[(VOTES, kind) for kind in ("approval", "borda", "ranked", "approval, unparsed: exclude")],
    ],
)
def test_a_decision_can_be_made_again_from_its_record(
    scenario: Callable[..., Scenario], debates: Callable[..., list[DebateRecord]], text: str, kind: str
) -> None:
    text = text.replace("KIND", kind)
    records = debates(text)
    society = expand(scenario(text))
    same = sameness(society)
    for record in records:
        decision = record.result.decision
        ballot = rebuild_ballot(society, record, same)
        assert society.scenario.decision.decide(ballot) == decision
        support = count_support(society, record, same)
        assert support.voters == 3
        assert 0 <= support.backers <= support.spoke <= 3
        assert (support.backers > 0) == (decision.answer is not None) or kind == "trajectory"
    found = summarize(society, records)
    assert found.flips.gained - found.flips.lost == found.last.successes - found.alone.successes
    assert found.moved.gained - found.moved.lost == found.after.successes - found.before.successes
    assert found.alone.n == 3 * len(records)


@pytest.mark.parametrize("kind", ["borda", "ranked", "approval"])
def test_ballots_are_answers_in_the_figures(
    scenario: Callable[..., Scenario], debates: Callable[..., list[DebateRecord]], kind: str
) -> None:
    text = VOTES.replace("KIND", kind)
    records, society = debates(text), expand(scenario(text))
    same = sameness(society)
    unread = 0
    for record in records:
        candidates = rebuild_ballot(society, record, same).candidates
        for turn in record.turns:
            if turn.id.phase != "vote":
                continue
            named = [candidates[i] for i in read_letters(turn.text, len(candidates))]
            decided = record.result.decision.answer
            first = named[0] if named else None
            assert turn.answer == (decided if kind == "approval" and decided in named else first)
            unread += not named
    found = summarize(society, records)
    assert 0 < unread < 24
    assert found.unparsed == unread
    assert found.flips.total == 24
    assert found.ballots


@pytest.mark.parametrize("kind", ["borda", "ranked", "approval"])
def test_ballots_of_an_earlier_repetition_are_on_the_candidates_of_that_time(
    scenario: Callable[..., Scenario], debates: Callable[..., list[DebateRecord]], kind: str
) -> None:
    """All vote for A of 3 and 4, and then for B of 5 and 7."""
    text = REPEATED.replace("KIND", kind)
    [record], society = debates(text), expand(scenario(text))
    ballots = [(turn.id.round, turn.answer) for turn in record.turns if turn.id.phase == "vote"]
    assert ballots == [(1, "3"), (1, "3"), (2, "7"), (2, "7")]
    ballot = rebuild_ballot(society, record, sameness(society))
    assert ballot.candidates == ("5", "7")
    assert society.scenario.decision.decide(ballot) == record.result.decision
