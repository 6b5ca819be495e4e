"""Characters that nobody sees but that change what is seen: terminal commands, marks of direction, empty ones.

The report's page has the same list, in `society/report/assets/hidden_chars.js`.
"""

from __future__ import annotations

import re

HIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f\ud800-\udfff]|\r(?!\n)"
)
"""Control characters but tab and line end; marks of direction; zero-width ones but joiners, which scripts need; halves
of characters, which no file can hold."""


def reveal(text: str) -> str:
    """`text` with each hidden character as its number, such as ⟦U+202E⟧."""
    return HIDDEN.sub(lambda match: f"⟦U+{ord(match[0]):04X}⟧", text)
