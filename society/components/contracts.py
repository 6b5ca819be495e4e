"""Promises of decisions, rules, gates, controllers, labels, selectors and tools, as tests for outside authors.

Subclass one contract and give it a fixture with your component: `rule`, `stop`, `leave`, `gate`, `controller`,
`label`, `selector`, `metric` or `tool`.
The contracts of other nouns are in `backends.contract`, `society.tasks.contract`, `society.executors.contract` and
`topologies.contract`.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import pairwise

import networkx as nx

from society.components.controllers import ControlContext, Controller
from society.components.decisions.base import DecisionRule
from society.components.gates import Gate
from society.components.labels.base import Evidence, LabelRule
from society.components.leaving import LeaveRule
from society.components.metrics.base import Debate, Metric, Question, Totals
from society.components.selectors import Case, Selector
from society.components.stops import StopRule
from society.components.tools.base import Tool, ToolError, ToolSession
from society.core.component import Component
from society.core.types import Ballot, ChatMessage, Decision, Past, RoundState, Turn, TurnId, Usage, Vote

ANSWERS: Sequence[Sequence[str | None]] = (
    ["x"],
    [None],
    ["x", "x", "y"],
    ["x", "y", "z"],
    ["x", None, None],
    [None, None, None],
    ["x", "x", "y", "y"],
)
"""Answers of the agents of a round; None is an unreadable one."""


def make_turn(agent: str, answer: str | None, number: int = 1) -> Turn:
    """Return a turn with this answer; None is an unreadable one."""
    text = f"It is {answer}." if answer else "Hm."
    return Turn(TurnId(0, "item", "phase", number, agent), "key", (ChatMessage("user", "?"),), text, answer)


def make_state(rounds: Sequence[Sequence[str | None]]) -> RoundState:
    """Return the state of a phase in which agent-1, agent-2, ... gave these answers round by round."""
    turns = [
        {f"agent-{i}": make_turn(f"agent-{i}", answer, number) for i, answer in enumerate(answers, 1)}
        for number, answers in enumerate(rounds, 1)
    ]
    count = sum(map(len, turns))
    return RoundState(turns, Usage(prompt_tokens=10 * count, generated_tokens=5 * count), count, str.__eq__)


def _is_plain_data(component: Component) -> bool:
    return type(component).model_validate_json(component.model_dump_json(exclude_unset=True)) == component


class DecisionContract:
    """Tests with a fixture `rule`."""

    def test_it_decides_for_a_given_answer_or_gives_a_reason(self, rule: DecisionRule) -> None:
        """No answer is invented, support is a share, and the same ballot gives the same decision."""
        for answers in ANSWERS:
            turns = {f"agent-{i}": make_turn(f"agent-{i}", answer) for i, answer in enumerate(answers, 1)}
            votes = [Vote(name, turn.answer) for name, turn in turns.items()]
            given = tuple(dict.fromkeys(answer for answer in answers if answer is not None))
            ballot = Ballot(votes, {name: [turn] for name, turn in turns.items()}, given, str.__eq__, seed=3)
            decision = rule.decide(ballot)
            assert decision.answer is None or decision.answer in given
            assert decision.answer is not None or decision.reason
            assert 0 <= decision.support <= 1
            assert rule.decide(ballot) == decision

    def test_it_is_plain_data(self, rule: DecisionRule) -> None:
        """A run stores its scenario, so a component that is written must be read back equal."""
        assert _is_plain_data(rule)


class StopContract:
    """Tests with a fixture `stop`."""

    def test_it_decides_by_the_rounds_alone(self, stop: StopRule) -> None:
        """Any history gives True or False, the same each time."""
        for answers in ANSWERS:
            for length in (1, 2, 3):
                state = make_state([answers] * length)
                reached = stop.reached(state)
                assert isinstance(reached, bool)
                assert stop.reached(state) is reached

    def test_it_is_plain_data(self, stop: StopRule) -> None:
        """A run stores its scenario, so a component that is written must be read back equal."""
        assert _is_plain_data(stop)


class LeaveContract:
    """Tests with a fixture `leave`."""

    def test_it_decides_by_the_turns_alone(self, leave: LeaveRule) -> None:
        """Any turns give True or False, the same each time."""
        for answers in ANSWERS:
            turns = [make_turn("agent-1", answer, number) for number, answer in enumerate(answers, 1)]
            leaves = leave.leaves(turns, make_state([answers]))
            assert isinstance(leaves, bool)
            assert leave.leaves(turns, make_state([answers])) is leaves

    def test_it_is_plain_data(self, leave: LeaveRule) -> None:
        """A run stores its scenario, so a component that is written must be read back equal."""
        assert _is_plain_data(leave)


class GateContract:
    """Tests with a fixture `gate`."""

    def test_it_decides_by_the_two_turns_alone(self, gate: Gate) -> None:
        """Any sender and reader give True or False, even a reader that has not spoken yet."""
        for sender in ("x", "y", None):
            for reader in (make_turn("b", "x"), make_turn("b", None), None):
                passes = gate.passes(make_turn("a", sender), reader, str.__eq__)
                assert isinstance(passes, bool)
                assert gate.passes(make_turn("a", sender), reader, str.__eq__) is passes

    def test_no_message_repeats_nothing(self, gate: Gate) -> None:
        """A message can repeat only messages that are shown before it, and the same ones each time."""
        for sender in map(partial(make_turn, "a"), ("x", "y", None)):
            assert not gate.repeats(sender, [], str.__eq__)
            before = [make_turn("b", "x"), make_turn("c", None)]
            assert isinstance(gate.repeats(sender, before, str.__eq__), bool)

    def test_it_is_plain_data(self, gate: Gate) -> None:
        """A run stores its scenario, so a component that is written must be read back equal."""
        assert _is_plain_data(gate)


class ControllerContract:
    """Tests with a fixture `controller`."""

    def test_graphs_keep_to_the_agents_and_the_seed(self, controller: Controller) -> None:
        """No agent is invented, the given graph is not changed, and the seed alone decides."""
        agents = [f"agent-{i}" for i in range(1, 4)]
        declared: nx.DiGraph[str] = nx.complete_graph(agents, nx.DiGraph())
        for number in (1, 2, 3):
            before = declared.copy()
            drawn = [asyncio.run(controller.next_graph(before, _context(declared, number))) for _ in range(2)]
            assert set(drawn[0]) <= set(agents)
            assert not list(nx.selfloop_edges(drawn[0]))
            assert nx.utils.graphs_equal(*drawn)
            assert nx.utils.graphs_equal(before, declared)

    def test_it_is_plain_data(self, controller: Controller) -> None:
        """A run stores its scenario, so a component that is written must be read back equal."""
        assert _is_plain_data(controller)


class MetricContract:
    """Tests with a fixture `metric`."""

    def test_its_numbers_are_finite_and_described(self, metric: Metric) -> None:
        """Any debates give numbers that are finite or undefined, and shares in [0, 1]; they are put into words."""
        for questions in _questions():
            stages = questions[0].stages
            numbers = list(metric.numbers(_add([metric.count(question) for question in questions]), stages))
            values = [number.value for number in numbers if number.value is not None]
            assert all(math.isfinite(value) for value in values)
            shares = [number.value for number in numbers if number.unit == "share" and number.value is not None]
            assert all(-1e-9 <= share <= 1 + 1e-9 for share in shares)
            assert {number.stage for number in numbers} <= {"", *stages}
            assert len({(n.name, n.stage, n.group) for n in numbers}) == len(numbers)
            assert all(isinstance(text, str) and text for text in metric.describe(numbers))

    def test_counts_add_up(self, metric: Metric) -> None:
        """Each question is counted alone and the same each time, so that questions can be resampled."""
        for questions in _questions():
            for question in questions:
                assert metric.count(question) == metric.count(question)

    def test_it_is_plain_data(self, metric: Metric) -> None:
        """A run stores its scenario, so a component that is written must be read back equal."""
        assert _is_plain_data(metric)


def make_question(rounds: Sequence[Sequence[str | None]], item: str = "item", numeric: bool = False) -> Question:
    """Return a question with one debate in which agent-1, agent-2, ... gave these answers round by round.

    From the second round on, every agent read the turns of all others in the round before.
    """
    played = [
        {f"agent-{i}": make_turn(f"agent-{i}", answer, number) for i, answer in enumerate(answers, 1)}
        for number, answers in enumerate(rounds, 1)
    ]
    heard = {
        turn.id: [other for name, other in before.items() if name != agent]
        for before, after in pairwise(played)
        for agent, turn in after.items()
    }
    given = [answer for answers in rounds for answer in answers if answer is not None]
    turns = [turn for spoken in played for turn in spoken.values()]
    debate = Debate(played, turns, heard, Decision(None, reason="none"), {}, scored=False, voters=len(rounds[0]))
    return Question(
        item=item,
        text="?",
        debates=[debate],
        stages=[f"debate {number}" for number in range(1, len(rounds) + 1)],
        labels={answer: answer for answer in given},
        values={answer: float(answer) for answer in given if answer.lstrip("-").isdecimal()},
        same=str.__eq__,
        numeric=numeric,
    )


def _questions() -> Iterator[list[Question]]:
    """Yield lists of questions: of words, of numbers, with unreadable answers, of one and of several questions."""
    words = [make_question([answers, answers[::-1]]) for answers in ANSWERS]
    numbers: list[list[list[str | None]]] = [
        [["1", "5", "3"], ["3", "3", None]],
        [["2", "2", "9"], ["2", "9", "9"]],
        [[None] * 3, ["4", None, "1"]],
    ]
    counted = [make_question(rounds, f"item-{i}", numeric=True) for i, rounds in enumerate(numbers)]
    yield from ([question] for question in (*words, *counted))
    yield counted
    yield [make_question([["x", "y"], ["y", "y"]], f"item-{i}") for i in range(3)]


def _add(counts: Sequence[Totals]) -> Totals:
    keys = dict.fromkeys(key for one in counts for key in one)
    return {key: sum(one.get(key, 0.0) for one in counts) for key in keys}


class LabelContract:
    """Tests with a fixture `label`."""

    def test_it_finds_a_label_or_gives_a_reason(self, label: LabelRule) -> None:
        """No answer is invented, votes are counts, and the same evidence gives the same label."""
        for evidence in _evidence():
            found = label.find(evidence, "agent-1")
            given = {turn.answer for turns in evidence.turns.values() for turn in turns}
            given |= {turn.answer for turn in evidence.drawn}
            assert found.answer in given | {None}
            assert not (found.reason and found.answer is not None)
            assert found.votes is None or 0 <= found.backers + found.rivals <= found.votes
            assert found.answer is None or label.agrees(found.answer, found, evidence)
            assert label.find(evidence, "agent-1") == found

    def test_agents_have_one_label_unless_it_is_personal(self, label: LabelRule) -> None:
        """Who learns makes no difference to the label of a debate, unless the rule says so."""
        for evidence in _evidence():
            labels = {label.find(evidence, agent) for agent in ("", *evidence.turns)}
            assert len(labels) == 1 or label.personal

    def test_labels_come_from_no_later_iteration(self, label: LabelRule) -> None:
        """The votes of an iteration exist when it learns from them."""
        for iteration in range(5):
            assert 0 <= label.origin(iteration) <= iteration
            assert label.draws(iteration) >= 0

    def test_it_is_plain_data(self, label: LabelRule) -> None:
        """A run stores its scenario, so a component that is written must be read back equal."""
        assert _is_plain_data(label)


def _evidence() -> Iterator[Evidence]:
    """Yield debates of two rounds, decided or not, with and without further votes and verdicts."""
    for answers in ANSWERS:
        for right in (None, "x".__eq__):
            agents = {f"agent-{i}": answer for i, answer in enumerate(answers, 1)}
            turns = {a: [make_turn(a, answer), make_turn(a, "x", 2)] for a, answer in agents.items()}
            drawn = [make_turn(agent, answer, 3) for agent, answer in agents.items()]
            count = len(answers)
            yield Evidence(turns, drawn, Decision("x", 1.0), count, 0, count, str.__eq__, right)
            yield Evidence(turns, (), Decision(None, reason="tie"), 0, 1, count, str.__eq__, right)


class SelectorContract:
    """Tests with a fixture `selector`."""

    def test_it_takes_each_case_once_in_order(self, selector: Selector) -> None:
        """Only given cases are taken, each at most once, in the order given; the seed alone decides."""
        for cases in (_cases(0), _cases(1), _cases(12)):
            chosen = selector.choose(cases, 5)
            places = [next(i for i, case in enumerate(cases) if case is taken) for taken, _ in chosen]
            assert places == sorted(set(places))
            assert all(rule for _, rule in chosen)
            assert selector.choose(cases, 5) == chosen

    def test_it_weighs_each_case_that_it_takes(self, selector: Selector) -> None:
        """Weights are finite and not negative; the seed alone decides."""
        taken = [case for case, _ in selector.choose(_cases(12), 5)]
        weights = list(selector.weigh(taken, 5))
        assert len(weights) == len(taken)
        assert all(math.isfinite(weight) and weight >= 0 for weight in weights)
        assert list(selector.weigh(taken, 5)) == weights

    def test_it_explains_what_it_leaves_out(self, selector: Selector) -> None:
        """Every case that is not taken is counted under a reason."""
        cases = _cases(12)
        assert selector.explain(cases, 5).total() == len(cases) - len(selector.choose(cases, 5))

    def test_it_is_plain_data(self, selector: Selector) -> None:
        """A run stores its scenario, so a component that is written must be read back equal."""
        assert _is_plain_data(selector)


STRANGE_TEXTS = ("", " ", "\x00", "\ud800", "</use>", "(" * 3000, "é" * 20_000, "%s {0} {{ x }}", "../../etc/passwd")
"""Texts that a model may give a tool, beside sensible ones."""


class ToolContract:
    """Tests with a fixture `tool`. They call the tool, so its documents and libraries must be there."""

    def test_its_example_has_a_result(self, tool: Tool) -> None:
        """The example of the instructions works, and gives the same text each time."""
        tool.require()
        assert _call(tool, tool.example) == _call(tool, tool.example)
        assert tool.identity() == tool.identity()

    def test_any_text_gives_a_text_or_a_tool_error(self, tool: Tool) -> None:
        """A model may give it anything: the result is a text, or a `ToolError` with a message for the agent."""
        tool.require()
        for given in STRANGE_TEXTS:
            try:
                result = _call(tool, given)
            except ToolError as error:
                result = error.cause
            assert isinstance(result, str)

    def test_agents_know_its_name_and_its_use(self, tool: Tool) -> None:
        """The name fits into a tag, and the description and the example say what to give it."""
        assert re.fullmatch("[A-Za-z][A-Za-z0-9_-]{0,63}", tool.label)
        assert tool.explanation
        assert "</use>" not in tool.example
        assert tool.keeps in ("call", "turn", "agent")

    def test_it_is_plain_data(self, tool: Tool) -> None:
        """A run stores its scenario, so a component that is written must be read back equal."""
        assert _is_plain_data(tool)


def _call(tool: Tool, given: str) -> str:
    from society.sandbox import run_code

    return asyncio.run(tool.call(given, ToolSession((), 1, run_code)))


def _cases(count: int) -> list[Case]:
    """Return cases of two agents in which every combination of right and wrong turns occurs."""
    turns = [make_turn(f"agent-{i % 2 + 1}", "x", i + 1) for i in range(count)]
    return [
        Case(
            turn,
            agrees=i % 3 != 0,
            agreed_first=i % 4 < 2,
            success=i % 5 != 0,
            share=(i % 4) / 4,
            margin=(i % 3) / 3,
            witnessed=i % 2 == 0,
            group=turns,
        )
        for i, turn in enumerate(turns)
    ]


def _context(declared: nx.DiGraph[str], number: int) -> ControlContext:
    async def ask(agent: str, about: tuple[str, ...] = (), options: tuple[str, ...] = (), again: int = 1) -> Turn:
        return Turn(TurnId(0, "item", "phase", number, agent), "key", (), "3, 1, 2", None)

    async def ask_as(agent: str, role: str, about: tuple[str, ...]) -> Turn:
        return Turn(TurnId(0, "item", "phase", number, agent), "key", (), "agent-2", None)

    def latest(names: Iterable[str]) -> dict[str, Turn]:
        return {name: make_turn(name, "x") for name in names}

    state = make_state([("x", "y", "z")] * (number - 1)) if number > 1 else None
    return ControlContext(
        state,
        number,
        declared,
        5,
        lambda seed: declared.copy(),
        ask,
        speakers=tuple(declared),
        latest=latest,
        ask_as=ask_as,
        earlier=[Past(("agent-1", "agent-2"), ("agent-1",), ("agent-2",))] * (number - 1),
    )
