"""Fake servers, faithful to what each kind documents: what it passes on to its model, ignores, refuses and returns.

Sources are the public documentation and code of Ollama, LM Studio, vLLM, SGLang, OpenAI, OpenRouter, Together,
DashScope, Mistral and text-generation-inference in 2026. llama.cpp's server and llama-cpp-python's are tested as they
are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

from tests.backends.openai.brain import STANDARD, Brain, Said, asked_for
from tests.faults.proxy import HttpServer, Request, reply

PENALTY = {"top_k": "top_k", "min_p": "min_p", "repetition_penalty": "repeat_penalty"}
DIGEST = "sha256:4f5e0b1c"


class FakeServer(HttpServer):
    """A server with one model. Subclasses say what it accepts; unknown fields are ignored, as by most servers."""

    owner = "someone"
    names: ClassVar[dict[str, str]] = STANDARD
    reasoning = "reasoning_content"
    """The name of thoughts in a message; "" for raw tags in the content."""
    counts = True
    thinks = True
    """Whether the model thinks unless it is asked not to."""

    def __init__(self) -> None:
        super().__init__(self._respond)
        self.brain = Brain()
        self.routes: dict[str, Callable[[Any], bytes]] = {"/v1/models": self.list_models}

    async def _respond(self, request: Request) -> bytes:
        body = json.loads(request.body) if request.body else {}
        if request.path == "/v1/chat/completions":
            return self.chat(body)
        route = self.routes.get(request.path)
        return route(body) if route else reply({"detail": "Not Found"}, 404)

    def list_models(self, body: Any) -> bytes:
        return reply({"object": "list", "data": [{"id": "m", "owned_by": self.owner, **self.entry()}]})

    def entry(self) -> dict[str, Any]:
        return {}

    def chat(self, body: dict[str, Any]) -> bytes:
        if (refused := self.refuse(body)) is not None:
            return refused
        asked = asked_for(body, self.names, **self.read_thinking(body), choices=self.read_choices(body))
        whole = self.write(self.brain.reply(asked), body)
        return as_events(whole) if body.get("stream") else reply(whole)

    def refuse(self, body: dict[str, Any]) -> bytes | None:
        return None

    def read_thinking(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return what the model is asked: the variables of its chat template, on the servers that have them."""
        variables = body.get("chat_template_kwargs") or {}
        found: dict[str, Any] = {"thinking": variables.get("enable_thinking", self.thinks)}
        return found | ({"effort": variables["reasoning_effort"]} if "reasoning_effort" in variables else {})

    def read_choices(self, body: dict[str, Any]) -> tuple[str, ...]:
        schema = ((body.get("response_format") or {}).get("json_schema") or {}).get("schema")
        return _from_schema(schema)

    def write(self, said: Said, body: dict[str, Any]) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": said.text}
        if body.get("response_format") and said.text:
            message["content"] = json.dumps({"choice": said.text})
        if said.thought and self.reasoning:
            message |= {self.reasoning: said.thought, "content": message["content"] or None}
        elif said.thought:
            closed = f"</think>\n\n{message['content']}" if said.text else ""
            message["content"] = f"<think>\n{said.thought}\n{closed}"
        usage = {"prompt_tokens": said.prompt, "completion_tokens": len(said.tokens)} if self.counts else None
        return {"choices": [{"message": message, "finish_reason": said.finish}], "usage": usage}


