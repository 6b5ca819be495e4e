"""`society draw`: the topology as a picture."""

from __future__ import annotations

from pathlib import Path

import click

from society.cli.options import output_option, scenario_options
from society.cli.streams import say


@click.command("draw")
@scenario_options
@output_option("--output", help="A .svg, .png or .pdf file.")
def command(scenario: Path, overrides: tuple[str, ...], allow: tuple[Path, ...], output: Path) -> None:
    """Draw who reads whom in SCENARIO, one panel for each phase.

    A graph that is drawn for each question is that of the first question.

    \b
    society draw mine.yaml -o mine.svg
    """
    from society.pictures.draw_graphs import draw
    from society.pictures.phases import describe_phases
    from society.scenario import load_scenario
    from society.scenario.expand import expand
    from society.scenario.questions import load_items

    society = expand(load_scenario(scenario, overrides, allow))
    drawn_again = any(phase.occasions for phase in society.phases)
    first = load_items(society).evaluation[0].id if drawn_again else ""
    draw(describe_phases(society, first), output)
    say(f"Wrote {output}")
