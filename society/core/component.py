"""The base of every named, pluggable piece of a scenario: backend, topology, task, decision, stop rule, ...

A component is one small class: its fields are what YAML may say (checked by pydantic, strictly), its `kind` is
its name there, and one method does its work. `society.components.registry` finds it; nothing else needs to know it.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Component(BaseModel):
    """A strict, immutable piece of a scenario. Subclasses add `kind: Literal["name"] = "name"` and fields.

    A text below a field says what it means; `society.scenario.schema.descriptions` reads it when somebody asks.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    def model_post_init(self, context: object) -> None:
        """Count `kind` as said even where it is the default, so that a component written with what was said alone
        (`exclude_unset`) can be read back."""
        if "kind" in type(self).model_fields:
            self.model_fields_set.add("kind")