def as_events(whole: dict[str, Any]) -> bytes:
    """Return a completion as a stream: its texts in words, then the rest, then the counts."""
    choice = dict(whole["choices"][0])
    message, finish = choice.pop("message"), choice.pop("finish_reason")
    deltas: list[dict[str, Any]] = [{"role": "assistant"}]
    for name, said in message.items():
        if name != "role" and said is not None:
            whole_parts = [[part] for part in said] if isinstance(said, list) else re.findall(r"\s*\S+|\s+$", said)
            deltas += [{name: part} for part in whole_parts]
    parts = [{"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    parts += [{"choices": [{"index": 0, "delta": {}, "finish_reason": finish, **choice}]}]
    parts += [{"choices": [], "usage": whole["usage"]}]
    lines = [*(f"data: {json.dumps(part)}\n\n" for part in parts), "data: [DONE]\n\n"]
    return reply("".join(lines).encode(), Content_Type="text/event-stream")


def as_lines(answer: dict[str, Any]) -> bytes:
    """Return a reply of Ollama as it streams: a line of JSON for each word, and a last one with the counts."""
    parts = [
        {"message": {"role": "assistant", "content": "", name: word}, "done": False}
        for name in ("thinking", "content")
        for word in re.findall(r"\s*\S+|\s+$", answer["message"].get(name, ""))
    ]
    last = answer | {"message": {"role": "assistant", "content": ""}}
    return reply("".join(json.dumps(part) + "\n" for part in (*parts, last)).encode())


def _from_schema(schema: Any) -> tuple[str, ...]:
    return tuple(((schema or {}).get("properties") or {}).get("choice", {}).get("enum", ()))


class FakeOllama(FakeServer):
    """Ollama 0.40: its OpenAI-compatible endpoint ignores top_k, min_p and penalties; its own has all options."""

    owner = "unsloth"
    model = "hf.co/unsloth/x:Q4"
    can_think = True
    default_context = 4096

    def __init__(self) -> None:
        super().__init__()
        self.routes |= {
            "/api/version": lambda body: reply({"version": "0.40.12"}),
            "/api/tags": lambda body: reply({"models": [{"name": self.model, "model": self.model, "digest": DIGEST}]}),
            "/api/show": self.show,
            "/api/chat": self.native,
        }

    def list_models(self, body: Any) -> bytes:
        return reply({"data": [{"id": self.model, "owned_by": self.owner}]})

    def show(self, body: Any) -> bytes:
        able = ["completion", "thinking"] if self.can_think else ["completion"]
        return reply({"capabilities": able, "model_info": {"qwen3.context_length": 40960}})

    def native(self, body: dict[str, Any]) -> bytes:
        options, think = body.get("options") or {}, body.get("think")
        if think and not self.can_think:
            return reply({"error": f'"{self.model}" does not support thinking'}, 400)
        context = options.get("num_ctx", self.default_context)
        if sum(len(message["content"]) for message in body["messages"]) // 4 > context and body["truncate"] is False:
            return reply({"error": "the input length exceeds the context length"}, 400)
        names = STANDARD | {"num_predict": "max_tokens", "num_ctx": "context", "repeat_penalty": "repeat_penalty"}
        names |= {"top_k": "top_k", "min_p": "min_p"}
        thinking = self.can_think and think is not False
        effort = think if isinstance(think, str) else "medium"
        choices = _from_schema(body.get("format"))
        said = self.brain.reply(asked_for(options, names, thinking=thinking, effort=effort, choices=choices))
        text = json.dumps({"choice": said.text}) if body.get("format") and said.text else said.text
        message = {"role": "assistant", "content": text} | ({"thinking": said.thought} if said.thought else {})
        answer = {"message": message, "done": True, "done_reason": said.finish}
        answer |= {"prompt_eval_count": said.prompt, "eval_count": len(said.tokens)}
        return as_lines(answer) if body.get("stream") else reply(answer)


class FakeLMStudio(FakeServer):
    """LM Studio 0.4: no min_p, no template variables; a reasoning effort switches thinking; thoughts are counted."""

    owner = "organization_owner"
    names: ClassVar[dict[str, str]] = STANDARD | {"top_k": "top_k", "repeat_penalty": "repeat_penalty"}

    def __init__(self) -> None:
        super().__init__()
        loaded = {"id": "m", "arch": "qwen3", "quantization": "Q4_K_M", "loaded_context_length": 4096}
        self.routes["/api/v0/models"] = lambda body: reply({"data": [loaded]})

    def read_thinking(self, body: dict[str, Any]) -> dict[str, Any]:
        effort = body.get("reasoning_effort", "medium")
        return {"thinking": effort != "none" and "response_format" not in body, "effort": effort}

    def write(self, said: Said, body: dict[str, Any]) -> dict[str, Any]:
        answer = super().write(said, body)
        answer["usage"]["completion_tokens_details"] = {"reasoning_tokens": said.thought_tokens}
        return answer


class FakeVLLM(FakeServer):
    """vLLM 0.32 with a reasoning parser: `reasoning`, template variables, structured outputs, stop reasons."""

    owner = "vllm"
    names: ClassVar[dict[str, str]] = STANDARD | PENALTY | {"thinking_token_budget": "budget"}
    reasoning = "reasoning"
    budgets = True

    def __init__(self) -> None:
        super().__init__()
        self.routes |= {"/tokenize": self.tokenize, "/detokenize": self.detokenize}

    def entry(self) -> dict[str, Any]:
        return {"max_model_len": 4096, "root": "/models/m"}

    def tokenize(self, body: dict[str, Any]) -> bytes:
        read = self.read_thinking(body)
        tokens = [*range(12), *([98, 99] if read["thinking"] else []), *map(ord, read.get("effort", ""))]
        return reply({"count": len(tokens), "tokens": tokens})

    def detokenize(self, body: dict[str, Any]) -> bytes:
        opening = "<think>\n" if 98 in body["tokens"] else ""
        return reply({"prompt": f"{body['tokens']} assistant\n{opening}"})

    def refuse(self, body: dict[str, Any]) -> bytes | None:
        if body.get("thinking_token_budget") is not None and not self.budgets:
            return reply({"error": {"message": "thinking_token_budget is set but reasoning_config is not"}}, 400)
        return None

    def read_choices(self, body: dict[str, Any]) -> tuple[str, ...]:
        return tuple((body.get("structured_outputs") or {}).get("choice", ()))

    def write(self, said: Said, body: dict[str, Any]) -> dict[str, Any]:
        answer = super().write(said, body)
        answer["choices"][0]["stop_reason"] = said.matched
        return answer


class FakeOldVLLM(FakeVLLM):
    """vLLM 0.9 without a reasoning parser: prompts that open a thought, guided decoding, no budgets."""

    names: ClassVar[dict[str, str]] = STANDARD | PENALTY
    reasoning = ""

    def read_choices(self, body: dict[str, Any]) -> tuple[str, ...]:
        return tuple(body.get("guided_choice") or ())

    def write(self, said: Said, body: dict[str, Any]) -> dict[str, Any]:
        answer = super().write(said, body)
        message = answer["choices"][0]["message"]
        message["content"] = message["content"].removeprefix("<think>\n")
        return answer


class FakeSGLang(FakeServer):
    """SGLang: `reasoning_content`, budgets only with strict thinking, `matched_stop`."""

    owner = "sglang"
    names: ClassVar[dict[str, str]] = STANDARD | PENALTY
    strict = True

    def entry(self) -> dict[str, Any]:
        return {"max_model_len": 4096, "root": "/models/m"}

    def read_thinking(self, body: dict[str, Any]) -> dict[str, Any]:
        budget = (body.get("custom_params") or {}).get("thinking_budget") if self.strict else None
        return super().read_thinking(body) | {"budget": budget}

    def write(self, said: Said, body: dict[str, Any]) -> dict[str, Any]:
        answer = super().write(said, body)
        answer["choices"][0]["matched_stop"] = said.matched or 151645
        return answer


class FakeOpenAI(FakeServer):
    """OpenAI's reasoning models: unknown fields are errors, thoughts are hidden, `max_completion_tokens`."""

    owner = "system"
    names: ClassVar[dict[str, str]] = {
        **{n: n for n in ("temperature", "top_p", "seed", "stop")},
        "max_completion_tokens": "max_tokens",
    }
    known: ClassVar[frozenset[str]] = frozenset(
        {*names, "model", "messages", "max_tokens", "logprobs", "top_logprobs", "response_format", "reasoning_effort"}
        | {"stream", "stream_options"}
    )

    def refuse(self, body: dict[str, Any]) -> bytes | None:
        if unknown := sorted(set(body) - self.known):
            return reply({"error": {"message": f"Unrecognized request argument supplied: {unknown[0]}"}}, 400)
        if "max_tokens" in body:
            message = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
            return reply({"error": {"message": message, "code": "unsupported_parameter"}}, 400)
        if body.get("logprobs"):
            return reply({"error": {"message": "You are not allowed to request logprobs from this model."}}, 403)
        return None

    def read_thinking(self, body: dict[str, Any]) -> dict[str, Any]:
        effort = body.get("reasoning_effort", "medium")
        return {"thinking": effort != "none", "effort": effort}

    def write(self, said: Said, body: dict[str, Any]) -> dict[str, Any]:
        answer = super().write(replace(said, thought=""), body)
        answer["usage"]["completion_tokens_details"] = {"reasoning_tokens": said.thought_tokens}
        return answer


class FakeOpenRouter(FakeServer):
    """OpenRouter: drops options that the provider lacks, unless they are required; errors within status 200."""

    names: ClassVar[dict[str, str]] = STANDARD | {"top_k": "top_k", "repetition_penalty": "repeat_penalty"}
    reasoning = "reasoning"
    accepted: ClassVar[frozenset[str]] = frozenset(
        {*names, "model", "messages", "reasoning", "provider", "response_format", "stream", "stream_options"}
    )

    def refuse(self, body: dict[str, Any]) -> bytes | None:
        if (body.get("provider") or {}).get("require_parameters") and set(body) - self.accepted:
            message = "No endpoints found that can handle the requested parameters."
            return reply({"error": {"code": 404, "message": message}}, 404)
        return None

    def read_thinking(self, body: dict[str, Any]) -> dict[str, Any]:
        reasoning = body.get("reasoning") or {}
        effort = reasoning.get("effort", "medium")
        return {"thinking": reasoning.get("enabled", True), "budget": reasoning.get("max_tokens"), "effort": effort}


class FakeTogether(FakeServer):
    """A hosted service like Together: more sampling options, `reasoning`, raw tags, JSON objects with a schema."""

    names: ClassVar[dict[str, str]] = STANDARD | PENALTY
    reasoning = ""

    def read_thinking(self, body: dict[str, Any]) -> dict[str, Any]:
        return {"thinking": (body.get("reasoning") or {}).get("enabled", True)}

    def read_choices(self, body: dict[str, Any]) -> tuple[str, ...]:
        wanted = body.get("response_format") or {}
        return _from_schema(wanted.get("schema")) if wanted.get("type") == "json_object" else ()


class FakeDashScope(FakeServer):
    """A hosted service like DashScope: only streams, no min_p or penalty, thinking beside the messages."""

    names: ClassVar[dict[str, str]] = STANDARD | {"top_k": "top_k", "thinking_budget": "budget"}

    def refuse(self, body: dict[str, Any]) -> bytes | None:
        if not body.get("stream"):
            message = "This model only support stream mode, please enable the stream parameter to access the model."
            return reply({"error": {"message": message}}, 400)
        return None

    def read_thinking(self, body: dict[str, Any]) -> dict[str, Any]:
        return {"thinking": body.get("enable_thinking", True)}


class FakeMistral(FakeServer):
    """A hosted service like Mistral: strict fields, `random_seed`, thoughts as parts of the content."""

    names: ClassVar[dict[str, str]] = {
        **{n: n for n in ("temperature", "top_p", "max_tokens", "stop")},
        "random_seed": "seed",
    }
    known: ClassVar[frozenset[str]] = frozenset({*names, "model", "messages", "response_format", "reasoning_effort"})

    def refuse(self, body: dict[str, Any]) -> bytes | None:
        if unknown := sorted(set(body) - self.known):
            detail = [
                {"type": "extra_forbidden", "loc": ["body", unknown[-1]], "msg": "Extra inputs are not permitted"}
            ]
            return reply({"detail": detail}, 422)
        return None

    def read_thinking(self, body: dict[str, Any]) -> dict[str, Any]:
        effort = body.get("reasoning_effort", "medium")
        return {"thinking": effort != "none", "effort": effort}

    def write(self, said: Said, body: dict[str, Any]) -> dict[str, Any]:
        answer = super().write(replace(said, thought=""), body)
        message = answer["choices"][0]["message"]
        if said.thought:
            thinking = {"type": "thinking", "thinking": [{"type": "text", "text": said.thought}]}
            message["content"] = [thinking, {"type": "text", "text": message["content"]}]
        return answer


class FakeTGI(FakeServer):
    """text-generation-inference: ignores top_k, min_p and penalties beside OpenAI's; `eos_token`; no thoughts."""

    reasoning = ""
    thinks = False

    def read_thinking(self, body: dict[str, Any]) -> dict[str, Any]:
        return {"thinking": False}

    def write(self, said: Said, body: dict[str, Any]) -> dict[str, Any]:
        answer = super().write(said, body)
        if said.finish == "stop":
            answer["choices"][0]["finish_reason"] = "eos_token"
        return answer


class FakeGateway(FakeServer):
    """A gateway that counts no tokens."""

    counts = False
    thinks = False


EVERY = (
    FakeOllama,
    FakeLMStudio,
    FakeVLLM,
    FakeOldVLLM,
    FakeSGLang,
    FakeOpenAI,
    FakeOpenRouter,
    FakeTogether,
    FakeDashScope,
    FakeMistral,
    FakeTGI,
    FakeGateway,
)
