"""Parsing of stated confidences, and removing them from an answer on the same line.

A number is a share of the upper end of its stated scale: "85 %" and "Confidence (0-100): 85" are 0.85; "(1-10): 8",
"8/10" and "4/5" are 0.8. Without a scale, a number up to 1 is a share, up to 10 tenths, and up to 100 percent. A number
outside its scale, a range such as "80-90 %" and a word such as "high" are not readable. Numbers are never clamped.
"""

from __future__ import annotations

import re

from society.answers.lazy_pattern import compile_later
from society.answers.plain import plain
from society.answers.stance import is_quoted

MAX_TEXT = 20_000
"""Maximum length of the text that is parsed, in characters from its end."""

_NUMBER = r"[-+]?(?:\d{1,6}(?:[.,]\d{1,6})?|\.\d{1,6})"
_CUE = r"\b(?:confidence|certainty|sureness|confident|certain|sure)\b"
_SCALE = (
    r"[(\[]?\s{0,2}(?:(?:on\s)?(?:a|the)?\s?(?:scale|range)?\s{0,2}(?:of|from|"
    r"between)?\s{0,2})(?P<low>\d{1,4}(?:\.\d)?)\s?%?\s{0,2}"
    r"(?:-|\u2013|\u2014|\.\.\.?|,|to|and|through)\s{0,2}(?P<high>\d{1,4}(?:\.\d)?)\s{0,2}(?P<scale_percent>%|"
    r"percent)?(?:\s?scale)?\s{0,2}[)\]]?"
    r"|[(\[]\s?(?:in\s)?(?P<percent_only>%|percent)\s?[)\]]|[(\[]?\s?(?:out\sof|max\.?)\s(?P<top>\d{1,4})\s?[)\]]?"
)
_STATED = compile_later(
    rf"{_CUE}(?:\s{{1,2}}(?:in|that|for)\s{{1,2}}(?:(?:the|my)\s)?(?:answer\s)?[-+]?\d{{1,9}}(?:[.,]\d{{1,9}})?"
    r"(?:\s(?:is|being)\s(?:right|correct))?(?=\s?(?:is\b|[:=])))?"
    rf"(?:\s{{1,2}}(?:level|score|rating|value|estimate|percentage|in|of|that|my|the|this|it|answer|"
    rf"answers|response|final|correct|"
    rf"is|as|being|at|a|an|here|overall|about|with|i|am|would|say|"
    rf"state|very|fairly|quite|high|low|moderate|medium)\b){{0,8}}?[\s\"']{{0,3}}(?:(?:,\s?)?(?:{_SCALE}))?[\s\"']{{0,3}}"
    r"(?:(?:is|was|are|would\sbe|stands\sat|equals|of|at|to\sbe|:|=|-(?=\s)|\u2013|\u2014)[\s\"']{0,4}){0,3}"
    r"(?:(?:about|around|approximately|roughly|nearly|almost|only|over|at\sleast|at|above|perhaps|maybe|say|"
    r"i'd\ssay)\s{1,2}|[~\u2248>]\s{0,2}){0,2}"
    rf"[(\[]?(?P<number>{_NUMBER})(?![\d]|[.,]\d)",
    re.IGNORECASE,
)
_BEFORE = compile_later(
    rf"(?<![\d.,/-])(?P<number>{_NUMBER})\s{{0,2}}(?P<percent>%|percent|per\scent)\s{{0,2}}(?:sure|certain|"
    rf"confident|confidence|certainty)\b(?!\s+(?:interval|limit|bound|band|region)s?\b)",
    re.IGNORECASE,
)
_SURE = compile_later(r"(?:confident|certain|sure)\b", re.IGNORECASE)
_ABOUT_THE_ANSWER = compile_later(
    r"\b(?:answer|it|this|that|result|value)(?:\s+(?:is|equals)|'s)\s*\Z|\b(?:it's|that|of)\s*\Z", re.IGNORECASE
)
_NOT_SO_SURE = compile_later(r"\b(?:not|never|isn't|n't|less\s+than|under|below)\s{1,2}\Z", re.IGNORECASE)
_UNIT = compile_later(
    r"\s{0,2}(?:(?P<percent>%|percent\b|per\scent\b)|(?:/|\(?out\s{1,2}of\b|"
    r"of\b)\s{0,2}(?P<top>\d{1,4}(?:\.\d)?)(?![\d.]\d?)"
    r"|[,(]?\s{0,2}(?:on\s)(?:a|the)\s(?:scale|range)\s(?:of|from|between)?\s{0,2}(?P<low>\d{1,4})\s{0,2}(?:-|"
    r"\u2013|to|and)\s{0,2}(?P<high>\d{1,4}))",
    re.IGNORECASE,
)
_AMOUNT = (
    r"(?:(?:about|around|roughly|nearly|only|over)\s|[~\u2248]\s?)?(?:\d{1,3}(?:[.,]\d{1,4})?|\.\d{1,4})"
    r"\s?(?:%|percent\b|per\scent\b)?(?:\s?(?:/|out\sof\b|of\b)\s?\d{1,4})?"
)
_DEGREE = r"(?:(?:very|fairly|quite|moderately|extremely)\s)?(?:high|low|medium|moderate)\b"
_NAMED = (
    r"(?:(?:with|at|and|my|the|an?|our|overall|final|estimated|stated|answer|own)\s){0,4}"
    r"(?:confidence|certainty)(?:\s(?:level|score|rating|estimate|percentage|in\s(?:this|the|my)\sanswer)){0,2}"
    r"(?:\s?\([^()\n]{1,20}\))?"
)
_IS_SURE = (
    r"(?:sure|certain|confident)(?:\s(?:of|about|in)\s(?:it|this|that|(?:my|the|this)\sanswer)|"
    r"\s(?:that\s)?(?:it|this|that)(?:\sis|'s)\s(?:right|correct))?"
)
_I_AM = r"(?:(?:and|but)\s)?(?:I(?:\sam|['\u2019]m)|we\sare)\s"
_CLAUSE = compile_later(
    r"(?:^|[\s,;|.(\[{}*_\u2013\u2014-])\s?"
    rf"(?:{_NAMED}\s?[*_]{{0,3}}\s?(?:(?:[:=\u2013\u2014-]|is\b|of\b|at\b)[*_]{{0,3}}\s?)?(?:{_AMOUNT}|{_DEGREE})"
    rf"|{_I_AM}(?:{_AMOUNT}\s|(?:very|quite|fairly|pretty|absolutely|rather)\s)?{_IS_SURE}"
    rf"|(?:(?<=[,;|(\[\u2013\u2014-])|(?<=[,;|(\[\u2013\u2014-]\s))(?:with\s)?{_AMOUNT}\s(?:{_IS_SURE}|confidence|certainty)"
    rf"|(?:with|at)\s(?:an?\s)?{_AMOUNT}\s(?:confidence|certainty))"
    r"[\s.!)\]}*_]{0,6}\Z",
    re.IGNORECASE,
)
"""Matches a stated confidence at the end of a line, with the separator before it."""
MAX_CLAUSE = 120
"""Maximum length of the end of a line that is searched for a stated confidence, in characters."""
MOST_CLAUSES = 3

