"""Labels by verdicts: true answers, and answers that a judge, unit tests or a tool accept."""

from __future__ import annotations

from typing import ClassVar, Literal

from society.components.labels.base import NO_GOLD, Evidence, Label, LabelRule


class Gold(LabelRule):
    """The true answer: rows are turns with a right answer."""

    needs_truth: ClassVar[bool] = True
    kind: Literal["gold"] = "gold"

    def find(self, evidence: Evidence, agent: str) -> Label:
        return Label(None) if evidence.right is not None else Label(None, NO_GOLD)

    def agrees(self, answer: str, label: Label, evidence: Evidence) -> bool:
        return evidence.right is not None and evidence.right(answer)
