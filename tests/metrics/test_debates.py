"""Rounds, flips, edges, conformity and trade-offs on debates worked by hand."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import hypergeom

from society.core.types import Decision, Turn, TurnId, Usage
from society.metrics.accuracy import score_questions
from society.metrics.budget import weigh_debating
from society.metrics.flips import Flips, describe_flips
from society.metrics.influence import count_flows, measure_conformity
from society.metrics.iterations import score_iterations
from society.metrics.lost import count_lost
from society.metrics.rounds import find_agreement, list_stages, score_rounds
from society.metrics.summary import count_agent_flips, describe_lone, summarize
from society.metrics.tradeoff import (
    Point,
    first_answers,
    front,
    list_points,
    mean_tokens,
    plurality_chance,
    vote_chances,
    vote_point,
)
from society.runs.records import DebateRecord, by_iteration
from society.runs.votes import Support, count_support, rebuild_ballot
from society.scenario.expand import Society, expand
from society.scenario.models.scenario import Scenario
from society.store.rows import ResultRow

GOLD = "42"
AGENTS = ("a", "b", "c")


@pytest.fixture
def society(scenario: Callable[..., Scenario]) -> Society:
    return expand(
        scenario("""
            task: {kind: arithmetic, form: a+b, limit: 1}
            roles: {solver: {prompt: "{{ question }}"}}
            agents: {a: {}, b: {}, c: {}}
            phases: [{name: talk, topology: complete, rounds: 3}]
        """)
    )


def debate(*rounds: Sequence[str | None], item: str = "q", iteration: int = 0, sample: int = 0) -> DebateRecord:
    """Agents a, b, c say these answers, round by round, each having read the other two; 10 tokens a turn."""
    turns: list[Turn] = []
    for number, answers in enumerate(rounds, 1):
        for agent, answer in zip(AGENTS, answers, strict=True):
            reads = tuple(
                TurnId(iteration, item, "talk", number - 1, other, sample)
                for other in AGENTS
                if number > 1 and other != agent
            )
            place = TurnId(iteration, item, "talk", number, agent, sample)
            turns.append(Turn(place, "", (), f"It is {answer}.", answer, usage=Usage(5, 10, 2, 0.5), reads=reads))
    final = [answer for answer in rounds[-1] if answer is not None]
    best = max(final, key=final.count, default=None)
    tied = tuple(dict.fromkeys(x for x in final if best is not None and final.count(x) == final.count(best)))
    decided = Decision(None, reason="tie", tied=tied) if len(tied) > 1 else Decision(best)
    verdicts = {answer: answer == GOLD for answers in rounds for answer in answers if answer is not None}
    right = decided.answer == GOLD
    result = ResultRow(iteration, item, sample, "evaluation", f"What is {item}?", GOLD, decided, right, verdicts)
    return DebateRecord(result, tuple(turns))


CONVINCED = debate(("42", "42", "7"), ("42", "42", "42"), item="convinced")
MISLED = debate(("42", "7", "7"), ("7", "7", "7"), item="misled")
SWAPPED = debate(("42", "7", None), ("7", "42", "9"), item="swapped")


def test_accuracy_round_by_round(society: Society) -> None:
    first, second = score_rounds(society, [CONVINCED, MISLED, SWAPPED])
    assert (first.answers.successes, first.answers.n) == (4, 9)
    assert (second.answers.successes, second.answers.n) == (4, 9)
    assert (first.vote.successes, second.vote.successes, second.vote.n) == (1, 1, 3)
    assert {name: score.successes for name, score in first.agents.items()} == {"a": 3, "b": 1, "c": 0}
    assert {name: score.successes for name, score in second.agents.items()} == {"a": 1, "b": 2, "c": 1}
    assert (first.tokens, second.tokens, second.spent, second.turns) == (30, 60, 30, 9)
    assert (first.unread, second.unread, second.failed) == (1, 0, 0)
    fallen = debate(("42", "42", "7"), (None, "42", None), item="fallen")
    assert [score.lost for score in score_rounds(society, [CONVINCED, fallen])] == [0, 1]
    assert first.flips == Flips()
    assert second.flips == Flips(kept_right=2, kept_wrong=2, right_to_wrong=2, wrong_to_right=2, unread_to_wrong=1)


def test_a_debate_that_stops_early_stays_in_later_rounds(society: Society) -> None:
    short, long = debate(("42", "42", "42"), item="short"), debate(("7", "7", "7"), ("42", "7", "7"), item="long")
    first, second = score_rounds(society, [short, long])
    assert (second.answers.successes, second.answers.n) == (4, 6)
    assert (first.tokens, second.tokens, second.turns) == (30, 45, 3)


def test_agreement_counts_from_where_it_lasts(society: Society) -> None:
    wavering = debate(("42", "42", "42"), ("42", "42", "7"), ("42", "42", "42"), item="wavering")
    found = find_agreement(society, [CONVINCED, MISLED, SWAPPED, wavering, debate(("42", "42", None), item="silent")])
    assert found.reached == {"talk 1": 0, "talk 2": 2, "talk 3": 1}
    assert (found.never, found.agreed) == (2, 3)
    assert (found.right.successes, found.right.n) == (2, 3)


def test_no_debate_no_rounds(society: Society) -> None:
    assert score_rounds(society, []) == []
    assert list_stages(society, []) == []
    assert find_agreement(society, []).never == 0


def test_what_passes_along_each_edge(society: Society) -> None:
    flows = {(flow.sender, flow.reader): flow for flow in count_flows(society, [CONVINCED, MISLED])}
    assert len(flows) == 6
    to_c = flows["a", "c"]  # c adopts a's right answer in one debate; keeps its own, not a's, in the other
    assert (to_c.read, to_c.differed, to_c.adopted, to_c.helped, to_c.harmed) == (2, 2, 1, 1, 0)
    to_a = flows["b", "a"]
    assert (to_a.read, to_a.differed, to_a.adopted, to_a.helped, to_a.harmed) == (2, 1, 1, 0, 1)


def test_unreadable_answers_adopt_nothing_and_are_not_adopted(society: Society) -> None:
    flows = {(flow.sender, flow.reader): flow for flow in count_flows(society, [SWAPPED])}
    assert (flows["c", "a"].read, flows["a", "c"].read) == (0, 0)
    assert (flows["a", "b"].adopted, flows["b", "a"].adopted) == (1, 1)


def test_a_summary_passes_on_whom_it_summarised(society: Society) -> None:
    made = TurnId(0, "q", "talk", 2, "s/a")
    plain = debate(("42", "7", "7"), ("7", "7", "7"))
    others = tuple(TurnId(0, "q", "talk", 1, agent) for agent in ("b", "c"))
    summary = Turn(made, "", (), "They say 7.", None, reads=others)
    turns = [
        t if t.id.agent != "a" or t.id.round == 1 else Turn(t.id, "", (), "", "7", reads=(made,)) for t in plain.turns
    ]
    record = DebateRecord(plain.result, (*turns[:3], summary, *turns[3:]))
    flows = {(flow.sender, flow.reader): flow.adopted for flow in count_flows(society, [record])}
    assert (flows["b", "a"], flows["c", "a"]) == (1, 1)


def test_conformity(society: Society) -> None:
    """c follows a right majority, a a wrong one; in the third debate c stands against a right majority."""
    steadfast = debate(("42", "42", "7"), ("42", "42", "7"), item="steadfast")
    found = measure_conformity(society, [CONVINCED, MISLED, steadfast])
    assert (found.towards.successes, found.towards.n) == (2, 2)
    assert (found.followed.successes, found.followed.n) == (2, 3)
    assert (found.followed_right.successes, found.followed_right.n) == (1, 2)
    assert (found.followed_wrong.successes, found.followed_wrong.n) == (1, 1)


def test_votes_over_first_answers(society: Society) -> None:
    """Right, right, wrong: one of them is right 2 of 3 times, two agree on it once of three, three elect it."""
    chances = [next(iter(vote_chances(society, [CONVINCED], k).values())) for k in (1, 2, 3)]
    assert chances == pytest.approx([2 / 3, 1 / 3, 1.0])
    assert vote_chances(society, [CONVINCED], 4) == {}


def test_samples_of_a_question_are_one_pool(society: Society) -> None:
    records = [debate(("42", "42", "7")), debate(("42", "7", "7"), sample=1)]
    assert len(first_answers(records)) == 1
    [chance] = vote_chances(society, records, 6).values()
    assert chance == 0.0  # three against three is a tie
    [chance] = vote_chances(society, records, 5).values()
    assert chance == 0.5


@given(
    st.lists(st.tuples(st.integers(1, 3), st.booleans()), min_size=1, max_size=3),
    st.integers(0, 2),
    st.integers(1, 6),
    st.sampled_from(["abstain", "first", "random"]),
)
def test_plurality_chance_is_the_mean_over_all_subsets(
    classes: list[tuple[int, bool]], silent: int, k: int, ties: str
) -> None:
    answers = [*(i for i, (size, _) in enumerate(classes) for _ in range(size)), *([None] * silent)]
    k = min(k, len(answers))
    chances = []
    for subset in itertools.combinations(answers, k):
        counts = {x: subset.count(x) for x in subset if x is not None}
        leading = [x for x, count in counts.items() if count == max(counts.values())]
        if len(leading) > 1 and ties == "abstain":
            leading = []
        chances.append(sum(classes[x][1] for x in leading) / len(leading) if leading else 0.0)
    sizes, right = [size for size, _ in classes], [verdict for _, verdict in classes]
    found = plurality_chance(sizes, right, silent, k, ties)  # type: ignore[arg-type]
    assert found == pytest.approx(sum(chances) / len(chances))


def test_a_sure_vote_has_no_rounding_error() -> None:
    """All readable answers are right, and more are drawn than there are silent ones."""
    cases = [(n, silent, k) for n in range(1, 8) for silent in range(4) for k in range(silent + 1, n + silent + 1)]
    assert {plurality_chance([n], [True], silent, k) for n, silent, k in cases} == {1.0}


def test_a_large_pool_is_no_matter() -> None:
    expected = hypergeom.sf(25, 100, 60, 51)  # at least 26 of 51 from the 60
    assert plurality_chance([60, 40], [True, False], 0, 51) == pytest.approx(expected)


def test_points_and_their_front(society: Society) -> None:
    records = [CONVINCED, MISLED, SWAPPED]
    points = list_points(society, records, score_rounds(society, records))
    assert [p.label for p in points] == ["after talk 1", "after talk 2", "one answer", "vote of 2", "vote of 3"]
    assert [p.tokens for p in points] == [30, 60, 10, 20, 30]
    assert points[2].accuracy == pytest.approx(4 / 9)
    best = front([*points, Point("worse", "run", 60, 0.1, 0, 1), Point("best", "run", 90, 0.9, 0, 1)])
    assert [p.label for p in best] == ["one answer", "best"]


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9)), min_size=1, max_size=12))
def test_nothing_beats_the_front_and_it_beats_all_else(places: list[tuple[int, int]]) -> None:
    points = [Point("", "run", tokens, accuracy, 0, 0) for tokens, accuracy in places]
    best = front(points)
    for p in points:
        beaten = any(b.tokens <= p.tokens and b.accuracy >= p.accuracy for b in best)
        assert beaten
    assert all(x.tokens < y.tokens and x.accuracy < y.accuracy for x, y in itertools.pairwise(best))


def test_whether_debating_pays_needs_enough_answers(society: Society) -> None:
    verdict = weigh_debating(society, [CONVINCED, MISLED])
    assert (verdict.votes, verdict.available, verdict.difference) == (6, 3, None)
    assert "run the same questions with 6 agents" in verdict.sentence


def test_debating_against_voting_with_the_same_tokens(society: Society) -> None:
    """Debates of 60 tokens against votes over 6 of 6 answers of 10: right by debate alone in 6 of 6 questions."""
    names = [f"q{i}" for i in range(6)]
    debates = [debate(("42", "7", "7"), ("42", "42", "7"), item=name) for name in names]
    voters = [debate(("42", "7", "7"), item=name, sample=s) for name in names for s in range(2)]
    verdict = weigh_debating(society, debates, voters)
    assert (verdict.votes, verdict.available, verdict.debating, verdict.voting) == (6, 6, 1.0, 0.0)
    assert verdict.difference is not None
    assert (verdict.difference.value, verdict.difference.p) == (1.0, 2 / 2**6)
    assert verdict.sentence.startswith("For the same tokens debating is better than voting: 100.0% against 0.0%")


def test_one_round_is_as_good_as_its_own_vote(society: Society) -> None:
    verdict = weigh_debating(society, [debate(("42", "42", "7"), item="x"), debate(("42", "7", "7"), item="y")])
    assert verdict.votes == 3
    assert verdict.difference is not None
    assert verdict.difference.value == 0
    assert "not clearly better or worse" in verdict.sentence


def test_nothing_generated_cannot_be_weighed(society: Society) -> None:
    assert "no generated tokens" in weigh_debating(society, []).sentence


def test_rules_without_a_single_answer_lose_nothing_and_are_not_weighed(society: Society) -> None:
    """A distribution is neither an undecided debate nor a wrong one."""
    result = replace(CONVINCED.result, decision=Decision(None, single=False), correct=False)
    shares = replace(CONVINCED, result=result)
    assert "no single decisions" in weigh_debating(society, [shares]).sentence
    assert score_questions([shares]) == {}
    assert count_lost(society, [shares]).undecided == 0


def test_a_judged_question_needs_no_true_answer_to_be_scored(society: Society) -> None:
    judged = replace(CONVINCED, result=replace(CONVINCED.result, gold=""))
    unknown = replace(CONVINCED, result=replace(CONVINCED.result, gold="", scored=False))
    assert count_lost(society, [judged, unknown]).unknown == 1


def test_tokens_of_an_answer_and_of_a_vote(society: Society) -> None:
    assert mean_tokens([CONVINCED, MISLED]) == 10
    assert vote_point(society, [CONVINCED, MISLED], 3).tokens == 30


def test_iterations_and_their_labels(society: Society) -> None:
    """A 1-1-1 split is no label; labels come from the training debates where there are any."""
    split = debate(("42", "7", "9"), item="split", iteration=1)
    records = [CONVINCED, MISLED, debate(("42", "42", "42"), item="late", iteration=1)]
    first, second = score_iterations(society, [*records, split])
    assert (first.iteration, first.accuracy.successes, first.labels.n, first.unlabelled) == (0, 1, 2, 0)
    assert (second.accuracy.successes, second.accuracy.n, second.labels.n, second.unlabelled) == (1, 2, 1, 1)
    first, second = score_iterations(society, records, training=[CONVINCED, SWAPPED])
    assert (first.labels.successes, first.labels.n, first.unlabelled) == (1, 1, 1)
    assert (first.training_usage.generated_tokens, second.labels.n) == (120, 0)
    assert list(by_iteration(records)) == [0, 1]


def test_the_summary_takes_answers_to_one_question_together(society: Society) -> None:
    alike = [debate(("42",) * 3, item=f"r{i}") for i in range(20)] + [
        debate(("7",) * 3, item=f"w{i}") for i in range(20)
    ]
    found = summarize(society, alike)
    assert (found.alone.successes, found.alone.n) == (60, 120)
    assert found.alone.high - found.alone.low == pytest.approx(found.after.high - found.after.low, abs=0.03)


# What changed adds up


def decided(society: Society, *rounds: Sequence[str | None], item: str) -> DebateRecord:
    """Return a debate that the scenario's own rule decides; an answer "failed" is a failed turn."""
    made = debate(*[[None if x == "failed" else x for x in answers] for answers in rounds], item=item)
    said = [answer for answers in rounds for answer in answers]
    turns = tuple(
        replace(turn, status="failed", text="") if answer == "failed" else turn
        for turn, answer in zip(made.turns, said, strict=True)
    )
    ballot = rebuild_ballot(society, DebateRecord(made.result, turns), str.__eq__)
    decision = society.scenario.decision.decide(ballot)
    return DebateRecord(replace(made.result, decision=decision, correct=decision.answer == GOLD), turns)


