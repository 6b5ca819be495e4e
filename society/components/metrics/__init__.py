"""Metrics of debates, mainly of opinions: `base` is the seam, each other file one metric."""

METRICS = {
    "opinions": "society.components.metrics.opinions:Opinions",
    "agreement": "society.components.metrics.agreement:Agreement",
    "drift": "society.components.metrics.drift:Drift",
    "polarization": "society.components.metrics.polarization:Polarization",
    "persuasion": "society.components.metrics.persuasion:Persuasion",
    "pass_at_k": "society.components.metrics.samples:PassAtK",
    "majority_at_k": "society.components.metrics.samples:MajorityAtK",
    "best_of_k": "society.components.metrics.samples:BestOfK",
}
"""The built-in metrics by kind."""
