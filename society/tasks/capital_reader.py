"""Parsing of the place that a reply names as a capital, correct or not.

Known capitals are recognized in all their spellings. Other names are recognized by the sentence: "the capital of Canada
is Toronto", "Canada's capital is Toronto", "Toronto is the capital of Canada", "It is Toronto", "Toronto". A reply that
names no place as the capital ("Canada is a large country") has no answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

from society.answers.mentions import find_candidate, fold_accents
from society.answers.plain import BOX, END, plain
from society.answers.stance import Stance, is_quoted, stance
from society.tasks.capital_patterns import (
    AFTER_COLON,
    ALONE,
    CITY,
    CORRECTED,
    DECLARED,
    EITHER,
    HAS,
    LOWER_NAME,
    NAME,
    NAME_FIRST,
    NAME_THEN_OWNER,
    OWNER_FIRST,
    SUBJECT_FIRST,
    UPPER,
)

MAX_TEXT = 8_000
"""Maximum length of the text that is parsed, in characters from its end."""
MOST_STATEMENTS = 100
"""Maximum number of matches per pattern, from the end of the text."""
FEW_WORDS = 10
"""Maximum number of words of a reply that may be a name without a sentence."""

_ORDINARY = re.compile(
    r"(?:the|a|an|it|its|it's|this|that|these|those|there|here|i|i'm|i'd|we|you|he|she|they|my|your|our|his|her|their|what|which|who|where|when|"
    r"why|how|yes|no|not|well|ok|okay|sorry|answer|capital|city|country|question|agent|another\sagent|another|other|others|as|if|in|on|"
    r"at|so|but|and|or|sure|maybe|perhaps|please|thank|thanks|hello|also|indeed|none|unknown|one|some|many|most|today|now|great|good|"
    r"republic|kingdom|state|nation|north|south|east|west|african|asian|european|american|english|french|spanish)\.?",
    re.IGNORECASE,
)
_LEADING = re.compile(
    r"^(?:(?:The|A|An|In|It|This|That|So|And|But|Yes|No|Well|Indeed|Actually|Now|Today|Also|City\sof|Answer|Capital|Then|Thus|Hence|As|I|Is)\s)+"
)


class _Form(IntEnum):
    """Forms of a statement that names a capital, from vague to explicit."""

    KNOWN = 1
    ALONE = 2
    CITY = 3
    OTHER_COUNTRY = 4
    DECLARED = 5
    CAPITAL = 6
    OF_THE_COUNTRY = 7


@dataclass(frozen=True, slots=True)
class _Statement:
    form: _Form
    how: Stance
    place: int
    name: str

    @property
    def rank(self) -> tuple[int, int, int]:
        """Sort key: own statements beat quoted ones, explicit ones beat vague ones, later ones beat earlier ones."""
        return (self.how, self.form, self.place)


_PATTERNS = (
    (_Form.CAPITAL, SUBJECT_FIRST),
    (_Form.CAPITAL, OWNER_FIRST),
    (_Form.CAPITAL, HAS),
    (_Form.CAPITAL, NAME_FIRST),
    (_Form.CAPITAL, NAME_THEN_OWNER),
    (_Form.DECLARED, DECLARED),
    (_Form.DECLARED, CORRECTED),
    (_Form.CITY, CITY),
    (_Form.CITY, AFTER_COLON),
    (_Form.ALONE, ALONE),
)


@dataclass(frozen=True)
class CapitalReader:
    """A parser of the capital that a reply names.

    `spellings` maps every spelling of a known capital to the capital. `countries` are names of countries.
    """

    spellings: Mapping[str, str]
    countries: frozenset[str]

    def read(self, text: str, country: str) -> str | None:
        """Return the capital that the text names for `country`: its usual spelling if known, else as written."""
        text = plain(text[-MAX_TEXT:]).replace(BOX, " ").replace(END, " ")
        lines = "\n".join(fold_accents(line).strip() for line in text.splitlines())
        statements = [*self._statements(lines, place_key(country))]
        if statements:
            return max(statements, key=lambda statement: statement.rank).name
        return self._mentioned(lines)

    def _statements(self, text: str, country: str) -> Iterator[_Statement]:
        name = LOWER_NAME if text == text.lower() else NAME
        for form, pattern in _PATTERNS:
            if form is _Form.ALONE and len(text.split()) > FEW_WORDS:
                continue
            for match in [*re.finditer(pattern.replace("{name}", name), text, re.MULTILINE)][-MOST_STATEMENTS:]:
                yield from self._statement(text, form, match, country)

    def _statement(self, text: str, form: _Form, match: re.Match[str], country: str) -> Iterator[_Statement]:
        # A known name that is longer than the match wins: "Port" of "Port of Spain" is part of a name.
        longer = self._known_names.match(text, match.start("name"))
        named = self._clean(longer[0] if longer and longer.end() > match.end("name") else match["name"])
        known = named in self.spellings.values()
        if named is None or (form in (_Form.CITY, _Form.ALONE) and self._is_country(named) and not known):
            return
        if form is _Form.ALONE and named.islower() and not _is_lower_name(named):
            return
        start, end = match.span("name")
        # A denied or supposed place is no answer; a quoted one remains, with a lower rank.
        how = stance(text, start, end)
        if (how is Stance.NOT_ITS_OWN and not is_quoted(text, start, end)) or _ALTERNATIVE.match(text, end):
            return
        if how is Stance.OWN and " was the capital" in match[0]:
            how = Stance.SUPERSEDED
        if form is _Form.CAPITAL:
            groups = match.groupdict()
            form = self._subject(groups.get("about") or groups.get("owner") or "", country)
        yield _Statement(form, how, start, named)

    def _subject(self, about: str, country: str) -> _Form:
        about = place_key(about)
        if country in about:
            return _Form.OF_THE_COUNTRY
        return _Form.OTHER_COUNTRY if any(other in about for other in self.countries) else _Form.CAPITAL

    def _clean(self, name: str) -> str | None:
        """Return the usual spelling of a known capital, another name as written, or None for other text."""
        whole = name.strip(" .'\"-,")
        name = _LEADING.sub("", whole)
        for tried in (whole, name, name.removesuffix(" City"), name.partition(",")[0], name.split(" and ")[0]):
            if known := self._known.get(place_key(tried)):
                return known
        # Remove a country at the end: "Toronto Canada" names Toronto.
        words = name.split()
        while len(words) > 1 and self._is_country(words[-1]) and not self._is_country(" ".join(words)):
            words.pop()
        name = " ".join(words)
        if known := self._known.get(place_key(name)):
            return known
        return None if len(name) < 2 or name.endswith(("'s", "-speaking")) or _ORDINARY.fullmatch(name) else name

    @cached_property
    def _known(self) -> Mapping[str, str]:
        return {place_key(spelling): capital for spelling, capital in self.spellings.items()}

    def _is_country(self, name: str) -> bool:
        return place_key(name) in self.countries

    def _mentioned(self, text: str) -> str | None:
        """Return the last known capital in the text, except names that are also names of countries."""
        cities = {name: city for name, city in self.spellings.items() if place_key(name) not in self.countries}
        return find_candidate(self._country_names.sub(" ... ", re.sub(EITHER, " ... ", text)), cities)

    @cached_property
    def _country_names(self) -> re.Pattern[str]:
        return _any_of(self.countries)

    @cached_property
    def _known_names(self) -> re.Pattern[str]:
        return _any_of(self._known)


def _any_of(names: Iterable[str]) -> re.Pattern[str]:
    """Return a pattern that matches any of these names, longest first, with spaces or hyphens between words."""
    spelled = [r"[\s-]+".join(map(re.escape, name.split())) for name in sorted(names, key=len, reverse=True)]
    return re.compile(rf"\b(?:{'|'.join(spelled)})\b", re.IGNORECASE)


_ALTERNATIVE = re.compile(rf"[\"')]?,?\sor\s[\"'(]?[{UPPER}]")


def _is_lower_name(name: str) -> bool:
    """Return whether a short lowercase reply may be a name, as none of its words is an ordinary word."""
    return len(name.split()) <= 3 and "'" not in name and not any(map(_ORDINARY.fullmatch, name.split()))


def place_key(name: str) -> str:
    """Return the normal form of the name of a place: without accents, case, hyphens and article."""
    return re.sub(r"[\s-]+", " ", fold_accents(name).strip(" .'\"")).casefold().removeprefix("the ")
