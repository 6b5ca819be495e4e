"""`society new`: a commented scenario to start from."""

from __future__ import annotations

from pathlib import Path

import click

SCHEMA = "scenario.schema.json"


@click.command("new")
@click.argument("name")
def command(name: str) -> None:
    """Write NAME.yaml, a commented scenario, and its JSON Schema.

    Editors use the schema to complete and check the scenario.
    """
    import json
    import re
    from importlib.resources import files

    from society.core.errors import InputError
    from society.scenario import scenario_schema

    stem = name.removesuffix(".yaml")
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,63}", stem):
        raise InputError(
            f"{name!r} cannot be the name of a scenario.", "Use letters, digits, - and _, and begin with a letter."
        )
    target, schema = Path(f"{stem}.yaml"), Path(SCHEMA)
    text = (files("society.scenario") / "new.yaml").read_text(encoding="utf-8")
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(re.sub(r"(?m)^name: .*$", f"name: {stem}", text, count=1))
        if not schema.exists():
            schema.write_text(json.dumps(scenario_schema(), indent=2) + "\n", encoding="utf-8")
    except FileExistsError:
        raise InputError(f"{target} exists already.", "Choose another name. Nothing was written.") from None
    except OSError as error:
        raise InputError(f"{target} cannot be written: {error}.", "Choose another folder.") from error
    click.echo(f"Wrote {target} and {schema}. Try:\n  society check {target}\n  society run {target}")
