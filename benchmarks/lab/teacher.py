"""What the lab model is pretrained on: the lab's own debates, spoken by a teacher that sometimes errs.

The teacher is a backend, so the engine itself writes every prompt, just as in the experiment. Asked for the value of
a+b*c+d-e*f it takes the steps in one of four orders or of fewer, equally often; each step goes wrong with the same
chance.
"""

from __future__ import annotations

import asyncio
import random
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from backends.base import Backend
from benchmarks.lab.plan import SCENARIOS
from society.core.types import ChatMessage, Example, GenerateOutput, GenerateRequest, Item, Turn
from society.scenario import load_scenario
from society.scenario.expand import expand
from society.scenario.models.scenario import Scenario
from society.simulation.simulate import simulate
from society.simulation.speaker import Speaker
from society.store import Store

ORDERS = (
    "p=b*c q=e*f s=a+p t=s+d r=t-q",
    "q=e*f p=b*c s=a+p t=s+d r=t-q",
    "p=b*c s=a+p t=s+d q=e*f r=t-q",
    "s=a+d p=b*c t=s+p q=e*f r=t-q",
)
"""Equally valid ways through a+b*c+d-e*f: every step gives a name to what two earlier ones come to."""
SLIPS = (-10, -2, -1, 1, 2, 10)
"""By how much a step that goes wrong is off."""


def write_chain(numbers: Iterable[int], draw: random.Random, noise: float, orders: int = len(ORDERS)) -> str:
    """Return the steps from a, b, c, d, e, f to the value, as in `4*5=20 3+20=23 ...`, in one of the first orders;
    what follows an error uses it."""
    values = dict(zip("abcdef", numbers, strict=True))
    steps = []
    for name, left, operator, right in re.findall(r"(\w)=(\w)(\W)(\w)", draw.choice(ORDERS[:orders])):
        x, y = values[left], values[right]
        result = x * y if operator == "*" else x + y if operator == "+" else x - y
        values[name] = result + (draw.choice(SLIPS) if draw.random() < noise else 0)
        steps.append(f"{x}{operator}{y}={values[name]}")
    return " ".join(steps)


def answer_of(chain: str) -> str:
    """Return the result of a chain of steps."""
    return chain.rpartition("=")[2]


@dataclass(frozen=True)
class Manner:
    """How the teacher speaks: in how many orders of steps, how often a step goes wrong, and whether it heeds others."""

    noise: float
    orders: int = len(ORDERS)
    tries: int = 1
    """Chains that a debater writes at most until one comes to the most frequent answer before it, its own included:
    with one it does not heed what it reads, with several it agrees with what it can derive."""

    def reply(self, messages: Sequence[ChatMessage], draw: random.Random) -> str:
        """Return a summary where one is asked for, else a chain of steps for the first question."""
        asked = [message.content for message in messages if message.role == "user"]
        others = re.findall(r"answered: (.*)", asked[-1])
        if "Summarise" in asked[-1]:
            return summarise(others)
        [expression] = re.findall(r"value of (.*)\?", asked[0])
        numbers = [int(digits) for digits in re.findall(r"\d+", expression)]
        own = [message.content for message in messages if message.role == "assistant"]
        wanted = Counter(map(answer_of, [*own, *others])).most_common(1)
        for _ in range(self.tries):
            chain = write_chain(numbers, draw, self.noise, self.orders)
            if not wanted or answer_of(chain) == wanted[0][0]:
                break
        return chain


def summarise(chains: Iterable[str]) -> str:
    """Return the answers of these chains, each once, in a sentence."""
    return f"They answered {' and '.join(dict.fromkeys(map(answer_of, chains)))}."


class Teacher(Backend):
    """Speaks for every agent; each turn's own seed decides the order of steps and the errors."""

    model_hash = "teacher"

    def __init__(self, manner: Manner) -> None:
        self.manner = manner

    async def generate(self, request: GenerateRequest) -> GenerateOutput:
        return GenerateOutput(self.manner.reply(request.messages, random.Random(request.seed)))


def hear(name: str, questions: int, manner: Manner, seed: int, reserved: frozenset[str] = frozenset()) -> list[Example]:
    """Every turn of a lab scenario on so many questions, as examples; questions that are `reserved` are left out."""
    scenario = load_scenario(SCENARIOS / f"{name}.yaml", ["train=null", f"task.limit={questions}", f"seed={seed}"])
    items = [item for item in scenario.task.load(seed) if item.id not in reserved]
    turns = sorted(asyncio.run(_debate(scenario, items, Teacher(manner))), key=lambda turn: turn.id)
    return [Example((*t.messages, ChatMessage("assistant", t.text)), t.id, "teacher") for t in turns]


async def _debate(scenario: Scenario, items: Sequence[Item], teacher: Teacher) -> list[Turn]:
    """Every turn of these questions' debates, all spoken by the teacher."""
    heard: list[Turn] = []
    task, everyone = scenario.task, dict.fromkeys(scenario.backends, teacher)
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder, "store.sqlite")) as store:
        speaker = Speaker(everyone, {}, store, scenario.seed, task.parse, lambda turn, _: heard.append(turn))
        await simulate(expand(scenario), task, items, speaker, lambda result: None, 0)
    return heard


def used_questions(scenario: Scenario, seeds: Iterable[int]) -> frozenset[str]:
    """Return the ids of every question that the experiment trains or evaluates on with these seeds."""
    assert scenario.train is not None
    task = scenario.task.model_copy(update={"limit": (scenario.task.limit or 0) + scenario.train.questions})
    return frozenset(item.id for seed in seeds for item in task.load(seed))
