"""The base of every named, pluggable piece of a scenario: backend, topology, task, decision, stop rule, ...

A component is one small class. Its fields are the keys that YAML may give; pydantic checks them strictly. Its `kind` is
its name in YAML, and one method does its work. `society.components.registry` finds the class by its kind.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar, NamedTuple

from pydantic import BaseModel, ConfigDict


@dataclass(frozen=True)
class NamesAgents:
    """A mark for fields that hold names of agents: of one agent, or of agents and groups."""

    single: bool


@dataclass(frozen=True)
class NamesRole:
    """A mark for fields that hold the name of a role."""


AgentName = Annotated[str, NamesAgents(single=True)]
"""The name of one agent; "" for nobody."""
AgentNames = Annotated[tuple[str, ...], NamesAgents(single=False)]
"""Names of agents and groups."""
RoleName = Annotated[str, NamesRole()]
"""The name of a role."""


class AgentField(NamedTuple):
    """A field that names agents. `single`: the field holds one name instead of a list."""

    field: str
    names: tuple[str, ...]
    single: bool


class Component(BaseModel):
    """A strict, immutable piece of a scenario. Subclasses add `kind: Literal["name"] = "name"` and fields.

    A text below a field describes the field; `society.scenario.schema.descriptions` reads the text when needed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    reads_confidence: ClassVar[bool] = False
    """Whether the component uses the confidences of turns or votes."""

    def model_post_init(self, context: object) -> None:
        """Mark `kind` as set even where it is the default, so that a dump with `exclude_unset` can be read back."""
        if "kind" in type(self).model_fields:
            self.model_fields_set.add("kind")

    def agent_fields(self) -> Iterator[AgentField]:
        """Yield each field of type `AgentName` or `AgentNames` that names somebody, so that the names are checked."""
        for field, info in type(self).model_fields.items():
            for mark in info.metadata:
                if isinstance(mark, NamesAgents) and (value := getattr(self, field)):
                    yield AgentField(field, (value,) if mark.single else tuple(value), mark.single)

    def role_fields(self) -> Iterator[tuple[str, str]]:
        """Yield each field of type `RoleName` that names a role, with the role."""
        for field, info in type(self).model_fields.items():
            marked = any(isinstance(mark, NamesRole) for mark in info.metadata)
            if marked and (role := getattr(self, field)) is not None:
                yield field, role
