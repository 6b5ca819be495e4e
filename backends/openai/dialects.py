"""Kinds of servers: how each names options, and what it does not support.

Known servers have sampling defaults of their own (llama.cpp: top_k 40, min_p 0.05; vLLM: the model's
generation_config.json), so every option is sent to them, even if it is off. Other servers get only the options that
are on, after `settling` has found out whether they have an effect.

Sources: the documentation of each server, and the code of llama.cpp, llama-cpp-python, vLLM and Ollama (2026).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from backends.base import changed_options
from backends.openai import thinking
from backends.openai.choices import (
    Constrain,
    grammar,
    guided_choice,
    json_object,
    json_schema,
    ollama_format,
    structured_outputs,
)
from backends.openai.thinking import Ways
from society.core.errors import BackendError
from society.core.types import Sampling

Fields = dict[str, Any]
STANDARD = frozenset({"temperature", "top_p", "max_tokens", "stop"})
"""Options of the OpenAI standard, which every server supports."""


@dataclass(frozen=True)
class Dialect:
    """One kind of server."""

    name: str
    owners: frozenset[str] = frozenset()
    """Values of `owned_by` in the server's list of models."""
    host: str = ""
    """The host of a hosted service."""
    names: Mapping[str, str] = field(default_factory=dict)
    """The server's names of our options. Options that are missing here are not supported."""
    guesses: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Names that an option may have on a server whose documentation does not decide it; the first with an effect."""
    always: bool = True
    """Whether options are sent even if they are off."""
    top_k_off: int = 0
    """The value of top_k that switches it off."""
    choices: tuple[Constrain, ...] = (json_schema,)
    """Fields that may restrict a reply to choices; the first that does."""
    thinking: Ways = field(default_factory=Ways)
    """Fields that may control the thinking; the first with an effect."""
    one_build: bool = True
    """Whether `system_fingerprint` identifies the program instead of the machine that answers."""
    tells_end: bool = True
    """Whether `stop` is never the finish reason of a reply that was cut off."""
    fixed: Mapping[str, Any] = field(default_factory=dict)
    """Fields of every request."""
    names_stop: bool = False
    """Whether replies name the stop text that ended them, as `stop_reason` or `matched_stop`."""

    def options(self, sampling: Sampling) -> Fields:
        """Return the options beyond the standard by the server's names. Raises `BackendError` for unsupported ones."""
        given = [name for name in changed_options(sampling) if name not in STANDARD]
        for ours in given:
            if ours not in self.names and ours not in self.guesses:
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
_GUESSES = {
    "top_k": ("top_k",),
    "min_p": ("min_p",),
    "repeat_penalty": ("repetition_penalty", "repeat_penalty"),
}
LLAMA_CPP = Dialect(
    "llama.cpp",
    frozenset({"llamacpp"}),
    names=_PLAIN,
    choices=(grammar,),
    thinking=Ways(
        (thinking.template_switch,),
        (thinking.llama_cpp_budget,),
        (thinking.template_variables,),
        "Old versions of llama-server know no budgets.",
    ),
)
LLAMA_CPP_PYTHON = Dialect("llama-cpp-python", frozenset({"me"}), names=_PLAIN, choices=(grammar,))
VLLM = Dialect(
    "vLLM",
    frozenset({"vllm"}),
    names=_PENALTY,
    top_k_off=-1,
    choices=(structured_outputs, guided_choice),
    thinking=Ways(
        (thinking.template_switch,),
        (thinking.vllm_budget,),
        (thinking.template_variables,),
        "vLLM needs --reasoning-parser for budgets.",
    ),
    names_stop=True,
)
SGLANG = Dialect(
    "SGLang",
    frozenset({"sglang"}),
    names=_PENALTY,
    top_k_off=-1,
    thinking=Ways(
        (thinking.template_switch,),
        (thinking.sglang_budget,),
        (thinking.template_variables,),
        "SGLang needs --enable-strict-thinking for budgets.",
    ),
    names_stop=True,
)
OLLAMA = Dialect(
    "Ollama",
    names=_PLAIN,
    choices=(ollama_format,),
    thinking=Ways((thinking.ollama_switch,), (), (thinking.ollama_level,)),
)
LM_STUDIO = Dialect(
    "LM Studio",
    frozenset({"organization_owner"}),
    names={"top_k": "top_k", "repeat_penalty": "repeat_penalty"},
    always=False,
    thinking=Ways((thinking.effort_switch, thinking.template_switch), (), (thinking.effort_level,)),
)
OPENAI = Dialect(
    "OpenAI",
    host="api.openai.com",
    always=False,
    thinking=Ways((thinking.effort_switch,), (), (thinking.effort_level,)),
    one_build=False,
)
OPENROUTER = Dialect(
    "OpenRouter",
    host="openrouter.ai",
    names=_PENALTY,
    always=False,
    fixed={"provider": {"require_parameters": True}},  # otherwise it drops what a provider lacks
    thinking=Ways((thinking.reasoning_switch,), (thinking.reasoning_budget,), (thinking.reasoning_level,)),
    one_build=False,
    tells_end=False,
)
OTHER = Dialect(
    "the server",
    guesses=_GUESSES,
    always=False,
    choices=(json_schema, guided_choice, structured_outputs, json_object, grammar),
    thinking=thinking.EVERY_WAY,
    one_build=False,
    tells_end=False,
)
DIALECTS = (LLAMA_CPP, LLAMA_CPP_PYTHON, VLLM, SGLANG, LM_STUDIO, OPENAI, OPENROUTER)


def find_dialect(owner: str | None, url: str = "") -> Dialect:
    """Return the dialect of a server at this address whose models have this owner. Ollama has no owner of its own."""
    host = urlsplit(url).hostname or ""
    for dialect in DIALECTS:
        if owner in dialect.owners or (dialect.host and host == dialect.host):
            return dialect
    return OTHER
