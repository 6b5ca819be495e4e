"""The notation of people and models in arithmetic, written in the syntax of the calculator."""

from __future__ import annotations

import re

_SIGNS = {
    **dict.fromkeys((0xD7, 0xB7, 0x22C5, 0x2217), "*"),
    0xF7: "/",
    **dict.fromkeys((0x2212, 0x2013), "-"),
    **dict.fromkeys((0x2019, ord("_"), ord("$")), ""),
    ord("^"): "**",
}
"""Signs of people and models, by code point, as those of the syntax."""
_FORMS = (
    (re.compile(r"(?<=[\d)])[ \t]+[xX][ \t]+(?=[\d(.])"), " * "),
    (re.compile(r"(?<=[\d)])[ \t]+mod[ \t]+(?=[\d(.])"), " % "),
    (re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)[ \t]*%[ \t]*of[ \t]+(?=[\d(.])"), r"(\1/100) * "),
    (re.compile(r"(?<![\w.])(\d+)!(?!=)"), r"factorial(\1)"),
    (re.compile(r"(?<![\w.])0+(?=\d)"), ""),
)
"""Ways in which people and models write: `2 x 3`, `10 mod 3`, `15% of 200`, `5!`, `07`."""
_DIVIDED_SHARE = re.compile(r"(?:/|%|\*\*)[ \t]*\d+(?:\.\d+)?[ \t]*%[ \t]*of\b")
"""A share after an operator that may apply to its number or to all of it: `1/2% of 100`, `100 / 10% of 50`."""
_BRACKETS = re.compile(r"([A-Za-z]*)[ \t]*\(|\)|,[ \t]*")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_SEVERAL = ("comb", "gcd", "lcm", "max", "min", "round")
"""Functions with several arguments."""


def rewrite(text: str) -> str:
    """Return an expression of people and models in the syntax. Raises `ValueError` for one with two meanings."""
    text = _join_thousands(text.translate(_SIGNS))
    if found := _DIVIDED_SHARE.search(text):
        raise ValueError(f"{found[0]!r:.40} is ambiguous: write the percentage in brackets")
    for form, written in _FORMS:
        text = form.sub(written, text)
    return text


def _join_thousands(text: str) -> str:
    """Return the text without the commas of thousands.

    In the brackets of a function with several arguments, commas separate these. Raises `ValueError` where both may be
    meant, as in `max(1,500, 2)` and `max(1,000)`.
    """
    opened: list[list[str]] = [[]]
    joined = set()
    for found in _BRACKETS.finditer(text):
        if found[0].endswith("("):
            opened.append([found[1]] if found[1] in _SEVERAL else [])
        elif found[0] == ")":
            opened = opened[:-1] or [[]]
        elif opened[-1]:
            opened[-1].append(_meaning(text, found))
            if "both" in opened[-1] or {"either", "argument"} <= set(opened[-1]):
                raise ValueError(f"the commas in {opened[-1][0]}(...) are ambiguous: write its numbers without commas")
        elif _THOUSANDS.match(text, found.start()):
            joined.add(found.start())
    return "".join(sign for place, sign in enumerate(text) if place not in joined)


def _meaning(text: str, comma: re.Match[str]) -> str:
    """Return whether a comma among arguments is certainly between two of them, or may be one of thousands."""
    if not _THOUSANDS.match(text, comma.start()):
        return "argument" if comma[0] != "," else ""
    return "both" if text[comma.end()] == "0" else "either"
