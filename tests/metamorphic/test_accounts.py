"""Results computed from a run do not depend on when, how often, or in which order they are computed."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from hypothesis import assume
from hypothesis import strategies as st

from society.metrics.statistics import compare_outcomes
from society.report.page import write_report
from society.runs.records import load_records
from society.runs.run import Run
from society.scenario.expand import expand
from tests.metamorphic.relation import relation
from tests.metamorphic.runs import Spec, load, outcome, play, summary, workplace
from tests.metamorphic.worlds import worlds

Scores = dict[int, list[float]]
"""Scores by question, one for each debate."""


@relation(15, spec=worlds(faults=True), luck=st.integers(0, 99).map(Random))
def test_the_order_of_debates_changes_no_number(spec: Spec, luck: Random) -> None:
    with workplace() as folder:
        run = play(load({**spec, "samples": 2}, folder), folder / "run")
        records = load_records(run)
        society = expand(run.scenario)
        assert summary(society, records) == summary(society, luck.sample(records, len(records)))


@pytest.mark.slow
@relation(12, spec=worlds(faults=True))
def test_looking_at_a_run_changes_nothing(spec: Spec) -> None:
    """Two reports of a run are the same bytes, and the run afterwards is what it was."""
    with workplace() as folder:
        run = play(load(spec, folder), folder / "run")
        before = outcome(run)
        pages = [report(run, folder / name) for name in ("one.html", "two.html")]
        assert pages[0] == pages[1]
        assert outcome(run) == before


def report(run: Run, path: Path) -> bytes:
    write_report([run], path)
    return path.read_bytes()


shares = st.sampled_from([0.0, 0.5, 1.0])
scores = st.dictionaries(st.integers(0, 9), st.lists(shares, min_size=1, max_size=2), min_size=1, max_size=10)


@relation(60, one=scores, other=scores, luck=st.integers(0, 99).map(Random))
def test_a_comparison_turned_round_is_the_same_with_the_sign_changed(one: Scores, other: Scores, luck: Random) -> None:
    assume(set(one) & set(other))
    forward = compare_outcomes(one, other)
    backward = compare_outcomes(turned(other, luck), turned(one, luck))
    assert backward.value == pytest.approx(-forward.value)
    assert backward.p == pytest.approx(forward.p)
    assert (backward.gained, backward.lost) == (forward.lost, forward.gained)
    assert (backward.only_first, backward.only_second) == (forward.only_second, forward.only_first)
    assert (backward.test, backward.questions) == (forward.test, forward.questions)
    assert backward.discordance == pytest.approx(forward.discordance)


def turned(scores: Scores, luck: Random) -> Scores:
    """Return the same scores, with the questions in another order."""
    return dict(luck.sample(list(scores.items()), len(scores)))
