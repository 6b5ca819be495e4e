"""Settings that several levels of a scenario have: decoding, thinking, values for templates, names.

RunLimits       tokens, dollars and minutes of a run
RetrySpec       how a run bears failures of its backends
SamplingSpec    decoding settings; each level overrides the level above
ThinkingSpec    how reasoning models think, in the same levels
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from society.core.component import Component
from society.core.errors import FieldError
from society.core.types import Sampling, TemplateArgs, TemplateValue, Thinking
from society.scenario.models.optional import make_optional

NAME_PATTERN = "^[A-Za-z][A-Za-z0-9_-]{0,63}$"
NAME_RULE = "at most 64 letters (a to z, A to Z), digits, - and _, beginning with a letter"
Name = Annotated[str, Field(pattern=NAME_PATTERN)]
"""A name: a letter, then up to 63 letters, digits, hyphens and underscores."""
Value = str | bool | int | float
Vars = dict[Name, Value | tuple[Value, ...]]
"""Values for templates, by name: texts, numbers, truth values, or lists of these."""
Persona = str | dict[str, Value | tuple[Value, ...] | None]
"""A persona: a text, or fields by name."""


class SamplingSpec(make_optional(Sampling)):  # type: ignore[misc]
    """Decoding settings. A field left out comes from the level above.

    The levels are scenario, role, agent and phase.
    """

    def over(self, below: Sampling) -> Sampling:
        """Return `below` with the settings of this level applied."""
        return replace(below, **{name: value for name, value in self if value is not None})


class RetrySpec(Component):
    """How a run bears failures of its backends."""

    minutes: float = Field(30.0, ge=0, le=100_000, json_schema_extra={"tuning": True})
    """Maximum minutes that the run waits for a server that does not answer, or that takes no requests, also at its
    start. Then it stops, and --resume continues it. No turn fails because of an outage."""
    tries: int = Field(6, ge=1, le=100, json_schema_extra={"tuning": True})
    """Maximum number of attempts at a turn whose request fails while the server answers, such as after timeouts."""
    failures: int = Field(25, ge=1, json_schema_extra={"tuning": True})
    """Number of failed turns in a row that ends the run."""


class RunLimits(Component):
    """Limits of a run, over all its sessions. A run that reaches one stops, and is resumed with a higher limit.

    Replies in progress are still finished, so a run may exceed its limits by them.
    """

    tokens: int | None = Field(None, ge=1, json_schema_extra={"tuning": True})
    """Maximum number of tokens, those of prompts and generated ones together. Finetunings do not count."""
    dollars: float | None = Field(None, gt=0, json_schema_extra={"tuning": True})
    """Maximum cost in dollars, by the `price` of each backend."""
    minutes: float | None = Field(None, gt=0, le=10_000_000, json_schema_extra={"tuning": True})
    """Maximum duration in minutes, with loading, finetuning and waiting. Sessions that were killed do not count."""


TEMPLATE_NAME = "^[A-Za-z_][A-Za-z0-9_]*$"
OWN_VARIABLES = frozenset({"messages", "add_generation_prompt", "continue_final_message", "tools", "documents"})
"""Variables of chat templates that the program sets itself, so that `template_args` cannot have them."""


class ThinkingSpec(make_optional(Thinking)):  # type: ignore[misc]
    """How a reasoning model thinks before its text. A field left out comes from the level above, as in `sampling`."""

    show: bool | None = None
    """Show the agent's thoughts to readers of its full text, as an edge with `show: thought` does. By default nobody
    reads them."""
    template_args: dict[Annotated[str, Field(pattern=TEMPLATE_NAME)], TemplateValue] | None = None
    """Extra variables of the chat template, such as `reasoning_effort: low`. Each overrides that of the level above."""

    def over(self, below: Thinking) -> Thinking:
        """Return `below` with the settings of this level applied."""
        given = {name: getattr(self, name) for name in Thinking.__dataclass_fields__}
        return replace(below, **{name: value for name, value in given.items() if value is not None})

    def args_over(self, below: TemplateArgs) -> TemplateArgs:
        """Return the template's variables of the level below with those of this level applied."""
        return tuple(sorted((dict(below) | (self.template_args or {})).items()))

    def __hash__(self) -> int:
        return hash((self.over(Thinking()), self.show, self.args_over(())))

    @field_validator("template_args", mode="before")
    @classmethod
    def _check_names(cls, given: object) -> object:
        """Raise `ValueError` for variables that the program sets itself, whatever their values."""
        if taken := sorted(OWN_VARIABLES.intersection(given if isinstance(given, Mapping) else ())):
            raise FieldError(f"cannot set {', '.join(taken)}, which every chat has; remove it", *taken)
        return given

    @model_validator(mode="after")
    def _check_tags(self) -> Self:
        """Raise `ValueError` for two equal tags."""
        if self.tags and self.tags[0] == self.tags[1]:
            message = "the two `tags` are equal; give the text that opens a thought, then the one that closes it"
            raise FieldError(message, "tags")
        return self
