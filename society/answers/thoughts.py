"""Separates what a reasoning model thinks from what it says: answers are read from the text alone."""

from __future__ import annotations

import re

_NAME = r"(?:think|thinking|thought|thoughts|reasoning|reason|seed:think|antml:thinking)"
_OPEN = rf"<{_NAME}>|\[THINK\]|◁think▷|<\|begin_of_thought\|>|<\|channel\|?>analysis<\|message\|>"
_CLOSE = rf"</{_NAME}>|\[/THINK\]|◁/think▷|<\|end_of_thought\|>|<\|channel\|?>final<\|message\|>"
_TAGS = re.compile(rf"(?P<open>{_OPEN})|(?P<close>{_CLOSE})", re.IGNORECASE)
_LINE_START = re.compile(r"(?:^|\n)[ \t]*$")
LOOK_BACK = 200
"""Characters before a tag that are searched for the start of its line."""


def strip_thoughts(text: str) -> str:
    """Return `text` without the thoughts of a reasoning model.

    A thought ends at its closing tag. Where the template opened the thought, the reply holds the closing tag alone,
    and everything before the tag is thought. A tag that opens at the start of the text, or alone on its line, and
    never closes means that the reply was cut off while thinking: what follows is thought. Any other tag without its
    partner is mentioned, not used.
    """
    said: list[str] = []
    start = 0
    opened: re.Match[str] | None = None
    for tag in _TAGS.finditer(text):
        if tag["open"]:
            opened = opened or tag
            continue
        if opened is not None:
            said.append(text[start : opened.start()])
        else:
            said.clear()
        start, opened = tag.end(), None
    if opened is not None and _is_used(text, opened, start):
        return "".join(said) + text[start : opened.start()]
    return "".join(said) + text[start:]


def _is_used(text: str, tag: re.Match[str], start: int) -> bool:
    """Whether an opening tag without its partner opens a thought."""
    before = text[max(start, tag.start() - LOOK_BACK) : tag.start()]
    if not text[start : tag.start()].strip():
        return True
    after = text[tag.end() : tag.end() + 1]
    return bool(_LINE_START.search(before)) and after in ("\n", "\r", "")
