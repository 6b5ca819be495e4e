"""Parsing of a short answer from a sentence: the part that does not repeat the question.

"The largest planet is Jupiter." and "Jupiter is the largest planet." both answer Jupiter to "What is the largest
planet?". The result does not depend on the true answer.
"""

from __future__ import annotations

import re

from society.answers.confidence import without_confidence
from society.answers.cues import CUE
from society.answers.lazy_pattern import compile_later
from society.answers.mentions import fold_accents
from society.answers.phrases import read_words
from society.answers.plain import BOX, END, plain
from society.answers.stance import AGENT, Stance, stance

MAX_TEXT = 8_000
"""Maximum length of the text that is parsed, in characters from its end."""
MOST_CUES = 50

_CUE = compile_later(CUE, re.IGNORECASE)
_YES_OR_NO = compile_later(
    r"(?:is|are|was|were|do|does|did|can|could|has|have|had|will|would|should|may|must|am)\b", re.IGNORECASE
)
_AGREED = compile_later(r"[\W_]{0,4}(yes|no|true|false)\b", re.IGNORECASE)
_SENTENCE = compile_later(
    r"(?<=[.!?])[\"')\]]?\s+(?=[\"'(\[]?[^\Wa-z_])|\n+|[,;]\s+(?=(?:so|therefore|thus|hence)\s+(?!that\b|much\b|many\b|far\b))"
)
_ASIDE = compile_later(
    r"(?:\W*(?:I\s+(?:really\s+)?hope\s+(?:this|that|it|I)\b|let\s+me\s+know\b|(?:please\s+)?feel\s+free\b|thanks?\b(?:\s+you)?|"
    r"good\s+luck\b|have\s+a\s+(?:nice|great|good|wonderful)\s+day|you(?:'re|\s+are)\s+welcome|"
    r"if\s+you\s+have\s+(?:any|more|further)\b|"
    r"(?:my\s+)?(?:confidence|certainty)(?:\s+(?:level|score|rating))?(?:\s*\([^()]{1,20}\))?\s*"
    r"(?:[:=]|is\b|of\b)\s*(?:[\d.~]|(?:very\s+)?(?:high|low|medium|moderate)\b)|"
    r"I(?:\s+am|'m)\s+(?:\w+\s+)?\d{1,3}\s?%)|.*\?[\"' ]*\Z)",
    re.IGNORECASE | re.DOTALL,
)
"""Sentences without an answer: courtesies, stated confidences and questions."""
_REFUSAL = compile_later(
    r"(?:\W*(?:(?:I(?:'m|\s+am)\s+)?(?:very\s+)?sorry|unfortunately|well|as\s+an?\s+(?:AI|language)[^,.]{0,40}|(?:I(?:'m|\s+am)\s+)?afraid|"
    r"honestly|hm+)(?:,?\s+but)?,?\s+)?(?:(?:that\s+)?I\s+(?:really\s+|just\s+|honestly\s+)?"
    r"(?:do\s+not|don't|cannot|can\s+not|can't|could\s+not|couldn't|am\s+unable\s+to|'m\s+unable\s+to)\s+(?:really\s+)?"
    r"(?:know|answer|help|assist|determine|say|tell|be\s+(?:sure|certain)|provide|decide|remember|recall|find)\b|"
    r"I(?:\s+am|'m)\s+(?:really\s+)?(?:not\s+(?:\w+\s+)?(?:sure|certain)|unsure|uncertain|unable\b)|(?:I\s+have\s+)?no\s+(?:idea|clue|answer)\b|"
    r"not\s+(?:\w+\s+)?(?:sure|certain)\b|(?:I(?:'ve|\s+have)\s+)?(?:got\s+)?"
    r"(?:no|not\s+the\s+(?:faintest|slightest|foggiest))\s+(?:idea|clue)\b|who\s+knows\b|beats\s+me\b|"
    r"hard\s+to\s+(?:say|tell|know)\b|your\s+guess\s+is\s+as\s+good\s+as\s+mine\b|"
    r"I\s+(?:\w+\s+)?(?:dis)?agree\b(?!.*\bthat\b)|(?:it|this|that)(?:\s+is|'s)\s+(?:impossible|not\s+possible|unclear|hard|difficult)\s+to\s+(?:say|tell|know|determine))"
    r"[^,;:]{0,80}",
    re.IGNORECASE,
)
"""Matches sentences that decline to answer."""
_JUDGED = compile_later(r"\b(?:right|correct|wrong|incorrect|mistaken|true|false)\b", re.IGNORECASE)
_VERDICT = compile_later(
    r"(?:\W*(?:yes|no|well|so|ok(?:ay)?|indeed|also)\b[\s,]+)?"
    r"(?:(?:I|we)\s+(?:\w+\s+)?(?:think|believe|say|guess|conclude)\s+(?:that\s+)?)?"
    rf"(?:{AGENT}|you|they|both(?:\s+of\s+them)?|all(?:\s+of\s+them)?|everyone|everybody|nobody|that|this|neither)"
    r"(?:'s?\s+(?:\w+\s+){0,2}?(?:answer|reply|response|solution|reasoning|argument|claim|conclusion)s?)?"
    r"(?:\s+(?:is|are|was|were|seems?|looks?|sounds?)|'s|'re)\s+"
    r"(?:(?:all|both|indeed|clearly|absolutely|completely|also|probably|not|to\s+be)\s+)*"
    r"(?:right|correct|wrong|incorrect|mistaken)(?:,?\s+(?:too|as\s+well|again|here|about\s+(?:that|this|it)|i\s+think|"
    r"(?:because|since)\b[^;:]{0,200}))?",
    re.IGNORECASE,
)
"""Matches sentences that call another right or wrong and name no answer, such as "Agent 1 is right"."""
_HEDGE = compile_later(
    r",\s*(?:(?:I|we)(?:'d|\s+would|\s+do|\s+must|\s+should)?\s+(?:\w+\s+)?"
    r"(?:say|think|believe|guess|suppose|reckon|assume|imagine|suspect|know)|"
    r"(?:most\s+)?(?:probably|likely|certainly|definitely)|perhaps|maybe|of\s+course|for\s+sure|"
    r"without\s+(?:a\s+)?doubt|to\s+my\s+knowledge|if\s+(?:I|my)\s[^,.;:]{1,60}|"
    r"as\s+far\s+as\s+I\s+(?:know|remember|recall)|(?:in|to)\s+my\s+(?:opinion|view|mind))"
    r"\s*(?:,|(?=[\s.!]*(?:$|\n)))",
    re.IGNORECASE,
)
"""Matches qualifying words beside an answer, as in "Quicksilver, I would say"."""
_DETAIL = compile_later(r"\s(?:in|on|at|for|per|from|within|during|to|of)\s", re.IGNORECASE)
_AGREES = compile_later(r"\bagree", re.IGNORECASE)
_CONFIDENCE = compile_later(r"\b(?:confiden|certain|sure)", re.IGNORECASE)
_ABBREVIATION = compile_later(r"\b(?:Mr|Mrs|Ms|Dr|St|Mt|Prof|Jr|Sr|vs|approx|e\.g|i\.e|[A-Z])\.$")
_LINK = compile_later(
    r"\s(?:is|are|was|were|equals|=|would\s+be|must\s+be|should\s+be|will\s+be|became|remains|means)\s"
    r"(?:(?:also|indeed|actually|simply|just|called|named|known\s+as|now|still|therefore|thus|in\s+fact|probably|likely)\s)*",
    re.IGNORECASE,
)
_OPENING = compile_later(
    r"(?:(?:so|yes|no|well|sure|ok|okay|thus|hence|therefore|in\s+conclusion|finally|indeed|actually|of\s+course)\b[\s,!:]+|"
    r"(?:i|we)\s+(?:would\s+|'d\s+)?(?:think|believe|say|guess|know|conclude|am\s+(?:\w+\s)?(?:sure|certain|confident))\s+(?:that\s+)?|"
    r"it(?:\s+is|'s|\s+was)\s+|that(?:\s+is|'s)\s+|(?:they|he|she|these|those)(?:\s+are|\s+is|\s+was|\s+were)\s+)+",
    re.IGNORECASE,
)
_REST = compile_later(
    r"[.!?]+(?:\s|$)|\s[-\u2013\u2014]\s|;|\s\(|,?\s(?:which|who|whose|where|because|since|although|while|but|than)\s|"
    r",\s(?:a|an|the|as|so|not|located|known|also|with|it|and\s+(?:it|is|was|he|she|they)|in|by|from|having|making|due)\s",
    re.IGNORECASE,
)
_LEAD = compile_later(
    r"^(?:(?:written|painted|composed|discovered|invented|founded|created|made|built|located|situated|found|directed|born|held|"
    r"sung|played|designed|developed|given|said|considered|believed|thought|based)\s)?"
    r"(?:by|in|on|at|from|to|as|of|for|called|named|about|around|approximately|between)\s(?=\S)",
    re.IGNORECASE,
)
_WORD = compile_later(r"[^\W_]+(?:'[^\W_]+)?")
_COMMON = compile_later(
    r"the|an?|is|are|was|were|be|of|in|on|at|to|by|for|and|or|what|which|who|whom|whose|where|when|why|how|do|does|did|"
    r"has|have|had|its?|this|that|there|name|give|many|much|with|from|as|can|could|would|should|will|please|answer",
    re.IGNORECASE,
)


