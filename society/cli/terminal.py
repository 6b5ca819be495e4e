"""A console for texts of models and strangers: they cannot send commands to the terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from society.visible import reveal


class Terminal(Console):
    """As rich's, but hidden characters in any text are shown as numbers; the console's own styles still work."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The segments of something, each made safe."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=reveal(segment.text))
