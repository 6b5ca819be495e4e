"""Removal of the thoughts of a reasoning model: answers are parsed from the text alone."""

from __future__ import annotations

import re

_NAME = r"(?:think|thinking|thought|thoughts|reasoning|reason|seed:think|antml:thinking)"
_OPEN = rf"<{_NAME}>|\[THINK\]|◁think▷|<\|begin_of_thought\|>|<\|channel\|?>analysis<\|message\|>"
_CLOSE = rf"</{_NAME}>|\[/THINK\]|◁/think▷|<\|end_of_thought\|>|<\|channel\|?>final<\|message\|>"
_TAGS = re.compile(rf"(?P<open>{_OPEN})|(?P<close>{_CLOSE})", re.IGNORECASE)
_LINE_START = re.compile(r"(?:^|\n)[ \t]*$")
LOOK_BACK = 200
"""Maximum number of characters before a tag that are searched for the start of its line."""


def strip_thoughts(text: str) -> str:
    """Return `text` without the thoughts of a reasoning model.

    A thought ends at its closing tag. If the template opened the thought, the reply has only the closing tag, and all
    text before it is thought. If an opening tag at the start of the text, or alone on its line, is never closed, the
    reply was cut off while thinking, and the rest is thought. Other single tags are part of the text.
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
    """Return whether an opening tag without a closing tag opens a thought."""
    before = text[max(start, tag.start() - LOOK_BACK) : tag.start()]
    if not text[start : tag.start()].strip():
        return True
    after = text[tag.end() : tag.end() + 1]
    return bool(_LINE_START.search(before)) and after in ("\n", "\r", "")
