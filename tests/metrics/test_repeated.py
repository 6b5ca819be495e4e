"""pass@k, maj@k and best-of-k, against the mean over all draws."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import combinations, product
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from society.metrics.repeated import best_of_k, majority_at_k, pass_at_k

Samples = list[tuple[int | None, bool, float]]
CLASSES = {0: True, 1: False, 2: True, 3: False}
samples = st.lists(
    st.tuples(st.sampled_from([None, *CLASSES]), st.sampled_from([0.0, 0.5, 1.0])).map(
        lambda pair: (pair[0], pair[0] is not None and CLASSES[pair[0]], pair[1])
    ),
    min_size=1,
    max_size=7,
)


def mean_over_draws(
    found: Samples, k: int, judge: Callable[[Sequence[tuple[int | None, bool, float]]], float]
) -> float:
    return fmean(judge(draw) for draw in combinations(found, k))


def majority(draw: Sequence[tuple[int | None, bool, float]]) -> float:
    votes = Counter(number for number, _, _ in draw if number is not None).most_common()
    tied = len(votes) > 1 and votes[0][1] == votes[1][1]
    return float(bool(votes) and not tied and CLASSES[votes[0][0]])


def best(draw: Sequence[tuple[int | None, bool, float]]) -> float:
    top = max(value for _, _, value in draw)
    return fmean(good for _, good, value in draw if value == top)


@given(samples, st.integers(1, 7))
def test_each_estimate_is_the_mean_over_all_draws(found: Samples, k: int) -> None:
    k = min(k, len(found))
    classes, right, values = ([sample[i] for sample in found] for i in range(3))
    assert pass_at_k(right, k) == pytest.approx(
        mean_over_draws(found, k, lambda draw: any(good for _, good, _ in draw))
    )  # type: ignore[arg-type]
    assert majority_at_k(classes, right, k) == pytest.approx(mean_over_draws(found, k, majority))  # type: ignore[arg-type]
    assert best_of_k(values, right, k) == pytest.approx(mean_over_draws(found, k, best))  # type: ignore[arg-type]


def test_pass_at_k_of_the_paper() -> None:
    """The formula of Chen et al.: 1 - prod(1 - k / i) for i from n - c + 1 to n."""
    for n, c, k in product((5, 20), (0, 1, 3), (1, 2, 5)):
        expected = 1.0
        for i in range(n - c + 1, n + 1):
            expected *= 1 - k / i
        assert pass_at_k([i < c for i in range(n)], k) == pytest.approx(1 - expected)
