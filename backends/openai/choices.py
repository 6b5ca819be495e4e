"""Fields of requests that restrict a reply to one of several choices, as each kind of server names them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

Fields = dict[str, Any]
Constrain = Callable[[Sequence[str]], Fields]
"""Returns the fields that restrict a reply to these choices."""


def _quoted(text: str) -> str:
    escaped = re.sub(r'[\x00-\x1f"\\\x7f]', lambda found: f"\\x{ord(found[0]):02X}", text)
    return f'"{escaped}"'


def grammar(choices: Sequence[str]) -> Fields:
    """Return the choices as a grammar of llama.cpp."""
    return {"grammar": "root ::= " + " | ".join(map(_quoted, choices))}


def structured_outputs(choices: Sequence[str]) -> Fields:
    """Return the choices as vLLM's structured outputs (since 0.12)."""
    return {"structured_outputs": {"choice": list(choices)}}


def guided_choice(choices: Sequence[str]) -> Fields:
    """Return the choices as vLLM's guided decoding (before 0.12), which gateways before vLLM accept as well."""
    return {"guided_choice": list(choices)}


def choice_schema(choices: Sequence[str]) -> Fields:
    """Return the JSON Schema of an object that holds one of the choices."""
    choice = {"type": "string", "enum": list(choices)}
    return {"type": "object", "properties": {"choice": choice}, "required": ["choice"], "additionalProperties": False}


def json_schema(choices: Sequence[str]) -> Fields:
    """Return the choices as the standard's JSON Schema."""
    schema = {"name": "reply", "strict": True, "schema": choice_schema(choices)}
    return {"response_format": {"type": "json_schema", "json_schema": schema}}


def json_object(choices: Sequence[str]) -> Fields:
    """Return the choices as a JSON object with a schema, as Together and llama-cpp-python name it."""
    return {"response_format": {"type": "json_object", "schema": choice_schema(choices)}}


def ollama_format(choices: Sequence[str]) -> Fields:
    """Return the choices as Ollama's `format`."""
    return {"format": choice_schema(choices)}


def choice_room(choices: Sequence[str]) -> int:
    """Return tokens in which every choice fits: a token has at least one byte, and JSON may escape each byte."""
    return 2 * max(len(choice.encode("utf-8", "surrogatepass")) for choice in choices) + 32


def read_choice(text: str, choices: Sequence[str]) -> str | None:
    """Return the choice of a reply, which is bare or in a JSON object; None if it is no choice."""
    if text in choices:
        return text
    try:
        data = json.loads(text)
    except ValueError:
        return None
    choice = data.get("choice") if isinstance(data, dict) else None
    return choice if choice in choices else None