_RANGE = compile_later(r"\s?%?\s?(?:-|\u2013|\u2014|to\b)\s?\d")


def stated_confidence(text: str) -> float | None:
    """Return the last confidence that the reply states as its own, in [0, 1], or None."""
    text = plain(text[-MAX_TEXT:])
    statements = [*_STATED.finditer(text), *_BEFORE.finditer(text)]
    for match in sorted(statements, key=lambda found: -found.end("number")):
        if not is_quoted(text, match.start("number"), match.end("number")):
            denied = re.search(r"\bnot\s{0,2}$|n't\s{0,2}$", text[max(0, match.start() - 12) : match.start()])
            return None if denied else _share(text, match)
    return None


def without_confidence(line: str) -> str:
    """Return a line without the confidence at its end, such as "31" for "31, I am 80% sure".

    The result is empty if the line states only a confidence.
    """
    for _ in range(MOST_CLAUSES):
        start = max(0, len(line) - MAX_CLAUSE)
        clause = _CLAUSE.search(line, start)
        if clause is None or clause.start() == start > 0:
            break
        bold = "**" if line[: clause.start()].count("**") % 2 and clause[0].rstrip(" .!").endswith("**") else ""
        line = line[: clause.start()].rstrip(" \t,;|.([{-\u2013\u2014") + bold
    return line


def _share(text: str, match: re.Match[str]) -> float | None:
    """Return the stated number as a share of its scale, or None if it is outside the scale."""
    number = float(match["number"].replace(",", "."))
    unit = _UNIT.match(text, match.end("number"))
    if _is_about_something_else(text, match, has_scale=unit is not None or match.groupdict().get("high") is not None):
        return None
    if _RANGE.match(text, match.end("number")):
        return None
    low, high = _scale(match.groupdict(), unit.groupdict() if unit else {}, number)
    return number / high if high > 0 and low <= number <= high else None


def _scale(stated: dict[str, str | None], unit: dict[str, str | None], number: float) -> tuple[float, float]:
    """Return the lower and upper end of the scale: the one beside the number, else the one beside the cue."""
    if unit.get("percent") or stated.get("percent"):
        return 0.0, 100.0
    for found in (unit, stated):
        if found.get("top"):
            return 0.0, float(found["top"] or 0)
        if found.get("high"):
            return float(found.get("low") or 0), float(found["high"] or 0)
    if stated.get("percent_only"):
        return 0.0, 100.0
    return 0.0, next((top for top in (1.0, 10.0) if number <= top), 100.0)


def _is_about_something_else(text: str, match: re.Match[str], has_scale: bool) -> bool:
    """Return whether the number is not a confidence: "I am sure the answer is 14", "I am not 80% sure"."""
    if _NOT_SO_SURE.search(text[max(0, match.start() - 12) : match.start()]) and match.re.pattern == _BEFORE.pattern:
        return True
    if match.re.pattern == _BEFORE.pattern or not _SURE.match(match[0]):
        return False
    between = text[match.start() : match.start("number")]
    return not has_scale or _ABOUT_THE_ANSWER.search(between) is not None
