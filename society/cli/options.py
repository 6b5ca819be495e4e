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

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object on stdout, the rest on stderr."
)
set_option = click.option(
    "--set", "overrides", multiple=True, metavar="a.b=c", help="Override a value of the scenario."
)


def _check_grace(context: click.Context, parameter: click.Parameter, seconds: float) -> float:
    """Return the seconds, if they are valid."""
    from society.core.interrupt import check_grace

    check_grace(seconds)
    return seconds


grace_option = click.option(
    "--grace",
    type=float,
    default=30,
    show_default=True,
    metavar="SECONDS",
    callback=_check_grace,
    help="Time for the replies in progress after Ctrl-C or SIGTERM. Requests in queues are dropped.",
)


def log_options(command: Command) -> Command:
    """Add the options --log-level and --log-json, which set the logs of this process, to a command."""
    level = click.option(
        "--log-level",
        type=click.Choice(("debug", "info", "warning", "error")),
        help="Log messages of this level and above on stderr, each with its time and its level.",
    )
    form = click.option("--log-json", is_flag=True, help="Log JSON lines. The counts of progress are among them.")
    return level(form(command))


def set_logs(level: str | None, as_json: bool) -> None:
    """Set the logs as these options say. Without both, messages from warnings on are printed without a time."""
    if level is not None or as_json:
        from society.runner import logs

        logs.set_logs(level or ("info" if as_json else "warning"), as_json)


_FOLDER = {"multiple": True, "metavar": "DIR", "type": click.Path(path_type=Path, file_okay=False)}
read_option = click.option("--allow", help="Let the scenario read files in this folder too.", **_FOLDER)  # type: ignore[arg-type]
allow_option = click.option(
    "--allow",
    help="Allow reading models, adapters and data in this folder, where the scenario or run names them.",
    **_FOLDER,  # type: ignore[arg-type]
)


class NewPath(click.Path):
    """A path to write to. An empty one is an error: it would be the current folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("the path is empty; name a folder or file.", param, ctx)
        return super().convert(value, param, ctx)


run_argument = click.argument("run", type=click.Path(path_type=Path))
runs_argument = click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=click.Path(path_type=Path))


def output_option(*aliases: str, help: str, folder: bool = False) -> Callable[[Command], Command]:
    """Return the required option -o/--out for a file, or for a folder, passed to the command as `output`."""
    kind = NewPath(path_type=Path, dir_okay=folder)
    metavar = "DIR" if folder else "FILE"
    return click.option("-o", "--out", *aliases, "output", required=True, metavar=metavar, type=kind, help=help)


def scenario_options(command: Command) -> Command:
    """Add the argument SCENARIO and the options --set and --allow to a command."""
    argument = click.argument("scenario", type=click.Path(path_type=Path))
    return argument(set_option(read_option(command)))


@contextmanager
def offline() -> Iterator[None]:
    """Keep the client of the model hub from the network: the folder of a stranger's run may name any model."""
    before = os.environ.get(OFFLINE)
    os.environ[OFFLINE] = "1"  # the client reads it when it is imported, and no command has imported it by now
    try:
        yield
    finally:
        os.environ.pop(OFFLINE) if before is None else os.environ.update({OFFLINE: before})


def with_plugins(command: click.Command) -> click.Command:
    """Return a command with the option --plugins added."""
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
                help="Run this Python file and add its components. Name only files that you trust.",
            )
        )
    return command


def _load_plugins(context: click.Context, parameter: click.Parameter, paths: tuple[Path, ...]) -> None:
    """Load these plugin files. Those of an earlier command in this process are removed."""
    if paths or "society.components.plugin_files" in sys.modules:
        from society.components.plugin_files import set_plugins

        set_plugins(*paths)
