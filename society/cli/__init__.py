"""The command line: `society COMMAND`. One module per command; heavy imports happen inside the commands."""

from __future__ import annotations

import sys

import click

import society
from society.errors import InputError, SocietyError

INTERRUPTED = 130


class _Commands(click.Group):
    """Commands in the order in which a person meets them, each imported when it is called or listed."""

    names = (
        "run", "check", "plan", "draw", "show", "report", "view", "compare", "sweep", "plot", "diversity", "export",
        "list", "new", "schema",
    )  # fmt: skip

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.names)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        from importlib import import_module

        if name not in self.names:
            return None
        command: click.Command = import_module(f"society.cli.{name}").command
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(society.__version__)
def cli() -> None:
    """Simulate societies of language-model agents, and train them."""


def main(arguments: list[str] | None = None) -> int:
    """Run a command; the exit status is 0 done, 1 failed, 2 bad input, 130 interrupted (143 if by SIGTERM)."""
    try:
        society.check_siblings()
        status = cli.main(arguments, prog_name="society", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort) as error:
        click.echo("Interrupted. What is done is stored: run again with --resume to go on.", err=True)
        cause = error.__cause__ if isinstance(error, click.Abort) else error
        return int(getattr(cause, "status", INTERRUPTED))
    except SocietyError as error:
        click.echo(f"society: {error}", err=True)
        return 2 if isinstance(error, InputError) else 1
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    return status if isinstance(status, int) else 0
