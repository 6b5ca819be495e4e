"""The plan of a scenario: its worst case from a dry run, its likely cost from a few real debates and training steps."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, stdev

from backends.base import Backend, Count
from backends.price import FREE
from backends.sizes import Memory
from society.core.blocking import run_blocking
from society.core.plain import count
from society.core.types import Item, Turn, Usage
from society.planning.demand import fit_backends, longest, open_counters
from society.planning.dry_run import PlannedTurn, dry_run, rough_count
from society.planning.training_time import TrainingTime, time_training
from society.planning.unstored import Unstored
from society.runs.opening import check_adapters, find_prices, open_backends
from society.scenario.expand import Society
from society.scenario.questions import Items, load_items
from society.scenario.sequences import list_streams
from society.simulation.simulate import simulate
from society.simulation.speaker import Speaker, parse_once
from society.training.learners import check_layers

BATCH = 8
"""Number of debates per step of the estimate."""
MOST_TURNS = 20_000
"""Maximum number of turns of the estimate, of whole debates: a large society shows its cost in few of them."""
PAUSE = 10.0
"""Seconds between two reports of the number of turns."""
PRECISE = 0.07
"""Relative standard error at which the estimate ends. An error of 20 % is then almost three standard errors."""


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of a whole run. `seconds` is None without calibration.

    `dollars` is None where all models are free, or where the price of one is not known.
    """

    debates: int
    calls: int
    prompt_tokens: int
    generated_tokens: int
    seconds: float | None
    dollars: float | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan of a scenario.

    `worst` has the turns of one debate with replies of maximum length, and `contexts` the context length of each
    backend in tokens, if known.
    """

    debates: int
    worst: tuple[PlannedTurn, ...]
    contexts: Mapping[str, int | None]
    memory: Mapping[str, Memory | None]
    most: Cost
    likely: Cost | None
    calibrated_on: int
    training: tuple[TrainingTime, ...] = ()
    """Measured times of the finetunings, which are no part of the debates' costs; empty without calibration."""
    at_least: bool = False
    """Whether `likely` is a lower bound: prompts grow with memories, and only the first questions were played."""

    @property
    def too_long(self) -> list[PlannedTurn]:
        """Turns whose prompt and answer may exceed the context of their backend."""

        def exceeds(turn: PlannedTurn) -> bool:
            context = self.contexts[turn.backend]
            return context is not None and turn.prompt + turn.answer > context

        return [turn for turn in self.worst if exceeds(turn)]


def make_plan(society: Society, calibrate: int = 32, say: Callable[[str], None] | None = None) -> Plan:
    """Return the plan of a scenario.

    At most `calibrate` real debates estimate the cost of all debates; fewer if the standard error reaches `PRECISE`, or
    if they have more than `MOST_TURNS` turns. `say` is called with what is being done.
    With 0, or if people would be asked, no model is opened, and the plan has only the worst case; tokens are estimated
    from characters where no tokenizer is at hand. People have no tokens: `minutes_of_people` estimates their time.
    """
    check_adapters(society)
    if society.scenario.train is not None:
        check_layers(society, society.scenario.train)
    if not calibrate or society.people:
        return _offline(society)
    return run_blocking(_plan(society, calibrate, say or _ignore))


def _ignore(text: str) -> None:
    """Do nothing with a text."""


def _offline(society: Society) -> Plan:
    items = load_items(society)
    society = fit_backends(society, items.every)
    with ExitStack() as stack:
        return _assemble(society, items, open_counters(stack, society))


