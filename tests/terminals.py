"""A pseudo-terminal in which a test reads what a command prints, and types."""

from __future__ import annotations

import os
import pty
import select
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

PATIENCE = 60
"""Maximum seconds until an expected text appears, long enough for a busy machine."""
ASKED = "\x1b[?2004h"
"""Output of a prompt that is ready for input: it asks the terminal to mark pasted text."""


@dataclass
class Terminal:
    """A command in a pseudo-terminal. `output` is what it has printed, and `read` the part that was waited for."""

    pid: int
    place: int
    output: str = ""
    read: int = 0

    def wait_for(self, text: str) -> str:
        """Wait until a text appears after the part that was waited for, and return what stands before the text."""
        until = time.monotonic() + PATIENCE
        while (found := self.output.find(text, self.read)) < 0:
            assert time.monotonic() < until, f"{text!r} does not appear in:\n{self.output[self.read :]}"
            if not self._receive():
                raise AssertionError(f"the command ended before {text!r}:\n{self.output[self.read :]}")
        before, self.read = self.output[self.read : found], found + len(text)
        return before

    def type(self, text: str) -> None:
        """Type a text; "\\r" is the Enter key, and "\\x03" is Ctrl-C."""
        data = text.encode()
        while data:
            data = data[os.write(self.place, data) :]
            self._receive(0)

    def end(self) -> int:
        """Return the exit status of the command after its end."""
        while self._receive():
            pass
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def _receive(self, seconds: float = 0.5) -> bool:
        """Read what is printed within some time. Return False at the end of the output."""
        if not select.select([self.place], [], [], seconds)[0]:
            return True
        try:
            data = os.read(self.place, 65536)
        except OSError:  # Linux: the other end is closed
            return False
        self.output += data.decode("utf-8", "replace")
        return bool(data)


@contextmanager
def in_terminal(arguments: Sequence[str]) -> Iterator[Terminal]:
    """Start `society` with these arguments in a pseudo-terminal."""
    pid, place = pty.fork()
    if pid == 0:
        os.environ |= {"TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1", "COLUMNS": "200", "LINES": "50"}
        os.execv(sys.executable, [sys.executable, "-m", "society", *arguments])
    terminal = Terminal(pid, place)
    try:
        yield terminal
    finally:
        os.close(place)
