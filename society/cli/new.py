"""`society new`: a commented scenario to start from."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import click

SCHEMA = "scenario.schema.json"
KINDS = ("llama_cpp", "openai", "hf", "vllm", "sglang", "scripted")


@click.command("new")
@click.argument("name")
@click.option(
    "--backend",
    type=click.Choice(KINDS),
    help="Backend of the scenario. [default: the first that is installed and has a model on this machine]",
)
@click.option("--model", metavar="MODEL", help="Model of the backend. [default: the first that `society models` lists]")
def command(name: str, backend: str | None, model: str | None) -> None:
    """Write NAME.yaml, a commented scenario, and its JSON Schema.

    The scenario suits a backend and a model of this machine. Editors use the schema to complete and check it.

    \b
    society new first
    society new large --backend openai --model gpt-4o-mini
    """
    import json
    import re

    from society.core.atomic import atomic_write
    from society.core.disks import advise
    from society.core.errors import InputError
    from society.planning.new_scenario import write_scenario
    from society.scenario import scenario_schema

    stem = name.removesuffix(".yaml")
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,63}", stem):
        raise InputError(
            f"{name!r} cannot be the name of a scenario.", "Use letters, digits, - and _, and begin with a letter."
        )
    target, schema = Path(f"{stem}.yaml"), Path(SCHEMA)
    if target.exists():
        raise InputError(f"{target} exists already.", "Choose another name. Nothing was written.")
    text, hint = write_scenario(stem, backend, model)
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(text)
        if not schema.exists():
            with atomic_write(schema) as part:
                part.write_text(json.dumps(scenario_schema(), indent=2) + "\n", encoding="utf-8")
    except FileExistsError:
        raise InputError(f"{target} exists already.", "Choose another name. Nothing was written.") from None
    except OSError as error:
        with suppress(OSError):
            target.unlink(missing_ok=True)  # half of it was written
        raise InputError(f"{target} cannot be written: {error}.", advise(error, "Choose another folder.")) from error
    click.echo(f"Wrote {target} and {schema}.{hint} Try:\n  society check {target}\n  society run {target}")
