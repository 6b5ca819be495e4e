r"""Units and other words around a number: `18 eggs`, `9\text{ cm}^2`, `5 pm`, `3 million`.

Quantities with known units are equal if their values in the same unit are equal: 1 hour is 60 minutes, and 5 cm is not
5 m. A quantity equals a plain number if their numbers are equal. Other words are ignored, unless they change the number
("18 or more", "minus 18", "half of 18").
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

MAX_WORDS = 8
MAX_LENGTH = 80
"""Maximum length of a unit, in characters."""

_LENGTH = (
    "mm:1/1000 millimeter:1/1000 cm:1/100 centimeter:1/100 dm:1/10 decimeter:1/10 m:1 meter:1 km:1000 kilometer:1000"
)
_IMPERIAL = "in:127/5000 inch:127/5000 ft:381/1250 foot:381/1250 feet:381/1250 yd:1143/1250 yard:1143/1250"
_MASS = "mg:1/1000000 milligram:1/1000000 g:1/1000 gm:1/1000 gram:1/1000 kg:1 kilogram:1 tonne:1000"
_VOLUME = "ml:1/1000 milliliter:1/1000 cl:1/100 dl:1/10 l:1 liter:1 gal:473176473/125000000 gallon:473176473/125000000"
_TIME = "ms:1/1000 s:1 sec:1 second:1 min:60 minute:60 h:3600 hr:3600 hour:3600 day:86400 week:604800"
_TABLE = {
    "length": f"{_LENGTH} {_IMPERIAL} mi:201168/125 mile:201168/125",
    "mass": f"{_MASS} oz:45359237/1600000000 ounce:45359237/1600000000 lb:45359237/100000000 pound:45359237/100000000",
    "volume": _VOLUME,
    "time": _TIME,
    "month": "month:1 year:12 yr:12 decade:120 century:1200",
    "dollar": "$:1 usd:1 us$:1 dollar:1 buck:1 cent:1/100 ¢:1/100",
    "euro": "€:1 eur:1 euro:1",
    "sterling": "£:1 gbp:1",
    "rupee": "₹:1 rs:1 inr:1 rupee:1",
    "yen": "¥:1 yen:1 jpy:1",
    "angle": "°:1 degree:1 deg:1 \\circ:1",
    "celsius": "°c:1 celsius:1",
    "fahrenheit": "°f:1 fahrenheit:1",
    "kelvin": "kelvin:1",
    "radian": "rad:1 radian:1",
    "percent": "%:1 percent:1 percentage:1 pct:1",
    "energy": "j:1 joule:1 kj:1000 kilojoule:1000",
    "power": "w:1 watt:1 kw:1000 kilowatt:1000",
    "force": "newton:1",
    "speed": "mph:1 kph:3125/5029 kmph:3125/5029",
    "frequency": "hz:1 hertz:1 khz:1000",
    "volt": "v:1 volt:1",
    "morning": "am:1 a.m:1",
    "afternoon": "pm:1 p.m:1",
}
_SINGLE = frozenset("mgshlLJWV")
"""Letters that are units after a number and a space. Other single letters are variables."""
_SCALES = {
    "hundred": 100,
    "thousand": 1000,
    "million": 10**6,
    "billion": 10**9,
    "trillion": 10**12,
    "dozen": 12,
}
_CHANGING_WORDS = """
    or and to if than plus minus negative times over below under above not squared cubed factorial half halves
    third thirds quarter quarters fourth fourths fifth fifths tenth tenths except through until between least
    most up no mod modulo base remainder sin cos tan log ln exp lim max gcd lcm sqrt root but nor vs versus
    either imaginary infinity undefined unknown one two three four five six seven eight nine ten eleven twelve
    twenty
