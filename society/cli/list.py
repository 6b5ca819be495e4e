"""`society list`: what a scenario may name."""

from __future__ import annotations

import click

NOUNS = {
    "topologies": "topology", "backends": "backend", "tasks": "task", "decisions": "decision", "stops": "stop",
    "gates": "gate", "controllers": "controller", "selectors": "selector", "executors": "executor",
}  # fmt: skip


@click.command("list")
@click.argument("kind", type=click.Choice(list(NOUNS)))
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def command(kind: str, as_json: bool) -> None:
    """What there is of KIND, one line each, with its fields."""
    import inspect

    from society.components.registry import kinds

    found = {
        name: ((inspect.getdoc(cls) or "").split("\n\n")[0].replace("\n", " "),
               [field for field in cls.model_fields if field != "kind"])
        for name, cls in kinds(NOUNS[kind]).items()
    }  # fmt: skip
    if as_json:
        import json

        click.echo(json.dumps({name: {"about": about, "fields": f} for name, (about, f) in found.items()}, indent=2))
        return
    width = max(map(len, found))
    for name, (about, fields) in found.items():
        click.echo(f"{name:<{width}}  {about}")
        if fields:
            click.echo(f"{'':<{width}}  {click.style(', '.join(fields), dim=True)}")
