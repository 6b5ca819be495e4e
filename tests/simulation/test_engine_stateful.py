"""Whatever the graph, the schedule, the failures and the interruptions: every message reaches exactly those who may
read it, once, in order, and nothing that is stored is asked for again.

The oracle below is written from what the scenario language promises (docs/design.md, docs/tutorial.md), and shares no
code with the engine. Every reply is unique to its turn and takes a while of its own, in virtual time.
"""

from __future__ import annotations

import asyncio
import tempfile
import zlib
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from backends.base import Backend
from backends.scripted.backend import Scripted
from society.core.errors import BackendError, TransientError
from society.core.types import GenerateOutput, GenerateRequest, Turn, Usage
from society.runs.run import Run
from society.scenario import load_scenario
from society.scenario.models.scenario import Scenario
from society.session import run_async
from society.watcher import Watcher
from tests.conftest import rows
from tests.simulation.virtual_time import run_in_virtual_time

NAMES = "abcde"
QUESTIONS = 2
KINDS = 8
"""Every place in a debate is one of so many kinds, some of which fail in a run."""
NO_ANSWER = "(no readable answer)"
Pair = tuple[str, str]


@dataclass(frozen=True)
class Phase:
    """One phase, as drawn."""

    name: str
    speakers: str
    outsiders: str
    edges: tuple[Pair, ...]
    within: tuple[Pair, ...]
    rounds: int
    schedule: str
    order: str
    show: str
    window: int
    anonymous: bool
    gates: tuple[str, ...]
    speak: str
    cap: int | None
    stop: tuple[Any, ...]

    def yaml(self) -> str:
        def graph(pairs: tuple[Pair, ...]) -> str:
            return f"{{kind: edges, edges: {[list(pair) for pair in pairs]}}}"

        return (
            f"""
  - name: {self.name}
    agents: {list(self.speakers)}
    reads: {list(self.outsiders)}
    topology: {graph(self.edges)}
    rounds: {self.rounds}
    schedule: {self.schedule}
    order: {self.order}
    speak: {self.speak}
    edges: {{show: {self.show}, window: {self.window}, anonymous: {str(self.anonymous).lower()}, gate: [{
                ", ".join(f"{{kind: {gate}}}" for gate in self.gates)
            }]}}
    stop: {[dict(kind=kind, **more) for kind, more in self.stop]}
"""
            + (f"    within: {graph(self.within)}\n" if self.within else "")
            + (f"    cap: {self.cap}\n" if self.cap else "")
        )


@dataclass(frozen=True)
class World:
    """A scenario, as drawn; `salt` decides what everybody answers and how long it takes."""

    agents: str
    phases: tuple[Phase, ...]
    concurrency: int
    salt: int

    def yaml(self) -> str:
        return f"""
version: 1
name: world
task: {{kind: arithmetic, form: a+b, limit: {QUESTIONS}}}
backends: {{scripted: {{kind: scripted}}}}
roles:
  talker:
    memory: 0
    prompt: "{{{{ item_id }}}}|{{{{ phase }}}}|{{{{ round }}}}|{{{{ name }}}}|\\
      {{% for m in heard %}}<{{{{ m.sender }}}}={{{{ m.text }}}}>{{% endfor %}}"
agents: {{{", ".join(f"{name}: {{}}" for name in self.agents)}}}
concurrency: {self.concurrency}
phases:{"".join(phase.yaml() for phase in self.phases)}"""


