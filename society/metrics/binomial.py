"""The binomial distribution: probabilities, the Wilson interval and McNemar's test with its power."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import exp, inf, lgamma, log, log1p, sqrt
from statistics import NormalDist

NEGLIGIBLE = 1e-18
"""Probability below which further terms of a sum are left out."""
_normal = NormalDist()


def binomial_pmf(k: int, n: int, p: float) -> float:
    """Return the probability of k successes in n trials."""
    if not 0 <= k <= n:
        return 0.0
    if p in (0, 1):
        return float(k == n * p)
    return exp(lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1) + k * log(p) + (n - k) * log1p(-p))


def binomial_cdf(k: int, n: int, p: float) -> float:
    """Return the probability of at most k successes in n trials."""
    if k >= n:
        return 1.0
    if k > n * p:  # the shorter sum is the one away from the mean
        return 1.0 - binomial_cdf(n - k - 1, n, 1 - p)
    term = total = binomial_pmf(k, n, p)
    while k > 0 and term > NEGLIGIBLE * total:
        term *= k * (1 - p) / ((n - k + 1) * p)
        total += term
        k -= 1
    return total


def wilson(share: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the Wilson score interval (Wilson 1927) of a share of n independent trials, n at least 1."""
    z = _normal.inv_cdf(0.5 + confidence / 2)
    scale = 1 + z * z / n
    middle = (share + z * z / (2 * n)) / scale
    half = z * sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / scale
    return 0.0 if share == 0 else middle - half, 1.0 if share == 1 else middle + half


def most_unseen(n: int, confidence: float = 0.95) -> float:
    """Return the upper end of the exact interval (Clopper and Pearson 1934) for no success in n trials."""
    return float(1 - ((1 - confidence) / 2) ** (1 / n))


def mcnemar(gained: int, lost: int) -> float:
    """Return the exact two-sided p of these numbers of discordant pairs (McNemar 1947); 1 without pairs."""
    pairs, ways, total = gained + lost, 1, 0
    for k in range(min(gained, lost) + 1):
        total += ways
        ways = ways * (pairs - k) // (k + 1)
    return min(1.0, float(2 * total / 2**pairs))


@dataclass
class _Tail:
    """The probability of at most k successes in n trials, kept up to date while n and k grow by one."""

    p: float
    value: float

    def add_trial(self, k: int, n: int) -> None:
        """Go from n to n + 1 trials. At most k of them succeed unless the last one is success k + 1."""
        self.value -= self.p * binomial_pmf(k, n, self.p)

    def add_success(self, k: int, n: int) -> None:
        """Go from k to k + 1 successes."""
        self.value += binomial_pmf(k + 1, n, self.p)


def mcnemar_power(questions: int, difference: float, discordance: float, alpha: float = 0.05) -> float:
    """Return the power of McNemar's exact test to detect a true `difference` at level `alpha`.

    It is the unconditional exact power of Duffy (1984, Biometrics 40, 1005-1015): the number of discordant pairs is
    binomial with `discordance`, and of these the gains are binomial with (1 + difference / discordance) / 2.
    """
    spread = max(discordance, abs(difference))  # fewer discordant pairs could not make this difference
    gain = (1 + abs(difference) / spread) / 2
    found = 0.0
    pairs = list(_likely(questions, spread))
    limits = _rejections(pairs[0][0], gain, alpha)
    for (_, weight), power in zip(pairs, limits, strict=False):
        found += weight * power
    return found


def _likely(n: int, p: float) -> Iterator[tuple[int, float]]:
    """Yield the numbers of successes in n trials that are not negligible, in ascending order, with probabilities."""
    middle = min(n, int(n * p))
    low = middle
    while low > 0 and binomial_pmf(low - 1, n, p) > NEGLIGIBLE:
        low -= 1
    k, weight = low, binomial_pmf(low, n, p)
    while k <= n and (k <= middle or weight > NEGLIGIBLE):
        yield k, weight
        k += 1
        weight = binomial_pmf(k, n, p)


def _rejections(pairs: int, gain: float, alpha: float) -> Iterator[float]:
    """Yield the probability that the test rejects at this number of discordant pairs, at one more, and so on."""
    guess = _normal.inv_cdf(alpha / 2) * sqrt(pairs) / 2 if pairs else -inf
    limit = max(-1, int(pairs / 2 + guess) - 3) if pairs else -1
    while limit >= 0 and binomial_cdf(limit, pairs, 0.5) > alpha / 2:
        limit -= 1
    chance, worse, better = (
        _Tail(p, binomial_cdf(limit, pairs, p) if limit >= 0 else 0.0) for p in (0.5, gain, 1 - gain)
    )
    while True:
        # The test rejects if at most `limit` pairs are on one side, either the lost or the gained ones.
        while limit < pairs and chance.value + binomial_pmf(limit + 1, pairs, 0.5) <= alpha / 2:
            for tail in (chance, worse, better):
                tail.add_success(limit, pairs)
            limit += 1
        yield worse.value + better.value
        for tail in (chance, worse, better):
            tail.add_trial(limit, pairs)
        pairs += 1
