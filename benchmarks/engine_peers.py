"""Claim: a turn takes less time here, with the store on, than in AutoGen and LangGraph, which store nothing.

All frameworks run the same exchange: on a ring, each agent reads the previous agent's text of the round before and
writes a short text. Each measurement is a separate process; measurements are interleaved and repeated. The other
frameworks need their own environment: `python -m venv THAT` and `THAT/bin/pip install autogen-core langgraph mesa` (as
`make bench` does). Then run `python benchmarks/engine_peers.py --peers THAT/bin/python`.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypedDict

from chart import record
from machine import describe_machine

SIZES = (100, 300)
ROUNDS = 20
SCENARIO = """
version: 1
name: ring
task: {{kind: arithmetic, form: a+b, limit: 1}}
backends: {{scripted: {{kind: scripted, rules: [{{when: 'heard (\\d)', say: 'I heard \\1'}}, {{say: 'I heard 0'}}]}}}}
roles: {{talker: {{memory: 0, prompt: "{{% for m in heard %}}{{{{ m.text }}}}{{% endfor %}} {{{{ question }}}}"}}}}
agents: {{talker: {{count: {agents}}}}}
phases: [{{name: talk, topology: {{kind: ring, directed: true}}, rounds: {rounds}}}]
"""


Spent = tuple[float, float]
"""Seconds of processor time, and as a clock on the wall shows them."""


class Clock:
    """Measures from when it is made until it is read."""

    def __init__(self) -> None:
        self.start = time.process_time(), time.perf_counter()

    def read(self) -> Spent:
        """Return the time since."""
        return time.process_time() - self.start[0], time.perf_counter() - self.start[1]


def reply(heard: str) -> str:
    """Return the reply of a peer's agent: the text of the scripted rules."""
    return f"I heard {heard[8:9] or 0}"


def society(agents: int) -> Spent:
    """Seconds of a whole run: prompts, keys, seeds, and every turn committed to SQLite before it is read."""
    from society.scenario import load_scenario
    from society.session import run

    with tempfile.TemporaryDirectory() as folder:
        for size in (2, agents):  # the first run imports what it needs, as the others do before their clocks start
            path = Path(folder) / f"{size}.yaml"
            path.write_text(SCENARIO.format(agents=size, rounds=ROUNDS))
            scenario = load_scenario(path)
            clock = Clock()
            done = run(scenario, Path(folder) / str(size))
            spent = clock.read()
        assert len(done.turns()) == agents * ROUNDS
        return spent


def autogen(agents: int) -> Spent:
    """Seconds until the runtime is idle; an agent publishes to the one after it. Registration is not counted."""
    from autogen_core import SingleThreadedAgentRuntime, TopicId, TypeSubscription

    talker = autogen_agent(agents)

    async def play() -> Spent:
        runtime = SingleThreadedAgentRuntime()
        await talker.register(runtime, "talker", talker)
        await runtime.add_subscription(TypeSubscription("ring", "talker"))
        clock = Clock()
        runtime.start()
        for i in range(agents):
            await runtime.publish_message(talker.said(1, reply("")), TopicId("ring", str((i + 1) % agents)))
        await runtime.stop_when_idle()
        return clock.read()

    spent = asyncio.run(play())
    assert talker.turns == agents * (ROUNDS - 1)  # the first round was published from outside
    return spent


def autogen_agent(agents: int) -> Any:
    """Return the class of AutoGen agents on a ring of this length."""
    from dataclasses import dataclass

    from autogen_core import MessageContext, RoutedAgent, TopicId, message_handler

    @dataclass
    class Said:
        round: int
        text: str

    class Talker(RoutedAgent):
        said, turns = Said, 0

        def __init__(self) -> None:
            super().__init__("a talker")

        @message_handler
        async def on_said(self, message: Said, ctx: MessageContext) -> None:
            if message.round < ROUNDS:
                Talker.turns += 1
                after = TopicId("ring", str((int(self.id.key) + 1) % agents))
                await self.publish_message(Said(message.round + 1, reply(message.text)), after)

    return Talker


def langgraph(agents: int, saver: Any = None) -> Spent:
    """Seconds of `ainvoke`: a node an agent that sees the channel of the one before it. Compiling is not counted."""
    from langgraph.graph import END, START, StateGraph
    from langgraph.types import Command

    names = [f"a{i}" for i in range(agents)]
    graph = StateGraph(TypedDict("State", dict.fromkeys(names, tuple)))  # a channel: (round, text)
    for i, name in enumerate(names):
        before, after = names[i - 1], names[(i + 1) % agents]
        graph.add_node(
            name, langgraph_node(name, before, after, Command, END), input_schema=TypedDict("In", {before: tuple})
        )
        graph.add_edge(START, name)
    app = graph.compile(checkpointer=saver)

    async def play() -> Spent:
        config = {"recursion_limit": ROUNDS + 5, "configurable": {"thread_id": "1"}, "max_concurrency": None}
        clock = Clock()
        end = await app.ainvoke(dict.fromkeys(names, (0, "")), config)
        spent = clock.read()
        assert all(end[name][0] == ROUNDS for name in names)
        return spent

    return asyncio.run(play())


