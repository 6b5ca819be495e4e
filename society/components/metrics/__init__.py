"""Metrics of debates, mainly of opinions: `base` is the seam, each other file one metric."""

METRICS = {
    "opinions": "society.components.metrics.opinions:Opinions",
    "agreement": "society.components.metrics.agreement:Agreement",
    "drift": "society.components.metrics.drift:Drift",
    "polarization": "society.components.metrics.polarization:Polarization",
    "persuasion": "society.components.metrics.persuasion:Persuasion",
}
"""The built-in metrics by kind."""
