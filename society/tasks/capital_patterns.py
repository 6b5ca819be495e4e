"""Regular expressions for sentences that name a capital. `{name}` is a placeholder for the pattern of a name."""

from __future__ import annotations

UPPER = "A-ZØŁĐÞÆŒ"
WORD = rf"(?<![\w'])(?:(?:St|Ste|Mt|Ft|Pt)\.|(?:[A-Z]\.){{1,3}}|'?[{UPPER}][\w']{{0,40}}(?:-[\w']{{1,40}}){{0,5}})"
_JOIN = (
    r"(?:\s(?:de|da|do|dos|du|del|della|di|la|las|le|los|el|al|ul|of|van|der|den|upon|on|sur|y)){1,2}"
    r"|\s(?:and|the)(?=\s[A-Z])"
)
NAME = (
    rf"(?P<name>{WORD}(?:(?:{_JOIN})?\s{WORD}){{0,5}}(?:,\sD\.?C\.?)?)(?![\w'-])"
    r"(?!\s(?:capital|people|government|state|region|territory|continent|nation|country)\b)"
)
LOWER_NAME = (
    r"(?P<name>[^\W\d_][\w'.-]{1,30}(?:\s[^\W\d_][\w'-]{1,30}){0,2}?)"
    r"(?=[.,;:!?]|$|\n|\s(?:which|and|a|the|in|is|as|but|where|located|with|known|because|not)\b)"
)
_THE_CAPITAL = (
    r"(?i:(?:capital|capitol|capitale|hauptstadt)(?:\scit(?:y|ies))?"
    r"(?:\s(?:and|&)\s(?:the\s)?(?:largest|biggest|main|most\spopulous)(?:\scity)?)?)"
)
_IS = (
    r"(?i:\b(?:is|est|ist|es|e|was|are|were|would\sbe|must\sbe|should\sbe|has\sbeen|became|remains|lies\sin)\b|[:=,-])"
)
_FILLER = (
    r"(?:(?:in\sfact|indeed|actually|currently|officially|now|also|still|often|usually|typically|generally|sometimes|"
    r"considered|called|named|known|understood|referred|abbreviated|said|believed|thought|to|as|be|is|in|at|simply|just|"
    r"probably|likely|definitely|most|the|a|an|its|city|town|port|old|ancient|historic|historical|islamic|beautiful|"
    r"vibrant|bustling|coastal|large|largest|small|famous|modern|great|holy|located|situated|found|something|of|and|both|"
    r"none\sother\sthan|none\sother\sbut|commonly|by|locals|namely)\s){0,9}"
    r"(?:[A-Z][\w-]{1,20}\s(?:city|town|port|capital)\s(?:of\s|called\s|named\s)?)?[\"'(\[]?"
)
_PLACE = "{name}"
_ABOUT = r"(?:\s(?i:of|in|for|du|de|des|del|di|do|da|von|der)\s(?P<about>[^.!?\n;:]{1,80}?))?"
_NO_PREDICATE = r"(?<!is )(?<!was )(?<!is the )(?<!was the )(?<!is a )(?<!as the )(?<!also the )(?<!not the )"
SUBJECT_FIRST = rf"{_NO_PREDICATE}\b{_THE_CAPITAL}{_ABOUT}(?:,[^.!?\n,]{{1,60}},)?\s?{_IS}\s{{1,3}}{_FILLER}" + _PLACE
OWNER_FIRST = (
    rf"(?P<owner>\b[{UPPER}][^.!?\n,;:]{{0,60}}?)(?:'s?|s')\s(?:current\s|official\s)?{_THE_CAPITAL}(?:\s?{_IS})?\s{{1,3}}"
    rf"{_FILLER}" + _PLACE
)
HAS = (
    rf"(?:(?P<owner>\b[{UPPER}][^.!?\n,;:]{{0,60}}?)\s)?\b(?i:has|had|with)\s(?i:(?:a|an|its|the)\s)?(?:[\w-]+\s){{0,3}}?"
    rf"{_THE_CAPITAL}(?:\s|,\s|:\s)(?i:called|named|of|in|at|is|known\sas)?\s?{_FILLER}" + _PLACE
)
NAME_FIRST = (
    rf"(?<!capital of )(?<!capital of the )(?<!city of the ){NAME}[\"')\]]?(?:\s?\([^()\n]{{1,40}}\))?"
    r"(?:,\s[^.!?\n,]{1,40})?,?\s(?:is|was|serves|remains|became|,|-)?\s?"
    r"(?:(?:also|indeed|now|actually|currently|still|often|considered|known|referred|to|called|as|officially|not\sonly)\s){0,4}"
    r"(?:(?:the|a|an|its|their)\s)?(?:(?:national|official|current|political|administrative)\s)?"
    rf"{_THE_CAPITAL}\b{_ABOUT}(?:\sof)?(?=[.,;:!?\n\"')]|$|\s(?:and|but|which|where|is|was|-))"
)
NAME_THEN_OWNER = rf"{NAME}\s(?i:is|was|remains)\s(?P<owner>\b[{UPPER}][^.!?\n,;:]{{0,60}}?)(?:'s|s')\s{_THE_CAPITAL}\b"
DECLARED = (
    r"\b(?i:(?:(?:the|my|correct|right|final)\s){0,3}(?:answer|choice|guess)(?:\sto\s(?:[\w]+\s){1,3}question)?\s?"
    r"(?:is|was|would\sbe|:|-):?|it(?:\sis|'s|\swas|\smust\sbe|\sshould\sbe)|that(?:\sis|'s)|"
    r"i(?:\swould|'d)?\s(?:think|believe|say|guess|choose|pick)(?:\s(?:that\s)?it(?:\sis|'s))?)\s{1,3}"
    + _FILLER
    + _PLACE
)
CITY = (
    rf"(?:^|[.!?\n]\s{{0,3}}){NAME},?\s(?:is|was)\s(?:a|an|the|one\sof\sthe)\s(?:[\w-]+\s){{0,4}}?"
    r"(?:city|cities|town|port|metropolis|capital)\b(?!-)"
)
ALONE = (
    r"^[^\w\n]{0,12}(?i:(?:answer|capital|city|yes|no|well|ok|okay|maybe|perhaps|probably|definitely|surely|of\scourse|the|a)\b\W{0,3})"
    r"{0,4}{name}(?:[^\w\n]{0,12}$|\s?[,(-].*$)"
)
AFTER_COLON = r"[:\u2014]\s{1,3}[\"'(]?{name}[^\w\n]{0,12}$"
CORRECTED = r"\b(?i:no|rather|sorry|correction)[,:]\s{1,3}[\"'(]?{name}"
EITHER = rf"{WORD}(?:\s{WORD}){{0,4}},?\sor\s{WORD}(?:\s{WORD}){{0,4}}"

_REGIONS = (
    "africa, asia, europe, north america, south america, central america, america, oceania, australia, "
    "antarctica, west africa, east africa, southern africa, central africa, north africa, western africa, eastern "
    "africa, southeast asia, south asia, east asia, central asia, western asia, middle east, eastern europe, "
    "western europe, northern europe, southern europe, central europe, balkans, caribbean, west indies, pacific, "
    "south pacific, pacific ocean, atlantic, atlantic ocean, indian ocean, mediterranean, england, scotland, "
    "wales, northern ireland, great britain, britain, uk, u.k, usa, u.s, us, u.s.a, united states of america, "
    "uae, soviet union, ussr, holland, burma, swaziland, ivory coast, taiwan, palestine, kosovo, tibet, "
    "greenland, hong kong, puerto rico, congo, korea, israel, bolivia, sri lanka, south africa, netherlands, "
    "nauru, eswatini, sahara, arabian peninsula, european union, united nations"
)
OTHER_REGIONS = frozenset(_REGIONS.split(", "))
"""Regions, and countries outside the table of capitals: a reply that only mentions them names no capital."""