def langgraph_node(name: str, before: str, after: str, command: Any, end: str) -> Callable[..., Any]:
    """Return the function of one agent for one superstep."""

    async def talk(state: dict[str, tuple[int, str]]) -> Any:
        number, text = state[before]
        goes_on = number + 1 < ROUNDS
        return command(update={name: (number + 1, reply(text))}, goto=after if goes_on else end)

    return talk


def langgraph_saved(agents: int) -> Spent:
    """Return the same with LangGraph's checkpoints, kept in memory."""
    from langgraph.checkpoint.memory import InMemorySaver

    return langgraph(agents, InMemorySaver())


def mesa(agents: int) -> Spent:
    """Seconds of stepping and advancing all agents: attributes read and set, nothing sent or kept."""
    from mesa import Agent, Model

    class Talker(Agent):
        text = coming = ""

        def step(self) -> None:
            self.coming = reply(self.before.text)

        def advance(self) -> None:
            self.text = self.coming

    model = Model(seed=0)
    talkers = list(Talker.create_agents(model, agents))
    for i, talker in enumerate(talkers):
        talker.before = talkers[i - 1]
    clock = Clock()
    for _ in range(ROUNDS):
        model.agents.do("step")
        model.agents.do("advance")
    return clock.read()


WAYS: dict[str, Callable[[int], Spent]] = {
    "society, store on": society,
    "AutoGen (autogen-core), nothing stored": autogen,
    "LangGraph, nothing stored": langgraph,
    "LangGraph, checkpoints in memory": langgraph_saved,
    "Mesa, nothing sent or stored": mesa,
}


Found = dict[tuple[str, int], list[Spent]]
"""Microseconds a turn by way and number of agents, one a repetition."""


def collect(peers: str, repetitions: int) -> Found:
    """Return the measurements of every program at every size, with `repetitions` of each."""
    found: Found = {}
    for repetition in range(repetitions):
        for agents in SIZES:
            for name in WAYS:
                python = sys.executable if name.startswith("society") else peers
                command = [python, __file__, "--one", name, str(agents)]
                spent = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
                processor, wall = (1e6 * seconds / (agents * ROUNDS) for seconds in spent)
                found.setdefault((name, agents), []).append((processor, wall))
                print(f"{repetition}: {name}, {agents}: {processor:.1f}, {wall:.1f} microseconds a turn", flush=True)
    return found


def versions(peers: str) -> str:
    """Return the peers' versions, as their environment says."""
    out = subprocess.run([peers, __file__, "--versions"], check=True, stdout=subprocess.PIPE, text=True).stdout
    return out.strip()


def divide(theirs: Spent, mine: Spent) -> Spent:
    """Return the ratio of their cost to ours."""
    return theirs[0] / mine[0], theirs[1] / mine[1]


def worst_ratio(found: Found, name: str) -> float:
    """Return a peer's time to ours on the wall, at the size where that is least."""
    mine = next(iter(WAYS))
    return min(
        statistics.median(a / b for (_, a), (_, b) in zip(found[name, n], found[mine, n], strict=True)) for n in SIZES
    )


def report(found: Found, peers: str, repetitions: int) -> str:
    """Return the result, in Markdown."""
    lines = []
    for name in WAYS:
        cells = []
        for agents in SIZES:
            mine, theirs = found[next(iter(WAYS)), agents], found[name, agents]
            ratios = [statistics.median(column) for column in zip(*map(divide, theirs, mine), strict=True)]
            times = [statistics.median(column) for column in zip(*theirs, strict=True)]
            cells += [f"{time:.1f} ({ratio:.2g}x)" for time, ratio in zip(times, ratios, strict=True)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(
        [
            "# The engine, compared with other frameworks",
            "",
            f"Agents on a directed ring send a short text for {ROUNDS} rounds. Microseconds per turn, medians of "
            f"{repetitions} interleaved repetitions, each in its own process; in brackets the median ratio to ours in "
            "the same repetition. Ours is the whole of `society.run`: it renders prompts, derives seeds and keys, and "
            "commits each turn to SQLite before another agent reads it. The set-up of the others (registering, "
            "compiling) is not counted.",
            "",
            f"| | {' | '.join(f'{n:,} agents, processor time | wall time' for n in SIZES)} |",
            "|---|" + "---|---|" * len(SIZES),
            *lines,
            "",
            f"{versions(peers)}. {describe_machine()}",
            "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", default=sys.executable, help="the Python that has autogen-core, langgraph and mesa")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--one", nargs=2, metavar=("WAY", "AGENTS"), help="measure this here, print seconds")
    parser.add_argument("--versions", action="store_true", help="print the peers' versions")
    options = parser.parse_args()
    if options.versions:
        print(", ".join(f"{name} {version(name)}" for name in ("autogen-core", "langgraph", "mesa")))
    elif options.one:
        print(json.dumps(WAYS[options.one[0]](int(options.one[1]))))
    else:
        found = collect(options.peers, options.repetitions)
        peers = [name for name in WAYS if name.startswith(("AutoGen", "LangGraph"))]
        record(
            "engine_peers.py", {f"a turn's time in {name}, to ours": (worst_ratio(found, name), 1.0) for name in peers}
        )
        text = report(found, options.peers, options.repetitions)
        (Path(__file__).parent / "results" / "engine_peers.md").write_text(text, encoding="utf-8")
        print(text)


if __name__ == "__main__":
    main()
