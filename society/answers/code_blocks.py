"""Code in fenced blocks of a reply."""

from __future__ import annotations

import re
from textwrap import dedent

_FENCE = re.compile(r"^[ \t]{0,12}(`{3,}|~{3,})[^\n`]*$", re.MULTILINE)
_DEFINITION = re.compile(r"^\s*(?:async\s+def|def|class)\s", re.MULTILINE)


def find_code(text: str) -> str | None:
    """Return the last code block with a definition, else the last block; None without one. A block may lack its end."""
    blocks: list[str] = []
    start: re.Match[str] | None = None
    for fence in _FENCE.finditer(text):
        if start is None:
            start = fence
        elif fence[1][0] == start[1][0] and len(fence[1]) >= len(start[1]):
            blocks.append(text[start.end() : fence.start()])
            start = None
    if start is not None:  # the reply was cut off
        blocks.append(text[start.end() :])
    blocks = [dedent(block).strip("\n") for block in blocks if block.strip()]
    defining = [block for block in blocks if _DEFINITION.search(block)]
    found = defining or blocks
    return found[-1] if found else None
