"""Records of the walks through a template: comparisons with literals, uses of variables, and faults."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from jinja2 import nodes

from society.scenario.checks.prompts.possible import Value


@dataclass
class Compared:
    """A comparison with a literal, over all places of its template."""

    node: nodes.Node
    written: str
    """The other side, as the template writes it; "" if it is no name or attribute."""
    name: str
    """Operator of Jinja2, or a method."""
    literal: Any
    subject: Value
    truth: set[bool]
    options: dict[Any, None]
    """All possible values of the subject."""
    listed: bool
    """Whether the literal is part of a list."""
    other: bool
    """Whether something is shown instead where the comparison does not hold."""


@dataclass(frozen=True)
class Fault:
    """A part of a template that fails, or shows what is hardly meant."""

    line: int
    text: str
    """Text of the template at the place of the fault."""
    message: str
    error: bool = False
    allowed: tuple[str, ...] = ()
    suggestion: str = ""


@dataclass
class Used:
    """A use of a variable, over all places of its template.

    `empty`: it is empty at each of them, or a part of a message that is None at each of them, as `fault` says.
    """

    node: nodes.Node
    variable: str
    empty: bool
    fault: Fault | None = None
    remedy: str = ""


@dataclass
class Log:
    """The records of all walks through one template."""

    compared: dict[tuple[int, object], Compared] = field(default_factory=dict)
    used: dict[object, Used] = field(default_factory=dict)
    faults: dict[tuple[int, str], Fault] = field(default_factory=dict)
    """Faults by line and text, the first of each."""
