"""Decision rules turn the agents' last answers into the society's: `base` is the seam, each other file a family."""

DECISIONS = {
    "majority": "society.components.decisions.counting:Majority",
    "supermajority": "society.components.decisions.counting:Supermajority",
    "unanimity": "society.components.decisions.counting:Unanimity",
    "weighted": "society.components.decisions.counting:Weighted",
    "approval": "society.components.decisions.voting:Approval",
    "ranked": "society.components.decisions.voting:Ranked",
    "borda": "society.components.decisions.voting:Borda",
    "judge": "society.components.decisions.single:Judge",
    "aggregator": "society.components.decisions.single:Aggregator",
    "mean": "society.components.decisions.opinions:Mean",
    "median": "society.components.decisions.opinions:Median",
    "distribution": "society.components.decisions.opinions:Distribution",
    "none": "society.components.decisions.opinions:Undecided",
    "trajectory": "society.components.decisions.trajectory:Trajectory",
}
"""The built-in decision rules by kind."""
