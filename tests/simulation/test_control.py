"""Conditional phases and turns, repeated blocks, ends of debates, agents that leave, and tournaments."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import pytest

from society.cli import main
from society.core.errors import ScenarioError
from society.metrics.summary import summarize
from society.runs.records import DebateRecord, load_records
from society.scenario import load_with_warnings
from society.scenario.expand import expand
from society.scenario.models.scenario import Scenario
from society.session import run
from society.simulation.reading import order_turns, plan_round

Play = Callable[..., list[DebateRecord]]
Load = Callable[..., Scenario]

SAID = """
task: {{kind: arithmetic, form: a+b, limit: 1}}
backends: {{scripted: {{kind: scripted, rules: {rules}}}}}
roles:
  solver: {{prompt: "{{{{ name }}}} speaks in {{{{ phase }}}}, round {{{{ round }}}} of {{{{ rounds }}}}"}}
  judge: {{prompt: "{{{{ name }}}} judges {{% for m in heard %}}[{{{{ m.sender }}}}]{{% endfor %}}"}}
agents: {{a: {{role: solver}}, b: {{role: solver}}, c: {{role: solver}}, judge: {{role: judge}}}}
"""
AGREE = '[{say: "The answer is 1."}]'
DIFFER = '[{when: "^a ", say: "The answer is 1."}, {when: "^b ", say: "The answer is 2."}, {say: "The answer is 3."}]'
TWO_TO_ONE = '[{when: "^a ", say: "The answer is 1."}, {say: "The answer is 2."}]'


def spoken(record: DebateRecord) -> list[tuple[str, int, str]]:
    return [(turn.id.phase, turn.id.round, turn.id.agent) for turn in record.turns]


def said(rules: str, rest: str) -> str:
    return SAID.format(rules=rules) + rest


JUDGED = """
phases:
  - {name: debate, agents: [a, b, c]}
  - {name: verdict, agents: [judge], reads: [a, b, c], when: [disagreement]}
"""


def test_a_judge_speaks_only_if_the_debaters_disagree(debates: Play) -> None:
    [agreed] = debates(said(AGREE, JUDGED))
    [split] = debates(said(DIFFER, JUDGED))
    assert [phase for phase, _, _ in spoken(agreed)] == ["debate"] * 3
    assert spoken(split)[-1] == ("verdict", 1, "judge")
    assert [source.agent for source in split.turns[-1].reads] == ["a", "b", "c"]


def test_the_speakers_of_the_last_phase_that_took_place_decide(debates: Play) -> None:
    [agreed] = debates(said(AGREE, JUDGED))
    [split] = debates(said(DIFFER, JUDGED))
    assert agreed.result.decision.answer == "1"
    assert split.result.decision.answer == "3"  # the judge's own, which has one of four voices


@pytest.mark.parametrize(
    ("rule", "rules", "holds"),
    [
        ("consensus", AGREE, True),
        ("consensus", TWO_TO_ONE, False),
        ("{kind: consensus, share: 0.6}", TWO_TO_ONE, True),
        ("disagreement", TWO_TO_ONE, True),
        ("{kind: disagreement, share: 0.6}", TWO_TO_ONE, False),
        ("tie", DIFFER, True),
        ("tie", TWO_TO_ONE, False),
        ("{kind: answer, answer: '2', share: 0.6}", TWO_TO_ONE, True),
        ("{kind: answer, answer: '2.0', share: 0.6}", TWO_TO_ONE, True),
        ("{kind: answer, answer: '1', share: 0.6}", TWO_TO_ONE, False),
        ("{kind: says, pattern: 'is 1', agents: 1}", TWO_TO_ONE, True),
        ("{kind: says, pattern: 'is 1', agents: 2}", TWO_TO_ONE, False),
        ("{kind: verdict, agent: a, says: 'is 1'}", TWO_TO_ONE, True),
        ("{kind: budget, turns: 3}", AGREE, True),
        ("[disagreement, tie]", TWO_TO_ONE, False),
        ("[disagreement, tie]", DIFFER, True),
    ],
)
def test_a_phase_takes_place_when_its_condition_holds(debates: Play, rule: str, rules: str, holds: bool) -> None:
    rest = f"""
