"""Stories of word problems: templates with one to three steps, and their solutions in several equally valid ways.

A way is an order of the steps, and a wording. Each step names its result: `p=x-y r=p+z`. The last result is the answer.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from operator import add, mul, sub

LARGEST = 99
"""Maximum of every value in a solution. The minimum is 1."""
LEAST, MOST_GROUPS, MOST_EACH = 2, 5, 9
"""Minimum of every number of a story, and maximums of factors: the number of groups, and of items in each group."""
TOPS = {"m": MOST_GROUPS, "k": MOST_GROUPS, "n": MOST_EACH, "l": MOST_EACH}
"""Maximums of the factors by letter."""
NAMES = re.findall(
    r"\w+",
    "Ada Amir Anna Ben Carla Chen Clara Dan Dina Elif Emma Erik Farid Fay Greta Hana Hugo Ines Ivan Jan "
    "Jonas Kofi Lea Leo Lina Luis Maria Mei Mila Nils Nora Omar Otto Pia Rosa Sam Tara Tom Vera Yuki",
)
ITEMS = re.findall(
    r"\w+",
    "apples balls beads books buttons cards coins cookies cups eggs flowers keys lamps leaves lemons letters "
    "marbles mugs nuts pears pencils photos plates plums rings shells spoons stamps stickers stones",
)


@dataclass(frozen=True)
class Story:
    """A template. `text` has names {a}, {b} and {c}, {items}, and numbers {x} to {w}, {m}, {n}, {k} and {l}.

    `ways` has the orders of the steps; all come to the same value.
    """

    text: str
    ways: tuple[str, ...]
    left_out: bool = False

    @cached_property
    def letters(self) -> tuple[str, ...]:
        """Return the letters of the numbers in the order of the text."""
        return tuple(re.findall(r"\{([k-nw-z])\}", self.text))

    @property
    def steps(self) -> int:
        """Return the number of steps."""
        return len(self.ways[0].split())

    def bound(self, high: int) -> int:
        """Return how many combinations of numbers up to `high` there are, of which some are not used."""
        return prod(TOPS.get(letter, high) - LEAST + 1 for letter in self.letters)

    def draw(self, rng: random.Random, high: int) -> dict[str, int]:
        """Return random numbers from 2 to `high` with which every value on every way is from 1 to 99.

        Factors are smaller: up to 5 groups of up to 9 items.
        """
        while True:
            numbers = {letter: rng.randint(LEAST, TOPS.get(letter, high)) for letter in self.letters}
            if all(1 <= step[3] <= LARGEST for way in self.ways for step in follow(way, numbers)):
                return numbers


OPERATIONS: Mapping[str, Callable[[int, int], int]] = {"+": add, "-": sub, "*": mul}
Step = tuple[int, str, int, int]
"""Left operand, operator, right operand and result of a step."""


def follow(way: str, numbers: Mapping[str, int], err: Callable[[int], int] = int) -> Iterator[Step]:
    """Yield the steps of a way with these numbers. `err` changes the result of each step; later steps use it."""
    values = dict(numbers)
    for name, left, operator, right in re.findall(r"(\w)=(\w)([-+*])(\w)", way):
        x, y = values[left], values[right]
        values[name] = err(OPERATIONS[operator](x, y))
        yield x, operator, y, values[name]


HAS = "{a} has {x} {items}. "
LEFT, NOW = "How many {items} does {a} have left?", "How many {items} does {a} have now?"
TOGETHER = "How many {items} do they have together?"
SUM, REST = ("r=x+y", "r=y+x"), ("r=x-y",)
MINUS_PLUS = ("p=x-y r=p+z", "p=x+z r=p-y")
MINUS_MINUS = ("p=x-y r=p-z", "p=x-z r=p-y", "p=y+z r=x-p")
STORIES = {
    "find": Story(HAS + "{a} finds {y} more. " + NOW, SUM),
    "give": Story(HAS + "{a} gives {y} of them to {b}. " + LEFT, REST),
    "boxes": Story(
        "{a} buys {m} boxes. There are {n} {items} in each box. How many {items} does {a} buy?", ("r=m*n", "r=n*m")
    ),
    "difference": Story("{a} has {x} {items} and {b} has {y}. How many more {items} does {a} have than {b}?", REST),
    "together": Story("{a} has {x} {items} and {b} has {y}. " + TOGETHER, SUM),
    "lose_find": Story(HAS + "{a} loses {y} of them and then finds {z} others. " + NOW, MINUS_PLUS),
    "give_twice": Story(HAS + "{a} gives {y} to {b} and {z} to {c}. " + LEFT, MINUS_MINUS),
    "pool": Story(
        "{a} has {x} {items} and {b} has {y}. They put them together and give {z} to {c}. How many {items} are left?",
        ("p=x+y r=p-z", "p=x-z r=p+y"),
    ),
    "boxes_more": Story(HAS + "{a} buys {m} boxes with {n} {items} each. " + NOW, ("p=m*n r=x+p", "p=n*m r=p+x")),
    "boxes_less": Story(
        "{a} buys {m} boxes with {n} {items} each and gives {y} {items} to {b}. " + LEFT, ("p=m*n r=p-y", "p=n*m r=p-y")
    ),
    "more_than": Story("{b} has {x} {items}. {a} has {y} more than {b}. " + TOGETHER, ("p=x+y r=x+p", "p=x+x r=p+y")),
    "fewer_than": Story("{a} has {x} {items}. {b} has {y} fewer than {a}. " + TOGETHER, ("p=x-y r=x+p", "p=x+x r=p-y")),
    "days": Story(
        "{a} collects {x} {items} on Monday, {y} on Tuesday and {z} on Friday. How many {items} does {a} collect?",
        ("p=x+y r=p+z", "p=y+z r=x+p", "p=x+z r=p+y"),
    ),
    "wanted": Story(
        "{a} wants to have {x} {items}. {a} has {y}, and {b} gives {z} to {a}. How many {items} does {a} still need?",
        MINUS_MINUS,
    ),
    "boxes_both": Story(
        HAS + "{a} buys {m} boxes with {n} {items} each and gives {y} {items} to {b}. " + LEFT,
        ("p=m*n q=x+p r=q-y", "p=m*n q=p-y r=x+q", "q=x-y p=m*n r=q+p"),
    ),
    "bus": Story(
        "There are {x} people on a bus. First {y} get off and {z} get on. Later {w} get off. "
        "How many people are on the bus then?",
        ("p=x-y q=p+z r=q-w", "p=x+z q=p-y r=q-w", "p=y+w q=x+z r=q-p"),
    ),
    "two_sizes": Story(
        "{a} fills {m} bags with {n} {items} each and {k} baskets with {l} {items} each. How many {items} are in them?",
        ("p=m*n q=k*l r=p+q", "q=k*l p=m*n r=q+p"),
    ),
    "compare_change": Story(
        "{b} has {x} {items}. {a} has {y} more than {b}. {a} gives away {z} and buys {w}. " + NOW,
        ("p=x+y q=p-z r=q+w", "p=x+y q=p+w r=q-z"),
    ),
    "table": Story(
        "There are {x} {items} on a table. {a} takes {y} of them away. How many {items} are still on the table?",
        REST,
        left_out=True,
    ),
    "shop": Story(
        "A shop has {x} {items} in the morning. It sells {y} before noon and {z} after noon. "
        "How many {items} does the shop have in the evening?",
        MINUS_MINUS,
        left_out=True,
    ),
    "rows": Story(
        "{a} puts {items} on a wall in {m} rows of {n}. In the night {y} fall down. How many {items} are still up?",
        ("p=m*n r=p-y", "p=n*m r=p-y"),
        left_out=True,
    ),
    "weeks": Story(
        "For {m} weeks, {a} saves {n} {items} a week. {b} has saved {x}. Together they use {y} for a present. "
        "How many {items} remain?",
        ("p=m*n q=p+x r=q-y", "p=m*n q=p-y r=q+x", "q=x-y p=m*n r=p+q"),
        left_out=True,
    ),
}
"""The templates by name. Those that are left out share no sentence with the others."""

VERBS = {"+": "Add {y} to {x}", "-": "Take {y} away from {x}", "*": "Multiply {x} by {y}"}


def _equations(steps: list[Step], items: str) -> str:
    return "\n".join(map(_equation, steps))


def _numbered(steps: list[Step], items: str) -> str:
    return " ".join(f"{'Then' if number else 'First'}, {_equation(step)}." for number, step in enumerate(steps))


def _verbs(steps: list[Step], items: str) -> str:
    return " ".join(f"{VERBS[step[1]].format(x=step[0], y=step[2])}: {_equation(step)}." for step in steps)


def _counts(steps: list[Step], items: str) -> str:
    return " ".join(f"That makes {_equation(step)} {items}." for step in steps)


def _equation(step: Step) -> str:
    x, operator, y, result = step
    return f"{x}{operator}{y}={result}"


Wording = Callable[[list[Step], str], str]
"""Writer of the steps of a solution about these items."""
WORDINGS: tuple[Wording, ...] = (_equations, _numbered, _verbs, _counts)
"""Equally valid wordings of a solution."""


@dataclass(frozen=True)
class Problem:
    """A story with names, items and numbers."""

    name: str
    """Name of the template in `STORIES`."""
    numbers: Mapping[str, int]
    people: tuple[str, ...]
    items: str

    @property
    def story(self) -> Story:
        """Return the template."""
        return STORIES[self.name]

    @property
    def key(self) -> str:
        """Return the template and its numbers, which are the problem without its names and items."""
        return "-".join([self.name, *map(str, self.numbers.values())])

    @property
    def question(self) -> str:
        """Return the text of the problem."""
        return self.story.text.format(**dict(zip("abc", self.people, strict=False)), items=self.items, **self.numbers)

    @property
    def answer(self) -> int:
        """Return the true answer."""
        return list(follow(self.story.ways[0], self.numbers))[-1][3]

    def solutions(self) -> Iterator[str]:
        """Yield the solution in every order of steps and every wording. Each ends with a line `#### answer`."""
        for way in self.story.ways:
            for write in WORDINGS:
                yield self.solve(way, write)

    def solve(self, way: str, write: Wording, err: Callable[[int], int] = int) -> str:
        """Return the solution by a way in a wording. `err` changes the result of each step."""
        steps = list(follow(way, self.numbers, err))
        items = self.items if "{items}" in self.story.text else "people"
        return f"{write(steps, items)}\n#### {steps[-1][3]}"


def draw_problem(rng: random.Random, names: list[str], high: int) -> Problem:
    """Return a random problem of one of the templates with these names. `high`: largest number of a story."""
    name = rng.choice(names)
    return Problem(name, STORIES[name].draw(rng, high), tuple(rng.sample(NAMES, 3)), rng.choice(ITEMS))
