"""The stance of a reply towards an answer that it mentions.

A mention is not an answer of the reply if it is

- quoted: "Agent 2 says the answer is C", "the answer is C, says Agent 2", "according to the others it is C";
- denied: "the answer is not C", "C is wrong", "rather than C";
- supposed: "if the answer is C", "whether it is C";
- superseded: "I first thought that the answer is C", "Is the answer C?". Such a mention counts if there is no other.

A quoted answer counts after all if the reply endorses it: "Agent 2 says the answer is C. I agree."
"""

from __future__ import annotations

import re
from enum import IntEnum

from society.answers.lazy_pattern import compile_later

BEFORE, AFTER = 240, 120
"""Maximum number of characters around a mention that are parsed."""


class Stance(IntEnum):
    """Stances of a reply towards a mention, from weakest to strongest."""

    NOT_ITS_OWN = 0
    SUPERSEDED = 1
    OWN = 2


_QUANTITY = (
    r"(?:the\s+)?(?:(?:other|another|first|second|third|fourth|fifth|last|previous|one|each|every|some|most|many|all|"
    r"both|two|three|four|several|my|our|fellow)\s+(?:of\s+)?(?:the\s+|my\s+)?){0,3}"
)
_WHO = (
    r"(?:agent|solver|assistant|peer|participant|debater|expert|colleague|teammate|speaker|responder|bot|classmate|"
    r"critic|panell?ist|debate\s+partner)"
)
_WHICH = (
    r"(?:[\s-]{0,3}(?:#?\d{1,4}|(?-i:[A-Z])(?=\W)|one|two|three|four|five)\b)?"
    rf"(?:\s{{0,3}}(?:,|and|&|,\s?and)\s{{0,3}}(?:{_WHO}\s{{0,3}})?#?\d{{1,4}}){{0,9}}"
)
AGENT = (
    rf"(?:\b{_QUANTITY}{_WHO}s?\b{_WHICH}|\b(?:the\s+)?others\b|"
    r"\b(?:the|an)\s?other(?:\s+(?:response|solution|answer|reply|opinion))s?\b)"
)
_VAGUE = (
    rf"\b(?:{_QUANTITY}(?:student|person|people|user|model|friend|member|judge|author)s?|some|most|many|they|s?he|"
    r"the\s+majority|someone(?:\s+else)?|somebody(?:\s+else)?|everybody(?:\s+else)?|everyone(?:\s+else)?|another)\b"
)
_NAME = (
    r"(?-i:\b(?!(?:I|It|This|That|These|Step|Theorem|Rule|Law|Option|Choice|Which|What|Who|We|Question|Text|Passage|"
    r"Definition|Equation|Formula|The|There|Answer|So|And|But|First)\b)[A-Z][a-z]{1,30}(?:[-_ ]?\d{1,4})?)"
)
_SAYS = (
    r"(?:sa(?:y|ys|id|ying)|stat(?:e|es|ed|ing)|claim(?:s|ed|ing)?|think(?:s|ing)?|thought|believ(?:e|es|ed)|"
    r"argu(?:e|es|ed)|writ(?:e|es|ing)|wrote|answer(?:s|ed)?|respond(?:s|ed)?|repl(?:y|ies|ied)|propos(?:e|es|ed)|"
    r"suggest(?:s|ed)?|conclud(?:e|es|ed)|insist(?:s|ed)?|maintain(?:s|ed)?|assert(?:s|ed)?|choos(?:e|es)|chose|"
    r"chosen|pick(?:s|ed)?|vot(?:e|es|ed)|favou?r(?:s|ed)?|prefer(?:s|red)?)"
)
_REACHES = (
    r"(?:h[eo]lds?|select(?:s|ed)?|got|gets?|f[io]und|finds|c[ao]mes?\s+up|arriv(?:e|es|ed)|report(?:s|ed)?|gave|"
    r"gives?|has|have|had|offer(?:s|ed)?|went|goes|calculat(?:es?|ed)|comput(?:es?|ed)|obtain(?:s|ed)?|"
    r"determin(?:es?|ed)|reach(?:es|ed)?|assum(?:es?|ed)|rank(?:s|ed)?)"
)
_SAYS_STRICTLY = r"(?:says|said|claims|claimed|thinks|thought|believes|argues|wrote|suggests|answered|insists|chose)"
_ANSWER_OF = (
    r"['\u2019]s?(?:[:,]?\s+\w+){0,4}?[:,]?\s+(?:answers?|choices?|options?|solutions?|responses?|results?|"
    r"guess(?:es)?|"
    r"picks?|votes?|views?|opinions?|claims?|rankings?|confidence|values?|numbers?|conclusions?|suggestions?|"
    r"messages?)\b"
)
_BY_AGENT = (
    rf"{AGENT}\W{{0,3}}(?:\s*\w+){{0,3}}?\s+(?:{_SAYS}|{_REACHES})\b|{AGENT}{_ANSWER_OF}|"
    rf"\b(?:according\s+to|in\s+the\s+(?:view|opinion|words|eyes)\s+of)\s+{AGENT}|"
    rf"(?:^|\n)\W{{0,6}}{AGENT}\W{{0,4}}:"
)
_QUOTED_BY_AGENT = compile_later(_BY_AGENT, re.IGNORECASE)
_QUOTED = compile_later(
    rf"{_BY_AGENT}|{_VAGUE}\s+(?:\w+\s+)?{_SAYS}\b|{_NAME}\s+{_SAYS_STRICTLY}\b|\baccording\s+to\s+{_NAME}",
    re.IGNORECASE,
)
"""Matches a reference to another person or agent with a verb of saying or an answer."""
_ENDORSED = compile_later(
    r"\bI\s+(?:\w+\s+){0,3}?(?:agree|concur)\b|\b(?:rightly|correctly)\s|\bas\s+(?:does|did|do)\b", re.IGNORECASE
)
_REFUSED = compile_later(r"\b(?:not|n't|cannot|never|dis)\s{0,2}(?:\w+\s+)?(?:agree|concur)|\bdisagree", re.IGNORECASE)
_TURN = compile_later(
    r"[,;]?\s+(?:but|however|whereas|while|yet|though|although|instead(?!\s+of)|nevertheless|still|actually|then)\b,?"
    r"|(?<![\w'])(?:I|we|my|our)(?:['\u2019](?:m|d|ve|ll|re))?(?=\s)"
    r"|\b(?:is|are|was|were|am|be|been|seems?|looks?)\s+(?:\w+\s+){0,2}?(?:wrong|incorrect|mistaken|false|"
    r"flawed|right|correct)"
    r"\b(?!\s+(?:to|in|about|when|that|answer|option|choice|solution|result|value|one)\b)",
    re.IGNORECASE,
)
"""Matches words after which a sentence states the reply's own view."""
_CONCEDES = compile_later(
    r"[\s\W]*(?:while|although|though|even\s+(?:though|if)|whereas|despite|unlike|contrary\s+to|in\s+contrast\s+to)\b",
    re.IGNORECASE,
)
_FIRST_PERSON = compile_later(r"\b(?:I|we)\b")
_QUOTED_AFTER = compile_later(
    rf"[\s\"',)\]*_\u2013\u2014-]{{0,6}}(?:(?:{_SAYS_STRICTLY}|according\s+to|(?:is|was)\s+what|"
    rf"as\s+claimed\s+by)\s+(?:{AGENT}|{_VAGUE}|{_NAME})|"
    rf"(?:{AGENT}|{_NAME})\s+{_SAYS_STRICTLY}\b)",
    re.IGNORECASE,
)
_GAP = r"[\s'\"(\[{$*_:]+"
_BETWEEN = (
    rf"(?:(?:think|believe|say|agree|mean|the|a|an|is|be|was|it|that|this|to|answer|choice|options?|letter|"
    rf"correct|right|"
    rf"equals?|choose|pick|select|approve|vote|support|accept|recommend|been|either|really|actually|likely|possibly|in|of|by|city|capital|with|at|"
    rf"number|value|"
    rf"result|as|would|should|called|named|my|your|located|for|just|simply|\w+\s(?:or|nor|and))\b{_GAP}){{0,7}}"
)
"""Words between a negation and the negated answer."""
_DENIED = compile_later(
    r"(?:\b(?:not|never|neither|nor|cannot|rather\s+than|instead\s+of|unlike|except(?:\s+for)?|excluding|other\s+than|"
    r"(?<!\bthe\s)(?:reject(?:s|ed|ing)?|eliminat(?:e|es|ed|ing)|rul(?:e|es|ed|ing)\s+out|discard(?:s|ed|ing)?|exclud(?:e|es|ed)|"
    r"dismiss(?:es|ed|ing)?)|against|mistakenly|wrongly|incorrectly|erroneously|avoid)\b|n't\b)"
    rf"{_GAP}{_BETWEEN}$",
    re.IGNORECASE,
)
_DENIED_AFTER = compile_later(
    r"[\s)\]}.\"'*$]{0,4}(?:,?\s*(?:which|that)\s+(?:is|are|was|were|can|could)(?:not|\s+not|n't)\s+(?:be\s+)?(?:the\s+)?"
    r"(?:right|correct|true|answer|solution|possible|valid)\b|"
    r",?\s*(?:which|that)\s+(?:is|are|was|were|seems?|looks?)\s+(?!not\b)(?:\w+\s+)?(?:wrong|incorrect|false|impossible|"
    r"mistaken|invalid|untrue)\b|"
    r"(?:is|are|was|were|seems?|looks?|would\s+be|must\s+be|has\s+to\s+be)\s+(?:\w+\s+){0,2}?"
    r"(?:wrong|incorrect|not|false|eliminated|ruled\s+out|excluded|impossible|too|mistaken|invalid|untrue)\b|"
    r"(?:is|was|does|do|did|would|could|can|will|has)(?:\s+not\b|n't\b|not\b))",
    re.IGNORECASE,
)
_SUPPOSED = compile_later(
    rf"\b(?:if|whether|suppos(?:e|ing)|assum(?:e|es|ing)|unless|imagine|should|could|might)\b{_GAP}(?:(?:that|"
    rf"the|it|we|i|you|one|"
    rf"answer|correct|right|final|options?|choice|letter|is|was|were|to|choose|pick|select|say|had|go|with|"
    rf"\w\s(?:or|and))\b{_GAP}){{0,8}}$",
    re.IGNORECASE,
)
"""Matches suppositions. "Should be" and "could be" are claims, as they are cues."""
_BELIEVED = (
    r"(?:thought|said|held|chose|believed|answered|guessed|picked|was|had|assumed|considered|claimed|went|got|found)"
)
_SUPERSEDED = compile_later(
    rf"\b(?:first|initially|originally|previously|earlier|beginning|before|formerly|"
    rf"at\s+once)\b[^.;]{{0,60}}?\b{_BELIEVED}\b|"
    rf"\bI\s+(?:had|have|'d)?\s*{_BELIEVED}\b[^.;]{{0,60}}?\b(?:first|initially|originally|previously|earlier|"
    rf"before)\b|"
    r"\bI\s+(?:had\s+|once\s+)?(?:thought|believed|assumed)\b[^.;]{0,40}?\b(?:was|were|would\s+be)\b|"
    r"\b(?:first|initial|original|previous|earlier|old|former)\s+(?:answer|choice|guess|thought|pick|response|"
    r"solution|instinct)\b",
    re.IGNORECASE,
)
_BREAK = compile_later(r"[.!?;](?=[\s\"')\]]|$)|[。\uff01\uff1f\uff1b]|\n")