phases:
  - {{name: debate, agents: [a, b, c]}}
  - {{name: more, agents: [a], when: [{rule}]}}
"""
    [record] = debates(said(rules, rest + "decision: {kind: majority, voters: [a, b, c]}"))
    assert (("more", 1, "a") in spoken(record)) is holds


def test_a_block_is_repeated_until_its_rule_holds(debates: Play) -> None:
    rest = """
phases:
  - {name: argue, agents: [a, b], rounds: 2, topology: complete}
  - {name: check, agents: [judge], reads: [a, b]}
repeat: [{phases: [argue, check], times: 3, until: [{kind: verdict, agent: judge, says: enough}]}]
decision: {kind: majority, voters: [a, b]}
"""
    rules = '[{when: "^judge", say: "Go on."}, {when: "round 4", say: "enough"}, {say: "The answer is 1."}]'
    [record] = debates(said(rules, rest))
    assert [(phase, number) for phase, number, agent in spoken(record) if agent in ("a", "judge")] == [
        ("argue", 1),
        ("argue", 2),
        ("check", 1),
        ("argue", 3),
        ("argue", 4),
        ("check", 2),
        ("argue", 5),
        ("argue", 6),
        ("check", 3),
    ]
    checks = [turn for turn in record.turns if turn.id.phase == "check"]
    assert [source.round for source in checks[1].reads] == [4, 4]  # not the last round of the first repetition
    third = next(turn for turn in record.turns if turn.id.agent == "a" and turn.id.round == 3)
    assert [(source.agent, source.round) for source in third.reads] == [("b", 2)]
    assert third.messages[-1].content == "a speaks in argue, round 3 of 6"
    rules = '[{when: "^judge", say: "That is enough."}, {say: "The answer is 1."}]'
    [record] = debates(said(rules, rest))
    assert max(turn.id.round for turn in record.turns) == 2


def test_a_stop_rule_ends_the_phase_the_block_or_the_debate(debates: Play) -> None:
    rest = """
phases:
  - {{name: one, agents: [a, b], rounds: 2, topology: complete, stop: [{{kind: consensus, ends: {ends}}}]}}
  - {{name: two, agents: [c]}}
  - {{name: three, agents: [judge], reads: [a, b]}}
repeat: [{{phases: [one, two], times: 2}}]
"""
    stages = {}
    for ends in ("phase", "block", "debate"):
        [record] = debates(said(AGREE, rest.format(ends=ends)))
        stages[ends] = list(dict.fromkeys((phase, number) for phase, number, _ in spoken(record)))
        assert record.result.decision.answer == "1"
    assert stages["phase"] == [("one", 1), ("two", 1), ("one", 3), ("two", 2), ("three", 1)]
    assert stages["block"] == [("one", 1), ("three", 1)]
    assert stages["debate"] == [("one", 1)]


def test_an_agent_takes_a_turn_only_if_its_condition_holds(debates: Play) -> None:
    rest = """
phases:
  - name: talk
    agents: [a, b, judge]
    schedule: sequential
    topology: complete
    rounds: 2
    bind: {judge: {when: [disagreement]}}
decision: {kind: majority, voters: [a, b]}
"""
    [agreed] = debates(said(AGREE, rest))
    [split] = debates(said(DIFFER, rest))
    assert [agent for _, _, agent in spoken(agreed)] == ["a", "b", "a", "b"]
    assert [agent for _, _, agent in spoken(split)] == ["a", "b", "judge", "a", "b", "judge"]


def test_the_condition_of_a_simultaneous_turn_sees_the_round_before(debates: Play) -> None:
    rest = """
phases: [{name: talk, agents: [a, b, c], topology: complete, rounds: 3, bind: {c: {when: [disagreement]}}}]
"""
    rules = '[{when: "round 1", say: "The answer is 1."}, {when: "^a ", say: "The answer is 2."}, {say: "It is 1."}]'
    [record] = debates(said(rules, rest))
    assert [number for _, number, agent in spoken(record) if agent == "c"] == [3]


def test_an_agent_with_a_stable_answer_leaves_and_keeps_its_vote(debates: Play) -> None:
    rest = """
