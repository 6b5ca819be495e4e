"""Invisible characters that change what is shown: terminal commands, marks of direction, zero-width characters.

The report's page has the same list, in `society/report/assets/hidden_chars.js`.
"""

from __future__ import annotations

import re

HIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f\ud800-\udfff]|\r(?!\n)"
)
"""Control characters except tab and line end, marks of direction, zero-width characters except joiners (some scripts
need them), and lone surrogates."""


def reveal(text: str) -> str:
    """Return the text with each hidden character replaced by its code point, such as ⟦U+202E⟧."""
    return HIDDEN.sub(lambda match: f"⟦U+{ord(match[0]):04X}⟧", text)