def find_statement(text: str, question: str = "") -> str | None:
    """Return the answer of the reply to `question`, in as few words as possible, or None for an empty reply.

    A declared answer ("the answer is ...") takes precedence, then the last sentence that shares most words with the
    question, then the last line. Questions and sentences that the reply does not assert have no answer.
    """
    text = plain(text[-MAX_TEXT:]).replace(BOX, " ").replace(END, " ").strip()
    asked = _content(question)
    if (agreed := _AGREED.match(text)) and _YES_OR_NO.match(question.strip()):
        return agreed[1].lower()
    text = _without_refusals(text, verdicts=not _JUDGED.search(question))
    if not _CONFIDENCE.search(question):
        text = "\n".join(without_confidence(line) or line for line in text.split("\n"))
    declared = _declared(text)
    if declared is not None:
        return declared
    sentences = [(place, sentence) for place, sentence in _sentences(text) if not _ASIDE.match(sentence)]
    if not sentences:
        return None
    place, sentence = max(sentences, key=lambda found: (len(asked & _content(found[1])), found[0]))
    if stance(text, place, place + len(sentence)) is Stance.NOT_ITS_OWN:
        return None
    return _complement(sentence, asked, question)


def only_refuses(text: str) -> bool:
    """Return whether a text only declines to answer. Agreement is not a refusal."""
    text = plain(text[-MAX_TEXT:])
    sentences = [sentence for _, sentence in _sentences(text) if not _ASIDE.match(sentence)]
    refusals = [s for s in sentences if _REFUSAL.fullmatch(s.rstrip(".!\"' ")) and not _AGREES.search(s)]
    return bool(sentences) and len(refusals) == len(sentences)


