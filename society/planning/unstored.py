"""A store that keeps nothing, for debates whose turns are only counted."""

from __future__ import annotations

from collections.abc import Iterable

from society.core.types import GenerateOutput, Turn, TurnId


class Unstored:
    """A `TurnStore` without a file: no turn is found in it, and none is kept."""

    def find(self, turn: TurnId, key: str) -> GenerateOutput | None:
        """Return None."""
        return None

    def find_reusable(self, key: str) -> GenerateOutput | None:
        """Return None."""
        return None

    async def add(self, turn: Turn, reused: bool = False) -> None:
        """Do nothing with a finished turn."""

    def update_derived(self, turn: Turn) -> None:
        """Do nothing with what was derived."""

    def annotate(self, turn: TurnId, text: str) -> None:
        """Do nothing with a note."""

    def finish_debate(self, iteration: int, item: str, sample: int, spoken: Iterable[TurnId]) -> None:
        """Do nothing with a finished debate."""
