"""Regular expressions that are compiled on first use, so that commands that read no answers start sooner."""

from __future__ import annotations

import re
from typing import Any, cast


def compile_later(pattern: str, flags: int = 0) -> re.Pattern[str]:
    """Return the compiled pattern as `re.compile` does, but compile it when one of its attributes is first used.

    A match refers to the compiled pattern: compare `match.re.pattern`, not `match.re`.
    """
    return cast("re.Pattern[str]", LazyPattern(pattern, flags))


class LazyPattern:
    """An object with the methods and attributes of a pattern, each of which is stored once it has been used."""

    def __init__(self, pattern: str, flags: int = 0) -> None:
        self.pattern = pattern
        self._flags = flags

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # what copying and pickling ask for
            raise AttributeError(name)
        value = getattr(re.compile(self.pattern, self._flags), name)
        setattr(self, name, value)
        return value
