"""Pairs of answers that are equal or different by construction; no grader decided a label.

Each family starts from a known value (an integer, a fraction, coefficients, a set, a letter) and writes it in several
ways. A different answer comes from another value, never from another text.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from society.answers.equal import Equality


@dataclass(frozen=True, slots=True)
class Pair:
    """Two answers, the equality that a task with such answers uses, and whether they are the same."""

    kind: str
    how: Equality
    a: str
    b: str
    same: bool


Family = Callable[[random.Random], Iterator[Pair]]


def all_pairs(seed: int = 0) -> list[Pair]:
    """Return every pair of every family, without repetitions, always the same for one seed."""
    found: dict[tuple[str, str, str], Pair] = {}
    for family in FAMILIES:
        for pair in family(random.Random(f"{seed}/{family.__name__}")):
            if pair.a != pair.b:
                found.setdefault((pair.how, pair.a, pair.b), pair)
    return list(found.values())


def _cross(kind: str, how: Equality, spellings: Sequence[str], others: Sequence[str]) -> Iterator[Pair]:
    """Yield the first spelling with each other one of its value, and each spelling in turn with each other value."""
    yield from (Pair(kind, how, spellings[0], spelling, True) for spelling in spellings[1:])
    turn = itertools.cycle(spellings)
    yield from (Pair(kind, how, next(turn), other, False) for other in others)


# -- GSM8K-like: numbers in words, units and separators


NOUNS = ("eggs", "apples per day", "dollars", "cm", "hours", "students", "miles", "pounds", "minutes", "ways")


def whole_numbers(rng: random.Random) -> Iterator[Pair]:
    for value in [
        rng.choice((7, 18, 42, 64, 125, 990, 7250, 12345, 48000, 1234567, 250000)) + rng.randrange(5) for _ in range(14)
    ]:
        noun = rng.choice(NOUNS)
        grouped = f"{value:,}"
        spellings = [str(value), f"{value}.", f"{value}.00", f"{value} {noun}", f"**{value}**", f"x = {value}"]
        spellings += [f"\\boxed{{{value}}}", f"{value}\\text{{ {noun}}}", f"Answer: {value}", f"+{value}"]
        if value >= 1000:
            spellings += [grouped, grouped.replace(",", "{,}"), grouped.replace(",", "\\,"), grouped.replace(",", " ")]
            spellings += [grouped.replace(",", "'"), f"${grouped}"]
        others = [
            str(value + 1),
            str(-value),
            f"{value * 10}",
            f"{value}.5",
            f"{value + 1} {noun}",
            f"{value} or {value + 1}",
        ]
        others += [f"{value}-{value + 2}", f"{value}!", f"{value}/{value + 1}", str(value)[:-1] + " " + noun]
        yield from _cross("whole number", "numeric", spellings, others)


def money(rng: random.Random) -> Iterator[Pair]:
    for _ in range(12):
        cents = rng.randrange(101, 99999)
        value = f"{cents // 100}.{cents % 100:02d}"
        spellings = [
            value,
            f"${value}",
            f"\\${value}",
            f"US${value}",
            f"{value} dollars",
            f"${value} per day",
            f"{value}$",
        ]
        others = [f"${cents // 100 + 1}.{cents % 100:02d}", f"-${value}", f"{cents}", f"{value} or more"]
        yield from _cross("money", "numeric", spellings, others)
        yield Pair("money", "numeric", f"${value}", f"{cents} cents", True)
        yield Pair("money", "numeric", f"${value}", f"{value} cents", False)


def decimals(rng: random.Random) -> Iterator[Pair]:
    for _ in range(12):
        value = Fraction(rng.randrange(1, 999_999), rng.choice((10, 100, 1000)))
        plain = f"{float(value):.3f}".rstrip("0").rstrip(".")
        negative = f"-{plain}"
        spellings = [
            negative,
            f"- {plain}",
            f"\N{MINUS SIGN}{plain}",
            f"{negative}0" if "." in plain else f"{negative}.0",
        ]
        spellings += [f"${negative}$", f"{negative} m", f"-{value.numerator}/{value.denominator}"]
        shifted = f"{float(value) + 0.1:.3f}"
        yield from _cross(
            "decimal", "numeric", spellings, [plain, f"-{shifted}", f"-1{plain}", f"-{plain.replace('.', '')}0"]
        )


def powers(rng: random.Random) -> Iterator[Pair]:
    for base, exponent in [(2, 10), (10, 6), (3, 5), (10, 3), (5, 4), (7, 3), (2, 16)]:
        value = base**exponent
        spellings = [str(value), f"{base}^{exponent}", f"{base}^{{{exponent}}}", f"{base}**{exponent}"]
        others = [str(base), str(exponent), str(base * exponent), f"{base}^{exponent + 1}", f"{base}{exponent}"]
        for how in ("numeric", "math"):
            yield from _cross("power", how, spellings, others)  # type: ignore[arg-type]
    for mantissa, exponent in [("1.5", 6), ("6.02", 23), ("3", 8), ("2.25", -4)]:
        tens = f"10^{{{exponent}}}"
        spellings = [f"{mantissa}e{exponent}", f"{mantissa} \\times {tens}", f"{mantissa}\\cdot {tens}"]
        others = [
            mantissa,
            f"{mantissa}e{exponent + 1}",
            f"{mantissa} \\times 10^{{{-exponent}}}",
            f"1{mantissa}e{exponent}",
        ]
        for how in ("numeric", "math"):
            yield from _cross("scientific", how, spellings, others)  # type: ignore[arg-type]


# -- MATH-like


def fractions(rng: random.Random) -> Iterator[Pair]:
    for _ in range(16):
        above, below = rng.randrange(1, 40), rng.choice((2, 3, 4, 5, 7, 8, 9, 12, 25))
        value = Fraction(above, below)
        n, d = value.numerator, value.denominator
        if d == 1:
            continue
        spellings = [f"\\frac{{{n}}}{{{d}}}", f"{n}/{d}", f"\\dfrac{{{n}}}{{{d}}}", f"\\frac{{{2 * n}}}{{{2 * d}}}"]
        spellings += [
            f"\\frac{{{-n}}}{{{-d}}}",
            f"$\\tfrac{{{n}}}{{{d}}}$",
            f"x=\\frac{{{n}}}{{{d}}}",
            f"{n} \\div {d}",
        ]
        if n < 10 and d < 10:
            spellings += [f"\\frac{n}{d}", f"\\frac {n} {d}", f"\\frac{{{n}}}{d}"]
        if n > d:
            spellings += [f"{n // d}\\frac{{{n % d}}}{{{d}}}", f"{n // d} {n % d}/{d}"]
        if d in (2, 4, 5, 8, 25):
            spellings.append(str(float(value)))
        others = [
            f"\\frac{{{d}}}{{{n}}}",
            f"\\frac{{{n + 1}}}{{{d}}}",
            f"-\\frac{{{n}}}{{{d}}}",
            f"{n}",
            f"{n}.{d}",
            f"{n}{d}",
        ]
        yield from _cross("fraction", "math", spellings, others)


def tiny_and_huge(rng: random.Random) -> Iterator[Pair]:
    for n in (30, 40, 70, 99, 200):
        spellings = [f"\\frac{{1}}{{2^{{{n}}}}}", f"2^{{-{n}}}", f"\\left(\\frac{{1}}{{2}}\\right)^{{{n}}}"]
        others = [f"2^{{-{n + 1}}}", f"\\frac{{1}}{{3^{{{n}}}}}", f"\\frac{{1}}{{2^{{{n - 1}}}}}", "0"]
        yield from _cross("tiny and huge", "math", spellings, others)
        yield from _cross(
            "tiny and huge",
            "math",
            [f"e^{{-{n}}}", f"\\frac{{1}}{{e^{{{n}}}}}"],
            [f"e^{{-{n + 1}}}", f"e^{{{n}}}", "0"],
        )
        sums = [f"2^{{{n}}}+1", f"1+2^{{{n}}}"]
        yield from _cross("tiny and huge", "math", sums, [f"2^{{{n}}}", f"2^{{{n}}}-1", f"2^{{{n}}}+2"])


def radicals(rng: random.Random) -> Iterator[Pair]:
    for outer, inner in [(2, 2), (3, 5), (5, 3), (4, 7), (7, 2), (11, 6), (6, 10)]:
        spellings = [f"{outer}\\sqrt{{{inner}}}", f"\\sqrt{{{outer * outer * inner}}}", f"{outer} \\sqrt {{{inner}}}"]
        spellings += [f"{outer}\\cdot\\sqrt{{{inner}}}", f"{outer}*sqrt({inner})", f"\\sqrt{{{inner}}}\\cdot {outer}"]
        spellings += [f"\\frac{{{outer * inner}}}{{\\sqrt{{{inner}}}}}", f"{outer}\\sqrt{{{inner}}}\\text{{ cm}}"]
        others = [
            f"{outer + 1}\\sqrt{{{inner}}}",
            f"\\sqrt{{{outer * inner}}}",
            f"-{outer}\\sqrt{{{inner}}}",
            f"{outer}",
            f"{inner}\\sqrt{{{outer * outer}}}",
        ]
        yield from _cross("radical", "math", spellings, others)
        yield from _cross(
            "radical",
            "math",
            [f"\\frac{{1}}{{\\sqrt{{{inner}}}}}", f"\\frac{{\\sqrt{{{inner}}}}}{{{inner}}}"],
            [f"\\sqrt{{{inner}}}"],
        )


def _polynomial(coefficients: Sequence[int], letter: str = "x") -> str:
    """Return a polynomial in LaTeX, highest power first."""
    terms = []
    for power in range(len(coefficients) - 1, -1, -1):
        c = coefficients[power]
        if c:
            body = {0: "", 1: letter}.get(power, f"{letter}^{{{power}}}" if power > 9 else f"{letter}^{power}")
            size = str(abs(c)) if abs(c) != 1 or not body else ""
            terms.append(("-" if c < 0 else "+") + size + body)
    return "".join(terms).removeprefix("+") or "0"


def polynomials(rng: random.Random) -> Iterator[Pair]:
    for _ in range(14):
        p, q, letter = rng.choice([n for n in range(-9, 10) if n]), rng.randrange(1, 9), rng.choice("xyt")
        expanded = [p * q, p + q, 1]
        spellings = [
            _polynomial(expanded, letter),
            f"({letter}{p:+d})({letter}{q:+d})",
            f"({letter}{q:+d})({letter}{p:+d})",
        ]
        spellings.append(f"{letter}^2 + {p * q} + {p + q}{letter}".replace("+ -", "- "))
        changed = [[p * q + 1, p + q, 1], [p * q, p + q + 1, 1], [p * q, p + q, 2], [-p * q, p + q, 1]]
        yield from _cross("polynomial", "math", spellings, [_polynomial(each, letter) for each in changed])
        lines = [
            f"y={_polynomial([q, p])}",
            _polynomial([q, p]),
            f"y = {_polynomial([q, 0])} + {_polynomial([0, p])}".replace("+ -", "- "),
        ]
        yield from _cross("polynomial", "math", lines, [f"y={_polynomial([q, p + 1])}", f"y={_polynomial([q + 1, p])}"])


def rational_functions(rng: random.Random) -> Iterator[Pair]:
    for _ in range(10):
        a, b = rng.randrange(1, 9), rng.randrange(2, 9)
        spellings = [
            f"\\frac{{x+{a}}}{{{b}}}",
            f"\\frac{{x}}{{{b}}}+\\frac{{{a}}}{{{b}}}",
            f"(x+{a})/{b}",
            f"\\frac{{1}}{{{b}}}(x+{a})",
        ]
        others = [
            f"\\frac{{x+{a + 1}}}{{{b}}}",
            f"\\frac{{x-{a}}}{{{b}}}",
            f"\\frac{{{b}}}{{x+{a}}}",
            f"x+\\frac{{{a}}}{{{b}}}",
        ]
        yield from _cross("rational function", "math", spellings, others)


def equations(rng: random.Random) -> Iterator[Pair]:
    for _ in range(12):
        a, b, c = rng.randrange(2, 9), rng.randrange(2, 9), rng.randrange(1, 20)
        spellings = [
            f"{a}x-{b}y={c}",
            f"{-a}x+{b}y={-c}",
            f"{2 * a}x-{2 * b}y={2 * c}",
            f"{a}x - {b}y - {c} = 0",
            f"{c}={a}x-{b}y",
        ]
        others = [f"{a}x-{b}y={c + 1}", f"{a}x+{b}y={c}", f"{a + 1}x-{b}y={c}", f"{a}x-{b}y=0", str(c)]
        yield from _cross("equation", "math", spellings, others)
        circles = [f"x^2+y^2={c}", f"y^2 + x^2 = {c}", f"2x^2+2y^2={2 * c}"]
        yield from _cross("equation", "math", circles, [f"x^2+y^2={c + 1}", f"x^2-y^2={c}", f"x^2+y^2=-{c}"])
        empty = [f"x^2+{c}=0", f"{c}+x^2=0", f"2x^2+{2 * c}=0"]
        yield from _cross("equation", "math", empty, [f"x^2+{c + 1}=0", f"x^2-{c}=0", f"x^2+{c}x=0"])


def assignments(rng: random.Random) -> Iterator[Pair]:
    for _ in range(8):
        a, b = rng.randrange(-20, 20), rng.randrange(21, 60)
        yield from _cross(
            "assignment", "math", [f"x={a}", str(a), f"{a}=x", f"x = {a}.0"], [f"x={b}", str(b), f"x+{a}"]
        )
        yield Pair("assignment", "math", f"x={a}", f"y={a}", False)
        roots = [f"x={a} \\text{{ or }} x={b}", f"{a},{b}", f"x={b}, x={a}", f"x={a},{b}", f"\\{{{a},{b}\\}}"]
        yield from _cross("assignment", "math", roots, [f"x={a}", f"{a},{b + 1}", f"{a},{b},{b + 1}", f"{a}+{b}"])


def signs(rng: random.Random) -> Iterator[Pair]:
    for n in (2, 6, 15, 2021):
        yield from _cross(
            "plus or minus",
            "math",
            [f"\\pm {n}", f"{n},-{n}", f"-{n}, {n}", f"x=\\pm{n}"],
            [str(n), f"-{n}", f"\\pm {n + 1}"],
        )
        spellings = [f"{n}\\pm\\sqrt{{3}}", f"{n}+\\sqrt{{3}},{n}-\\sqrt{{3}}"]
        yield from _cross("plus or minus", "math", spellings, [f"{n}+\\sqrt{{3}}", f"{n}\\pm\\sqrt{{5}}"])


def tuples_and_intervals(rng: random.Random) -> Iterator[Pair]:
    for _ in range(12):
        a, b = sorted(rng.sample(range(-9, 30), 2))
        points = [f"({a},{b})", f"\\left( {a}, {b} \\right)", f"({a}, {b}.0)", f"({2 * a}/2,{b})"]
        others = [
            f"({b},{a})",
            f"[{a},{b}]",
            f"({a},{b}]",
            f"[{a},{b})",
            f"\\{{{a},{b}\\}}",
            f"({a},{b + 1})",
            f"{a}{b}",
        ]
        yield from _cross("tuple or interval", "math", points, others)
        half = [f"[{a},{b})", f"\\left[{a}, {b}\\right)", f"{a}\\le x<{b}", f"x\\in[{a},{b})"]
        yield from _cross(
            "tuple or interval", "math", half, [f"[{a},{b}]", f"({a},{b})", f"[{a},{b + 1})", f"{a}<x\\le {b}"]
        )
        rays = [f"({a},\\infty)", f"({a}, +\\infty)", f"x>{a}", f"{a}<x"]
        yield from _cross(
            "tuple or interval", "math", rays, [f"[{a},\\infty)", f"x\\ge {a}", f"x<{a}", f"(-\\infty,{a})"]
        )
        unions = [f"(-\\infty,{a})\\cup({b},\\infty)", f"({b},\\infty) \\cup (-\\infty,{a})"]
        yield from _cross(
            "tuple or interval",
            "math",
            unions,
            [f"(-\\infty,{a}]\\cup({b},\\infty)", f"(-\\infty,{a})\\cup({b + 1},\\infty)"],
        )


def sets(rng: random.Random) -> Iterator[Pair]:
    for _ in range(10):
        items = rng.sample(range(-9, 30), 3)
        text = [str(item) for item in items]
        spellings = [
            f"\\{{{','.join(text)}\\}}",
            f"\\left\\{{{', '.join(reversed(text))}\\right\\}}",
            ",".join(sorted(text)),
        ]
        spellings.append(f"{text[0]}, {text[1]}, \\text{{ and }} {text[2]}")
        others = [f"({','.join(text)})", f"\\{{{','.join(text[:2])}\\}}", f"\\{{{','.join(text[:2])},99\\}}", text[0]]
        yield from _cross("set", "math", spellings, others)


def matrices(rng: random.Random) -> Iterator[Pair]:
    for _ in range(10):
        a, b, c, d = (rng.randrange(-9, 10) for _ in range(4))
        rows = f"{a} & {b} \\\\ {c} & {d}"
        spellings = [
            f"\\begin{{pmatrix}} {rows} \\end{{pmatrix}}",
            f"\\begin{{pmatrix}}{rows.replace(' ', '')}\\end{{pmatrix}}",
        ]
        spellings += [
            f"\\begin{{bmatrix}} {rows} \\\\ \\end{{bmatrix}}",
            f"\\begin{{pmatrix}} {rows.replace(' & ', '&')}\\end{{pmatrix}}",
        ]
        others = [
            f"\\begin{{pmatrix}} {a} & {b} \\\\ {c} & {d + 1} \\end{{pmatrix}}",
            f"\\begin{{pmatrix}} {a} & {b} \\end{{pmatrix}}",
        ]
        others.append(f"\\begin{{vmatrix}} {rows} \\end{{vmatrix}}")
        yield from _cross("matrix", "math", spellings, others)
        columns = [f"\\begin{{pmatrix}} {a} \\\\ {b} \\end{{pmatrix}}", f"\\begin{{bmatrix}}{a}\\\\{b}\\end{{bmatrix}}"]
        yield from _cross(
            "matrix",
            "math",
            columns,
            [f"\\begin{{pmatrix}} {a} & {b} \\end{{pmatrix}}", f"\\begin{{pmatrix}} {a} \\\\ {b + 1} \\end{{pmatrix}}"],
        )


def bases(rng: random.Random) -> Iterator[Pair]:
    for digits, base in (("101", 2), ("2516", 8), ("1021", 3), ("4343", 6), ("B3F", 16), ("110", 4)):
        spellings = [f"{digits}_{base}" if base < 10 else f"{digits}_{{{base}}}", f"{digits}_{{{base}}}"]
        spellings += [f"{digits}_{{\\text{{{NAMES[base]}}}}}", f"0{digits}_{{{base}}}"]
        others = [digits, f"{digits}_{{{base + 1}}}", f"{digits}0_{{{base}}}", f"{digits}{base}"]
        yield from _cross("number of a base", "math", spellings, others)


NAMES = {2: "two", 3: "three", 4: "four", 6: "six", 8: "eight", 16: "sixteen"}


def units(rng: random.Random) -> Iterator[Pair]:
    for _ in range(10):
        n = rng.randrange(3, 99)
        yield from _cross(
            "unit",
            "math",
            [
                str(n),
                f"{n}\\text{{ cm}}^2",
                f"{n}\\text{{ units}}^2",
                f"{n}\\text{{ square units}}",
                f"{n}\\text{{ m/s}}",
                f"{n}^\\circ",
                f"{n} \\text{{ inches}}",
                f"\\${n}",
                f"{n}\\%",
                f"{n}\\ \\mathrm{{kg}}",
            ],
            [f"{n + 1}\\text{{ cm}}^2", f"{n}2", f"{n}x", f"{n}\\pi\\text{{ cm}}^2"],
        )
        yield Pair("unit", "math", f"{n}\\text{{ cm}}", f"{n}\\text{{ m}}", False)
        yield Pair("unit", "math", f"{n}\\pi\\text{{ cm}}^3", f"{n}\\pi", True)
    for hour in (1, 5, 10, 11):
        yield from _cross(
            "time",
            "math",
            [f"{hour}:30\\text{{ a.m.}}", f"{hour}:30 am", f"{hour}:30\\text{{ AM}}"],
            [f"{hour}:30 pm", f"{hour}:45\\text{{ a.m.}}", f"{hour + 1}:30 am"],
        )
        yield from _cross(
            "time",
            "math",
            [f"{hour}\\text{{ pm}}", f"{hour}\\text{{ p.m.}}"],
            [f"{hour}\\text{{ am}}", f"{hour + 1}\\text{{ pm}}"],
        )


WORDS = (
    "east",
    "Monday",
    "even",
    "Angela",
    "no solution",
    "ellipse",
    "Tim",
    "true",
    "neither",
    "was",
    "not enough information",
)


def words(rng: random.Random) -> Iterator[Pair]:
    for word in WORDS:
        first, _, rest = word.partition(" ")
        anagram = first[::-1] + (f" {rest}" if rest else "")
        spellings = [
            f"\\text{{{word}}}",
            word,
            f"\\text{{ {word} }}",
            f"\\textbf{{{word}}}",
            f"\\mbox{{{word}}}",
            f"\\text{{{word.capitalize()}}}",
            f"{word}.",
        ]
        others = [
            f"\\text{{{anagram}}}",
            f"\\text{{un{word}}}",
            f"\\text{{{rng.choice([w for w in WORDS if w != word])}}}",
        ]
        yield from _cross("word", "math", spellings, others)


def complex_and_functions(rng: random.Random) -> Iterator[Pair]:
    for _ in range(8):
        a, b = rng.randrange(1, 12), rng.randrange(2, 12)
        yield from _cross(
            "complex number",
            "math",
            [f"{a}+{b}i", f"{b}i+{a}", f"{a} + {b} i"],
            [f"{a}-{b}i", f"{b}+{a + b}i", f"{a + b}", f"{a}+{b}"],
        )
        yield from _cross(
            "function",
            "math",
            [f"\\ln {a * b}", f"\\ln {a}+\\ln {b}", f"\\ln({a * b})"],
            [f"\\ln {a * b + 1}", str(a * b)],
        )
        yield from _cross(
            "function",
            "math",
            [f"{b}\\pi/{a + 6}", f"\\frac{{{b}\\pi}}{{{a + 6}}}", f"\\frac{{{b}}}{{{a + 6}}}\\pi"],
            [f"\\frac{{{b}}}{{{a + 6}}}", f"\\frac{{{b + 1}\\pi}}{{{a + 6}}}"],
        )
    yield from _cross(
        "function",
        "math",
        ["\\sin^2 x", "1-\\cos^2 x", "(\\sin x)^2"],
        ["\\sin x", "\\cos^2 x", "\\sin x^2", "1+\\cos^2 x"],
    )
    yield from _cross(
        "function", "math", ["\\binom{7}{3}", "35", "\\frac{7!}{3!4!}"], ["\\binom{7}{2}", "\\frac{7}{3}", "73"]
    )
    yield from _cross("function", "math", ["|x|", "\\sqrt{x^2}", "\\lvert x \\rvert"], ["x", "-x", "x^2"])


# -- MMLU-like


def choices(rng: random.Random) -> Iterator[Pair]:
    for letter in "ABCDEJ":
        other = chr(ord(letter) + 1)
        spellings = [
            letter,
            f"({letter})",
            f"{letter}.",
            f"{letter})",
            letter.lower(),
            f"({letter.lower()})",
            f"**{letter}**",
            f"\\text{{({letter})}}",
        ]
        spellings += [
            f"\\mathbf{{{letter}}}",
            f"${letter}$",
            f"\\boxed{{{letter}}}",
            f"Option {letter}",
            f"{letter}. because of it",
            f"[{letter}]",
            f"\\textbf{{({letter})}}",
            chr(ord(letter) + 0xFEE0),
            f"The answer is ({letter}).",
        ]
        others = [
            other,
            f"({other})",
            f"\\text{{({other})}}",
            f"{other}. {letter} is wrong",
            f"{letter}, {other}",
            f"{letter}{other}",
            f"not {letter}",
            f"{letter} or {other}",
        ]
        yield from _cross("choice", "choice", spellings, others)


FAMILIES: tuple[Family, ...] = (
    whole_numbers,
    money,
    decimals,
    powers,
    fractions,
    tiny_and_huge,
    radicals,
    polynomials,
    rational_functions,
    equations,
    assignments,
    signs,
    tuples_and_intervals,
    sets,
    matrices,
    bases,
    units,
    words,
    complex_and_functions,
    choices,
)
