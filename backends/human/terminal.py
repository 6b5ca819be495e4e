"""Questions to people in the terminal, on stderr, so that stdout holds results alone.

prompt_toolkit reads the line: lines of any length and pasted text with several lines are one entry, and the event loop
goes on meanwhile. What was typed before a question was shown is dropped, as it cannot be its reply.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar

from backends.human.asking import Asker, Question
from society.core.errors import InputError, MissingExtraError
from society.core.hidden_chars import reveal
from society.core.plain import duration

if TYPE_CHECKING:
    from prompt_toolkit.input import Input
    from prompt_toolkit.key_binding import KeyBindings

Part = tuple[str, str]
"""A text and its style."""


class TerminalAsker(Asker):
    """Asks all people in one terminal."""

    one_at_a_time: ClassVar[bool] = True

    def check(self) -> None:
        for name, stream in (("input", sys.stdin), ("error output", sys.stderr)):
            if stream is None or not stream.isatty():
                raise InputError(
                    f"A person is to be asked, but the standard {name} is no terminal.",
                    "Run it in a terminal, or with `society run --view` to answer on a page.",
                )
        try:
            import prompt_toolkit  # noqa: F401 - the error should come before the run
        except ImportError as error:
            raise MissingExtraError("A person in the terminal", "prompt_toolkit", "human") from error

    async def ask(self, question: Question) -> str:
        """Print the question and return the line that is typed. An end of the input ends the run."""
        from prompt_toolkit import PromptSession
        from prompt_toolkit.input import create_input
        from prompt_toolkit.output import create_output
        from prompt_toolkit.patch_stdout import patch_stdout

        _show(question)
        source = create_input(sys.stdin)
        _drop_typed(source)
        session: PromptSession[str] = PromptSession(
            input=source, output=create_output(sys.stderr), key_bindings=_bind_keys()
        )
        try:
            with patch_stdout(raw=True):
                return await session.prompt_async(f"{reveal(question.person)}> ", handle_sigint=False)
        except EOFError:
            raise InputError(
                f"The input ended at a question to {question.person!r}.",
                "Run again with --resume (Python: resume=True) to go on with this question.",
            ) from None


def _bind_keys() -> KeyBindings:
    """Return the keys: Ctrl-C stops the run as its signal does, and Alt-Enter begins a new line."""
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

    keys = KeyBindings()

    @keys.add("c-c")
    def _(event: KeyPressEvent) -> None:
        signal.raise_signal(signal.SIGINT)

    @keys.add("escape", "enter")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    return keys


def _drop_typed(source: Input) -> None:
    """Drop what was typed before the question was shown."""
    from prompt_toolkit.input.typeahead import clear_typeahead

    clear_typeahead(source)
    with suppress(ImportError, OSError, ValueError):  # no termios on Windows
        import termios

        termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)


def _show(question: Question) -> None:
    """Print a question: the messages, the choices, and how to answer; asked again, why."""
    from rich.rule import Rule
    from rich.text import Text

    from society.core.terminal import Terminal

    console = Terminal(stderr=True)
    if question.fault:
        console.print(Text(f"{question.fault} {_explain(question)}", style="yellow"))
        return
    console.print(Rule(Text(f"A question to {question.person}"), align="left"))
    for text, style in _describe(question):
        console.print(Text(text, style=style))


def _describe(question: Question) -> Iterator[Part]:
    """Yield the parts of a question."""
    *earlier, last = question.messages
    for message in earlier:
        if message.role == "assistant":
            yield "You said:", "dim bold"
        yield f"{message.content.strip()}\n", "dim"
    yield last.content.strip(), ""
    for number, text in enumerate(question.listed, 1):
        yield f"  {f'{number}  ' if question.numbered else ''}{text}", "bold"
    yield f"\n{_explain(question)}", "dim"


def _explain(question: Question) -> str:
    """Return how to answer a question, and within which time."""
    if question.choices:
        how = "Type one of the choices" + (", or its number." if question.numbered else ".")
    elif question.options:
        how = "Name one option or several" + (", or their numbers." if question.numbered else ".")
    else:
        how = f"Enter sends the reply, Alt-Enter begins a new line; at most about {question.characters:,} characters."
    if question.seconds is None:
        return how
    after = "the turn fails" if question.default is None else f"the reply is {question.default!r}"
    return f"{how} After {duration(question.seconds)}, {after}."