def _without_refusals(text: str, verdicts: bool) -> str:
    """Return the text with refusals replaced by spaces, so that positions do not change.

    With `verdicts`, sentences that only call another right or wrong are replaced, too.
    """
    for place, sentence in _sentences(text):
        bare = sentence.rstrip(".!\"' ")
        if _REFUSAL.fullmatch(bare) or (verdicts and _VERDICT.fullmatch(bare)):
            start = text.index(sentence, place)
            text = text[:start] + " " * len(sentence) + text[start + len(sentence) :]
    return text


def _declared(text: str) -> str | None:
    """Return the text after the last cue, such as "the answer is", that the reply asserts."""
    for cue in [*_CUE.finditer(text)][: -MOST_CUES - 1 : -1]:
        rest = text[cue.end() :].split("\n", 1)[0]
        found = _trim(_HEDGE.sub(" ", rest))
        if found and stance(text, cue.start(), cue.end()) is Stance.OWN:
            return None if re.match(r"not\b", found, re.IGNORECASE) else found
    return None


def _sentences(text: str) -> list[tuple[int, str]]:
    """Return each sentence of the text and where it begins."""
    found, start = [], 0
    for gap in [*_SENTENCE.finditer(text), None]:
        end = gap.start() if gap else len(text)
        if gap and "\n" not in gap[0] and _ABBREVIATION.search(text[max(0, end - 8) : end]):
            continue
        if text[start:end].strip():
            found.append((start, text[start:end].strip()))
        start = gap.end() if gap else end
    return found


