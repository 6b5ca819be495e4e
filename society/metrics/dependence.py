"""Remark on runs whose debates are not independent, since later ones build on earlier ones."""

from __future__ import annotations

from society.scenario.expand import Society


def builds_on_questions(society: Society) -> bool:
    """Return whether questions of a run build on earlier ones, by memories or by controllers."""
    return society.in_sequence and society.scenario.sequence.over != "samples"


def describe_dependence(society: Society) -> str:
    """Return in words what builds on each other in a run, and which numbers that concerns; "" if nothing does."""
    over, several = society.scenario.sequence.over, society.scenario.samples > 1
    if not society.in_sequence:
        return ""
    found = []
    if builds_on_questions(society):
        found.append(
            "questions build on each other: intervals and p values, which take them as independent, may be off"
        )
    if over != "questions" and several:
        found.append(
            "samples of a question build on each other: they are trials, so pass@k and the like count no draws"
        )
    return "; ".join(found)