def make_society(**decision: object) -> Society:
    rule = {"kind": "majority", **decision}
    return expand(
        Scenario.model_validate_json(
            json.dumps(
                {
                    "version": 1,
                    "name": "test",
                    "task": {"kind": "arithmetic", "form": "a+b", "limit": 1},
                    "backends": {"scripted": {"kind": "scripted"}},
                    "roles": {"solver": {"prompt": "{{ question }}"}},
                    "agents": {"a": {}, "b": {}, "c": {}},
                    "decision": rule,
                    "phases": [{"name": "talk", "topology": "complete", "rounds": 3}],
                }
            )
        )
    )


SAID = st.tuples(*[st.sampled_from([GOLD, "7", "9", None, "failed"])] * 3)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(SAID, min_size=1, max_size=3), min_size=1, max_size=5),
    st.sampled_from(["abstain", "first"]),
    st.integers(1, 3),
)
def test_what_changed_adds_up_to_the_change_in_accuracy(
    debates_: list[list[tuple[str | None, ...]]], ties: str, quorum: int
) -> None:
    """For answers and for votes, whatever is unreadable, failed, tied or without a quorum."""
    society = make_society(ties=ties, quorum=quorum)
    records = [decided(society, *rounds, item=f"q{i}") for i, rounds in enumerate(debates_)]
    found = summarize(society, records)
    assert found.alone.n == found.last.n == 3 * len(records)
    assert found.flips.gained - found.flips.lost == found.last.successes - found.alone.successes
    assert found.moved.gained - found.moved.lost == found.after.successes - found.before.successes
    assert found.moved.total == found.before.n == found.after.n == len(records)
    assert found.flips.total == 3 * sum(len(rounds) > 1 for rounds in debates_)
    for flips, missing in ((found.flips, "unreadable"), (found.moved, "undecided")):
        said = describe_flips(flips, missing)
        parts = {words: int(number) for number, words in re.findall(r"(\d+) (\w+ to \w+)", said)}
        assert sum(parts.values()) == flips.changed
        gained = sum(number for words, number in parts.items() if words.endswith("to right"))
        lost = sum(number for words, number in parts.items() if words.startswith("right to"))
        net = gained - lost
        assert said.endswith(f"in all {abs(net)} {'more' if net > 0 else 'fewer'} right" if net else "as many right")
    flips_by_agent = count_agent_flips(society, records).values()
    assert sum(moved.gained - moved.lost for moved in flips_by_agent) == found.flips.gained - found.flips.lost


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(SAID, min_size=2, max_size=3), min_size=1, max_size=4))
def test_rounds_add_up_too(debates_: list[list[tuple[str | None, ...]]]) -> None:
    society = make_society()
    records = [decided(society, *rounds, item=f"q{i}") for i, rounds in enumerate(debates_)]
    scores = score_rounds(society, records)
    for before, after in itertools.pairwise(scores):
        assert after.flips.gained - after.flips.lost == after.answers.successes - before.answers.successes
        assert (after.lost, after.found) == (after.flips.right_to_unread, after.flips.unread_to_right)


