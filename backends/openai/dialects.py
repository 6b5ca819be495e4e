"""Options beyond the OpenAI standard, as each kind of server names them.

Known servers have sampling defaults of their own (llama.cpp: top_k 40, min_p 0.05; vLLM: the model's
generation_config.json), so every option is sent to them, even if it is off. Unknown servers get only the options that
are on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from backends.base import changed_options
from society.core.errors import BackendError
from society.core.types import GenerateRequest, Sampling

LimitName = Literal["max_tokens", "max_completion_tokens"]
Fields = dict[str, Any]
STANDARD = frozenset({"temperature", "top_p", "max_tokens", "stop"})
"""Options of the OpenAI standard, which every server supports."""


def grammar(choices: Sequence[str]) -> Fields:
    """Return the choices as a grammar of llama.cpp."""
    return {"grammar": "root ::= " + " | ".join(map(_quoted, choices))}


def _quoted(text: str) -> str:
    escaped = re.sub(r'[\x00-\x1f"\\\x7f]', lambda found: f"\\x{ord(found[0]):02X}", text)
    return f'"{escaped}"'


def structured_outputs(choices: Sequence[str]) -> Fields:
    """Return the choices as vLLM's structured outputs (since 0.12)."""
    return {"structured_outputs": {"choice": list(choices)}}


def json_schema(choices: Sequence[str]) -> Fields:
    """Return the choices as the standard's JSON Schema: an object that holds one of them."""
    choice = {"type": "string", "enum": list(choices)}
    schema = {"type": "object", "properties": {"choice": choice}, "required": ["choice"], "additionalProperties": False}
    return {
        "response_format": {"type": "json_schema", "json_schema": {"name": "reply", "strict": True, "schema": schema}}
    }


@dataclass(frozen=True)
class Dialect:
    """One kind of server."""

    name: str
    owner: str
    """The value of `owned_by` in the server's list of models."""
    names: Mapping[str, str]
    """The server's names of our options; it does not accept options that are missing here."""
    always: bool = True
    """Whether options are sent even if they are off."""
    top_k_off: int = 0
    """The value of top_k that switches it off."""
    constrain: Callable[[Sequence[str]], Fields] = json_schema
    """Returns the fields that restrict a reply to choices."""
    one_build: bool = True
    """Whether `system_fingerprint` identifies the program instead of the machine that answers."""

    def options(self, sampling: Sampling) -> Fields:
        """Return the options beyond the standard. Raises `BackendError` for an option that would be ignored."""
        given = [name for name in changed_options(sampling) if name not in STANDARD]
        for ours in given:
            if ours not in self.names:
                raise BackendError(
                    f"{self.name} does not support {ours}.", f"Leave sampling.{ours} out, or use another server."
                )
        fields: Fields = {}
        for ours, theirs in self.names.items():
            is_off = ours not in given
            if self.always or not is_off:
                fields[theirs] = self.top_k_off if is_off and ours == "top_k" else getattr(sampling, ours)
        return fields


_PENALTY = {"top_k": "top_k", "min_p": "min_p", "repeat_penalty": "repetition_penalty"}
_PLAIN = {"top_k": "top_k", "min_p": "min_p", "repeat_penalty": "repeat_penalty"}
LLAMA_CPP = Dialect("llama.cpp", "llamacpp", _PLAIN, constrain=grammar)
LLAMA_CPP_PYTHON = Dialect("llama-cpp-python", "me", _PLAIN, constrain=grammar)
VLLM = Dialect("vLLM", "vllm", _PENALTY, top_k_off=-1, constrain=structured_outputs)
SGLANG = Dialect("SGLang", "sglang", _PENALTY, top_k_off=-1)
OLLAMA = Dialect("Ollama", "library", {}, always=False)
OTHER = Dialect("the server", "", _PENALTY, always=False, one_build=False)
DIALECTS = (LLAMA_CPP, LLAMA_CPP_PYTHON, VLLM, SGLANG, OLLAMA)


def find_dialect(owner: str | None) -> Dialect:
    """Return the dialect of a server whose models have this owner."""
    return next((dialect for dialect in DIALECTS if dialect.owner == owner), OTHER)


def write_body(dialect: Dialect, model: str, request: GenerateRequest, limit_name: LimitName, logprobs: bool) -> Fields:
    """Return the body of a chat completion request."""
    sampling = request.sampling
    body: Fields = {
        "model": model,
        "messages": [{"role": message.role, "content": message.content} for message in request.messages],
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "seed": request.seed,
        limit_name: sampling.max_tokens,
        **dialect.options(sampling),
    }
    if dialect is LLAMA_CPP:
        body |= _in_our_order(sampling)
    if request.choices:
        body |= dialect.constrain(request.choices) | {limit_name: _room(request.choices)}
    elif sampling.stop:
        body["stop"] = list(sampling.stop)
    return body | ({"logprobs": True, "top_logprobs": 1} if logprobs else {})


def _in_our_order(sampling: Sampling) -> Fields:
    """Return llama.cpp's fields for the order of transformers and vLLM, which apply the temperature first.

    By default llama.cpp applies it last and penalizes repeats of the last 64 tokens only.
    """
    fields: Fields = {"samplers": ["penalties", "temperature", "top_k", "top_p", "min_p"]}
    return fields | ({"repeat_last_n": 1 << 16} if sampling.repeat_penalty != 1.0 else {})


def _room(choices: Sequence[str]) -> int:
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
