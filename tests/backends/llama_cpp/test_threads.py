"""The number of threads follows what the machine has to give, on made-up machines."""

from __future__ import annotations

import pytest

from backends.llama_cpp.threads import ThreadTuner


def run(tuner: ThreadTuner, seconds: dict[int, float], steps: int, rows: int = 16) -> list[int]:
    """Return the threads of each step on a machine where a step takes so many seconds with so many threads."""
    used = []
    for _ in range(steps):
        used.append(tuner.threads)
        tuner.record(rows, seconds[tuner.threads])
    return used


def test_on_a_quiet_machine_all_cores_work() -> None:
    used = run(ThreadTuner(2), {2: 0.05, 1: 0.09}, 2000)
    assert used.count(2) > 0.95 * len(used)


def test_on_a_busy_machine_one_thread_is_enough() -> None:
    used = run(ThreadTuner(2), {2: 1.5, 1: 0.15}, 300)
    assert used.index(1) <= 2
    assert used.count(1) > 0.9 * len(used)


def test_it_follows_a_machine_that_changes() -> None:
    tuner = ThreadTuner(2)
    run(tuner, {2: 0.05, 1: 0.09}, 500)
    busy = run(tuner, {2: 1.5, 1: 0.15}, 100)
    assert busy[-10:].count(1) > 5
    quiet = run(tuner, {2: 0.05, 1: 0.09}, 500)
    assert quiet[-100:].count(2) > 90


def test_steps_of_other_sizes_decide_nothing() -> None:
    """A prompt's rows are cheaper than a reply's: comparing them would mislead."""
    tuner = ThreadTuner(2)
    for step in range(200):
        rows = 200 if step % 2 else 16
        tuner.record(rows, 0.4 * rows / 200 if rows == 200 else {2: 0.05, 1: 0.09}[tuner.threads])
    assert tuner.options[tuner._current] == 2


@pytest.mark.parametrize(("most", "options"), [(1, [1]), (2, [2, 1]), (8, [8, 4, 2, 1])])
def test_options(most: int, options: list[int]) -> None:
    assert ThreadTuner(most).options == options
    assert ThreadTuner(most, adapt=False).options == [most]