phases:
  - {name: talk, agents: [a, b, c], topology: complete, rounds: 4, leave: [{kind: stable, turns: 2}]}
  - {name: more, agents: [a, b, c], topology: complete}
  - {name: end, agents: [judge], reads: [a, b, c]}
decision: {kind: majority, voters: [a, b, c]}
"""
    rules = (
        '[{when: "^c .*round 1", say: "The answer is 7."}, {when: "^c .*round 2", say: "The answer is 8."},'
        ' {when: "^c", say: "The answer is 9."}, {say: "The answer is 1."}]'
    )
    [record] = debates(said(rules, rest))
    assert [number for phase, number, agent in spoken(record) if agent == "a" and phase == "talk"] == [1, 2]
    assert [number for phase, number, agent in spoken(record) if agent == "c" and phase == "talk"] == [1, 2, 3, 4]
    alone = next(turn for turn in record.turns if turn.id.agent == "c" and turn.id.round == 3)
    assert alone.reads == ()
    assert ("more", 1, "a") not in spoken(record)
    assert [source.agent for source in record.turns[-1].reads] == ["a", "b", "c"]
    assert record.result.decision.answer == "1"
    assert record.result.decision.support == pytest.approx(2 / 3)


def test_a_pruned_agent_stays_out_of_later_phases(debates: Play) -> None:
    rest = """
phases:
  - name: talk
    agents: [a, b, c]
    topology: complete
    rounds: 2
    controllers: [{kind: prune, ranker: judge, keep: 2, after: 1}]
  - {name: more, agents: [a, b, c], topology: complete}
"""
    rules = '[{when: "^judge", say: "3, 1"}, {say: "The answer is 1."}]'
    [record] = debates(said(rules, rest))
    assert [agent for phase, _, agent in spoken(record) if phase == "more"] == ["a", "c"]
    assert all(source.agent != "b" for turn in record.turns if turn.id.phase == "more" for source in turn.reads)


TOURNAMENT = """
task: {{kind: arithmetic, form: a+b, limit: 1}}
backends: {{scripted: {{kind: scripted, rules: {rules}}}}}
roles:
  player: {{prompt: "{{{{ name }}}} {{% for m in heard %}}[{{{{ m.sender }}}}]{{% endfor %}}", confidence: stated}}
  judge: {{prompt: "judge {{% for m in heard %}}{{{{ loop.index }}}}. {{{{ m.sender }}}} {{% endfor %}}"}}
agents: {{p: {{count: {count}, role: player}}, judge: {{role: judge}}}}
phases:
  - name: cup
    rounds: {rounds}
    controllers: [{{kind: bracket, judge: judge, rounds: {each}}}]
  - {{name: last, agents: [p]}}
