"""A console for text of models and strangers. The text cannot control the terminal, and is never markup."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from society.core.hidden_chars import reveal


class Terminal(Console):
    """A console of rich that takes no text as markup and shows hidden characters as numbers. Styles still work."""

    def __init__(self, stderr: bool = False, width: int | None = None) -> None:
        super().__init__(stderr=stderr, width=width, markup=False, emoji=False, highlight=False)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield the segments of a renderable, each made safe."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=reveal(segment.text))

    def on_broken_pipe(self) -> None:
        """Raise the error of the broken stream, where rich would raise `SystemExit`, which no event loop survives."""
        raise BrokenPipeError("the reader of the output has closed it")
