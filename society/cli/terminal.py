"""A console for texts of models and strangers: they cannot send commands to the terminal, and are never markup."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from society.core.hidden_chars import reveal


class Terminal(Console):
    """As rich's, but text is no markup, and hidden characters in it are shown as numbers; styles still work."""

    def __init__(self, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False, highlight=False)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The segments of something, each made safe."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=reveal(segment.text))