"""


@pytest.mark.parametrize(("count", "rounds", "each"), [(2, 2, 1), (3, 3, 1), (4, 3, 1), (5, 4, 1), (8, 7, 2)])
def test_winners_meet_winners(debates: Play, count: int, rounds: int, each: int) -> None:
    rules = '[{when: "^judge", say: "2"}, {say: "The answer is 1."}]'
    [record] = debates(TOURNAMENT.format(rules=rules, count=count, rounds=rounds, each=each))
    left = [f"p-{i}" for i in range(1, count + 1)]
    number = 1
    while len(left) > 1:
        for _ in range(each):
            turns = [turn for turn in record.turns if turn.id.phase == "cup" and turn.id.round == number]
            assert [turn.id.agent for turn in turns if "/" not in turn.id.agent] == sorted(left)
            number += 1
        pairs = list(zip(left[::2], left[1::2], strict=False))
        judged = [turn for turn in turns if "/" in turn.id.agent]
        assert [turn.messages[-1].content for turn in judged] == [f"judge 1. {u} 2. {v}" for u, v in pairs]
        left = [name for name in left if name not in {u for u, _ in pairs}]
    assert [turn.id.agent for turn in record.turns if turn.id.phase == "last"] == left
    assert number == max(turn.id.round for turn in record.turns) + 1


def test_the_answers_at_the_end_are_those_of_agents_with_a_vote(debates: Play, scenario: Load) -> None:
    text = TOURNAMENT.format(rules='[{when: "^judge", say: "2"}, {say: "The answer is 1."}]', count=4, rounds=3, each=1)
    records = debates(text)
    summary = summarize(expand(scenario(text)), records)
    assert records[0].result.decision.voters == ("p-4",)
    assert (summary.alone.n, summary.last.n) == (4, 1)


def test_without_a_judge_the_surer_agent_wins(debates: Play) -> None:
    rules = '[{when: "^p-2", say: "It is 1, confidence: 90%"}, {say: "It is 1, confidence: 60%"}]'
    text = TOURNAMENT.format(rules=rules, count=3, rounds=3, each=1).replace("judge: judge, ", "")
    text = text.replace(", judge: {role: judge}", "").replace('  judge: {prompt: "judge', '  player2: {prompt: "judge')
    text = "\n".join(line for line in text.splitlines() if "player2" not in line)
    [record] = debates(text)
    assert [turn.id.agent for turn in record.turns if turn.id.phase == "last"] == ["p-2"]


def test_agents_that_were_taken_out_have_no_vote_and_are_not_read(debates: Play) -> None:
    """The winner of a tournament decides alone, and a judge after it reads the winner alone."""
    rules = '[{when: "^judge", say: "2"}, {when: "^p-4", say: "The answer is 9."}, {say: "The answer is 1."}]'
    text = TOURNAMENT.format(rules=rules, count=4, rounds=3, each=1)
    text += "  - {name: verdict, agents: [reader], reads: [p]}\ndecision: {kind: majority, voters: [p]}\n"
    text = text.replace("judge: {role: judge}}", "judge: {role: judge}, reader: {role: judge}}")
    text = text.replace("- name: cup", "- name: cup\n    agents: [p]")
    [record] = debates(text)
    assert [source.agent for source in record.turns[-1].reads] == ["p-4"]
    assert record.result.decision.answer == "9"
    assert record.result.decision.support == 1.0
    assert record.result.decision.voters == ("p-4",)


@pytest.mark.parametrize("repetition", [1, 2])
def test_the_speakers_of_the_last_step_of_a_block_decide(debates: Play, repetition: int) -> None:
    """A debate that ends in the first phase of the second repetition is decided by its speakers, not by the critic."""
    rest = """
phases:
  - {name: answer, agents: [a, b], reads: [judge], topology: complete, stop: [{kind: consensus, ends: debate}]}
  - {name: criticism, agents: [judge], reads: [a, b]}
repeat: [{phases: [answer, criticism], times: 2}]
"""
    early = '{when: "^a .*round 1", say: "The answer is 5."}, ' if repetition == 2 else ""
    rules = f'[{{when: "^judge", say: "The answer is 7."}}, {early}{{say: "The answer is 1."}}]'
    [record] = debates(said(rules, rest))
    assert record.turns[-1].id.round == repetition
    assert (record.result.decision.answer, record.result.decision.support) == ("1", 1.0)


def test_an_agent_without_a_text_loses_its_match(debates: Play) -> None:
    """The judge would be shown one message, with the number 1, and its reply would name the other agent."""
    rules = '[{when: "^judge", say: "1"}, {when: "^p-1", say: " "}, {say: "The answer is 1."}]'
    [record] = debates(TOURNAMENT.format(rules=rules, count=2, rounds=2, each=1))
    assert [turn.id.agent for turn in record.turns if turn.id.phase == "last"] == ["p-2"]


def test_turns_are_listed_in_the_order_of_speaking(debates: Play) -> None:
    """A moderator comes before the speaker that it chooses, and a judge of a match after the players."""
    rules = '[{when: "^judge", say: "2"}, {say: "The answer is 1."}]'
    [record] = debates(TOURNAMENT.format(rules=rules, count=2, rounds=2, each=1))
    assert [turn.id.agent for turn in record.turns[:3]] == ["p-1", "p-2", "judge/p-1"]
    rest = "phases: [{name: talk, agents: [a, b, c], schedule: moderated, moderator: judge}]"
    [record] = debates(said('[{when: "^judge", say: b}, {say: "The answer is 1."}]', rest))
    assert [turn.id.agent for turn in record.turns] == ["judge", "b"]


def test_turns_of_helpers_are_no_answers(scenario: Load, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A judge that names message 2 does not answer 2, in data frames and in `show`."""
    pytest.importorskip("pandas")
    rules = '[{when: "^judge", say: "2"}, {say: "The answer is 1."}]'
    done = run(scenario(TOURNAMENT.format(rules=rules, count=2, rounds=2, each=1)), tmp_path / "run")
    turns = done.to_pandas("turns")
    helping = turns["agent"] == "judge/p-1"
    assert helping.any()
    assert turns.loc[helping, "right"].isna().all()
    assert turns.loc[~helping, "right"].notna().all()
    assert main(["show", str(done.folder), "--number", "1"]) == 0
    assert "judge/p-1  helps" in capsys.readouterr().out


