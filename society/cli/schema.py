"""`society schema`: the JSON Schema of scenarios, for editors."""

from __future__ import annotations

import click


@click.command("schema")
def command() -> None:
    """Print the JSON Schema of scenarios, plugins included.

    \b
    society schema > scenario.schema.json
    """
    import json

    from society.scenario import scenario_schema

    click.echo(json.dumps(scenario_schema(), indent=2))