def _content(text: str) -> frozenset[str]:
    """Return the stems of the content words."""
    words = (word.casefold() for word in _WORD.findall(fold_accents(text)))
    return frozenset(word[:5].removesuffix("s") for word in words if not _COMMON.fullmatch(word))


def _complement(sentence: str, asked: frozenset[str], question: str) -> str | None:
    """Return the side of a sentence that is not in the question: "Jupiter" in "Jupiter is the largest planet"."""
    opened = _OPENING.match(sentence)
    sentence = _HEDGE.sub(" ", sentence[opened.end() :] if opened else sentence)
    link = _LINK.search(sentence)
    left, right = (sentence[: link.start()], sentence[link.end() :]) if link else ("", sentence)
    if _DENIED.match(right):
        instead = re.search(r"\bbut\s+(?:rather\s+)?(.+)", right)
        return _trim(instead[1]) if instead else None
    if link is None:
        return _without_question(sentence, asked)
    if _EMPTY_SUBJECT.fullmatch(left):
        return _trim(_without_detail(right, question))
    if len(asked & _content(right)) > len(asked & _content(left)) or _SUPERLATIVE.fullmatch(right.strip(" .!")):
        return _trim(left)
    return _trim(right)


_DENIED = compile_later(r"(?:not\b|n't)", re.IGNORECASE)
_EMPTY_SUBJECT = compile_later(r"\W*(?:there|it|this|that|he|she|they|these|those|here|the\s+answer)\W*", re.IGNORECASE)
_SUPERLATIVE = compile_later(r"(?:the\s+)?(?:most\s\w+|\w+est|best|answer|one)", re.IGNORECASE)


def _without_question(sentence: str, asked: frozenset[str]) -> str | None:
    """Return the part of a sentence without a linking verb that has most words outside the question."""
    words = [*_WORD.finditer(sentence)]
    echoes = [word.span() for word in words if _content(word[0]) & asked]
    if not echoes:
        return _trim(sentence)
    starts, ends = [0, *(end for _, end in echoes)], [*(start for start, _ in echoes), len(sentence)]
    parts = [_bare(sentence[start:end]) for start, end in zip(starts, ends, strict=True)]
    kept = max(reversed(parts), key=lambda part: len(_content(part)))
    return _trim(kept) or _trim(sentence)


def _without_detail(phrase: str, question: str) -> str:
    """Return a phrase without a detail of the question at its end: "120 minutes" of "120 minutes in two hours"."""
    asked = _content(" ".join(read_words(question)))  # numbers in digits
    for detail in _DETAIL.finditer(phrase):
        named = _content(" ".join(read_words(phrase[detail.end() :])))
        if named and named <= asked and _content(phrase[: detail.start()]):
            return phrase[: detail.start()]
    return phrase


def _bare(part: str) -> str:
    """Return a part of a sentence without the common words at its ends."""
    words = [word for word in _WORD.finditer(part) if not _COMMON.fullmatch(word[0])]
    return part[words[0].start() : words[-1].end()] if words else ""


def _trim(phrase: str) -> str | None:
    """Return a phrase up to where an explanation begins, without a preposition before it."""
    phrase = phrase.strip(" \t\"'")
    for end in _REST.finditer(phrase):
        if not _ABBREVIATION.search(phrase[: end.end()].rstrip()):
            return _tidy(phrase[: end.start()])
    return _tidy(phrase)


def _tidy(phrase: str) -> str | None:
    phrase = re.sub(r"^\.(?!\d)", "", phrase.strip(" \t\"',;:!?()[]")).rstrip(" \t\"'.,;:!?()[]")
    phrase = _LEAD.sub("", phrase, count=1)
    return phrase.strip(" \t\"',;:!?").rstrip(" .") or None