def test_a_binding_with_a_condition_or_values_alone_is_not_empty(scenario: Load, tmp_path: Path) -> None:
    rest = "phases: [{name: one, agents: [a, b], rounds: 2, topology: complete, bind: {b: {when: [disagreement]}}}]"
    scenario(said(AGREE, rest))
    _, warnings = load_with_warnings(tmp_path / "scenario.yaml")
    assert [warning for warning in warnings if "empty" in warning.message] == []


def test_a_run_with_conditions_is_resumed_as_it_was(scenario: Load, tmp_path: Path) -> None:
    """The rules see replayed turns as they saw new ones, so a resumed run takes the same turns and no other."""
    loaded = scenario(said(DIFFER, JUDGED))
    first = run(loaded, tmp_path / "run")
    again = run(loaded, tmp_path / "run", resume=True)
    assert [spoken(r) for r in load_records(first)] == [spoken(r) for r in load_records(again)]


def test_stages_follow_the_repetitions(scenario: Load) -> None:
    rest = """
phases:
  - {name: one, agents: [a, b], topology: complete}
  - {name: two, agents: [a, b], rounds: 2, topology: complete}
  - {name: three, agents: [c]}
repeat: [{phases: [one, two], times: 2}]
"""
    society = expand(scenario(said(AGREE, rest)))
    stages = [("one", 1), ("two", 1), ("two", 2), ("one", 2), ("two", 3), ("two", 4), ("three", 1)]
    assert society.stages() == stages
    assert sorted(stages, key=lambda stage: society.place(*stage)) == stages


