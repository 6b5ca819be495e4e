"""Options that several commands share."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

OFFLINE = "HF_HUB_OFFLINE"
"""Environment variable that keeps the model hub's client from the network."""
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


def allow_option(command: Command) -> Command:
    """--allow, for commands that open what a run names."""
    return click.option(
        "--allow",
        multiple=True,
        metavar="DIR",
        type=click.Path(path_type=Path, file_okay=False),
        help="Open what the run names below this folder too: models, adapters, data.",
    )(command)


@contextmanager
def offline() -> Iterator[None]:
    """Keep the model hub's client from the network: a run's folder may come from a stranger and name any model."""
    before = os.environ.get(OFFLINE)
    os.environ[OFFLINE] = "1"  # read when the client is imported, which no command has done by now
    try:
        yield
    finally:
        os.environ.pop(OFFLINE) if before is None else os.environ.update({OFFLINE: before})


def with_plugins(command: click.Command) -> click.Command:
    """Give a command the option --plugins."""
    if not any(parameter.name == "plugins" for parameter in command.params):
        command.params.append(
            click.Option(
                ["--plugins"],
                multiple=True,
                metavar="FILE.py",
                type=click.Path(path_type=Path),
                is_eager=True,
                expose_value=False,
                callback=_load_plugins,
                help="Run this Python file and add its components. It is a program: name only files that you trust.",
            )
        )
    return command


def _load_plugins(context: click.Context, parameter: click.Parameter, paths: tuple[Path, ...]) -> None:
    """Load exactly these plugin files: those of an earlier command in this process are removed."""
    if paths or "society.components.plugin_files" in sys.modules:
        from society.components.plugin_files import load_plugins

        load_plugins(*paths)


def json_option(command: Command) -> Command:
    """--json."""
    return click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout; all else on stderr.")(
        command
    )
