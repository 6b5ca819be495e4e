"""Training rows of agents, computed by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.objectives import Dpo, Kto
from society.components.decisions.base import DecisionRule, vote_of
from society.components.decisions.counting import Majority
from society.components.filters import Novel
from society.components.labels.base import Evidence, Label, LabelRule
from society.components.labels.truth import Gold, ToolLabel
from society.components.labels.votes import ConsensusLabel, VoteLabel
from society.components.selectors import Agrees, All, Case, Chosen, Critic, Selector, Success
from society.core.types import Ballot, ChatMessage, Decision, GenerateOutput, ToolCall, Turn, TurnId, Usage
from society.runs.records import DebateRecord
from society.scenario.models.training import LearnerSpec
from society.store.rows import ResultRow
from society.training.labels import Labels, find_evidence
from society.training.limits import count_tokens
from society.training.selection import TrainingSet, select_examples


def turn(agent: str, phase: str, number: int, answer: str | None, **more: object) -> Turn:
    chat = (ChatMessage("user", f"{agent} {phase} {number}?"),)
    return Turn(TurnId(0, "q", phase, number, agent), "key", chat, f"I say {answer}.", answer, **more)  # type: ignore[arg-type]


def record(answers: dict[str, tuple[str | None, str | None]], decision: Decision, gold: str = "4") -> DebateRecord:
    """Return a debate of two rounds: what each agent said first and last."""
    turns = [turn(agent, "propose", 1, first) for agent, (first, _) in answers.items()]
    turns += [turn(agent, "debate", 1, last) for agent, (_, last) in answers.items()]
    given = {t.answer for t in turns if t.answer is not None}
    result = ResultRow(
        0, "q", 0, "training", "2+2?", gold, decision, decision.answer == gold, {a: a == gold for a in given}
    )
    return DebateRecord(result, tuple(turns))


def labels(kind: str = "consensus", rule: DecisionRule | None = None, **more: object) -> Labels:
    """Return the labels of debates in which everybody votes."""

    def evidence(debate: DebateRecord, _: LabelRule) -> Evidence:
        history = {turn.id.agent: debate.of(turn.id.agent) for turn in debate.turns}
        votes = [vote_of(name, turns[-1]) for name, turns in history.items()]
        return find_evidence(rule or Majority(), Ballot(votes, history, (), str.__eq__, 0), debate)

    label: LabelRule = Gold() if kind == "gold" else ConsensusLabel()
    return Labels(label, str.__eq__, evidence, **more)  # type: ignore[arg-type]


def select(learner: LearnerSpec, agents: str, *records: DebateRecord, label: str = "consensus") -> TrainingSet:
    return select_examples(learner, tuple(agents), records, labels(label), 0)


GENERATOR = LearnerSpec(phases=("propose",), turn="first")
CRITIC = LearnerSpec(phases=("debate",), select=Critic())
CRITIC_OF_ALL = LearnerSpec(phases=("debate",), select=Critic(unmixed="take"))
MIXED = {"a": ("4", "4"), "b": ("5", "4"), "c": ("6", "6")}


def chosen(learner: LearnerSpec, agent: str, *records: DebateRecord, label: str = "consensus") -> list[tuple[str, str]]:
    found = select(learner, agent, *records, label=label)
    return [(example.messages[-1].content, example.rule) for example in found.examples]


def test_generators_learn_first_answers_that_are_the_consensus() -> None:
    debate = record(MIXED, Decision("4", 2 / 3))
    assert chosen(GENERATOR, "a", debate) == [("I say 4.", "agrees")]
    assert chosen(GENERATOR, "b", debate) == []
    assert chosen(GENERATOR, "c", debate) == []


def test_critics_learn_final_answers_and_which_rule_took_them() -> None:
    debate = record(MIXED, Decision("4", 2 / 3))
    assert chosen(CRITIC_OF_ALL, "a", debate) == [("I say 4.", "stayed right unmixed")]
    assert chosen(CRITIC_OF_ALL, "b", debate) == [("I say 4.", "corrected unmixed")]
    assert chosen(CRITIC_OF_ALL, "c", debate) == []
    stayed, corrected = (LearnerSpec(phases=("debate",), select=Critic(corrected_share=share)) for share in (0, 1))
    assert chosen(stayed, "a", debate) == [("I say 4.", "stayed right")]
    assert chosen(corrected, "b", debate) == [("I say 4.", "corrected")]


@pytest.mark.parametrize(
    "decision", [Decision(None, 1 / 3, "tie", ("4", "5", "6")), Decision("4", 1 / 3, "tie broken", ("4", "5"))]
)
def test_a_split_is_no_label_even_if_the_tie_was_broken(decision: Decision) -> None:
    debate = record({"a": ("4", "4"), "b": ("5", "5"), "c": ("6", "6")}, decision)
    assert not labels().find(debate).given
    found = select(GENERATOR, "abc", debate)
    assert found.examples == []
    assert found.left_out["no consensus"] == 3


def test_gold_labels_are_for_star() -> None:
    wrong_consensus = record({"a": ("4", "4"), "b": ("5", "5"), "c": ("5", "5")}, Decision("5", 2 / 3))
    assert chosen(GENERATOR, "a", wrong_consensus, label="gold") == [("I say 4.", "agrees")]
    assert chosen(GENERATOR, "b", wrong_consensus, label="gold") == []


def test_the_context_of_a_row_is_what_the_model_saw() -> None:
    debate = record(MIXED, Decision("4", 2 / 3))
    [example] = select(CRITIC_OF_ALL, "b", debate).examples
    assert example.messages[:-1] == debate.turns[4].messages
    assert example.source == debate.turns[4].id


def test_what_is_left_out_is_counted_by_reason() -> None:
    debate = record(MIXED, Decision("4", 2 / 3))
    spoiled = [
        turn("a", "propose", 1, "4", status="failed"),
        turn("b", "propose", 1, "4", finish_reason="length"),
        turn("c", "propose", 1, "6"),
    ]
    found = select(GENERATOR, "abc", DebateRecord(debate.result, (*spoiled, *debate.turns[3:])))
    assert found.left_out == {"failed": 1, "cut off at max_tokens": 1, "not selected": 1}


@given(
    corrected=st.integers(0, 60),
    stayed=st.integers(0, 60),
    share=st.sampled_from([0.0, 0.25, 0.5, 0.8, 1.0]),
    seed=st.integers(0, 9),
)
def test_the_critics_mix_has_the_corrected_share(corrected: int, stayed: int, share: float, seed: int) -> None:
    cases = [Case(turn("a", "debate", i + 1, "4"), True, i >= corrected, True) for i in range(corrected + stayed)]
    rules = Counter(rule for _, rule in Critic(corrected_share=share).choose(cases, seed))
    total = sum(rules.values())
    assert abs(rules["corrected"] - share * total) <= 1
    left_out = Critic(corrected_share=share).explain(cases, seed)
    assert total + left_out.total() == len(cases)
    if share in (0, 1):
        assert rules == +Counter({"corrected": corrected if share else 0, "stayed right": 0 if share else stayed})
    elif not corrected or not stayed:
        assert total == 0  # one kind of row never stands in for the other
        assert set(left_out) <= {"no corrected rows to mix with", "no stayed right rows to mix with"}
    else:
        assert rules["corrected"] in (corrected, corrected - 1) or rules["stayed right"] in (stayed, stayed - 1)


def test_a_share_of_nothing_is_counted_as_left_out() -> None:
    """A share of 0 and no row that stayed right: the critic learns nothing. The same for 1 and the other kind."""
    corrected = [Case(turn("a", "debate", i, "4"), True, False, True) for i in range(3)]
    stayed = [Case(turn("a", "debate", i, "4"), True, True, True) for i in range(3)]
    assert Critic(corrected_share=0).choose(corrected, 0) == Critic(corrected_share=1).choose(stayed, 0) == []
    assert Critic(corrected_share=0).explain(corrected, 0) == {"corrected, with corrected_share 0": 3}
    assert Critic(corrected_share=1).explain(stayed, 0) == {"stayed right, with corrected_share 1": 3}
    assert Critic(corrected_share=0, unmixed="take").choose(corrected, 0) == []  # no share was asked for
    assert Critic().explain(corrected, 0) == {"no stayed right rows to mix with": 3}
    assert [rule for _, rule in Critic(unmixed="take").choose(corrected, 0)] == ["corrected unmixed"] * 3


@pytest.mark.parametrize("more", [{"status": "failed"}, {}])
def test_a_first_turn_that_failed_or_is_unreadable_is_no_correction(more: dict[str, str]) -> None:
    debate = record(MIXED, Decision("4", 2 / 3))
    first = turn("b", "propose", 1, None, **more)
    debate = DebateRecord(debate.result, (debate.turns[0], first, *debate.turns[2:]))
    for critic in (CRITIC, CRITIC_OF_ALL, LearnerSpec(phases=("debate",), select=Critic(corrected_share=1))):
        found = select(critic, "b", debate)
        assert found.examples == []
        assert found.left_out == {"no readable first answer": 1}


# Labels


@pytest.mark.parametrize(
    ("answers", "label"),
    [
        (("4", None, None), None),  # a lone vote among abstentions
        (("4", "4", None), "4"),
        (("4", "4", "5", "6"), None),  # two of four are not more than half
        (("4", "4", None, None), None),
        (("4", "4", "4", None, None), "4"),
        (("4",), None),
    ],
)
def test_a_label_needs_two_that_agree_and_more_than_half_of_those_that_spoke(
    answers: tuple[str | None, ...], label: str | None
) -> None:
    debate = record({name: (x, x) for name, x in zip("abcde", answers, strict=False)}, Decision("4", 0.4))
    assert labels().find(debate).answer == label
    assert labels().find(debate).reason == ("" if label else "no quorum")
    assert select(GENERATOR, "abcde", debate).left_out["no quorum"] == (0 if label else len(answers))


def test_a_voter_whose_turn_failed_has_not_spoken() -> None:
    debate = record({"a": ("4", "4"), "b": ("4", "4"), "c": ("4", "5"), "d": ("4", None)}, Decision("4", 0.5))
    assert not labels().find(debate).given
    gone = [turn("d", "debate", 1, None, status="failed") if t is debate.turns[-1] else t for t in debate.turns]
    assert labels().find(DebateRecord(debate.result, tuple(gone))).answer == "4"  # two of three


def test_the_quorum_of_labels_can_be_set() -> None:
    lone = record({"a": ("4", "4"), "b": (None, None)}, Decision("4", 0.5))
    assert labels(quorum=1, majority=0).find(lone).answer == "4"
    assert not labels(quorum=1).find(lone).given  # one of two that spoke
    both = record({"a": ("4", "4"), "b": ("4", "4")}, Decision("4", 1.0))
    assert not labels(quorum=3).find(both).given
    assert labels("gold").find(both).given


@pytest.mark.parametrize("rule", [ConsensusLabel(), VoteLabel(over="all")])
def test_one_agent_alone_makes_no_label_by_speaking_twice(rule: LabelRule) -> None:
    every = Majority(over="all")
    lone = record({"a": ("5", "5"), "b": (None, None), "c": (None, None)}, Decision("5", 1 / 3))
    failed = [t if t.answer else replace(t, status="failed") for t in lone.turns]
    debate = DebateRecord(lone.result, tuple(failed))
    found = replace(labels(rule=every), rule=rule)
    assert found.find(debate).reason == "no quorum"
    assert replace(found, quorum=1).find(debate).answer == "5"
    joined = record({"a": ("5", "5"), "b": ("5", None), "c": ("4", None)}, Decision("5", 0.5))
    assert replace(found, majority=0.4).find(joined).answer == "5"
    drawn = [replace(turn("a", "propose", 1, "5"), id=TurnId(0, "q", "propose", 1, "a", n)) for n in (1, 2)]
    evidence = Evidence({}, drawn, Decision(None), 0, 0, 0, str.__eq__)
    assert VoteLabel(samples=2).find(evidence, "").supporters == 2  # answered twice, without a debate between them


def test_an_earlier_answer_counts_for_the_label_where_the_decision_counts_it() -> None:
    debate = record({"a": ("4", "4"), "b": ("4", None), "c": ("5", None)}, Decision("4", 2 / 3))
    assert not labels().find(debate).given
    assert labels(rule=Majority(unparsed="earlier")).find(debate).answer == "4"


# Controls of equal compute


def spoken(agent: str, number: int, first: str, size: int) -> DebateRecord:
    """Return a debate that decided "4", in which this agent said that first, and "4" in a turn of this many tokens."""
    asked = Turn(TurnId(0, f"{agent}{number}", "propose", 1, agent), "", (), first, first)
    last = Turn(TurnId(0, f"{agent}{number}", "debate", 1, agent), "", (), "4", "4", usage=Usage(size - 3, 3))
    result = ResultRow(0, f"{agent}{number}", 0, "training", "2+2?", "4", Decision("4", 1.0), True, {"4": True})
    return DebateRecord(result, (asked, last))


def everybody(kinds: dict[str, tuple[int, int]], size: int = 20) -> list[DebateRecord]:
    """Debates in which each agent corrected itself and stayed right so often."""
    return [
        spoken(agent, i, "5" if i < corrected else "4", size + i % 3)
        for agent, (corrected, stayed) in kinds.items()
        for i in range(corrected + stayed)
    ]


ALWAYS = Labels(
    ConsensusLabel(), str.__eq__, lambda debate, _: Evidence({}, (), debate.result.decision, 3, 0, 3, str.__eq__)
)
KINDS = st.fixed_dictionaries({agent: st.tuples(st.integers(0, 30), st.integers(0, 30)) for agent in "abc"})


@given(
    KINDS,
    st.sampled_from([0, 0.3, 0.5, 1]),
    st.sampled_from(["skip", "take"]),
    st.none() | st.integers(1, 40),
    st.none() | st.integers(100, 900),
    st.booleans(),
    st.integers(0, 5),
)
def test_one_critic_of_all_takes_the_rows_of_the_agents_own_critics(
    kinds: dict[str, tuple[int, int]],
    share: float,
    unmixed: str,
    rows: int | None,
    tokens: int | None,
    repeat: bool,
    seed: int,
) -> None:
    """The same debates give the pooled learner and the society's learners together the same rows."""
    critic = Critic(corrected_share=share, unmixed=unmixed)  # type: ignore[arg-type]
    repeat = repeat and (rows or tokens) is not None
    learner = LearnerSpec(phases=("debate",), select=critic, rows=rows, tokens=tokens, repeat=repeat)
    debates = everybody(kinds)
    own = [select_examples(learner, (agent,), debates, ALWAYS, seed) for agent in "abc"]
    pooled = select_examples(learner, ("a", "b", "c"), debates, ALWAYS, seed)
    assert Counter(e.source for e in pooled.examples) == Counter(e.source for one in own for e in one.examples)
    assert pooled.left_out == sum((one.left_out for one in own), Counter())
    chosen_once = {example.source for example in pooled.examples}
    assert len(chosen_once) + pooled.left_out.total() == len(debates)


