"""Logs of the program on stderr: messages with a time and a level, as text or as one JSON object on each line."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

from society.core.hidden_chars import reveal

LEVELS = ("debug", "info", "warning", "error")
"""Levels, from the lowest. A log has messages of its level and of all higher ones."""
OWN = ("society", "backends", "topologies")
"""Names of the loggers of this program."""
FACTS = "facts"
"""Attribute of a log record with further values by name, which a JSON line has beside its message."""


as_json = False
"""Whether the messages of this process are JSON lines."""


class _Lines(logging.Formatter):
    """Formats a record as text: time in UTC, level, logger, message."""

    def format(self, record: logging.LogRecord) -> str:
        message = f"{_time(record)} {record.levelname.lower():<7} {record.name}: {record.getMessage()}"
        return reveal("\n".join([message, *_traceback(self, record)]))


class _JsonLines(logging.Formatter):
    """Formats a record as a JSON object with time, level, logger, message, traceback if any, and the record's facts."""

    def format(self, record: logging.LogRecord) -> str:
        line = {"time": _time(record), "level": record.levelname.lower(), "logger": record.name}
        line |= {"message": record.getMessage()} | getattr(record, FACTS, {})
        if trace := _traceback(self, record):
            line["traceback"] = "\n".join(trace)
        return json.dumps(line, default=str)


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> list[str]:
    return [formatter.formatException(record.exc_info)] if record.exc_info and record.exc_info[0] else []


class _Stderr(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes to the present stderr, which may change while the program runs."""

    @property
    def stream(self) -> object:
        """The present stderr."""
        return sys.stderr

    @stream.setter
    def stream(self, value: object) -> None:
        """Ignore the stream that the base class sets."""


def set_logs(level: str, json_lines: bool) -> None:
    """Print the program's messages of this level and above on stderr, and of other libraries those from warnings on.

    A later call replaces the settings of an earlier one.
    """
    global as_json
    as_json = json_lines
    handler = _Stderr()
    handler.setFormatter(_JsonLines() if json_lines else _Lines())
    root = logging.getLogger()
    for old in [one for one in root.handlers if isinstance(one, _Stderr)]:
        root.removeHandler(old)
    root.addHandler(handler)
    for name in OWN:
        logging.getLogger(name).setLevel(level.upper())