def stance(text: str, start: int, end: int) -> Stance:
    """Return the stance of the reply towards the mention `text[start:end]`, by the sentence around it."""
    following = text[end : end + AFTER]
    if is_quoted(text, start, end) or not _is_own(text, start, following):
        return Stance.NOT_ITS_OWN
    clause = _since_contrast(_sentence_before(text, start))
    if _SUPERSEDED.search(clause) or _ends_in_question(following):
        return Stance.SUPERSEDED
    return Stance.OWN


def _is_own(text: str, start: int, following: str) -> bool:
    """Return whether the reply neither denies nor supposes the mention."""
    clause = _since_contrast(_sentence_before(text, start))
    return not (_DENIED_AFTER.match(following) or _DENIED.search(clause) or _SUPPOSED.search(clause))


def is_quoted(text: str, start: int, end: int, names: bool = True) -> bool:
    """Return whether the sentence attributes the mention to another, and the reply does not endorse it.

    Without `names`, only other agents can be quoted: in a word problem "Tom says" and "she thinks" quote nobody.
    """
    following = text[end : end + AFTER]
    quoted = _quotation(_sentence_before(text, start), _QUOTED if names else _QUOTED_BY_AGENT)
    if quoted is None and not (names and _QUOTED_AFTER.match(following)):
        return False
    return not _is_endorsed(following, quoted or "")