@pytest.mark.parametrize(
    "kinds",
    [
        {"a": (0, 50), "b": (10, 40), "c": (10, 40)},
        {"a": (0, 50), "b": (0, 50), "c": (4, 46)},
        {"a": (10, 40), "b": (40, 10), "c": (25, 25)},
        {"a": (50, 0), "b": (5, 45), "c": (5, 45)},
    ],
)
def test_the_rule_by_itself_thins_agent_by_agent(kinds: dict[str, tuple[int, int]]) -> None:
    cases = {
        agent: [Case(turn(agent, "debate", i, "4"), True, i >= n, True) for i in range(n + m)]
        for agent, (n, m) in kinds.items()
    }
    own = sum(len(Critic().choose(of, 1)) for of in cases.values())
    assert len(Critic().choose([case for of in cases.values() for case in of], 1)) == own


@given(KINDS, st.integers(1, 60), st.integers(0, 5))
def test_rows_are_as_many_as_the_limit_says_where_they_are_repeated(
    kinds: dict[str, tuple[int, int]], rows: int, seed: int
) -> None:
    learner = LearnerSpec(phases=("debate",), select=All(), rows=rows, repeat=True)
    found = select_examples(learner, ("a", "b", "c"), everybody(kinds), ALWAYS, seed)
    assert len(found.examples) == rows * sum(1 for corrected, stayed in kinds.values() if corrected + stayed)
    once = select_examples(learner.model_copy(update={"repeat": False}), ("a",), everybody(kinds), ALWAYS, seed)
    assert len(once.examples) == min(rows, sum(kinds["a"]))
    assert once.left_out["beyond the learner's limit"] == max(0, sum(kinds["a"]) - rows)


