"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


def scenario_options(command: Command) -> Command:
    """SCENARIO, --set and --allow."""
    for option in (
        click.option("--allow", multiple=True, metavar="DIR", type=click.Path(path_type=Path, file_okay=False),
                     help="Let the scenario read files below this folder too."),
        click.option("--set", "overrides", multiple=True, metavar="a.b=c", help="Override a value of the scenario."),
        click.argument("scenario", type=click.Path(path_type=Path)),
    ):  # fmt: skip
        command = option(command)
    return command


def json_option(command: Command) -> Command:
    """--json."""
    return click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout; all else on stderr.")(
        command
    )