def is_about_somebody(text: str, start: int, end: int) -> bool:
    """Return whether the only objection to a marked answer is a verb about a person in a word problem.

    "Frank answered \\boxed{56} questions" and "she can choose 2 in \\boxed{6} ways" are results. "Alice answered
    \\boxed{56}." is a quotation, and so is everything that an agent says.
    """
    context = _sentence_before(text, start)
    if not is_quoted(text, start, end) or is_quoted(text, start, end, names=False) or _TELLS.search(context):
        return False
    return _is_own(text, start, text[end : end + AFTER]) and (
        re.match(r"[\s$]{1,3}[a-z]", text[end : end + 4]) is not None or not _RIGHT_AFTER_VERB.search(context)
    )


_TELLS = compile_later(
    rf"\b(?:says|said|stat(?:es|ed)|claim(?:s|ed)|think(?:s)?|thought|believ(?:es?|ed)|argu(?:es?|ed)|wr(?:ites?|ote)|suggest(?:s|ed)|"
    rf"insist(?:s|ed)|conclud(?:es?|ed)|according\s+to)\b|{_SAYS}\s*(?:that\b|[:,\"]|it\b|the\s+(?:final\s+)?answer\b)",
    re.IGNORECASE,
)
_RIGHT_AFTER_VERB = compile_later(rf"{_SAYS}\W*\Z", re.IGNORECASE)


