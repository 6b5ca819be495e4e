"""Processes that a test started, and what they started: found through /proc."""

from __future__ import annotations

from pathlib import Path


def command(pid: int) -> str | None:
    """The command line of a process that runs, None if there is none."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip() or None
    except OSError:
        return None


def descendants(pid: int) -> dict[int, str]:
    """The command lines of a process's children, theirs, and so on."""
    found: dict[int, str] = {}
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = [int(child) for child in path.read_text().split()]
        except OSError:  # it has just ended
            continue
        for child in children:
            found |= {child: command(child) or ""} | descendants(child)
    return found
