"""`society list`: the components that a scenario may name."""

from __future__ import annotations

from typing import Any

import click

NOUNS = {
    "topologies": "topology",
    "backends": "backend",
    "tasks": "task",
    "answers": "answer",
    "decisions": "decision",
    "stops": "stop",
    "leaves": "leave",
    "gates": "gate",
    "tools": "tool",
    "controllers": "controller",
    "labels": "label",
    "selectors": "selector",
    "objectives": "objective",
    "metrics": "metric",
    "executors": "executor",
}
DATASETS = "datasets"
"""Kind of the named data sets, which are no components."""


class _Kind(click.Choice[str]):
    """The name of a kind of component, in the plural or the singular."""

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the plural. The error for an unknown name says which one is like it."""
        from society.core.problems import find_near

        value = next((plural for plural, noun in NOUNS.items() if noun == value), value)
        if value not in self.choices and (near := find_near(value, self.choices)):
            self.fail(f"There are no {value!r} to list; did you mean {near!r}?", param, ctx)
        return super().convert(value, param, ctx)


@click.command("list")
@click.argument("kind", metavar="KIND", type=_Kind([*NOUNS, DATASETS]))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
def command(kind: str, as_json: bool) -> None:
    """List the components of KIND, with their fields, or the named data sets.

    KIND is topologies, backends, tasks, answers, decisions, stops, leaves, gates, controllers, labels, selectors,
    objectives, metrics, executors or datasets.

    \b
    society list topologies
    society list tasks --json
    """
    from society.cli.streams import output_width

    found = _datasets() if kind == DATASETS else _components(NOUNS[kind])
    if as_json:
        import json

        click.echo(json.dumps(found, indent=2))
        return
    margin = max(map(len, found)) + 2
    width = output_width()
    for name, entry in found.items():
        click.echo(click.wrap_text(entry["about"], width, f"{name:<{margin}}", " " * margin))
        if entry["fields"]:
            fields = click.wrap_text(", ".join(entry["fields"]), width, " " * margin, " " * margin)
            click.echo(click.style(fields, dim=True))


def _components(noun: str) -> dict[str, dict[str, Any]]:
    """Return the description and the fields of each component of a noun, by its kind."""
    import inspect

    from society.components.registry import kinds

    found = {}
    for name, cls in kinds(noun).items():
        about = (inspect.getdoc(cls) or "").split("\n\n")[0].replace("\n", " ")
        found[name] = {"about": about, "fields": [field for field in cls.model_fields if field != "kind"]}
    return found


def _datasets() -> dict[str, dict[str, Any]]:
    """Return the description of each named data set and where it is on the hub, by its name."""
    from society.tasks.datasets import DATASETS

    return {name: {"about": named.about, "fields": [f"hub:{named.hub}"]} for name, named in DATASETS.items()}