"""
_CHANGING = frozenset(_CHANGING_WORDS.split())
"""Words that change the number, or make it part of another one."""


@dataclass(frozen=True, slots=True)
class Unit:
    """The unit of a number: powers of dimensions, and factors to their base units.

    `scale` multiplies the number itself ("million"). Without dimensions, the unit is unknown.
    """

    dimensions: frozenset[tuple[str, int]] = frozenset()
    factor: Fraction = Fraction(1)
    scale: int = 1

    def joined(self, other: Unit) -> Unit | None:
        """Return the product of the units before and after a number, or None if they conflict in a dimension."""
        scale = self.scale * other.scale
        if self.dimensions == other.dimensions and self.factor == other.factor:
            return Unit(self.dimensions, self.factor, scale)
        if {name for name, _ in self.dimensions} & {name for name, _ in other.dimensions}:
            return None
        return Unit(self.dimensions | other.dimensions, self.factor * other.factor, scale)


@cache
def _known() -> dict[str, tuple[str, Fraction]]:
    found = {}
    for dimension, units in _TABLE.items():
        for entry in units.split():
            name, factor = entry.rsplit(":", 1)
            found[name] = (dimension, Fraction(factor))
    return found


def _look_up(word: str) -> tuple[str, Fraction] | None:
    """Return the dimension and the factor of a word, singular or plural, in American or British spelling."""
    word = re.sub(r"(met|lit)re(s?)$", r"\1er\2", word.rstrip("."))
    for ending, replacement in (("", ""), ("s", ""), ("es", ""), ("ies", "y")):
        if word.endswith(ending):
            single = word[: len(word) - len(ending)] + replacement
            if single in _known() and not (ending and len(single) == 1 and single not in "$"):
                return _known()[single]
    return None


_TOKEN = re.compile(
    r"\s*(?:(?P<per>/|\bper\b|\bp\b(?=/))|(?P<power>\^\s*\{?\s*(?P<exponent>-?[1-9])\s*\}?)"
    r"|(?P<word>\\circ|°\s?[CFcf]\b|[°%$€£₹¥¢]"
    r"|[^\W\d_]+(?:\.[^\W\d_]+)*(?:['\N{RIGHT SINGLE QUOTATION MARK}-][^\W\d_]+)*\.?))"
)
_SHAPES = {"square": 2, "sq": 2, "sq.": 2, "cubic": 3, "cu": 3, "cu.": 3}
_AFTER = {"squared": 2, "cubed": 3}


def read_unit(text: str, bare_letters: bool = True) -> Unit | None:
    """Return the unit in `text` before or after a number, or None if the text may change the number.

    Without `bare_letters`, single letters are variables.
    """
    if len(text) > MAX_LENGTH:
        return None
    words = _split(text)
    if words is None or len(words) > MAX_WORDS:
        return None
    return _Reading(bare_letters).read(words)


def _split(text: str) -> list[str] | None:
    """Return the words, slashes and exponents ("^2") of `text`, or None if it has other parts."""
    found, place = [], 0
    text = re.sub(r"(?<=[a-z])!$", "", text.strip().rstrip(",;:").strip())
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            return None
        if match["per"]:
            found.append("/")
        elif match["power"]:
            found.append(f"^{match['exponent']}")
        else:
            found.append(match["word"])
        place = match.end()
        while place < len(text) and text[place].isspace():
            place += 1
    return found


class _Reading:
    """A parser that collects the dimensions of a unit word by word."""

    def __init__(self, bare_letters: bool) -> None:
        self._bare_letters = bare_letters
        self._powers: dict[str, int] = {}
        self._factor = Fraction(1)
        self._scale = 1
        self._last: tuple[str, Fraction, int] | None = None
        self._shape = 1

    def read(self, words: list[str]) -> Unit | None:
        sign = 1
        for index, word in enumerate(words):
            if word == "in" and index + 1 < len(words) and words[index + 1].isalpha():
                continue  # "18 in total" has no inches
            if word == "/":
                sign = -1
            elif word.startswith("^"):
                self._raise(int(word[1:]))
            elif not self._read_word(word, sign, first=index == 0):
                return None
        dimensions = frozenset((name, power) for name, power in self._powers.items() if power)
        return Unit(dimensions, self._factor, self._scale)

    def _read_word(self, word: str, sign: int, first: bool) -> bool:
        lower = re.sub(r"\s", "", word.lower())
        if lower in _SCALES or lower.rstrip("s") in _SCALES:
            self._scale *= _SCALES[lower if lower in _SCALES else lower.rstrip("s")]
            return first
        if lower in _SHAPES:
            self._shape = _SHAPES[lower]
        elif lower in _AFTER:
            if self._last is None:
                return False
            self._raise(_AFTER[lower])
        elif lower in ("c", "f") and self._powers == {"angle": 1}:
            self._multiply(_look_up(f"°{lower}"), sign)
        elif lower in _CHANGING or (len(word) == 1 and not self._may_be_unit(word)):
            return False
        else:
            self._multiply(_look_up(lower), sign)
        return True

    def _may_be_unit(self, letter: str) -> bool:
        """Return whether a sign or letter is a unit: 5 m are meters, but 5 M may be millions."""
        return not letter.isalpha() or (self._bare_letters and letter in _SINGLE)

    def _multiply(self, found: tuple[str, Fraction] | None, sign: int) -> None:
        power, self._shape = sign * self._shape, 1
        self._last = (*found, power) if found else None
        if found:
            name, factor = found
            if name in ("celsius", "fahrenheit"):
                self._powers.pop("angle", None)  # degrees of temperature
            self._powers[name] = self._powers.get(name, 0) + power
            self._factor *= factor**power

    def _raise(self, exponent: int) -> None:
        """Set the exponent of the last unit, whose power is 1 until then."""
        if self._last:
            name, factor, power = self._last
            self._powers[name] += power * (exponent - 1)
            self._factor *= factor ** (power * (exponent - 1))
            self._last = None