@pytest.mark.slow
@given(st.integers(30, 60), st.integers(30, 60), st.integers(2, 5), st.integers(0, 5))
def test_two_arms_with_a_limit_on_tokens_are_within_two_per_cent(one: int, other: int, longer: int, seed: int) -> None:
    """Whatever is selected from other debates, with rows of other lengths."""

    def total(count: int, size: int) -> int:
        learner = LearnerSpec(phases=("debate",), select=All(), tokens=3000, repeat=True)
        debates = everybody(dict.fromkeys("abc", (count, count)), size)
        found = select_examples(learner, ("a", "b", "c"), debates, ALWAYS, seed)
        sizes = {t.id: t.usage.prompt_tokens + t.usage.generated_tokens for d in debates for t in d.turns}
        return sum(sizes[example.source] for example in found.examples)

    assert abs(total(one, 20) / total(other, 20 + longer) - 1) < 0.02


def test_a_limit_keeps_the_shares_of_the_rules() -> None:
    learner = LearnerSpec(phases=("debate",), select=Critic(corrected_share=0.3), rows=20)
    found = select_examples(learner, ("a",), everybody({"a": (30, 70)}), ALWAYS, 0)
    assert Counter(example.rule for example in found.examples) == {"corrected": 6, "stayed right": 14}


