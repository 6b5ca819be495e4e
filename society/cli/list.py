"""`society list`: the components that a scenario may name."""

from __future__ import annotations

import click

NOUNS = {
    "topologies": "topology",
    "backends": "backend",
    "tasks": "task",
    "decisions": "decision",
    "stops": "stop",
    "gates": "gate",
    "controllers": "controller",
    "selectors": "selector",
    "executors": "executor",
}


@click.command("list")
@click.argument("kind", metavar="KIND", type=click.Choice(list(NOUNS)))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
def command(kind: str, as_json: bool) -> None:
    """List the components of KIND, with their fields.

    KIND is topologies, backends, tasks, decisions, stops, gates, controllers, selectors or executors.
    """
    import inspect

    from society.components.registry import kinds

    found = {}
    for name, cls in kinds(NOUNS[kind]).items():
        about = (inspect.getdoc(cls) or "").split("\n\n")[0].replace("\n", " ")
        found[name] = {"about": about, "fields": [field for field in cls.model_fields if field != "kind"]}
    if as_json:
        import json

        click.echo(json.dumps(found, indent=2))
        return
    width = max(map(len, found))
    for name, entry in found.items():
        click.echo(f"{name:<{width}}  {entry['about']}")
        if entry["fields"]:
            click.echo(f"{'':<{width}}  {click.style(', '.join(entry['fields']), dim=True)}")