@st.composite
def phases(draw: st.DrawFn, name: str, agents: str, first: bool) -> Phase:
    speakers = agents if first else "".join(draw(st.lists(st.sampled_from(agents), min_size=1, unique=True)))
    others = [agent for agent in agents if agent not in speakers]
    schedule = draw(st.sampled_from(["simultaneous", "sequential", "topological"]))
    forward = [(u, v) for i, u in enumerate(speakers) for v in speakers[i + 1 :]]
    pairs = forward if schedule == "topological" else [(u, v) for u in speakers for v in speakers if u != v]
    few, many = st.lists(st.sampled_from(pairs or [None]), unique=True), st.permutations(pairs)
    some = (few | many).map(tuple) if pairs else st.just(())
    order = "declared" if schedule == "topological" else draw(st.sampled_from(["declared", "reversed"]))
    inner = forward if schedule == "simultaneous" and draw(st.booleans()) else []
    stops = st.sampled_from([("consensus", {"share": 1.0}), ("consensus", {"share": 0.5}), ("budget", {"turns": 4})])
    return Phase(
        name,
        speakers,
        "".join(draw(st.lists(st.sampled_from(others), unique=True)) if others else ()),
        draw(some),
        draw(st.lists(st.sampled_from(inner), unique=True).map(tuple)) if inner else (),
        draw(st.integers(1, 4)),
        schedule,
        order,
        draw(st.sampled_from(["full"] * 4 + ["answer"] * 2 + ["nothing"])),
        draw(st.integers(1, 3)),
        draw(st.booleans()),
        tuple(draw(st.sampled_from([(), (), ("answered",), ("differs",), ("answered", "differs")]))),
        draw(st.sampled_from(["always", "always", "heard"])),
        draw(st.sampled_from([None, None, 1, 2])),
        tuple(draw(st.lists(stops, max_size=1))),
    )


@st.composite
def worlds(draw: st.DrawFn) -> World:
    agents = NAMES[: draw(st.sampled_from([4, 5, 3, 2, 1]))]
    drawn = [draw(phases("talk", agents, True))]
    if draw(st.booleans()):
        drawn.append(draw(phases("close", agents, False)))
    return World(agents, tuple(drawn), draw(st.integers(1, 2)), draw(st.integers(0, 99)))


# -- who says what


def luck(*identity: object) -> int:
    return zlib.crc32(repr(identity).encode())


class Unique(Backend):
    """Says something of its own at each turn, after a time of its own; fails at the turns of `faults`, and at first at
    those of `flaky`."""

    model_hash = "unique"

    def __init__(self, world: World, faults: frozenset[int], flaky: frozenset[int]) -> None:
        self.world, self.faults, self.flaky = world, faults, flaky
        self.calls: list[str] = []

    async def generate(self, request: GenerateRequest) -> GenerateOutput:
        prompt = request.messages[-1].content
        place = prompt.rsplit("|", 1)[0]
        again = any(call.startswith(place + "|") for call in self.calls)
        self.calls.append(prompt)
        await asyncio.sleep(luck(place, self.world.salt, "time") % 97 / 10)
        if luck(place, "fault") % KINDS in self.faults:
            raise BackendError("Out of order.")
        if luck(place, "fault") % KINDS in self.flaky and not again:
            raise TransientError("Busy.")
        return GenerateOutput(speech(self.world, place), usage=Usage(1, 1))


def speech(world: World, place: str) -> str:
    """Return the reply at this place: its letters, and one of three answers or none."""
    letters = place.translate({ord(str(digit)): chr(ord("k") + digit) for digit in range(10)})
    answer = luck(place, world.salt, "answer") % 4
    return f"{letters.replace('|', '/')}. " + (f"The answer is {answer}." if answer else "Hm.")


# -- the oracle

Place = tuple[int, int]
Spoken = dict[str, list[tuple[Place, Turn]]]


