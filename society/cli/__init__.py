"""The command line: `society COMMAND`. One module per command; heavy imports happen inside the commands."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

import click

import society
from society.cli.options import with_plugins
from society.cli.streams import abandon, finish, say, say_error, settle
from society.core.errors import InputError, SocietyError
from society.core.hidden_chars import reveal
from society.core.installation import check_installation

if TYPE_CHECKING:
    from society.core.interrupt import Interrupted

try:
    check_installation()  # before a foreign package of the same name can fail
except InputError as error:
    print(f"society: {error}", file=sys.stderr)
    sys.exit(2)

INTERRUPTED = 130
_told = threading.Event()
"""Set once the interruption of this command was printed."""
SECTIONS = {
    "First steps": ("ask", "chat", "new", "models", "list", "schema"),
    "Before a run": ("check", "fetch", "plan", "draw"),
    "Runs": ("run", "sweep", "status", "view", "show", "report"),
    "Results": ("compare", "plot", "diversity", "export"),
    "Keeping": ("merge", "prune", "archive", "forget", "migrate"),
}
COMMANDS = tuple(command for commands in SECTIONS.values() for command in commands)
COMPLETION = """\
Complete commands and options with the Tab key:

\b
bash: eval "$(_SOCIETY_COMPLETE=bash_source society)"
zsh:  eval "$(_SOCIETY_COMPLETE=zsh_source society)"
fish: _SOCIETY_COMPLETE=fish_source society | source
"""


class _Commands(click.Group):
    """The commands, in the order of their first use. Each is imported when it is called or listed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS]  # after `society.cli.list` is imported, `list` is that module

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        from importlib import import_module

        if name not in COMMANDS:
            return None
        command: click.Command = import_module(f"society.cli.{name}").command
        return with_plugins(command)

    def invoke(self, ctx: click.Context) -> object:
        """Run the command. After Ctrl-C on a terminal, a line break follows its ^C; JSON logs have no empty line."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            say(err=True)
            raise click.Abort from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands in sections, each with its first sentence."""
        for section, names in SECTIONS.items():
            commands = [(name, self.get_command(ctx, name)) for name in names]
            with formatter.section(section):
                formatter.write_dl(
                    [(name, command.get_short_help_str(limit=1_000)) for name, command in commands if command]
                )

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the arguments name. The error for an unknown name says which one is like it."""
        from society.core.problems import find_near

        if args and args[0] not in COMMANDS and (near := find_near(args[0], COMMANDS)):
            ctx.fail(f"There is no command {args[0]!r}; did you mean {near!r}?")
        return super().resolve_command(ctx, args)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]}, epilog=COMPLETION)
@click.version_option(society.__version__)
def cli() -> None:
    """Simulate societies of language-model agents, and train them.

    `society COMMAND --help` explains a command, with examples.
    """


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit status: see `society.runs.state.RunState` and `SocietyError.status`."""
    settle()
    _told.clear()
    try:
        status = _run(arguments)
        finish()
        return status
    except BrokenPipeError:  # the reader of the output has closed it
        abandon()
        return SocietyError.status
    except OSError as error:
        abandon()
        return _explain(error)


def _run(arguments: list[str] | None) -> int:
    """Run a command, and print the error that ends it."""
    try:
        status = cli.main(arguments, prog_name="society", standalone_mode=False)
    except click.ClickException as error:
        if isinstance(error, click.UsageError):
            _guide(error)
        vars(error)["message"] = reveal(error.message)  # the message quotes the user's input
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort) as error:
        cause = error.__cause__ if isinstance(error, click.Abort) else error
        _tell(cause)
        return int(getattr(cause, "status", INTERRUPTED))
    except SocietyError as error:
        say_error(error)
        return error.status
    except SystemExit as error:  # click ends so if the reader of the output has closed it
        if error.code == 1:
            raise BrokenPipeError from None
        raise
    except Exception as error:
        if (fault := _plugin_fault(error)) is None:
            raise
        say_error(fault)
        return fault.status
    return status if isinstance(status, int) else 0


def _tell(cause: BaseException | None) -> None:
    """Print that the command was interrupted, once."""
    if _told.is_set():
        return
    _told.set()
    stored = ""
    if getattr(cause, "folder", None):
        stored = " All finished turns are stored. Run again with --resume to continue."
    elif getattr(cause, "loading", False):
        stored = " The run was still loading: no reply was in progress, and nothing is lost."
    say(f"Interrupted.{stored}", err=True)


def end(error: Interrupted) -> NoReturn:
    """Print that the command was interrupted, and end the process at once.

    An import or a load in progress would delay the end. Processes that this one has started end with it.
    """
    try:
        _tell(error)
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):
                stream.flush()
    finally:
        os._exit(error.status)


def _guide(error: click.UsageError) -> None:
    """Suggest options that are spelled like an unknown one, and `--set` for values of the scenario."""
    from difflib import get_close_matches

    known = {option for parameter in error.ctx.command.params for option in parameter.opts} if error.ctx else set()
    value = "extra argument" in error.message and "=" in error.message
    if isinstance(error, click.NoSuchOption):
        vars(error)["possibilities"] = get_close_matches(error.option_name, error.possibilities or (), cutoff=0.7)
        value = not error.possibilities
    if value and "--set" in known:
        hint = "Values of the scenario are set with --set, such as --set phases.debate.rounds=3."
        vars(error)["message"] = f"{error.message.rstrip('.')}. {hint}"


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
        say_error(f"{what}: {error.strerror or error}.")
    return SocietyError.status
