"""A program that behaves as `vllm serve` does (vLLM 0.32, read and run by hand on a CPU), with a model of three words.

What it says depends on the contents of its weights, of the adapter, on the prompt and on the seed. It writes what it
was asked into the file that FAKE_VLLM_EVENTS names, a JSON line each.

    python -m tests.backends.vllm.fake serve FOLDER ...
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

WORDS = ("red", "green", "blue")
Answer = tuple[int, Any]


def digest(folder: Path) -> str:
    """Return a hash of the weights in a folder."""
    files = sorted(folder.glob("*.safetensors"))
    assert files, f"no weights in {folder}"
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def as_events(whole: dict[str, Any]) -> bytes:
    """Return a completion as a stream of one part for each letter, with the token ids in the last one."""
    choice = dict(whole["choices"][0])
    text = choice.pop("message")["content"]
    parts = [{"choices": [{"index": 0, "delta": {"content": letter}, "token_ids": []}]} for letter in text]
    parts += [{"choices": [{"index": 0, "delta": {}, **choice}]}, {"choices": [], "usage": whole["usage"]}]
    return "".join(f"data: {json.dumps(part)}\n\n" for part in parts).encode() + b"data: [DONE]\n\n"


class Engine:
    """The state of the server: its weights, its adapters, and whether it sleeps."""

    def __init__(self, options: argparse.Namespace) -> None:
        from tokenizers import Tokenizer

        self.options = options
        self.weights = digest(Path(options.folder))
        self.adapters: dict[str, str] = {}
        self.asleep = False
        self.busy = 0
        self.tokenizer = Tokenizer.from_file(str(Path(options.folder) / "tokenizer.json"))
        self.dev = os.environ.get("VLLM_SERVER_DEV_MODE") == "1"
        self.updates = os.environ.get("VLLM_ALLOW_RUNTIME_LORA_UPDATING") == "True"
        self.routes = {
            "GET /v1/models": self.models,
            "POST /v1/chat/completions": self.chat,
            "POST /v1/load_lora_adapter": self.load,
            "POST /tokenize": self.tokenize,
            "POST /detokenize": lambda body: (200, {"prompt": self.tokenizer.decode(body["tokens"])}),
        }
        if self.dev:
            self.routes |= {
                "POST /sleep": self.sleep,
                "POST /wake_up": self.wake,
                "POST /collective_rpc": self.call,
                "POST /reset_prefix_cache": lambda body: (200, None),
            }

    def models(self, body: Any) -> Answer:
        base = {"id": self.options.served_model_name, "owned_by": "vllm", "root": self.options.folder}
        data = [base | {"max_model_len": 256}, *({"id": name, "owned_by": "vllm"} for name in self.adapters)]
        return 200, {"object": "list", "data": data}

    def tokenize(self, body: Any) -> Answer:
        text = "".join(f"<|{message['role']}|> {message['content']}" for message in body["messages"])
        return 200, {"tokens": self.tokenizer.encode(text).ids, "max_model_len": 256}

    def chat(self, body: Any) -> Answer:
        name = body["model"]
        if self.asleep:
            return 500, {"error": {"message": "the engine sleeps"}}
        if name != self.options.served_model_name and name not in self.adapters:
            return 404, {"error": {"message": f"The model `{name}` does not exist."}}
        self.busy += 1
        time.sleep(0.002)
        seed = json.dumps([self.weights, self.adapters.get(name), body["messages"], body["seed"]])
        drawn = int(hashlib.sha256(seed.encode()).hexdigest(), 16)
        words = (body.get("structured_outputs") or {}).get("choice") or WORDS
        text = words[drawn % len(words)]
        end = self.tokenizer.token_to_id("<|end|>")
        ids = [*self.tokenizer.encode(text, add_special_tokens=False).ids, end]
        choice = {"message": {"role": "assistant", "content": text}, "finish_reason": "stop", "stop_reason": None}
        if body.get("return_token_ids"):
            choice["token_ids"] = ids
        if body.get("logprobs"):
            choice["logprobs"] = {"content": [{"token": text, "logprob": -1.0}, {"token": "", "logprob": -0.5}]}
        self.note(event="chat", model=name, weights=self.weights)
        self.busy -= 1
        whole = {"choices": [choice], "usage": {"prompt_tokens": 9, "completion_tokens": len(ids)}}
        return 200, as_events(whole) if body.get("stream") else whole

    def load(self, body: Any) -> Answer:
        folder = Path(body["lora_path"])
        if not self.updates or not self.options.enable_lora:
            return 404, {"detail": "Not Found"}
        if body["lora_name"] in self.adapters:
            return 400, {"error": {"message": f"The lora adapter {body['lora_name']} has already been loaded."}}
        rank = json.loads((folder / "adapter_config.json").read_text())["r"]
        if rank > self.options.max_lora_rank:
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

    @staticmethod
    def note(**event: Any) -> None:
        with Path(os.environ["FAKE_VLLM_EVENTS"]).open("a") as file:
            file.write(json.dumps(event) + "\n")


def serve(engine: Engine) -> None:
    """Answer requests until the process is ended."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            path, size = self.path.partition("?")[0], int(self.headers.get("content-length") or 0)
            data = self.rfile.read(size)
            if path == "/health":
                status, body = 200, None
            elif (route := engine.routes.get(f"{self.command} {path}")) is None:
                status, body = 404, {"detail": "Not Found"}
            else:
                status, body = route(json.loads(data) if data else {})
            sent = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        do_GET = do_POST = answer  # noqa: N815 - names of the library

        def log_message(self, *_: Any) -> None:
            pass

    ThreadingHTTPServer((engine.options.host, engine.options.port), Handler).serve_forever()


def main() -> None:
    """Read the options of `vllm serve` that the backend gives; an unknown one ends the program, as it does vLLM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["serve"])
    parser.add_argument("folder")
    parser.add_argument("--enable-lora", action="store_true")
    parser.add_argument("--enable-sleep-mode", action="store_true")
    for name in ("--host", "--served-model-name", "--generation-config", "--dtype", "--chat-template"):
        parser.add_argument(name)
    for name in ("--port", "--max-lora-rank", "--max-num-seqs", "--max-model-len"):
        parser.add_argument(name, type=int)
    parser.add_argument("--gpu-memory-utilization", type=float)
    options = parser.parse_args()
    if options.enable_sleep_mode and os.environ.get("FAKE_VLLM_DEVICE", "cpu") == "cpu":
        sys.exit("ValueError: Sleep mode is not supported on current platform.")
    if os.environ.get("FAKE_VLLM_FAILS"):
        sys.exit("RuntimeError: no device has enough memory")
    serve(Engine(options))


if __name__ == "__main__":
    main()