@pytest.mark.parametrize(
    ("rest", "place", "message"),
    [
        (
            "phases: [{name: one, agents: [a, b], when: [consensus]}]",
            "phases.one.when",
            "never holds: no agent has answered before this phase",
        ),
        (
            "phases: [{name: one, agents: [a, b]}, {name: two, agents: [c], when: [stability]}]",
            "phases.two.when.0",
            "never holds: it compares states of the debate, and there is one",
        ),
        (
            "phases: [{name: one, agents: [a, b]}, {name: two, agents: [c], when: [{kind: verdict, agent: c}]}]",
            "phases.two.when.0.agent",
            "'c' has not spoken by then",
        ),
        (
            "phases: [{name: one, agents: [a, b]}, {name: two, agents: [c], when: [{kind: budget, turns: 9}]}]",
            "phases.two.when.0.turns",
            "at most 2 turns by then",
        ),
        (
            "phases: [{name: one, agents: [a, b]}, {name: two, agents: [c]}]\nrepeat: [{phases: [two, one], times: 2}]",
            "repeat.0.phases",
            "should be consecutive phases in their order",
        ),
        (
            "phases: [{name: one, agents: [a, b]}]\nrepeat: [{phases: [on], times: 2}]",
            "repeat.0.phases.0",
            "there is no phase 'on'",
        ),
        (
            "phases: [{name: one, agents: [a, b]}]\nrepeat: [{phases: [one], times: 2}, {phases: [one], times: 3}]",
            "repeat.1.phases.0",
            "already repeated",
        ),
        (
            "phases: [{name: one, agents: [a, b], bind: {a: {when: [consensus]}}}]",
            "phases.one.bind.a.when",
            "no agent has answered before its only turn",
        ),
        (
            "phases: [{name: one, agents: [a, b], rounds: 2, topology: complete, "
            "bind: {a: {when: [{kind: verdict, agent: d}]}}}]",
            "phases.one.bind.a.when.0.agent",
            "there is no agent 'd'",
        ),
        (
            "phases: [{name: one, agents: [a, b]}, {name: two, agents: [c], when: [{kind: consensus, among: [c]}]}]",
            "phases.two.when.0.among",
            "none of these agents has answered by then",
        ),
        (
            "phases: [{name: one, agents: [a, b]}, {name: two, agents: [c], when: [{kind: tie, among: [a]}]}]",
            "phases.two.when.0",
            "one agent cannot be tied",
        ),
        (
            "phases: [{name: one, agents: [a, b]}, {name: two, agents: [c], when: [[consensus, disagreement]]}]",
            "phases.two.when.0",
            "are opposites",
        ),
        (
            "phases: [{name: one, agents: [a, b]}, {name: two, agents: [c], when: [[]]}]",
            "phases.two.when.0",
            "the list is empty",
        ),
        (
            "phases: [{name: one, agents: [a, b]}, {name: two, agents: [a, b], when: [disagreement]}]\ndecision: borda",
            "decision",
            "may be skipped",
        ),
    ],
)
def test_check_finds_conditions_that_cannot_be(scenario: Load, rest: str, place: str, message: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        scenario(said(AGREE, rest))
    assert any(problem.path == place and message in problem.message for problem in caught.value.problems)


@pytest.mark.parametrize(("comparisons", "winner"), [(1, "a"), (2, "a"), (3, "b"), (5, "b")])
def test_the_winner_of_most_comparisons_goes_on(debates: Play, comparisons: int, winner: str) -> None:
    """The judge prefers b if it is shown first; otherwise it says nothing. Two comparisons are one for each order."""
    rules = '[{when: "judges .*b.*a", say: "1"}, {when: "judges", say: "?"}, {say: "The answer is 1."}]'
    if comparisons < 3:
        rules = '[{when: "judges", say: "1"}, {say: "The answer is 1."}]'
    bracket = f"{{kind: bracket, judge: judge, comparisons: {comparisons}}}"
    rest = f"phases: [{{name: cup, agents: [a, b], rounds: 2, controllers: [{bracket}]}}]\n"
    [record] = debates(said(rules, rest))
    names = [turn.id.agent for turn in record.turns if turn.id.agent.startswith("judge")]
    orders = {turn.id.agent: [source.agent for source in turn.reads] for turn in record.turns if turn.id.agent in names}
    assert sorted(names) == sorted(["judge/a", "judge/b", "judge/a/2", "judge/b/2", "judge/a/3"][:comparisons])
    assert all(read == (["a", "b"] if name.startswith("judge/a") else ["b", "a"]) for name, read in orders.items())
    assert record.result.decision.voters == (winner,)


@pytest.mark.parametrize(
    ("rules", "speaks_again"),
    [
        (AGREE, []),
        (TWO_TO_ONE, ["a"]),
        (DIFFER, ["a", "b", "c"]),
        ('[{when: "^a ", say: "?"}, {say: "It is 2."}]', ["a"]),
    ],
)
def test_agents_with_the_answer_of_most_keep_it(debates: Play, rules: str, speaks_again: list[str]) -> None:
    bind = "{a: {when: [dissent]}, b: {when: [dissent]}, c: {when: [dissent]}}"
    first = "{name: alone, agents: [a, b, c]}"
    rest = f"phases: [{first}, {{name: debate, agents: [a, b, c], topology: complete, bind: {bind}}}]\n"
    [record] = debates(said(rules, rest))
    assert [agent for phase, _, agent in spoken(record) if phase == "debate"] == speaks_again
    assert len(record.result.decision.voters or "abc") == 3


LEAVING = """
phases:
  - name: talk
    agents: [a, b, c]
    topology: complete
    rounds: 3
    leave: [{kind: says, pattern: "I leave"}]
    controllers: [CONTROLLER]
"""
A_LEAVES = '[{when: "^judge|picks", say: "1"}, {when: "^a ", say: "I leave. It is 1."}, {say: "It is 2."}]'


def test_an_agent_that_left_is_not_asked_whom_it_hears_and_not_offered(debates: Play) -> None:
    text = said(A_LEAVES, LEAVING.replace("CONTROLLER", "{kind: choose, role: picker, most: 1}")).replace(
        "roles:", 'roles:\n  picker: {prompt: "{{ name }} picks"}'
    )
    [record] = debates(text.replace("[a, b, c]", "[a, b, c, d]").replace("c: {", "d: {role: solver}, c: {"))
    asked = [turn for turn in record.turns if turn.id.agent.endswith("/choice")]
    assert {turn.id.agent for turn in asked} == {"b/choice", "c/choice", "d/choice"}
    assert all(source.agent != "a" for turn in asked for source in turn.reads)
    assert all(turn.reads for turn in record.turns if turn.id.agent == "b" and turn.id.round > 1)


@pytest.mark.parametrize(
    "controller", ["{kind: retain, filter: judge, most: 1}", "{kind: prune, ranker: judge, keep: 1, after: 1}"]
)
def test_the_message_of_an_agent_that_left_is_not_among_those_to_choose_from(debates: Play, controller: str) -> None:
    [record] = debates(said(A_LEAVES, LEAVING.replace("CONTROLLER", controller)))
    judge = next(turn for turn in record.turns if turn.id.agent == "judge")
    assert [source.agent for source in judge.reads] == ["b", "c"]
    assert ("talk", 2, "b") in spoken(record)  # it has message 1
    assert not record.result.decision.voters or "a" in record.result.decision.voters


def test_controllers_after_a_tournament_keep_to_its_pairs(debates: Play) -> None:
    rest = """
phases:
  - name: cup
    agents: [a, b, c, d]
    topology: complete
    rounds: 4
    controllers: [{kind: bracket, judge: judge, rounds: 4}, {kind: drop, p: 0.5}]
"""
    text = said(AGREE, rest).replace("c: {", "d: {role: solver}, c: {").replace("limit: 1", "limit: 8")
    pairs = {("a", "b"), ("b", "a"), ("c", "d"), ("d", "c")}
    reads = {
        number: [
            (source.agent, turn.id.agent)
            for record in debates(text)
            for turn in record.turns
            if turn.id.round == number
            for source in turn.reads
        ]
        for number in (2, 3, 4)
    }
    assert all(set(found) == pairs for found in reads.values())  # and what was dropped returns
    assert all(len(found) < 8 * 4 for found in reads.values())


def test_two_controllers_with_one_helper_have_turns_of_their_own(scenario: Load, tmp_path: Path) -> None:
    rest = """
phases:
  - name: talk
    agents: [a, b, c]
    topology: complete
    rounds: 2
    controllers: [{kind: route, router: judge}, {kind: retain, filter: judge}]
"""
    rules = '[{when: "judge judges .a", say: "1"}, {when: "^judge", say: "a, b"}, {say: "The answer is 1."}]'
    [record] = load_records(run(scenario(said(rules, rest)), tmp_path / "run"))
    helping = {turn.id.agent: turn for turn in record.turns if turn.id.agent.startswith("judge")}
    assert {agent: turn.text for agent, turn in helping.items()} == {"judge": "a, b", "judge/2": "1"}
    assert [source.agent for source in helping["judge/2"].reads] == ["a", "b"]


WITHIN = """
phases:
  - name: talk
    agents: [a, b, c]
    within: {kind: edges, edges: [[b, a], [c, b]]}
    bind: {c: {when: [{kind: budget, turns: 2}]}}
    rounds: 2
"""


def test_conditions_of_turns_and_edges_within_a_round_go_together(scenario: Load) -> None:
    """Readers before their senders in the order of speaking come after these, and do not wait for ever."""
    [phase] = expand(scenario(said(AGREE, WITHIN))).phases
    plan = plan_round(phase, phase.graph(), 1, 0)
    assert (plan.speakers, order_turns(plan)) == (("a", "b", "c"), ("c", "b", "a"))


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="this system has no alarms")
def test_an_agent_with_a_condition_may_be_read_within_the_round(debates: Play) -> None:
    previous = signal.signal(signal.SIGALRM, _fail)
    signal.alarm(120)
    try:
        [record] = debates(said(AGREE, WITHIN))
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)
    assert [agent for _, number, agent in spoken(record) if number == 1] == ["a", "b"]
    second = {turn.id.agent: turn for turn in record.turns if turn.id.round == 2}
    assert [(source.agent, source.round) for source in second["a"].reads] == [("b", 2)]
    assert [(source.agent, source.round) for source in second["b"].reads] == [("c", 2)]