# A lone vote


def test_decisions_that_rest_on_one_vote_are_counted() -> None:
    """ "Lahore | Karachi | Islamabad", read as abstentions but for the right one, decides Islamabad."""
    society = make_society()
    lone = decided(society, (GOLD, GOLD, "7"), (GOLD, None, "failed"), item="lone")
    wrong = decided(society, ("7", None, None), ("7", None, None), item="wrong")
    sure = decided(society, (GOLD, GOLD, "7"), (GOLD, GOLD, None), item="sure")
    none = decided(society, (None, None, None), (None, None, None), item="none")
    found = summarize(society, [lone, wrong, sure, none])
    assert (found.lone, found.lone_right, found.lone_before, found.lone_right_before) == (2, 1, 1, 0)
    assert describe_lone(found) == "2 of 3 decisions, 1 of 2 right ones; before debating 0 of 2 right ones"
    assert count_support(society, lone, str.__eq__) == Support(1, 2, 3, 1)
    strict = make_society(quorum=2)
    refused = [
        decided(strict, *rounds, item="q")
        for rounds in (((GOLD, None, None),), ((GOLD, GOLD, None),), ((GOLD, "7", None),))
    ]
    assert [record.result.decision.answer for record in refused] == [None, GOLD, None]
    assert summarize(strict, refused).lone == 0
    [before] = [score.vote for score in score_rounds(strict, refused[:1])]
    assert before.successes == 0  # votes before debating follow the same quorum


