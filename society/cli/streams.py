"""The standard streams: whatever is printed shows its hidden characters, and trouble with a stream is one error.

say        prints a text
settle     lets both streams take every character
finish     writes what is left in the buffers, so that trouble shows as an error
abandon    writes nothing more
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress

import click

from society.core.hidden_chars import reveal


def say(text: object = "", err: bool = False) -> None:
    """Print one text, hidden characters shown as numbers."""
    click.echo(reveal(str(text)), err=err)


def settle() -> None:
    """Let the standard streams write each character that their encoding lacks as its number, such as \\u2192."""
    if sys.stdout is None:  # closed by whoever started the program
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - open as long as the program runs
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, ValueError):  # none, closed, or of another kind
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def finish() -> None:
    """Write what the streams still hold. Raises `OSError` where the standard output takes no more."""
    if not sys.stdout.closed:
        sys.stdout.flush()


def abandon() -> None:
    """Let nothing more be written to a standard output that takes no more, so that the interpreter ends quietly."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
