"""Processes that a test started, and their descendants, found through /proc."""

from __future__ import annotations

from pathlib import Path


def command(pid: int) -> str | None:
    """Return the command line of a running process, or None."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip() or None
    except OSError:
        return None


def descendants(pid: int) -> dict[int, str]:
    """Return the command lines of all descendants of a process, by process id."""
    found: dict[int, str] = {}
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = [int(child) for child in path.read_text().split()]
        except OSError:  # it has just ended
            continue
        for child in children:
            found |= {child: command(child) or ""} | descendants(child)
    return found
