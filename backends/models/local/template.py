"""Abilities of a model that its chat template shows."""

from __future__ import annotations

from typing import TypedDict

from backends.models.chat_rendering import ChatTemplate
from backends.models.chat_templates import template_variables
from backends.models.thoughts import find_tags
from society.core.thoughts import SWITCHES


class Abilities(TypedDict):
    """Fields of `LocalModel` that a chat template shows."""

    chat: bool
    thoughts: bool | None
    tools: bool | None


def read_abilities(template: str, model: str) -> Abilities:
    """Return the abilities of a model with this chat template, or with none ("").

    Raises `InputError` for a template that is not valid.
    """
    if not template:
        return {"chat": False, "thoughts": None, "tools": None}
    compiled = ChatTemplate(template, model)
    thoughts = find_tags(compiled, ()) is not None or not compiled.variables.isdisjoint(SWITCHES)
    return {"chat": True, "thoughts": thoughts, "tools": "tools" in template_variables(template)}
