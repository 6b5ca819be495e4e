"""What each kind of server calls the options that the standard does not have, and what it does when they are left out.

The servers of the first group have sampling defaults of their own (llama.cpp: top_k 40, min_p 0.05; vLLM: whatever the
model's generation_config.json says), so every option is sent to them, also where it is off. Strangers get what is on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from society.core.errors import BackendError
from society.core.types import GenerateRequest, Sampling

LimitName = Literal["max_tokens", "max_completion_tokens"]
Fields = dict[str, Any]


def grammar(choices: Sequence[str]) -> Fields:
    """llama.cpp's own language for what may be said."""
    return {"grammar": "root ::= " + " | ".join(map(_quoted, choices))}


def _quoted(text: str) -> str:
    escaped = re.sub(r'[\x00-\x1f"\\\x7f]', lambda found: f"\\x{ord(found[0]):02X}", text)
    return f'"{escaped}"'


def structured_outputs(choices: Sequence[str]) -> Fields:
    """vLLM's, since 0.12."""
    return {"structured_outputs": {"choice": list(choices)}}


def json_schema(choices: Sequence[str]) -> Fields:
    """The standard's way: an object with one of the choices in it."""
    choice = {"type": "string", "enum": list(choices)}
    schema = {"type": "object", "properties": {"choice": choice}, "required": ["choice"], "additionalProperties": False}
    return {
        "response_format": {"type": "json_schema", "json_schema": {"name": "reply", "strict": True, "schema": schema}}
    }


@dataclass(frozen=True)
class Dialect:
    """One kind of server. `owner` is what its list of models says they are owned by."""

    name: str
    owner: str
    names: Mapping[str, str]  # of our options, in its language; what is not there it does not take
    always: bool = True  # whether options are sent where they are off
    top_k_off: int = 0
    constrain: Callable[[Sequence[str]], Fields] = json_schema
    one_build: bool = True  # whether `system_fingerprint` names what answers, and not where it runs just now

    def options(self, sampling: Sampling) -> Fields:
        """The options beyond the standard's. Raises `BackendError` for one that is on and would be ignored."""
        off = Sampling()
        fields: Fields = {}
        for ours in ("top_k", "min_p", "repeat_penalty"):
            value = getattr(sampling, ours)
            is_off = value == getattr(off, ours)
            if not is_off and ours not in self.names:
                raise BackendError(
                    f"{self.name} takes no {ours}.", f"Leave sampling.{ours} out, or use another server."
                )
            if ours in self.names and (self.always or not is_off):
                fields[self.names[ours]] = self.top_k_off if is_off and ours == "top_k" else value
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
    """The dialect of a server whose models have this owner."""
    return next((dialect for dialect in DIALECTS if dialect.owner == owner), OTHER)


def write_body(dialect: Dialect, model: str, request: GenerateRequest, limit_name: LimitName, logprobs: bool) -> Fields:
    """The body of a chat completion request."""
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
    """Temperature comes first, as in transformers and vLLM. llama.cpp has it last, and looks back 64 tokens."""
    fields: Fields = {"samplers": ["penalties", "temperature", "top_k", "top_p", "min_p"]}
    return fields | ({"repeat_last_n": 1 << 16} if sampling.repeat_penalty != 1.0 else {})


def _room(choices: Sequence[str]) -> int:
    """Tokens in which every choice fits: none is shorter than a byte, and JSON may escape each and adds some."""
    return 2 * max(len(choice.encode("utf-8", "surrogatepass")) for choice in choices) + 32


def read_choice(text: str, choices: Sequence[str]) -> str | None:
    """Which of the choices a reply is, bare or in a JSON object; None where it is none."""
    if text in choices:
        return text
    try:
        data = json.loads(text)
    except ValueError:
        return None
    said = data.get("choice") if isinstance(data, dict) else None
    return said if said in choices else None
