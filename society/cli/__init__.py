"""The command line: `society COMMAND`. One module per command; heavy imports happen inside the commands."""

from __future__ import annotations

import sys
from contextlib import suppress

import click

import society
from society.cli.options import with_plugins
from society.cli.streams import abandon, finish, say, settle
from society.core.errors import InputError, SocietyError
from society.core.hidden_chars import reveal
from society.core.installation import check_installation

try:
    check_installation()  # before a foreign package of the same name can fail
except InputError as error:
    print(f"society: {error}", file=sys.stderr)
    sys.exit(2)

INTERRUPTED = 130
COMMANDS = (
    "ask",
    "chat",
    "new",
    "check",
    "plan",
    "draw",
    "run",
    "show",
    "report",
    "view",
    "compare",
    "sweep",
    "plot",
    "diversity",
    "export",
    "list",
    "models",
    "schema",
)


class _Commands(click.Group):
    """The commands, in the order of their first use. Each is imported when it is called or listed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        from importlib import import_module

        if name not in COMMANDS:
            return None
        command: click.Command = import_module(f"society.cli.{name}").command
        return with_plugins(command)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the arguments name. The error for an unknown name says which one is like it."""
        from society.core.problems import find_near

        if args and args[0] not in COMMANDS and (near := find_near(args[0], COMMANDS)):
            ctx.fail(f"There is no command {args[0]!r}; did you mean {near!r}?")
        return super().resolve_command(ctx, args)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(society.__version__)
def cli() -> None:
    """Simulate societies of language-model agents, and train them."""


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit status.

    0: done. 1: failed. 2: bad input. 130: interrupted; 143: interrupted by SIGTERM.
    """
    settle()
    try:
        status = _run(arguments)
        finish()
        return status
    except BrokenPipeError:  # the reader of the output has closed it
        abandon()
        return 1
    except OSError as error:
        abandon()
        return _explain(error)


def _run(arguments: list[str] | None) -> int:
    """Run a command, and print the error that ends it."""
    try:
        status = cli.main(arguments, prog_name="society", standalone_mode=False)
    except click.ClickException as error:
        vars(error)["message"] = reveal(error.message)  # the message quotes the user's input
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort) as error:
        say("Interrupted. All finished turns are stored. Run again with --resume to continue.", err=True)
        cause = error.__cause__ if isinstance(error, click.Abort) else error
        return int(getattr(cause, "status", INTERRUPTED))
    except SocietyError as error:
        say(f"society: {error}", err=True)
        return 2 if isinstance(error, InputError) else 1
    except Exception as error:
        if (fault := _plugin_fault(error)) is None:
            raise
        say(f"society: {fault}", err=True)
        return 1
    return status if isinstance(status, int) else 0


def _plugin_fault(error: Exception) -> SocietyError | None:
    """Return the error for an exception that passed through the code of a plugin file; None for any other."""
    if "society.components.plugin_files" not in sys.modules:
        return None
    from society.components.plugin_files import find_fault

    return find_fault(error)


def _explain(error: OSError) -> int:
    """Print an error of the system. Without a file's name it concerns the standard output."""
    what = f"{error.filename} cannot be used" if error.filename else "The output cannot be written"
    with suppress(OSError):
        say(f"society: {what}: {error.strerror or error}.", err=True)
    return 1