class Oracle:
    """Who spoke and what each was shown in one debate, given what was said and whose turns failed."""

    def __init__(self, world: World, turns: dict[tuple[str, int, str], Turn]) -> None:
        self.world, self.turns = world, turns
        self.spoken: Spoken = defaultdict(list)
        self.expected: dict[tuple[str, int, str], list[tuple[str, Turn]]] = {}

    def replay(self) -> None:
        for p, phase in enumerate(self.world.phases):
            for number in range(1, phase.rounds + 1):
                self.play_round(p, phase, number)
                if any(self.ended(phase, *stop) for stop in phase.stop):
                    break

    def play_round(self, p: int, phase: Phase, number: int) -> None:
        reading = list(phase.speakers)[:: -1 if phase.order == "reversed" else 1]
        speaking = reading if phase.schedule == "sequential" else list(phase.speakers)
        for reader in speaking:
            shown = list(self.shown(p, phase, number, reader, reading))
            if phase.speak == "heard" and self.spoken[reader] and not shown:
                continue
            where = (phase.name, number, reader)
            self.expected[where] = shown
            if where in self.turns:
                self.spoken[reader].append(((p, number), self.turns[where]))

    def shown(self, p: int, phase: Phase, number: int, reader: str, order: list[str]) -> Iterator[tuple[str, Turn]]:
        if phase.show == "nothing":
            return
        own = self.spoken[reader][-1][1] if self.spoken[reader] else None
        for sender in [*phase.outsiders, *order]:
            now = (
                (sender, reader) in phase.within
                or phase.schedule == "topological"
                or (phase.schedule == "sequential" and sender in order and order.index(sender) < order.index(reader))
            )
            if sender not in phase.outsiders and (sender, reader) not in {*phase.edges, *phase.within}:
                continue
            limit = (p, number if now and sender not in phase.outsiders else number - 1)
            before = [turn for place, turn in self.spoken[sender] if place <= limit and turn.status == "ok"]
            for turn in before[-phase.window :]:
                if self.passes(phase, turn, own):
                    yield sender, turn

    def passes(self, phase: Phase, turn: Turn, own: Turn | None) -> bool:
        if "answered" in phase.gates and turn.answer is None:
            return False
        alike = own is not None and None not in (own.answer, turn.answer) and own.answer == turn.answer
        return not (alike and "differs" in phase.gates)

    def ended(self, phase: Phase, kind: str, more: dict[str, float]) -> bool:
        if kind == "budget":
            return sum(map(len, self.spoken.values())) >= more["turns"]
        last = [self.spoken[name][-1][1].answer for name in phase.speakers if self.spoken[name]]
        given = [answer for answer in last if answer is not None]
        return max(map(given.count, given), default=0) >= more["share"] * len(last)


def check_debate(world: World, item: str, turns: list[Turn]) -> None:
    """Check that every message was delivered once, in order, to exactly the agents that may read it."""
    by_place = {(turn.id.phase, turn.id.round, turn.id.agent): turn for turn in turns}
    assert len(by_place) == len(turns)
    oracle = Oracle(world, by_place)
    oracle.replay()
    assert set(by_place) == set(oracle.expected)
    of = {phase.name: phase for phase in world.phases}
    for where, turn in by_place.items():
        check_turn(world, of[where[0]], item, turn, oracle.expected[where])


def check_turn(world: World, phase: Phase, item: str, turn: Turn, expected: list[tuple[str, Turn]]) -> None:
    i = turn.id
    place = f"{item}|{i.phase}|{i.round}|{i.agent}"
    if turn.status == "ok":
        assert turn.text == speech(world, place)
    if phase.cap is not None and len(expected) > phase.cap:
        assert len(turn.reads) == phase.cap
        expected = [(sender, said) for sender, said in expected if said.id in turn.reads]
    assert list(turn.reads) == [said.id for _, said in expected]
    senders = list(dict.fromkeys(sender for sender, _ in expected))
    names = {name: f"Agent {n}" if phase.anonymous else name for n, name in enumerate(senders, 1)}
    texts = [said.text if phase.show == "full" else said.answer or NO_ANSWER for _, said in expected]
    heard = "".join(f"<{names[sender]}={text}>" for (sender, _), text in zip(expected, texts, strict=True))
    assert turn.messages[-1].content == f"{place}|{heard}"


# -- any number of runs of one scenario in one folder, interrupted anywhere


class InterruptionError(Exception):
    """The end of the process, as far as the engine is concerned."""


class StopAfter(Watcher):
    def __init__(self, turns: int | None, cancel: bool) -> None:
        self.left, self.cancel = turns, cancel

    def turn(self, turn: Turn, replayed: bool) -> None:
        if self.left is None:
            return
        self.left -= 1
        if self.left == 0 and not self.cancel:
            raise InterruptionError
        if self.left == 0:
            [main] = [task for task in asyncio.all_tasks() if "run_async" in repr(task.get_coro())]
            main.cancel()


some_faults = st.sets(st.integers(0, KINDS - 1), max_size=3).map(frozenset)


