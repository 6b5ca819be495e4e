"""Nothing depends on what goes on at the same time, how long it takes, or which question comes first."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st

from tests.metamorphic.relation import relation
from tests.metamorphic.runs import QUESTIONS, Spec, differences, load, outcome, play, workplace, write_questions
from tests.metamorphic.speakers import Manner
from tests.metamorphic.worlds import worlds

FILE = {"kind": "jsonl", "path": "questions.jsonl", "id": "id", "answer": {"extract": ["last_number"]}}


def debates(found: dict[str, Any]) -> dict[str, Any]:
    """Return the turns and results of an outcome, without the summaries of the whole."""
    return {key: value for key, value in found.items() if not key.startswith("summary")}


@pytest.mark.slow
@relation(40, spec=worlds(faults=True), concurrency=st.integers(1, 12), tempo=st.integers(1, 5))
def test_concurrency_and_the_time_that_replies_take_change_nothing(spec: Spec, concurrency: int, tempo: int) -> None:
    with workplace() as folder:
        one = play(load(spec, folder, "concurrency=1"), folder / "one")
        many = play(load(spec, folder, f"concurrency={concurrency}"), folder / "many", Manner(tempo=tempo))
        assert not differences(one, many)


@pytest.mark.slow
@relation(25, spec=worlds(faults=True), order=st.permutations(QUESTIONS[:3]), tempo=st.integers(0, 2))
def test_the_order_of_questions_changes_no_debate(spec: Spec, order: list[dict[str, Any]], tempo: int) -> None:
    with workplace() as folder:
        write_questions(folder / "questions.jsonl", QUESTIONS[:3])
        spec = {**spec, "task": FILE}
        scenario = load(spec, folder)
        one = outcome(play(scenario, folder / "one"))
        write_questions(folder / "questions.jsonl", order)
        assert not differences(one, play(scenario, folder / "other", Manner(tempo=tempo)))


@pytest.mark.slow
@relation(20, spec=worlds(), more=st.integers(1, 3), shuffle=st.booleans())
def test_more_questions_and_samples_change_no_debate(spec: Spec, more: int, shuffle: bool) -> None:
    """The first questions of a longer list, and the first samples of more, are those of a shorter."""
    with workplace() as folder:
        task = {**spec["task"], "limit": 2, "shuffle": shuffle}
        few = play(load({**spec, "task": task, "samples": 1}, folder), folder / "few")
        longer = {**spec, "task": {**task, "limit": 2 + more}, "samples": 2}
        found = debates(outcome(play(load(longer, folder), folder / "many")))
        expected = debates(outcome(few))
        assert set(expected) < set(found)
        assert not differences(expected, {key: found[key] for key in expected})


@relation(15, spec=worlds(), samples=st.integers(1, 3))
def test_every_turn_draws_for_itself(spec: Spec, samples: int) -> None:
    """Equal prompts of other agents, rounds, samples or questions are answered with seeds of their own."""
    role = {"prompt": "What do you think?"}
    spec = {**spec, "roles": dict.fromkeys(spec["roles"], role), "samples": samples}
    with workplace() as folder:
        turns = play(load(spec, folder), folder / "run").turns()
        assert len({turn.key for turn in turns}) == len(turns)


@pytest.mark.slow
@relation(20, spec=worlds(), offset=st.integers(1, 2))
def test_a_slice_of_the_questions_is_debated_as_they_are_in_the_whole(spec: Spec, offset: int) -> None:
    with workplace() as folder:
        task = {**spec["task"], "limit": 3, "offset": 0}
        found = debates(outcome(play(load({**spec, "task": task}, folder), folder / "whole")))
        part = {**spec, "task": {**task, "limit": 3 - offset, "offset": offset}}
        expected = debates(outcome(play(load(part, folder), folder / "part")))
        assert expected
        assert not differences(expected, {key: found.get(key) for key in expected})


@pytest.mark.slow
@relation(20, spec=worlds(), rounds=st.integers(1, 3))
def test_later_rounds_and_phases_change_no_earlier_turn(spec: Spec, rounds: int) -> None:
    with workplace() as folder:
        role = {"prompt": "{{ round }} {{ question }} {% for m in heard %}{{ m.text }} {% endfor %}"}
        talk = {**spec["phases"][0], "rounds": rounds}
        short = {**spec, "roles": dict.fromkeys(spec["roles"], role), "phases": [talk], "decision": "majority"}
        later = {"name": "later", "topology": "complete"}
        long = {**short, "phases": [{**talk, "rounds": rounds + 1}, later]}
        expected = {t.id: t.text for t in play(load(short, folder), folder / "short").turns()}
        found = {t.id: t.text for t in play(load(long, folder), folder / "long").turns()}
        assert set(expected) < set(found)
        assert expected == {turn: found[turn] for turn in expected}