def _fail(number: int, frame: FrameType | None) -> None:
    raise AssertionError("the debate does not end")


VOTED = """
task: {kind: arithmetic, form: a+b, limit: 1}
backends: {scripted: {kind: scripted, rules: RULES}}
roles:
  solver: {prompt: "{{ name }} solves"}
  voter: {prompt: "{{ name }} votes {% for c in candidates %}{{ c.letter }}. {{ c.answer }} {% endfor %}"}
agents: {a: {role: solver}, b: {role: solver}, c: {role: solver}}
phases:
  - {name: talk, topology: complete, rounds: 2, leave: [{kind: says, pattern: "I leave"}]}
  - {name: vote, bind: {a: {role: voter}, b: {role: voter}, c: {role: voter}}}
decision: {kind: KIND}
"""


@pytest.mark.parametrize("kind", ["approval", "ranked", "borda"])
def test_the_last_answer_of_an_agent_that_left_is_its_vote_on_candidates(debates: Play, kind: str) -> None:
    """Letters in its reply, which is no ballot, do not count."""
    rules = '[{when: "^b solves", say: "It is 2."}, {when: solves, say: "(B) I leave. It is 3."}, {say: "B"}]'
    [record] = debates(VOTED.replace("RULES", rules).replace("KIND", kind))
    assert ("vote", 1, "b") in spoken(record)
    assert record.result.decision.answer == "3"
    assert record.result.decision.support == pytest.approx(2 / 3)