def test_votes_over_independent_answers_follow_the_quorum_too() -> None:
    lone = [decided(make_society(), (GOLD, None, None), item="q")]
    assert vote_chances(make_society(), lone, 3) == {("q", "What is q?"): 1.0}
    assert vote_chances(make_society(quorum=2), lone, 3) == {("q", "What is q?"): 0.0}
    assert vote_chances(make_society(quorum=2), lone, 1) == {("q", "What is q?"): pytest.approx(1 / 3)}


def test_who_moves_whom_counts_what_is_unreadable(society: Society) -> None:
    """Every reading is in exactly one place: nothing is dropped from a denominator unseen."""
    records = [
        debate((GOLD, "7", None), (None, "7", "7"), item="a"),
        debate((None, None, None), (GOLD, None, "7"), item="b"),
        debate((GOLD, GOLD, "7"), (GOLD, None, None), item="c"),
    ]
    flows = count_flows(society, records)
    for flow in flows:
        assert flow.read + flow.silent == len(records)
        assert flow.adopted + flow.muted <= flow.differed <= flow.read
    assert sum(flow.muted for flow in flows) == 4  # a from b; b from c; c from a and b
    found = measure_conformity(society, records)
    readings = 3 * len(records)
    told = found.undecided + found.silent
    assert told <= readings
    assert found.towards.n == 2  # c became unreadable after reading a majority, and a after reading b alone
    assert found.towards.successes == 0


def train_society(label: str) -> Society:
    scenario = make_society().scenario
    plain = json.loads(scenario.model_dump_json(exclude_unset=True))
    plain["train"] = {"label": label, "learners": {"g": {"phases": ["talk"]}}}
    return expand(Scenario.model_validate_json(json.dumps(plain)))


def test_the_quality_of_labels_is_that_of_the_labels_used() -> None:
    """With true answers every label is right, whatever the society decides; a lone vote is no consensus label."""
    wrong = decided(make_society(), ("7", "7", GOLD), item="wrong")
    lone = decided(make_society(), (GOLD, None, None), item="lone")
    right = decided(make_society(), (GOLD, GOLD, "9"), item="right")
    tie = decided(make_society(), (GOLD, "7", "9"), item="tie")
    debated = [wrong, lone, right, tie]
    [gold] = score_iterations(train_society("gold"), [], debated)
    assert (gold.labels.successes, gold.labels.n, gold.unlabelled) == (4, 4, 0)
    [vote] = score_iterations(train_society("consensus"), [], debated)
    assert (vote.labels.successes, vote.labels.n, vote.unlabelled) == (1, 2, 2)
    assert vote.reasons == {"no quorum": 1, "no consensus": 1}