@pytest.mark.parametrize(("selector", "count"), [(Agrees(), 1), (Success(), 2), (All(), 3)])
def test_other_rules(selector: Selector, count: int) -> None:
    cases = [
        Case(turn("a", "debate", 1, "4"), True, True, True),
        Case(turn("b", "debate", 1, "5"), False, False, True),
        Case(turn("c", "debate", 1, "5"), False, False, False),
    ]
    assert len(selector.choose(cases, 0)) == count


def test_a_tool_labels_answers_that_it_gave() -> None:
    def called(agent: str, answer: str, result: str, status: str = "ok") -> Turn:
        call = ToolCall("calculator", "2+2", result, status)  # type: ignore[arg-type]
        return turn(agent, "debate", 1, answer, calls=(call,))

    decided = Decision("5", 2 / 3)
    said = [called("a", "4", " 4 "), called("b", "5", "4"), called("c", "5", "5", "failed"), called("d", "4", "4")]

    def find(rule: ToolLabel, turns: list[Turn]) -> Label:
        history = {one.id.agent: [one] for one in turns}
        return rule.find(Evidence(history, (), decided, 2, 1, 3, str.__eq__), "a")

    assert find(ToolLabel(), said) == Label("4", "", 2, 0, 2, 2)
    assert find(ToolLabel(tools=("search",)), said).reason == "no answer that a tool gave"
    assert find(ToolLabel(), [*said, called("e", "7", "7")]) == Label("4", "", 2, 1, 3, 2)


