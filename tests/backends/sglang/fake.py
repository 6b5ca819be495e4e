"""A program that behaves as the code of `sglang serve` says (SGLang 0.5.23). It was not compared with a real server.

python -m tests.backends.sglang.fake serve --model-path FOLDER ...
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from tests.backends.serving.fakes import LOGPROBS, WORDS, Answer, FakeEngine, as_events, digest, parse, serve


class SGLangServer(FakeEngine):
    """SGLang: its name for the model follows the weights, and it forgets them asleep unless they are backed up."""

    def __init__(self, options: argparse.Namespace, folder: str) -> None:
        super().__init__(options, folder)
        self.name = options.served_model_name or folder
        self.known: dict[str, Path] = {}
        self.routes = {
            "GET /v1/models": self.models,
            "GET /model_info": lambda body: (200, {"model_path": self.folder, "served_model_name": self.name}),
            "GET /server_info": self.info,
            "POST /v1/chat/completions": self.chat,
            "POST /tokenize": self.tokenize,
            "POST /detokenize": self.detokenize,
            "POST /load_lora_adapter": self.load,
            "POST /flush_cache": lambda body: (400, b"not idle") if self.busy else (200, b"Cache flushed."),
            "POST /release_memory_occupation": self.sleep,
            "POST /resume_memory_occupation": self.wake,
            "POST /update_weights_from_disk": self.update,
        }

    def models(self, body: Any) -> Answer:
        base = {"id": self.name, "owned_by": "sglang", "root": self.name, "parent": None, "max_model_len": 256}
        loaded = [
            {
                "id": name,
                "owned_by": "sglang",
                "root": str(self.known[name]),
                "parent": self.name,
                "max_model_len": None,
            }
            for name in self.adapters
        ]
        return 200, {"object": "list", "data": [base, *loaded]}

    def info(self, body: Any) -> Answer:
        names = ("enable_memory_saver", "enable_weights_cpu_backup")
        return 200, {"version": "0.5.23", **{name: getattr(self.options, name) for name in names}}

    def detokenize(self, body: Any) -> Answer:
        text = self.tokenizer.decode(body["tokens"], skip_special_tokens=body.get("skip_special_tokens", True))
        return 200, {"text": text}

    def chat(self, body: Any) -> Answer:
        if self.asleep:
            return 500, {"error": {"message": "the engine sleeps"}}
        adapter = body["model"].partition(":")[2] or body.get("lora_path")  # the base's own name is not checked
        if adapter is not None and adapter not in self.known:
            message = f"Got LoRA adapter that has never been loaded: {adapter}"
            return 400, {"object": "error", "message": message, "type": "BadRequestError", "code": 400}
        if body.get("stream") and body.get("return_token_ids"):
            return 400, {"object": "error", "message": "return_token_ids is not supported with streaming", "code": 400}
        form = body.get("response_format") or {}
        if adapter is not None and adapter not in self.adapters:
            self.load({"lora_name": adapter, "lora_path": str(self.known[adapter])})
        words = form["json_schema"]["schema"]["properties"]["choice"]["enum"] if form else WORDS
        text, ids = self.draw(body, self.adapters.get(adapter or ""), words)
        shown = json.dumps({"choice": text}) if form else text
        choice: dict[str, Any] = {"index": 0, "finish_reason": "stop", "matched_stop": ids[-1]}
        if body.get("logprobs"):
            choice["logprobs"] = LOGPROBS
        more = {"sglext": {"output_ids": [ids]}} if body.get("return_output_ids_in_sglext") else {}
        self.note(event="chat", adapter=adapter, weights=self.weights)
        usage = {"prompt_tokens": 9, "completion_tokens": len(ids), "total_tokens": 9 + len(ids)}
        if not body.get("stream"):
            choice["message"] = {"role": "assistant", "content": shown, "reasoning_content": None}
            return 200, {"model": body["model"], "choices": [choice], "usage": usage, **more}
        letters = [{"choices": [{"index": 0, "delta": {"content": letter}}]} for letter in shown]
        end = {"choices": [{"delta": {}, **choice}]}
        return 200, as_events(*letters, end, {"choices": [], "usage": usage, **more})

    def load(self, body: Any) -> Answer:
        name, folder = body["lora_name"], Path(body["lora_path"])
        refused = ""
        if not self.options.enable_lora:
            refused = "LoRA is not enabled. Please set `--enable-lora` to enable LoRA."
        elif name in self.adapters:
            refused = f"Failed to load LoRA adapter {name} because it is already loaded"
        elif (rank := self.rank(folder)) > self.options.max_lora_rank:
            refused = f"LoRA adapter {name} with rank {rank} is incompatible with the current LoRA memory pool"
        if refused:
            return 400, {"success": False, "error_message": refused, "loaded_adapters": None}
        self.adapters[name], self.known[name] = digest(folder), folder
        while len(self.adapters) > self.options.max_loaded_loras:
            del self.adapters[next(iter(self.adapters))]
        self.note(event="load", name=name)
        return 200, {"success": True, "error_message": None, "loaded_adapters": {}}

    def sleep(self, body: Any) -> Answer:
        self.note(event="sleep", busy=self.busy)
        assert not self.busy
        self.asleep = True
        if self.options.enable_memory_saver and not self.options.enable_weights_cpu_backup:
            self.weights = "forgotten"
        return 200, None

    def wake(self, body: Any) -> Answer:
        assert self.asleep  # the real one ends with a KeyError
        self.note(event="wake")
        self.asleep = False
        return 200, None

    def update(self, body: Any) -> Answer:
        self.folder = self.name = body["model_path"]
        self.weights = digest(Path(self.folder))
        self.note(event="weights", weights=self.weights, busy=self.busy)
        return 200, {"success": True, "message": "Succeeded to update model weights.", "num_paused_requests": 0}


def main() -> None:
    assert sys.argv[1] == "serve"
    options = parse(
        sys.argv[2:],
        ("--enable-lora", "--enable-metrics", "--enable-memory-saver", "--enable-weights-cpu-backup"),
        (
            *("--model-path", "--host", "--served-model-name", "--lora-target-modules", "--sampling-defaults"),
            *("--device", "--dtype", "--chat-template"),
        ),
        (
            "--port",
            "--max-lora-rank",
            "--max-loras-per-batch",
            "--max-loaded-loras",
            "--max-running-requests",
            "--context-length",
            "--mem-fraction-static",
        ),
    )
    if options.enable_lora and not (options.max_lora_rank and options.lora_target_modules):
        sys.exit("AssertionError: you need to specify both --max-lora-rank and --lora-target-modules")
    serve(SGLangServer(options, options.model_path))


if __name__ == "__main__":
    main()
