"""Fields of requests that control a model's thinking, as each kind of server names them.

A scenario switches thinking on or off, limits it to a number of tokens, and sets variables of the chat template. A
`Way` returns the fields for one of these, or None if its field cannot express the value. `settling` chooses among the
ways of a dialect by their effect.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from society.core.thoughts import PAIRS, SWITCHES, split_thought

Fields = dict[str, Any]
Switch = Callable[[bool], Fields | None]
Budget = Callable[[int], Fields | None]
Variables = Callable[[Mapping[str, Any]], Fields | None]
OPENERS = tuple(opening for opening, _ in PAIRS)
"""Tags by which a prompt opens a thought."""
EFFORT = "reasoning_effort"
"""The variable of chat templates that servers without template variables know as a field of their own."""


@dataclass(frozen=True)
class Ways:
    """The ways of a dialect to switch thinking, to limit it, and to set variables of the template. () where none."""

    switches: tuple[Switch, ...] = ()
    budgets: tuple[Budget, ...] = ()
    variables: tuple[Variables, ...] = ()
    hint: str = ""
    """The options of the server that make it control thoughts, for errors."""


def template_switch(enabled: bool) -> Fields:
    """Set the variables by which chat templates switch thinking; a template reads one of them."""
    return {"chat_template_kwargs": dict.fromkeys(SWITCHES, enabled)}


def template_variables(variables: Mapping[str, Any]) -> Fields:
    """Set variables of the chat template (llama.cpp, vLLM, SGLang)."""
    return {"chat_template_kwargs": dict(variables)}


def ollama_switch(enabled: bool) -> Fields:
    """Set Ollama's `think`."""
    return {"think": enabled}


def ollama_level(variables: Mapping[str, Any]) -> Fields | None:
    """Set Ollama's `think` to a level, for models such as gpt-oss. Ollama has no other variables."""
    return {"think": variables[EFFORT]} if set(variables) == {EFFORT} else None


def effort_switch(enabled: bool) -> Fields:
    """Set the reasoning effort of OpenAI and LM Studio."""
    return {EFFORT: "medium" if enabled else "none"}


def effort_level(variables: Mapping[str, Any]) -> Fields | None:
    """Set the reasoning effort as a field, for servers without template variables."""
    return {EFFORT: variables[EFFORT]} if set(variables) == {EFFORT} else None


def reasoning_switch(enabled: bool) -> Fields:
    """Set OpenRouter's and Together's `reasoning`."""
    return {"reasoning": {"enabled": enabled}}


def reasoning_budget(tokens: int) -> Fields:
    """Limit the thought on OpenRouter."""
    return {"reasoning": {"max_tokens": tokens}}


def reasoning_level(variables: Mapping[str, Any]) -> Fields | None:
    """Set the reasoning effort on OpenRouter."""
    return {"reasoning": {"effort": variables[EFFORT]}} if set(variables) == {EFFORT} else None


def plain_switch(enabled: bool) -> Fields:
    """Set `enable_thinking` beside the messages (DashScope, SiliconFlow)."""
    return {"enable_thinking": enabled}


def plain_budget(tokens: int) -> Fields:
    """Limit the thought beside the messages (DashScope, SiliconFlow)."""
    return {"thinking_budget": tokens}


def typed_switch(enabled: bool) -> Fields:
    """Set `thinking` (DeepSeek, Moonshot, Zhipu, Volcano)."""
    return {"thinking": {"type": "enabled" if enabled else "disabled"}}


def typed_budget(tokens: int) -> Fields:
    """Limit the thought as Anthropic's gateways do."""
    return {"thinking": {"type": "enabled", "budget_tokens": tokens}}


def llama_cpp_budget(tokens: int) -> Fields:
    """Limit the thought on llama.cpp's server."""
    return {"thinking_budget_tokens": tokens}


def vllm_budget(tokens: int) -> Fields:
    """Limit the thought on vLLM, which needs `--reasoning-config` or a reasoning parser."""
    return {"thinking_token_budget": tokens}


def sglang_budget(tokens: int) -> Fields:
    """Limit the thought on SGLang, which needs `--enable-strict-thinking`."""
    return {"custom_params": {"thinking_budget": tokens}}


EVERY_WAY = Ways(
    (template_switch, reasoning_switch, plain_switch, typed_switch, effort_switch),
    (reasoning_budget, plain_budget, typed_budget, vllm_budget, llama_cpp_budget, sglang_budget),
    (template_variables, effort_level, reasoning_level),
)
"""The ways to try on a server of an unknown kind."""


def opens_thought(prompt: object, tags: tuple[str, str] | None = None) -> bool:
    """Return whether a rendered prompt ends within a thought. `tags`: those of the scenario."""
    return isinstance(prompt, str) and prompt.rstrip().endswith(tags[:1] if tags else OPENERS)


def separate(thought: str, text: str, opened: bool, tags: tuple[str, str] | None = None) -> tuple[str, str]:
    """Return thought and text of a reply to a prompt that `opened` a thought, if the server did not separate them.

    Without a closing tag the reply was cut off while thinking. Other replies are returned as they are.
    """
    if thought or not opened:
        return thought, text
    found, rest = split_thought(text, tags)
    return (found, rest) if found else (text, "")


def merge(*parts: Fields) -> Fields:
    """Return the fields of all parts; objects under the same name are merged."""
    merged: Fields = {}
    for part in parts:
        for name, value in part.items():
            both = isinstance(value, dict) and isinstance(merged.get(name), dict)
            merged[name] = merged[name] | value if both else value
    return merged
