"""`society plan`: the turns and the cost of a scenario, before it is run."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from society.cli.options import json_option, scenario_options
from society.core.collection import collecting_seldom

if TYPE_CHECKING:
    from rich.console import Console

    from society.planning.plan import Cost, Plan
    from society.planning.training_time import TrainingTime
    from society.scenario.expand import Society

SHOWN_READERS = 40
"""Maximum number of rows in the table of turns."""
SHOWN_PERSONAS = 5
"""Maximum number of personas of a group in the resolved scenario."""


@click.command("plan")
@scenario_options
@click.option(
    "--calibrate",
    default=32,
    show_default=True,
    type=click.IntRange(0),
    metavar="N",
    help="Run up to N debates (and 20,000 turns) to estimate cost and time. 0 opens no model.",
)
@click.option(
    "--picture",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Draw the graph of each round into this .svg, .png or .pdf.",
)
@click.option(
    "--gpu-memory",
    metavar="GB",
    type=click.FloatRange(0, min_open=True),
    help="Memory of your GPU, in GB of 10^9 bytes, for what fits of a finetuning. By default that of an H100: 80.",
)
@json_option
@collecting_seldom()
def command(
    scenario: Path,
    overrides: tuple[str, ...],
    allow: tuple[Path, ...],
    calibrate: int,
    picture: Path | None,
    gpu_memory: float | None,
    as_json: bool,
) -> int:
    """Show who reads whom in SCENARIO and estimate its cost.

    A dry run without a model gives the longest prompts. Some real debates and optimizer steps on this machine give
    the likely cost and time.

    \b
    society plan mine.yaml
    society plan mine.yaml --calibrate 0
    """
    from society.cli.streams import say
    from society.core.terminal import Terminal
    from society.planning.footprint import HBM
    from society.planning.people import describe_people
    from society.planning.training import describe_training
    from society.scenario import load_scenario
    from society.scenario.expand import expand
    from society.scenario.write import to_yaml

    society = expand(load_scenario(scenario, overrides, allow))
    plan = _make_plan(society, calibrate, partial(say, err=True))
    if picture:
        from society.pictures.draw_graphs import draw
        from society.pictures.phases import describe_rounds

        draw(describe_rounds(society, plan.worst), picture)
    if as_json:
        import dataclasses
        import json

        click.echo(json.dumps(dataclasses.asdict(plan) | {"scenario": society.scenario.model_dump(mode="json")}))
    else:
        console = Terminal()
        console.print("Resolved scenario", style="bold")
        console.print(to_yaml(_shorten(society.scenario.model_dump(mode="json", exclude_unset=True))))
        _print_turns(console, plan)
        _print_unknown_contexts(console, plan, society)
        _print_draws(console, society)
        _print_costs(console, plan)
        people = describe_people(society, plan.worst, plan.debates)
        training = describe_training(society, plan.worst, HBM if gpu_memory is None else gpu_memory * 1e9)
        for line in (*people, *map(_training_time, plan.training), *training):
            console.print(line, soft_wrap=True)
        if society.people and calibrate:
            console.print("No debate was run for an estimate: it would ask people.", style="dim")
    return 2 if plan.too_long else 0


def _make_plan(society: Society, calibrate: int, say: Callable[[str], None]) -> Plan:
    """Return the plan. An error of a missing library names the plan without a model, if there can be one."""
    from society.core.errors import InputError, MissingExtraError
    from society.planning.plan import make_plan

    try:
        return make_plan(society, calibrate, say)
    except MissingExtraError as error:
        make_plan(society, 0)  # raises the error of a plan without a model
        remedy = f"{error.remedy}\n  Or make a plan without the model: --calibrate 0"
        raise InputError(error.cause, remedy) from error


def _print_turns(console: Console, plan: Plan) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(title="Turns of one debate, and their longest prompts (tokens)", title_justify="left", box=None)
    for name in ("phase", "round", "agent", "reads"):
        table.add_column(name, overflow="fold")
    for name in ("prompt", "answer", "context"):
        table.add_column(name, justify="right")
    long = set(plan.too_long)
    for turn in plan.worst[:SHOWN_READERS]:
        reads = ", ".join(f"{agent} ({phase} {number})" for agent, phase, number in turn.reads)
        style = "red" if turn in long else ""
        lengths = (turn.prompt, turn.answer, plan.contexts[turn.backend] or "?")
        table.add_row(turn.phase, str(turn.round), turn.agent, Text(reads or "-"), *map(str, lengths), style=style)
    console.print(table)
    if len(plan.worst) > SHOWN_READERS:
        console.print(f"... and {len(plan.worst) - SHOWN_READERS} more turns in each debate", style="dim")
    for turn in plan.too_long[:5]:
        console.print(
            f"{turn.agent} in phase {turn.phase}, round {turn.round} may need {turn.prompt + turn.answer} tokens, "
            f"which ends a run: the context holds {plan.contexts[turn.backend]}. Raise `context` of the backend, or "
            "lower sampling.max_tokens, edges.window or the role's memory.",
            style="red",
        )


def _print_unknown_contexts(console: Console, plan: Plan, society: Society) -> None:
    """Print why the context of a backend is not known."""
    for name in [name for name, context in plan.contexts.items() if context is None]:
        if why := society.scenario.backends[name].unknown_context:
            console.print(f"?: the context of the backend {name!r} is not known. {why}", soft_wrap=True)


def _shorten(scenario: dict[str, Any]) -> dict[str, Any]:
    """Return the scenario with at most `SHOWN_PERSONAS` personas of each group."""
    for spec in scenario["agents"].values():
        personas = spec.get("persona")
        if isinstance(personas, list) and len(personas) > SHOWN_PERSONAS:
            left = f"... and {len(personas) - SHOWN_PERSONAS:,} more"
            spec["persona"] = [*personas[:SHOWN_PERSONAS], left]
    return scenario


def _print_draws(console: Console, society: Society) -> None:
    from society.pictures.phases import name_occasions

    for phase in society.phases:
        if phase.occasions:
            each = name_occasions(phase)
            console.print(f"The graph of the phase {phase.name} is drawn for each {each}; these turns show one graph.")


def _print_costs(console: Console, plan: Plan) -> None:
    from rich.text import Text

    console.print(Text.assemble("\n", ("Cost", "bold"), f" of {plan.debates:,} debate{'s' * (plan.debates != 1)}"))
    if plan.likely is not None:
        on = f"the first {plan.calibrated_on}; prompts grow with memories" if plan.at_least else plan.calibrated_on
        word = "at least" if plan.at_least else "likely  "
        console.print(f"  {word}  {_cost(plan.likely)} (calibrated on {on})", soft_wrap=True)
    console.print(f"  at most   {_cost(plan.most)}")
    for name, memory in plan.memory.items():
        if memory is not None:
            parts = (("weights", memory.weights), ("contexts", memory.contexts), ("adapters", memory.adapters))
            shown = " + ".join(f"{what} {size / 2**20:,.0f} MiB" for what, size in parts if size)
            console.print(f"  memory    {name}: {memory.total / 2**20:,.0f} MiB = {shown}")


def _cost(cost: Cost) -> str:
    from society.core.plain import dollars

    parts = [f"{cost.calls:,} calls", f"{cost.prompt_tokens:,} prompt tokens"]
    parts.append(f"{cost.generated_tokens:,} generated tokens")
    parts += [] if cost.dollars is None else [dollars(cost.dollars)]
    parts += [] if cost.seconds is None else [f"about {_duration(cost.seconds)}"]
    return ", ".join(parts)


def _training_time(time: TrainingTime) -> str:
    from society.planning.training_time import STEPS

    epochs = f"{time.epochs} epoch{'s' * (time.epochs != 1)}"
    each = f"{time.rows:,} rows x {epochs} of about {time.tokens:,} tokens a row in {_duration(time.seconds)}"
    whole = _duration(time.seconds * time.finetunings)
    steps = f"calibrated on {STEPS} steps"
    return f"Finetuning {time.learner!r} here: at most {each}; {time.finetunings} in the run: about {whole} ({steps})"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