# Objectives over pairs and single replies


def opposed(number: int, answers: dict[str, str], decision: str) -> DebateRecord:
    """Return a debate of one round with these answers to one prompt."""
    chat = (ChatMessage("user", f"{number}?"),)
    turns = tuple(
        Turn(TurnId(0, f"q{number}", "propose", 1, a), "", chat, f"I say {x}.", x) for a, x in answers.items()
    )
    result = ResultRow(0, f"q{number}", 0, "training", f"{number}?", "4", Decision(decision, 1.0), True, {"4": True})
    return DebateRecord(result, turns)


@pytest.mark.parametrize("selector", [Agrees(), Success(), All()])
def test_own_adapters_together_get_the_pairs_of_a_shared_one(selector: Selector) -> None:
    """A turn that is selected for another agent is no undesired reply, and both replies of a pair differ."""
    debates = [
        opposed(1, {"a": "4", "b": "5", "c": "5"}, "4"),
        opposed(2, {"a": "5", "b": "5", "c": "6"}, "5"),
    ]
    learner = LearnerSpec(phases=("propose",), turn="first", select=selector, objective=Dpo())
    own = [select_examples(learner, (agent,), debates, ALWAYS, 0, others=tuple({*"abc"} - {agent})) for agent in "abc"]
    shared = select_examples(learner, ("a", "b", "c"), debates, ALWAYS, 0)
    assert [e.source for one in own for e in one.examples if e.desired] == [
        e.source for agent in "abc" for e in shared.examples if e.desired and e.source.agent == agent
    ]
    assert Counter(e.source for one in own for e in one.examples) == Counter(e.source for e in shared.examples)
    assert bool(shared.examples) == isinstance(selector, Agrees)


