"""Separation of a reply's text into the thought of a reasoning model and its text.

Backends that draw tokens or receive thoughts apart separate them by themselves. The engine calls `split_thought` for
every other reply: one that still has a thought between its tags.
"""

from __future__ import annotations

import re
from functools import lru_cache

PAIRS = (
    ("<think>", "</think>"),
    ("[THINK]", "[/THINK]"),
    ("<seed:think>", "</seed:think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("<|channel|>analysis<|message|>", "<|channel|>final<|message|>"),
    ("<|channel>thought", "<channel|>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|inner_prefix|>", "<|inner_suffix|>"),
    ("◁think▷", "◁/think▷"),
    ("Here is my thought process:", "Here is my response:"),
)
"""Opening and closing tags of model families."""
_NAME = r"(?:think|thinking|thought|thoughts|reasoning|reason|seed:think|antml:thinking)"
_OPEN = (
    rf"<{_NAME}>|\[THINK\]|◁think▷|<\|begin_of_thought\|>|<\|START_THINKING\|>|<\|inner_prefix\|>|<\|channel>thought"
    r"|(?:<\|start\|>assistant)?<\|channel\|?>analysis<\|message\|>"
)
_CLOSE = (
    rf"</{_NAME}>|\[/THINK\]|◁/think▷|<\|end_of_thought\|>|<\|inner_suffix\|>|<channel\|>"
    r"|<\|END_THINKING\|>(?:<\|START_RESPONSE\|>)?"
    r"|(?:<\|end\|>)?(?:<\|start\|>assistant)?<\|channel\|?>final<\|message\|>"
)
_USUAL = re.compile(rf"(?P<open>{_OPEN})|(?P<close>{_CLOSE})", re.IGNORECASE)
_LINE_START = re.compile(r"(?:^|\n)[ \t]*$")
_FIRST = "<[◁"
"""The first characters of the usual tags."""
SWITCHES = ("enable_thinking", "thinking", "enable_reasoning", "think", "reasoning")
"""Variables by which templates switch thinking on and off, the most frequent first."""
LOOK_BACK = 200
"""Maximum number of characters before a tag that are searched for the start of its line."""


def split_thought(text: str, tags: tuple[str, str] | None = None) -> tuple[str, str]:
    """Return the thought and the text of a reply. `tags` open and close a thought; by default the usual ones do.

    A thought ends at its closing tag. If the template opened the thought, the reply has only the closing tag, and all
    text before it is thought. If an opening tag at the start of the text, or alone on its line, is never closed, the
    reply was cut off while thinking, and the rest is thought. Other single tags are part of the text. Several thoughts
    are joined by a line break. A reply without tags is returned as it is, with the thought "".
    """
    if tags is None and not any(character in text for character in _FIRST):
        return "", text  # most texts, at once
    said: list[str] = []
    thought: list[str] = []
    start = 0
    opened: re.Match[str] | None = None
    for tag in _pattern(tags).finditer(text):
        if tag["open"]:
            opened = opened or tag
            continue
        if opened is not None:
            said.append(text[start : opened.start()])
            thought.append(text[opened.end() : tag.start()])
        else:
            thought += ["".join(said), text[start : tag.start()]]
            said.clear()
        start, opened = tag.end(), None
    if opened is not None and _is_used(text, opened, start):
        said.append(text[start : opened.start()])
        thought.append(text[opened.end() :])
    elif start:
        said.append(text[start:])
    else:
        return "", text
    return "\n".join(filter(None, map(str.strip, thought))), "".join(said).strip()


@lru_cache(maxsize=64)
def _pattern(tags: tuple[str, str] | None) -> re.Pattern[str]:
    """Return the pattern of an opening or a closing tag."""
    if tags is None:
        return _USUAL
    return re.compile(f"(?P<open>{re.escape(tags[0])})|(?P<close>{re.escape(tags[1])})")


def _is_used(text: str, tag: re.Match[str], start: int) -> bool:
    """Return whether an opening tag without a closing tag opens a thought."""
    before = text[max(start, tag.start() - LOOK_BACK) : tag.start()]
    if not text[start : tag.start()].strip():
        return True
    after = text[tag.end() : tag.end() + 1]
    return bool(_LINE_START.search(before)) and after in ("\n", "\r", "")
