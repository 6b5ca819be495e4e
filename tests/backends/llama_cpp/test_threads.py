"""The number of threads follows what the machine has to give, on made-up machines."""

from __future__ import annotations

import pytest

from backends.llama_cpp.threads import Pace


def run(pace: Pace, seconds: dict[int, float], steps: int, rows: int = 16) -> list[int]:
    """The threads of each step on a machine where a step takes so many seconds with so many threads."""
    used = []
    for _ in range(steps):
        used.append(pace.threads)
        pace.note(rows, seconds[pace.threads])
    return used


def test_on_a_quiet_machine_all_cores_work() -> None:
    used = run(Pace(2), {2: 0.05, 1: 0.09}, 2000)
    assert used.count(2) > 0.95 * len(used)


def test_on_a_busy_machine_one_thread_is_enough() -> None:
    used = run(Pace(2), {2: 1.5, 1: 0.15}, 300)
    assert used.index(1) <= 2
    assert used.count(1) > 0.9 * len(used)


def test_it_follows_a_machine_that_changes() -> None:
    pace = Pace(2)
    run(pace, {2: 0.05, 1: 0.09}, 500)
    busy = run(pace, {2: 1.5, 1: 0.15}, 100)
    assert busy[-10:].count(1) > 5
    quiet = run(pace, {2: 0.05, 1: 0.09}, 500)
    assert quiet[-100:].count(2) > 90


def test_steps_of_other_sizes_decide_nothing() -> None:
    """A prompt's rows are cheaper than a reply's: comparing them would mislead."""
    pace = Pace(2)
    for step in range(200):
        rows = 200 if step % 2 else 16
        pace.note(rows, 0.4 * rows / 200 if rows == 200 else {2: 0.05, 1: 0.09}[pace.threads])
    assert pace.options[pace._current] == 2


@pytest.mark.parametrize(("most", "options"), [(1, [1]), (2, [2, 1]), (8, [8, 4, 2, 1])])
def test_options(most: int, options: list[int]) -> None:
    assert Pace(most).options == options
    assert Pace(most, adapt=False).options == [most]