class AnyRuns(RuleBasedStateMachine):
    """One scenario, run again and again in one folder."""

    @initialize(world=worlds())
    def begin(self, world: World) -> None:
        self.world = world
        self.temporary = tempfile.TemporaryDirectory()
        self.folder = Path(self.temporary.name)
        path = self.folder / "scenario.yaml"
        path.write_text(world.yaml())
        self.scenario: Scenario = load_scenario(path)
        self.stored: set[str] = set()

    @rule(after=st.integers(1, 30), cancel=st.booleans(), faults=some_faults, flaky=some_faults)
    def interrupted(self, after: int, cancel: bool, faults: frozenset[int], flaky: frozenset[int]) -> None:
        with suppress(InterruptionError, asyncio.CancelledError):
            self.run("run", faults, flaky, StopAfter(after, cancel))
        self.note_stored()

    @rule(faults=some_faults, flaky=some_faults)
    def whole(self, faults: frozenset[int], flaky: frozenset[int]) -> None:
        done = self.run("run", faults, flaky, StopAfter(None, False))
        for item, turns in self.debates(done):
            check_debate(self.world, item, turns)
            failed = {
                luck(f"{item}|{t.id.phase}|{t.id.round}|{t.id.agent}", "fault") % KINDS
                for t in turns
                if t.status == "failed"
            }
            assert failed <= faults
        self.note_stored()

    def run(self, folder: str, faults: frozenset[int], flaky: frozenset[int], watcher: Watcher) -> Run:
        backend = Unique(self.world, faults, flaky)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Scripted, "open", lambda config: backend)
            try:
                started = (self.folder / folder / "store.sqlite").exists()
                work = run_async(self.scenario, self.folder / folder, resume=started, watcher=watcher)
                done, _ = run_in_virtual_time(work)
            finally:
                if folder == "run":
                    assert not self.stored & set(backend.calls)  # no stored turn is asked for again
        return done

    def note_stored(self) -> None:
        store = self.folder / "run" / "store.sqlite"
        found = Run(self.folder / "run").turns("status = 'ok'") if store.exists() else []
        self.stored = {turn.messages[-1].content for turn in found}

    def debates(self, done: Run) -> Iterator[tuple[str, list[Turn]]]:
        turns = done.turns()
        items = [result.item for result in done.results()]
        assert len(items) == len(set(items)) == QUESTIONS
        assert {turn.id.item for turn in turns} == set(items)
        for item in items:
            yield item, [turn for turn in turns if turn.id.item == item]

    def teardown(self) -> None:
        """However it came about, in the end it is as if nothing had happened."""
        if not hasattr(self, "world"):
            return
        nothing: frozenset[int] = frozenset()
        try:
            self.whole(nothing, nothing)
            alone = self.run("alone", nothing, nothing, StopAfter(None, False))
            assert rows(self.folder / "run") == rows(alone)
        finally:
            self.temporary.cleanup()


TestAnyRuns = AnyRuns.TestCase
TestAnyRuns.settings = settings(max_examples=60, stateful_step_count=4, deadline=None)


EVERYBODY = tuple((u, v) for u in reversed("abcd") for v in "abcd" if u != v)
PLAIN = Phase(
    "talk", "abcd", "", EVERYBODY, (), 3, "simultaneous", "declared", "full", 1, False, (), "always", None, ()
)
KNOWN = {
    "readers of a failed turn": PLAIN,
    "a course that ends earlier when mended": replace(PLAIN, edges=(), stop=(("consensus", {"share": 0.5}),)),
    "another turn that says the same": replace(PLAIN, show="answer", window=2),
    "silent agents": replace(PLAIN, speak="heard", gates=("differs",)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", KNOWN)
def test_a_run_with_failures_is_mended(name: str) -> None:
    """Cases that random runs have found, and cases that they find seldom."""
    for salt, fault in product(range(3), range(KINDS)):
        runs = AnyRuns()
        runs.begin(world=World("abcd", (KNOWN[name],), 1, salt))
        try:
            runs.whole(faults=frozenset([fault]), flaky=frozenset())
        finally:
            runs.teardown()
