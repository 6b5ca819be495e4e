"""Abilities of a model that its chat template shows."""

from __future__ import annotations

import re
from typing import TypedDict

from backends.models.chat_templates import chat_environment, compile_chat_template

_THINKS = re.compile(
    r"</?(?:seed:)?think(?:ing)?>|\[THINK\]|\|channel\|>analysis|START_THINKING|<reasoning>|begin_of_thought|◁think▷"
    r"|<\|inner_prefix\|>|enable_thinking|reasoning_effort"
)
"""Matches tags of thoughts, and variables that control them."""


class Abilities(TypedDict):
    """Fields of `LocalModel` that a chat template shows."""

    chat: bool
    thoughts: bool | None
    tools: bool | None


def read_abilities(template: str, model: str) -> Abilities:
    """Return the abilities of a model with this chat template, or with none ("").

    Raises `InputError` for a template that is not valid.
    """
    from jinja2.meta import find_undeclared_variables

    if not template:
        return {"chat": False, "thoughts": None, "tools": None}
    compile_chat_template(template, model)
    variables = find_undeclared_variables(chat_environment().parse(template))
    return {"chat": True, "thoughts": _THINKS.search(template) is not None, "tools": "tools" in variables}
