r"""A normal form of LaTeX and Unicode mathematics, without differences of layout.

Text commands remain, as `\text{east}` is a word and `east` may be a product. The end of a matrix row, `\\`, is never a
space.
"""

from __future__ import annotations

import re

from society.answers.lazy_pattern import compile_later
from society.answers.numbers import PLAIN

MAX_LENGTH = 400
"""Maximum length of an answer that is simplified, in characters."""

_TEXT = r"\\(?:text|textbf|textrm|textit|textsf|textnormal|mathrm|mathbf|mathit|mathsf|mathnormal|boldsymbol|bm|mbox)"
_SYMBOLS = {
    "\N{MULTIPLICATION SIGN}": r"\cdot ",
    "·": r"\cdot ",
    "⋅": r"\cdot ",
    "∙": r"\cdot ",
    "÷": r"\div ",
    "π": r"\pi ",
    "θ": r"\theta ",
    "\N{GREEK SMALL LETTER ALPHA}": r"\alpha ",
    "β": r"\beta ",
    "λ": r"\lambda ",
    "φ": r"\phi ",
    "∞": r"\infty ",
    "≤": r"\le ",
    "≥": r"\ge ",
    "≠": r"\ne ",
    "±": r"\pm ",
    "∓": r"\mp ",
    "\N{UNION}": r"\cup ",
    "∩": r"\cap ",
    "∈": r"\in ",
    "∅": r"\emptyset ",
    "\N{DOUBLE-STRUCK CAPITAL R}": r"\mathbb{R}",
    "\N{DOUBLE-STRUCK CAPITAL Z}": r"\mathbb{Z}",
    "\N{DOUBLE-STRUCK CAPITAL N}": r"\mathbb{N}",
    "…": r"\ldots ",
    "\N{PRIME}": "'",
    "⟨": r"\langle ",
    "⟩": r"\rangle ",
    "≈": r"\approx ",
    "½": r"\frac{1}{2}",
    "¼": r"\frac{1}{4}",
    "¾": r"\frac{3}{4}",
}
_UNICODE = str.maketrans(_SYMBOLS)
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺ⁿ", "0123456789-+n")
_SPACE = (
    r"\\(?:[,;: ]|quad|qquad|thinspace|enspace|hspace\{[^{}]*\}|hfill)(?![a-zA-Z])|(?<!\\)~|[\u00a0\u2000-\u200a\u202f]"
)
_NO_LETTER = r"(?![a-zA-Z])"
_Replacement = tuple[re.Pattern[str], str]


def _rules(*rules: tuple[str, str]) -> tuple[_Replacement, ...]:
    return tuple((compile_later(pattern, re.DOTALL), replacement) for pattern, replacement in rules)


_LOOKS = _rules(
    (r"\\(?:left|right|[bB]igg?[lr]?|m?middle)(?![a-zA-Z])\.?", ""),
    (r"\\(?:displaystyle|textstyle|scriptstyle|limits|nolimits|phantom\{[^{}]*\})" + _NO_LETTER, ""),
    (r"\\[dtc]frac" + _NO_LETTER, r"\\frac"),
    (r"\\[dt]binom" + _NO_LETTER, r"\\binom"),
    (r"\\(?:leq|leqslant)" + _NO_LETTER, r"\\le "),
    (r"\\(?:geq|geqslant)" + _NO_LETTER, r"\\ge "),
    (r"<=", r"\\le "),
    (r">=", r"\\ge "),
    (r"\\neq" + _NO_LETTER + "|!=", r"\\ne "),
    (r"\\lt" + _NO_LETTER, "<"),
    (r"\\gt" + _NO_LETTER, ">"),
    (r"\\(?:varnothing|empty)" + _NO_LETTER, r"\\emptyset "),
    (r"\\(?:lbrace)" + _NO_LETTER, r"\\{"),
    (r"\\(?:rbrace)" + _NO_LETTER, r"\\}"),
    (r"\\lbrack" + _NO_LETTER, "["),
    (r"\\rbrack" + _NO_LETTER, "]"),
    (r"\\[lr]vert" + _NO_LETTER, "|"),
    (r"\\(?:dots|cdots|dotsc)" + _NO_LETTER + r"|\.\.\.", r"\\ldots "),
    (r"\\colon" + _NO_LETTER, ":"),
    (r"\\times" + _NO_LETTER, r"\\cdot "),
    (r"\\[{]\s*,\s*\\[}]|\{,\}", ","),
    (r"\*\*", "^"),
    (r"\^\s*\{?\s*\\circ\s*\}?|\\degree" + _NO_LETTER, "°"),
    (r"√\s*\(([^()]*)\)|(?<![\\a-zA-Z])sqrt\s*\(([^()]*)\)", r"\\sqrt{\1\2}"),
    (r"√\s*([0-9a-z]+)", r"\\sqrt{\1}"),
    (r"\\sqrt\s*\(([^()]*)\)", r"\\sqrt{\1}"),
    (r"(?<![\\a-zA-Z])pi(?![a-zA-Z])", r"\\pi "),
    (r"(?<![\\a-zA-Z])(?:infinity|inf|oo)(?![a-zA-Z])|" + _TEXT + r"\s*\{\s*infinity\s*\}", r"\\infty "),
    (r"(?<![\\a-zA-Z])([0-9)}]?)(sin|cos|tan|sec|csc|cot|ln|log|exp)\s*(?=\()", r"\1\\\2"),
    (r"(?<![0-9a-zA-Z)}\]])\+(?=\\infty)", ""),
    (r"\\?\$|\\\(|\\\)|(?<!\\)\\\[|(?<!\\)\\\]", ""),
)
_SQUEEZE = _rules((r"\s+(?=[^\w\s])|(?<=[^\w\s])\s+", ""), (r"\s+", " "), (r"(\\[a-zA-Z]+) (?![a-zA-Z])", r"\1"))
_MARKED = compile_later(_TEXT + r"\s*\{([^{}]*)\}")
_MARKDOWN = compile_later(r"^\s*(\*\*|__|``|`|\*)(?=\S)((?:(?!\*\*|__|`).)+)(?<=\S)\1([.,;]?)\s*$", re.DOTALL)
_DOLLARS = compile_later(r"^(?<!\\)\$\$?([^$]+?)(?<!\\)\$\$?$", re.DOTALL)
_ROW_END = compile_later(r"\\\\(?:\s*\[[0-9.a-z]*\])?")
_ROW = "\uf8ff"
"""Placeholder for the end of a matrix row while spaces are replaced."""


