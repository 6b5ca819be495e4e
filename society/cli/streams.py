"""The standard streams. Printed text shows its hidden characters, and a broken stream is one error.

say             print a text
say_error       print the error that ends the command
output_width    the width at which lines are wrapped
settle          let both streams accept every character
finish          write what the buffers still hold, so that an error of the stream is raised
abandon         write nothing more
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
from contextlib import suppress

import click

from society.core.hidden_chars import reveal


def say(text: object = "", err: bool = False, level: int = logging.WARNING) -> None:
    """Print one text, with hidden characters shown as numbers. With JSON logs, stderr gets it as a line of `level`."""
    logs = sys.modules.get("society.runner.logs")
    if err and logs is not None and logs.as_json:
        if str(text).strip():
            logging.getLogger("society.cli").log(level, str(text).strip())
        return
    click.echo(reveal(str(text)), file=sys.stderr if err else sys.stdout)  # click would write UTF-8 to ASCII streams


def say_error(error: object) -> None:
    """Print the error that ends the command on stderr. With JSON logs, it is a line of the level `error`."""
    say(f"society: {error}", err=True, level=logging.ERROR)


def output_width() -> int:
    """Return the width of the terminal in characters; without a terminal, a width at which no line is wrapped."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 10_000


def settle() -> None:
    """Let the standard streams write characters that their encoding lacks as numbers, such as \\u2192."""
    if sys.stdout is None:  # the parent process has closed it
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - open as long as the program runs
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, ValueError):  # no stream, a closed one, or one of another type
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def finish() -> None:
    """Write what the streams still hold. Raises `OSError` where the standard output is broken."""
    if not sys.stdout.closed:
        sys.stdout.flush()


def abandon() -> None:
    """Discard all further output to a broken standard output, so that the interpreter exits without an error."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