def test_both_replies_of_a_pair_have_different_answers() -> None:
    """The selected reply has not the label, and another one has its answer."""
    more = opposed(1, {"a": "5", "b": "5", "c": "6"}, "4")
    learner = LearnerSpec(phases=("propose",), turn="first", select=All(), objective=Dpo())
    for seed in range(9):
        [good, bad] = select_examples(learner, ("a",), [more], ALWAYS, seed).examples
        assert (good.source.agent, bad.source.agent) == ("a", "c")


def test_a_limit_counts_each_reply_of_a_turn() -> None:
    """A turn with a call of a tool gives two rows, and is taken whole or not at all."""
    call = ToolCall("calculator", "2+2", "4", "ok", reply=GenerateOutput("Let me see.", "stop", Usage()))

    def limited(limit: int, calls: int) -> list[int]:
        debates = [spoken("a", i, "4", 20) for i in range(9)]
        debates = [
            DebateRecord(d.result, (d.turns[0], replace(d.turns[1], calls=(call,))) if i < calls else d.turns)
            for i, d in enumerate(debates)
        ]
        learner = LearnerSpec(phases=("debate",), select=All(), rows=limit)
        return [e.part for e in select_examples(learner, ("a",), debates, ALWAYS, 0).examples]

    for calls in range(10):
        parts = limited(5, calls)
        assert len(parts) == (4 if calls == 9 else 5)
        assert parts.count(1) <= parts.count(0)
    assert limited(1, 9) == []
    assert limited(1, 8) == [0]


