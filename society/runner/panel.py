"""The panel that a terminal shows while a run goes on."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.text import Text

from society.core.plain import count, duration

if TYPE_CHECKING:
    from society.runner.progress import Progress

SHOWN = 8
"""Maximum number of agents, and of rounds, whose turns are counted separately."""


def draw_panel(progress: Progress) -> RenderableType:
    """Return the panel for these counts."""
    p = progress
    if not p.debates:
        return Text(p.describe(), style="dim")
    head = Text(p.describe_turns(), style="bold")
    head.append(f"   {p.decided}/{p.debates} debates   {p.stage}".rstrip(), style="not bold")
    head.append(f"   {p.speed:,.0f} tokens/s   {duration(p.spent)}", style="not bold dim")
    if p.remaining is not None:
        head.append(f"   about {duration(p.remaining)} to go", style="not bold dim")
    head.append(f"   {_memory()}", style="not bold dim")
    lines = [_counts("rounds", p.rounds), _counts("agents", p.agents)]
    if p.failed:
        lines.append(Text(f"{count(p.failed, 'turn')} failed", style="red"))
    if p.paused:
        lines.append(Text(f"paused: {p.paused}", style="yellow"))
    if p.learning:
        lines.append(Text(f"training  {p.learning}"))
    bar = Padding(ProgressBar(total=max(p.total, 1), completed=p.turns, width=60), 0)  # the padding ends the bar's line
    return Group(head, bar, *lines, Text(p.describe_accuracy()))


def _counts(label: str, counts: Counter[str]) -> Text:
    """Return the turns by round or agent, in the order of their first turns; the list of a large society is cut."""
    line = Text(f"{label}  ", style="dim")
    line.append("   ".join(f"{name} {count:,}" for name, count in list(counts.items())[:SHOWN]), style="not dim")
    return line.append(f"   and {len(counts) - SHOWN} more" if len(counts) > SHOWN else "")


def _memory() -> str:
    """Return the peak memory of this process so far; "" where the system does not measure it."""
    try:
        import resource
    except ImportError:  # not on Windows
        return ""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return f"{peak / (2**30 if sys.platform == 'darwin' else 2**20):.1f} GiB"
