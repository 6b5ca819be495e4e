r"""Conversion of a reply to plain text, without Markdown, LaTeX wrappers and look-alike characters.

Letters of choices are read from this form: `**(B)**`, `\(\mathbf{B}\)`, full-width letters and `<b>B</b>` are one case.
The contents of `\boxed{...}` and of `<answer>` tags stand between `BOX` and `END`.
"""

from __future__ import annotations

import re
import unicodedata

BOX, END = "\ue000", "\ue001"
"""Characters of a private area that enclose an explicitly marked answer."""

UNSEEN = dict.fromkeys((0xAD, 0x200B, 0x200C, 0x200D, 0x200E, 0x200F, 0x2060, 0xFEFF))
"""Invisible characters."""
_BRACKETS = str.maketrans(
    dict.fromkeys("「」『』《》“”„«»", '"')
    | dict.fromkeys("\u2018\u2019", "'")
    | {"【": "[", "】": "]", "\u3014": "[", "\u3015": "]"}
)
_SAME_SHAPE = ("<wide>", "<narrow>", "<font>", "<circle>", "<square>", "<noBreak>")
_STYLES = (
    r"text|textbf|textit|textrm|textsf|texttt|textup|textnormal|mathbf|mathrm|mathsf|mathit|mathtt|mathbb|mathcal|"
    r"boldsymbol|bm|bf|rm|it|underline|emph|mbox|operatorname|displaystyle|large|Large|huge|color\{\w{1,20}\}"
)
_TOKENS = re.compile(
    r"(?P<box>\\(?:boxed|fbox)\s{0,3}\{|<answer>)|(?P<unbox></answer>)|(?P<bare>\\boxed\s+(?=[A-Za-z0-9]))|"
    rf"(?P<style>\\(?:{_STYLES})\s{{0,3}}\{{)|(?P<word>\\(?:{_STYLES}|left|right|big|Big)(?![A-Za-z]))|"
    r"(?P<space>\\[,;:! ]|\\q?quad\b|~(?!~)|_|&nbsp;)|(?P<struck>~~[^~\n]{0,200}~~|<(?:s|"
    r"del)>[^<\n]{0,200}</(?:s|del)>)|"
    r"(?P<none>\\[()\[\]$]|[*`$]|</?(?:b|strong|em|i|u|p|br|span|code|mark|div|center)\b[^<>\n]{0,60}>)|"
    r"(?P<heading>^[ \t]{0,8}#{1,6}[ \t]+)|(?P<open>\\?\{)|(?P<close>\\?\})",
    re.MULTILINE | re.IGNORECASE,
)


def plain(text: str) -> str:
    """Return `text` without Markdown, LaTeX wrappers and struck-out parts, in characters of their usual width."""
    text = _usual_width(text.translate(_BRACKETS).translate(UNSEEN))
    pieces: list[str] = []
    closing: list[str] = []  # what each open brace becomes when it closes
    place = 0
    for token in _TOKENS.finditer(text):
        pieces.append(text[place : token.start()])
        pieces.append(_replacement(token, closing))
        place = token.end()
    pieces.append(text[place:])
    return "".join(pieces)


def _replacement(token: re.Match[str], closing: list[str]) -> str:
    match token.lastgroup:
        case "box" if token[0].endswith("{"):
            closing.append(END)
            return BOX
        case "box" | "bare":
            return BOX
        case "unbox":
            return END
        case "style":
            closing.append("")
            return ""
        case "open":
            closing.append("}")
            return "{"
        case "close":
            return closing.pop() if closing else "}"
        case "space":
            return " "
        case _:
            return ""


def _usual_width(text: str) -> str:
    """Replace full-width, mathematical and circled characters by ordinary ones."""
    if text.isascii():
        return text
    return "".join(char if char.isascii() else _shape(char) for char in text)


def _shape(char: str) -> str:
    decomposed = unicodedata.decomposition(char)
    if not decomposed.startswith(_SAME_SHAPE):
        return char
    usual = unicodedata.normalize("NFKC", char)
    return usual if len(usual) == 1 else char
