"""A program that behaves as `vllm serve` does (vLLM 0.32, read and run by hand on a CPU).

python -m tests.backends.vllm.fake serve --model FOLDER ...
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from tests.backends.serving.fakes import LOGPROBS, WORDS, Answer, FakeEngine, as_events, digest, parse, serve


class VLLMServer(FakeEngine):
    """vLLM, with its development mode and adapters at run time where the environment says so."""

    def __init__(self, options: argparse.Namespace, folder: str) -> None:
        super().__init__(options, folder)
        self.updates = os.environ.get("VLLM_ALLOW_RUNTIME_LORA_UPDATING") == "True"
        self.routes = {
            "GET /v1/models": self.models,
            "POST /v1/chat/completions": self.chat,
            "POST /v1/load_lora_adapter": self.load,
            "POST /tokenize": self.tokenize,
            "POST /detokenize": lambda body: (200, {"prompt": self.tokenizer.decode(body["tokens"])}),
        }
        if os.environ.get("VLLM_SERVER_DEV_MODE") == "1":
            self.routes |= {
                "POST /sleep": self.sleep,
                "POST /wake_up": self.wake,
                "POST /collective_rpc": self.call,
                "POST /reset_prefix_cache": lambda body: (200, None),
            }

    def models(self, body: Any) -> Answer:
        name = self.options.served_model_name
        base = {"id": name, "owned_by": "vllm", "root": self.folder, "parent": None, "max_model_len": 256}
        loaded = [{"id": adapter, "owned_by": "vllm", "parent": name} for adapter in self.adapters]
        return 200, {"object": "list", "data": [base, *loaded]}

    def chat(self, body: Any) -> Answer:
        name = body["model"]
        if self.asleep:
            return 500, {"error": {"message": "the engine sleeps"}}
        if name != self.options.served_model_name and name not in self.adapters:
            return 404, {"error": {"message": f"The model `{name}` does not exist."}}
        words = (body.get("structured_outputs") or {}).get("choice") or WORDS
        text, ids = self.draw(body, self.adapters.get(name), words)
        choice = {"message": {"role": "assistant", "content": text}, "finish_reason": "stop", "stop_reason": None}
        if body.get("return_token_ids"):
            choice["token_ids"] = ids
        if body.get("logprobs"):
            choice["logprobs"] = LOGPROBS
        adapter = name if name in self.adapters else None
        self.note(event="chat", adapter=adapter, weights=self.weights)
        usage = {"prompt_tokens": 9, "completion_tokens": len(ids)}
        if not body.get("stream"):
            return 200, {"choices": [choice], "usage": usage}
        del choice["message"]
        letters = [{"choices": [{"index": 0, "delta": {"content": letter}, "token_ids": []}]} for letter in text]
        end = {"choices": [{"index": 0, "delta": {}, **choice}]}
        return 200, as_events(*letters, end, {"choices": [], "usage": usage})

    def load(self, body: Any) -> Answer:
        folder = Path(body["lora_path"])
        if not self.updates or not self.options.enable_lora:
            return 404, {"detail": "Not Found"}
        if body["lora_name"] in self.adapters:
            return 400, {"error": {"message": f"The lora adapter {body['lora_name']} has already been loaded."}}
        if (rank := self.rank(folder)) > self.options.max_lora_rank:
            return 400, {"error": {"message": f"LoRA rank {rank} is greater than max_lora_rank"}}
        self.adapters[body["lora_name"]] = digest(folder)
        self.note(event="load", name=body["lora_name"])
        return 200, None

    def sleep(self, body: Any) -> Answer:
        self.note(event="sleep", busy=self.busy)
        self.asleep = True
        return 200, {"status": "sleeping"}

    def wake(self, body: Any) -> Answer:
        self.note(event="wake")
        self.asleep = False
        return 200, {"status": "awake"}

    def call(self, body: Any) -> Answer:
        assert body["method"] == "reload_weights"
        self.weights = digest(Path(body["kwargs"]["weights_path"]))
        self.note(event="weights", weights=self.weights, busy=self.busy)
        return 200, {"results": [None]}


def main() -> None:
    assert sys.argv[1] == "serve"
    options = parse(
        sys.argv[2:],
        ("--enable-lora", "--enable-sleep-mode"),
        ("--model", "--host", "--served-model-name", "--generation-config", "--dtype", "--chat-template"),
        ("--port", "--max-lora-rank", "--max-loras", "--max-num-seqs", "--max-model-len", "--gpu-memory-utilization"),
    )
    if options.enable_sleep_mode and os.environ.get("FAKE_DEVICE", "cpu") == "cpu":
        sys.exit("ValueError: Sleep mode is not supported on current platform.")
    serve(VLLMServer(options, options.model))


if __name__ == "__main__":
    main()