def is_denied(text: str, start: int) -> bool:
    """Return whether the words before `text[start]` negate it: "not 5", "instead of 5"."""
    return _DENIED.search(_since_contrast(_sentence_before(text, start))) is not None


def _quotation(context: str, pattern: re.Pattern[str]) -> str | None:
    """Return the part of a sentence that attributes the answer to another, or None if the reply's own view follows."""
    last = None
    for match in pattern.finditer(context):
        last = match
    if last is None or _TURN.search(context, last.end()) or _FIRST_PERSON.search(last[0]):
        return None
    if _CONCEDES.match(context) and "," in context[last.end() :]:
        return None  # "While the others chose A, the answer is B"
    before = context[max(0, last.start() - 60) : last.start()]
    if _ENDORSED.search(before + last[0]) and not _REFUSED.search(before):
        return None
    return last[0]


_AGREES = compile_later(
    r"\bI\s+(?:\w+\s+){0,3}?(?:agree|concur)\b(?:\s+with\s+(?P<whom>[^.,;\n]{1,40}))?|"
    r"\b(?:which|that|this|it|they|he|she|both)\s+(?:is|are|was)\s+(?:\w+\s+)?(?:right|correct)\b",
    re.IGNORECASE,
)
_AGREES_NOT = compile_later(r"\b(?:not|n't|cannot|never|partly|partially)\b", re.IGNORECASE)
_DIGITS = compile_later(r"\d{1,4}")


def _is_endorsed(following: str, who: str) -> bool:
    """Return whether the text after a quoted answer endorses it, and not another agent by number."""
    match = _AGREES.search(following)
    if match is None or _AGREES_NOT.search(match[0]) or re.search(r"\bnot\b|n't", following[: match.start()][-24:]):
        return False
    whom = set(_DIGITS.findall(match["whom"] or ""))
    return not whom or bool(whom & set(_DIGITS.findall(who)))


def _sentence_before(text: str, place: int) -> str:
    """Return the part of the sentence before `place`, including a label at the start of its line."""
    window = text[max(0, place - BEFORE) : place]
    start = 0
    for mark in _BREAK.finditer(window):
        start = mark.start() if mark[0] == "\n" else mark.end()
    return window[start:]


_CONTRAST = compile_later(
    r"\b(?:but|however|whereas|while|yet|though|although|instead(?!\s+of)|nevertheless|actually|now|then)\b",
    re.IGNORECASE,
)


def _since_contrast(context: str) -> str:
    last = None
    for match in _CONTRAST.finditer(context):
        last = match
    return context[last.end() :] if last else context


def _ends_in_question(following: str) -> bool:
    end = _BREAK.search(following)
    return end is not None and end[0] in "?\uff1f"


_BLOCK_QUOTE = compile_later(r"^[ \t]{0,3}>[^\n]*\n(?=[ \t]*\n|[ \t]{0,3}>|[^\n]*\S)", re.MULTILINE)


def after_quotes(text: str) -> str:
    """Return the text after the last Markdown block quote ("> The answer is B."), where a reply gives its own answer.

    Returns the whole text if no text follows a block quote.
    """
    place = 0
    for match in _BLOCK_QUOTE.finditer(text):
        place = match.end()
    return text[place:] if text[place:].strip() else text