def test_answers_are_votes_where_all_left_before_the_vote(debates: Play) -> None:
    rules = '[{when: "^b solves", say: "I leave. It is 2."}, {when: solves, say: "I leave. It is 3."}]'
    [record] = debates(VOTED.replace("RULES", rules).replace("KIND", "approval"))
    assert {phase for phase, _, _ in spoken(record)} == {"talk"}
    assert record.result.decision.answer == "3"


REVOTED = """
task: {kind: inline, items: [{question: "Pick A. x B. y C. z D. w", gold: A}], answer: {equal: choice}}
backends:
  scripted: {kind: scripted, rules: [{when: votes, say: "B"}, {when: "^a", say: "It is (A)."}, {say: "It is (C)."}]}
roles:
  solver: {prompt: "{{ name }} solves {{ question }}"}
  voter: {prompt: "{{ name }} votes {% for c in candidates %}{{ c.letter }}. {{ c.answer }} {% endfor %}"}
agents: {a: {role: solver}, b: {role: solver}, juror: {role: voter}}
phases: [{name: talk, agents: [a, b]}, {name: vote, agents: [juror]}]
repeat: [{phases: [talk, vote], times: 3, until: UNTIL}]
decision: {kind: approval}
"""


def test_ballots_of_an_earlier_repetition_are_no_candidates(debates: Play) -> None:
    """The juror's "B" is a ballot for the second candidate, though B is a possible answer, too."""
    [record] = debates(REVOTED.replace("UNTIL", "[{kind: consensus, share: 1}]"))
    votes = [turn.messages[-1].content for turn in record.turns if turn.id.phase == "vote"]
    assert votes == ["juror votes A. A B. C"] * 3
    assert record.result.decision.answer == "C"


def test_conditions_count_a_ballot_as_its_first_choice(debates: Play) -> None:
    [record] = debates(REVOTED.replace("UNTIL", "[{kind: consensus, share: 0.6}]"))
    assert [turn.id.round for turn in record.turns if turn.id.phase == "vote"] == [1]  # b and the juror agree on C


@pytest.mark.parametrize("says", ["", ", says: 'is 1'"])
def test_a_verdict_of_an_earlier_phase_ends_no_later_one(debates: Play, says: str) -> None:
    rest = f"""
phases:
  - {{name: first, agents: [a, b, c]}}
  - name: talk
    agents: [a, b, c]
    rounds: 3
    stop: [{{kind: verdict, agent: c{says}}}]
    bind: {{c: {{when: [{{kind: budget, turns: 5}}]}}}}
"""
    [record] = debates(said(AGREE, rest))
    assert [number for phase, number, agent in spoken(record) if (phase, agent) == ("talk", "c")] == [2]
    assert max(number for phase, number, _ in spoken(record) if phase == "talk") == 2
