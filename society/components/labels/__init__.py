"""Labels of training debates: `base` is the seam, `votes` has labels by counting answers, `truth` those by verdicts."""

LABELS = {
    "consensus": "society.components.labels.votes:ConsensusLabel",
    "vote": "society.components.labels.votes:VoteLabel",
    "gold": "society.components.labels.truth:Gold",
    "judged": "society.components.labels.truth:JudgedLabel",
    "tool": "society.components.labels.truth:ToolLabel",
}
"""The built-in labels by kind."""