def simplify(answer: str) -> str:
    """Return `answer` without differences of layout: spacing, delimiters, and signs with several spellings.

    Answers longer than `MAX_LENGTH` characters are returned unchanged.
    """
    if len(answer) > MAX_LENGTH or _ROW in answer:
        return answer
    text = _ROW_END.sub(_ROW, _undress(answer.translate(PLAIN)))
    text = re.sub(r"[⁻⁺]?[⁰¹²³⁴⁵⁶⁷⁸⁹ⁿ]+", lambda raised: "^{" + raised[0].translate(_RAISED) + "}", text)
    text = re.sub(r"\\!\s*", "", re.sub(_SPACE, " ", text.translate(_UNICODE)))
    text = _MARKED.sub(_mark, text)
    for pattern, replacement in _LOOKS:
        text = pattern.sub(replacement, text)
    text = brace_arguments(text)
    for pattern, replacement in _SQUEEZE:
        text = pattern.sub(replacement, text)
    text = _strip_end(_unbox(text.strip()))
    return text.replace(_ROW, r"\\")


def _undress(text: str) -> str:
    """Remove dollar signs, boxes and Markdown around a whole answer."""
    before = None
    while text != before:
        before = text
        text = _unbox(_MARKDOWN.sub(r"\2", _DOLLARS.sub(r"\1", text.strip())))
    return text


def _mark(text: re.Match[str]) -> str:
    """Keep the text command of words, and remove that of letters, numbers and formulas."""
    content = " ".join(text[1].split())
    if not re.search(r"[^\W\d_]{2}", content) or re.search(r"[\\,;=<>0-9]", content):
        return f" {content} " if content else " "
    return r"\text{" + content + "}"


def _strip_end(text: str) -> str:
    """Remove punctuation at the end, except an ellipsis."""
    return text if text.endswith((r"\ldots", "..")) else text.rstrip(".,;:").strip()


def _unbox(text: str) -> str:
    boxed = re.fullmatch(r"\\(?:boxed|fbox)\{(.*)\}", text)
    return boxed[1] if boxed and argument_end(text, text.index("{")) == len(text) else text


_TAKES_ARGUMENTS = compile_later(r"\\(frac|sqrt|binom)(?![a-zA-Z])")


def brace_arguments(text: str) -> str:
    r"""Write the arguments of `\frac`, `\binom` and `\sqrt` in braces: `\frac\pi2` becomes `\frac{\pi}{2}`."""
    parts, place = [], 0
    while match := _TAKES_ARGUMENTS.search(text, place):
        parts.append(text[place : match.end()])
        place = match.end()
        if match[1] == "sqrt" and (root := re.compile(r"\s*\[([^\]]*)\]").match(text, place)):
            parts.append(f"[{root[1].strip()}]")
            place = root.end()
        if match[1] != "sqrt":
            argument, place = _take_argument(text, place)
            parts.append(argument)
        if place < len(text) and text[place : place + 1] != "{":
            argument, place = _take_argument(text, place)
            parts.append(argument)
    return "".join(parts) + text[place:]


def _take_argument(text: str, place: int) -> tuple[str, int]:
    """Return the argument that starts at `place`, in braces, and its end."""
    while place < len(text) and text[place] == " ":
        place += 1
    if place >= len(text) or text[place] in "})]&":
        return "", place
    if text[place] == "{":
        end = argument_end(text, place)
        return "{" + brace_arguments(text[place + 1 : end - 1]) + "}", end
    command = re.compile(r"\\[a-zA-Z]+").match(text, place)
    if command and not _TAKES_ARGUMENTS.match(text, place):
        return "{" + command[0] + "}", command.end()
    if command:
        return text[place : place + 1], place + 1  # a nested fraction without braces remains unchanged
    return "{" + text[place] + "}", place + 1


def argument_end(text: str, start: int) -> int:
    """Return the position after the brace that closes the one at `start`, or the end of the text."""
    depth = 0
    for place in range(start, len(text)):
        if text[place - 1 : place] == "\\" and text[place] in "{}":
            continue
        depth += (text[place] == "{") - (text[place] == "}")
        if depth == 0:
            return place + 1
    return len(text)


_FOR_PARSER = _rules(
    (
        r"(\\(?:sin|cos|tan|sec|csc|cot)(?:\^\{?[0-9]\}?)?)\s*[({]?([0-9.]+)°[)}]?",
        r"\1(\\frac{\2\\pi}{180})",
    ),
    (r"°", ""),
    (r"\)(?=\(|\\frac|[0-9])", r")\\cdot "),
    (r"(?<![_^{0-9.a-zA-Z\\])([0-9.]+)(?=\()", r"\1\\cdot "),
    (r"\\?%", r"\\%"),
)


def for_parser(text: str) -> str:
    """Return a simplified formula with explicit products and degrees, as math-verify parses `(4)(5)` as 4 + 5."""
    for pattern, replacement in _FOR_PARSER:
        text = pattern.sub(replacement, text)
    return text
