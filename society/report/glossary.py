"""Explanations of statistical terms on the page: shown at the words themselves, and printed below them."""

from __future__ import annotations

_ENTROPY = (
    "Shannon's entropy of the distribution of answers, in bits: 0 if all agree, 1 for two equally frequent answers."
)
GLOSSARY: dict[str, str] = {
    "95% interval": "Confidence interval. An interval computed in this way from other questions contains the true "
    "value in 95 of 100 cases.",
    "chance alone": "The p value, two-sided: the probability of a difference at least this large if neither side were "
    "better. Below 5% a difference is usually called significant.",
    "adjusted": "Holm's correction (1979): p values are raised so that many comparisons do not give a winner by "
    "chance.",
    "exact McNemar": "McNemar's exact test (1947): it counts the questions that only one of the two sides answers "
    "rightly.",
    "sign permutation": "A permutation test on the signs of the differences of the questions, for several debates of "
    "a question. It generalizes McNemar's test.",
    "80 of 100 repetitions": "A statistical power of 80%, for McNemar's exact test at a level of 5%.",
    "questions needed for 5 points": "Questions with which McNemar's exact test at a level of 5% finds a difference "
    "of 5 points with a power of 80%, at the observed share of disagreements.",
    "Pareto front": "The methods than which no other is more accurate for as few tokens.",
    "compute-matched": "Trained, generated and prompt tokens of the two runs differ by at most 2%.",
    "Fleiss' kappa": "Agreement beyond chance (Fleiss 1971): 1 if all agree, 0 for the agreement that chance gives.",
    "Krippendorff's alpha": "Agreement beyond chance (Krippendorff 2004), also with missing answers: 1 if all agree, 0 "
    "for the agreement that chance gives.",
    "two standard errors": "About the 95% interval of a mean.",
    "entropy": _ENTROPY,
    "Entropy": _ENTROPY,
    "cosine similarity": "The cosine of the angle between the vectors of two texts: 1 for the same direction.",
    "log-likelihood": "The logarithm of the probability that a model gives to a text, in nats per token.",
    "unreadable": "A reply in which no answer was found. It counts as wrong if the question has a true answer.",
    "undecided": "Debates without a decision, for example after a tie. They count as wrong if there is a true answer.",
    "support": "The share of the voters that gave the decided answer.",
}
"""The explanation of each phrase. Its first place in a text on the page gets the explanation."""