async def _plan(society: Society, calibrate: int, say: Callable[[str], None]) -> Plan:
    items = load_items(society)
    society = await asyncio.to_thread(fit_backends, society, items.every)  # its dry run has an event loop of its own
    counts: dict[str, Count] = dict.fromkeys(society.scenario.backends, rough_count)
    say("Opening the models, to estimate cost and time by real debates. --calibrate 0 leaves this out.")
    async with open_backends(society) as (backends, adapters):
        counts |= {name: b.tokenizer.count for name, b in backends.items() if b.tokenizer is not None}
        plan = await asyncio.to_thread(_assemble, society, items, counts)
        if plan.too_long:
            return plan  # a real debate might fail for the same reason
        turns = len(plan.worst) * society.scenario.samples
        batches = _choose(society, items.evaluation, min(calibrate, max(MOST_TURNS // turns, 1)))
        likely, played = await _calibrate(
            society, backends, adapters, batches, len(items.evaluation), _Report(say, turns)
        )
        cut = bool(society.rememberers) and not _is_apart(society) and played < len(items.evaluation)
        calls = max(likely.calls, 1)
        prompt, reply = likely.prompt_tokens / calls, likely.generated_tokens / calls
        if society.scenario.train is not None:
            say("Timing optimizer steps.")
        training = await time_training(society, backends, prompt, reply)
        return replace(plan, likely=likely, calibrated_on=played, at_least=cut, training=training)


@dataclass
class _Report:
    """Reports the debates of an estimate. `most`: maximum number of turns of a question."""

    say: Callable[[str], None]
    most: int
    turns: int = 0
    due: float = 0.0

    def begin(self, questions: int) -> None:
        """Report that these questions are debated."""
        self.turns, self.due = 0, time.monotonic() + PAUSE
        most = f"at most {questions * self.most:,} turns"
        self.say(f"Debating {count(questions, 'question')} for the estimate: {most} ...")

    def turn(self) -> None:
        """Count a turn, and report their number now and then."""
        self.turns += 1
        if time.monotonic() >= self.due:
            self.due = time.monotonic() + PAUSE
            self.say(f"  {self.turns:,} turns are done.")


async def _calibrate(
    society: Society,
    backends: Mapping[str, Backend],
    adapters: Mapping[str, str],
    batches: Iterable[Sequence[Item]],
    items: int,
    report: _Report,
) -> tuple[Cost, int]:
    """Return the estimated cost of all debates and the number of debates played. `items`: number of all questions.

    Batches of debates are played until the mean cost is precise enough. Their turns are not stored, so the
    estimated time is without the writing of the store, which takes less than a tenth of a millisecond a turn.
    """
    spent: dict[str, Spent] = {}  # by question, as samples of a question are no independent draws
    seed, task = society.scenario.seed, society.scenario.task

    price = find_price(society)
    paid = 0.0

    def note(turn: Turn, replayed: bool) -> None:
        nonlocal paid
        report.turn()
        spent.setdefault(turn.id.item, Spent()).add(turn.usage)
        if price is not None:
            speaker = society.plans[turn.id.phase, turn.id.agent.partition("/")[0]]
            paid += price(speaker.backend, turn.usage)

    seconds = 0.0
    played = 0
    speaker = Speaker(backends, adapters, Unstored(), seed, parse_once(task.parse), note)
    for batch in batches:
        if _error(spent.values(), items) <= PRECISE:
            break
        report.begin(len(batch))
        started = time.monotonic()
        await simulate(society, task, batch, speaker, lambda result: None)
        seconds += time.monotonic() - started
        played += len(batch)
    debates = count_debates(society, items)
    factor = debates / (played * society.scenario.samples)
    calls, prompt, generated = (sum(s.figures[i] for s in spent.values()) for i in range(3))
    calls, prompt, generated = (round(number * factor) for number in (calls, prompt, generated))
    dollars = None if price is None else paid * factor
    return Cost(debates, calls, prompt, generated, seconds * factor, dollars), played


def find_price(society: Society) -> Callable[[str, Usage], float] | None:
    """Return the function that computes the dollars of a backend's turns; None if all is free or a price unknown.

    Raises `InputError` if `limits.dollars` is set and a price is not known.
    """
    prices = find_prices(society)
    known = {name: price for name, price in prices.items() if price is not None}
    if len(known) < len(prices) or all(price == FREE for price in known.values()):
        return None
    return lambda backend, usage: known.get(backend, FREE).cost(usage)


@dataclass(slots=True)
class Spent:
    """The cost of the debates of one question: calls, prompt tokens, generated tokens."""

    figures: tuple[int, int, int] = (0, 0, 0)

    def add(self, usage: Usage) -> None:
        """Add one call."""
        calls, prompt, generated = self.figures
        self.figures = (calls + 1, prompt + usage.prompt_tokens, generated + usage.generated_tokens)


def _error(spent: Iterable[Spent], population: int) -> float:
    """Return the maximum relative standard error of the mean cost of a question.

    It has the correction for a finite number of questions (Cochran 1977, section 2.6), and is infinite for a single
    batch, whose questions may be similar by chance.
    """
    columns = list(zip(*(question.figures for question in spent), strict=True))
    if not columns or len(columns[0]) <= BATCH:
        return math.inf
    n = len(columns[0])
    left = max(population - n, 0) / max(population - 1, 1)
    return max(
        stdev(column) / max(fmean(column), 1e-9) / math.sqrt(n) * math.sqrt(left) if any(column) else 0.0
        for column in columns
    )


def _assemble(society: Society, items: Items, counts: Mapping[str, Count]) -> Plan:
    question = longest(items.every, next(iter(counts.values())))
    worst = tuple(dry_run(society, question, counts))
    debates = count_debates(society, len(items.evaluation))
    used = dict.fromkeys(turn.backend for turn in worst)
    models = [turn for turn in worst if not society.scenario.backends[turn.backend].asked_person]
    replies, read = sum(turn.replies for turn in models), sum(turn.read for turn in models)
    written = sum(turn.answer * turn.replies for turn in models)
    price = find_price(society)
    dollars = None
    if price is not None:
        usages = ((turn.backend, Usage(turn.read, turn.answer * turn.replies)) for turn in models)
        dollars = debates * sum(price(backend, usage) for backend, usage in usages)
    most = Cost(debates, debates * replies, debates * read, debates * written, None, dollars)
    memory = {name: society.scenario.backends[name].memory(_adapters(society, name)) for name in used}
    contexts = {name: society.scenario.backends[name].context_tokens() for name in used}
    return Plan(debates, worst, contexts, memory, most, None, 0)


def _adapters(society: Society, backend: str) -> list[Path]:
    """Return the adapters that agents of this backend name, each once."""
    agents = [plan for phase in society.phases for plan in phase.agents.values()]
    return [Path(path) for path in dict.fromkeys(a.adapter for a in agents if a.backend == backend) if path]


def count_debates(society: Society, items: int) -> int:
    """Return the number of debates of a run: all evaluations, and the training questions of all iterations.

    Additional votes for labels count as whole debates, although agents answer once in them.
    """
    train = society.scenario.train
    if train is None:
        return items * society.scenario.samples
    evaluations = sum(map(train.evaluates, range(train.iterations + 1)))
    debates = (items * evaluations + train.questions * train.iterations) * society.scenario.samples
    return debates + train.questions * sum(map(train.draws, range(train.iterations)))


def _is_apart(society: Society) -> bool:
    """Return whether no question builds on another one, so that any of them stand for all."""
    return not society.in_sequence or society.scenario.sequence.over == "samples"


def _choose(society: Society, items: Sequence[Item], most: int) -> Iterator[list[Item]]:
    """Yield batches of at most `most` questions that stand for all, each in the order of the task.

    Questions that build on each other are one batch: the first ones, stream by stream.
    """
    if not _is_apart(society):
        streams = list_streams(society.scenario.sequence.streams, items)
        yield [item for stream in streams for item in stream][:most]
        return
    order = _spread(len(items))[:most]
    for start in range(0, len(order), BATCH):
        yield [items[i] for i in sorted(order[start : start + BATCH])]


def _spread(number: int) -> list[int]:
    """Return the indices below `number` in bit-reversed order, so that each prefix is spread evenly over all."""
    bits = max(number - 1, 1).bit_length()
    return sorted(range(number), key=lambda i: int(f"{i:0{bits}b}"[::-1], 2))
