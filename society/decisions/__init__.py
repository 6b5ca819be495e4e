"""How a society's last answers become one: `base` is the seam, each other file a family of rules."""

DECISIONS = {
    "majority": "society.decisions.counting:Majority",
    "supermajority": "society.decisions.counting:Supermajority",
    "unanimity": "society.decisions.counting:Unanimity",
    "weighted": "society.decisions.counting:Weighted",
    "approval": "society.decisions.voting:Approval",
    "ranked": "society.decisions.voting:Ranked",
    "borda": "society.decisions.voting:Borda",
    "judge": "society.decisions.single:Judge",
    "aggregator": "society.decisions.single:Aggregator",
    "trajectory": "society.decisions.trajectory:Trajectory",
}
"""The built-in decision rules by kind."""