@given(st.integers(1, 12), st.integers(0, 5), st.booleans())
def test_undesired_replies_within_a_limit_are_no_more_than_desired_ones(limit: int, seed: int, repeat: bool) -> None:
    debates = [opposed(i, {"a": "4" if i % 2 else "5", "b": "4"}, "4") for i in range(10)]
    learner = LearnerSpec(phases=("propose",), turn="first", objective=Kto(), rows=limit, repeat=repeat)
    found = select_examples(learner, ("a", "b"), debates, ALWAYS, seed)
    for agent in "ab":
        desired = [e.desired for e in found.examples if e.source.agent == agent]
        assert len(desired) == (limit if repeat else min(limit, 10))
        assert desired.count(False) == (len(desired) // 2 if agent == "a" else 0)


def test_a_turn_that_is_selected_with_weight_0_is_counted_once() -> None:
    class Zero(Selector):
        def choose(self, cases: Sequence[Case], seed: int) -> Chosen:
            return [(case, "zero") for case in cases]

        def weigh(self, cases: Sequence[Case], seed: int) -> list[float]:
            return [float(case.agrees) for case in cases]

    debates = [opposed(i, {"a": "4" if i % 2 else "5"}, "4") for i in range(10)]
    spec = LearnerSpec(phases=("propose",), turn="first", objective=Kto())
    found = select_examples(spec.model_copy(update={"select": Zero()}), ("a",), debates, ALWAYS, 0)
    assert len(found.examples) == 5
    assert found.left_out == {"weight 0": 5}


# Rows of several iterations, and limits


def moved(debate: DebateRecord, iteration: int) -> DebateRecord:
    """Return the same debate in another iteration."""
    turns = [replace(t, id=replace(t.id, iteration=iteration)) for t in debate.turns]
    return DebateRecord(replace(debate.result, iteration=iteration), tuple(turns))


def test_a_critics_rows_of_several_iterations_are_of_different_questions() -> None:
    """36 rows that stayed right are thinned to 12 in all, not to the same four in each iteration."""
    debates = [moved(debate, i) for i in range(3) for debate in everybody({"a": (4, 36)})]
    learner = LearnerSpec(phases=("debate",), select=Critic(corrected_share=0.5), accumulate=True, rows=100)
    found = select_examples(learner, ("a",), debates, ALWAYS, 7).examples
    stayed = [example.source for example in found if example.rule == "stayed right"]
    assert len(stayed) == 12
    assert len({source.item for source in stayed}) > 4
    assert {source.iteration for source in stayed} == {0, 1, 2}


def test_undesired_replies_may_be_of_an_earlier_iteration() -> None:
    debates = [opposed(1, {"a": "5"}, "5"), moved(opposed(1, {"a": "4"}, "4"), 1)]
    learner = LearnerSpec(phases=("propose",), turn="first", objective=Dpo(), accumulate=True, rows=10)
    pairs = select_examples(learner, ("a",), [debates[0], moved(opposed(1, {"a": "5"}, "4"), 1)], ALWAYS, 0).examples
    assert pairs == []  # selected in iteration 0, so it is no undesired reply in iteration 1
    wrong = opposed(1, {"a": "6"}, "5")
    pairs = select_examples(learner, ("a",), [wrong, debates[1]], ALWAYS, 0).examples
    assert [(e.source.iteration, e.desired) for e in pairs] == [(1, True), (0, False)]


def test_a_repeated_reply_of_an_earlier_iteration_is_not_novel() -> None:
    debates = [moved(opposed(n, {"a": "4"}, "4"), i) for i, n in ((0, 1), (1, 1), (1, 2))]
    learner = LearnerSpec(phases=("propose",), turn="first", select=Novel(alpha=0), accumulate=True, rows=10)
    found = select_examples(learner, ("a",), debates, ALWAYS, 0)
    assert found.examples == []  # the texts of all three are equal
    others = [moved(opposed(n, {"a": "4"}, "4"), i) for i, n in ((0, 1), (1, 2))]
    assert len(select_examples(learner, ("a",), others, ALWAYS, 0).examples) == 2


def called_twice(number: int, answer: str, decision: str = "4") -> DebateRecord:
    """Return a debate of one turn with a call of a tool, whose replies have 7 and 5 tokens."""
    debate = opposed(number, {"a": answer}, decision)
    first = GenerateOutput("<use calculator>2+2", "stop_text", Usage(10, 7), tokens=tuple(range(7)))
    call = ToolCall("calculator", "2+2", "4", "ok", first)
    spoken = replace(debate.turns[0], calls=(call,), usage=Usage(30, 12), tokens=tuple(range(5)))
    return DebateRecord(debate.result, (spoken,))


def test_the_tokens_of_all_replies_of_a_turn_count() -> None:
    assert count_tokens(called_twice(1, "4").turns[0]) == 30 + 7 + 5


def test_rows_that_no_longer_fit_end_the_repetition() -> None:
    """A desired turn of two replies and undesired ones of one: after four rows, none fits into five."""
    debates = [called_twice(1, "4"), *(opposed(n, {"a": "5"}, "4") for n in (2, 3))]
    learner = LearnerSpec(phases=("propose",), turn="first", objective=Kto(), rows=5, repeat=True)
    found = select_examples(learner, ("a",), debates, ALWAYS, 0).examples
    assert [example.desired for example in found].count(True) == 2
    assert len(found) == 4
