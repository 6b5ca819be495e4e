"""Programs that behave as model servers do, with a model of three words.

What they say depends on the contents of the weights, of the adapter, on the prompt and on the seed. They write what
they were asked into the file that FAKE_EVENTS names, a JSON line each.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable
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


def as_events(*parts: dict[str, Any]) -> bytes:
    """Return the parts of a stream."""
    return "".join(f"data: {json.dumps(part)}\n\n" for part in parts).encode() + b"data: [DONE]\n\n"


class FakeEngine:
    """The state of a server: its weights, its adapters, and whether it sleeps."""

    def __init__(self, options: argparse.Namespace, folder: str) -> None:
        from tokenizers import Tokenizer

        self.options = options
        self.folder = folder
        self.weights = digest(Path(folder))
        self.adapters: dict[str, str] = {}
        self.asleep = False
        self.busy = 0
        self.tokenizer = Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))
        self.routes: dict[str, Callable[[Any], Answer]] = {}

    def tokenize(self, body: Any) -> Answer:
        text = "".join(f"<|{message['role']}|> {message['content']}" for message in body["messages"])
        ids = self.tokenizer.encode(text).ids
        return 200, {"tokens": ids, "count": len(ids), "max_model_len": 256}

    def draw(self, body: Any, adapter: str | None, words: tuple[str, ...]) -> tuple[str, list[int]]:
        """Return the reply to a request, and its tokens."""
        self.busy += 1
        time.sleep(0.002)
        seed = json.dumps([self.weights, adapter, body["messages"], body["seed"]])
        text = words[int(hashlib.sha256(seed.encode()).hexdigest(), 16) % len(words)]
        end = self.tokenizer.token_to_id("<|end|>")
        self.busy -= 1
        return text, [*self.tokenizer.encode(text, add_special_tokens=False).ids, end]

    def rank(self, folder: Path) -> int:
        """Return the rank of an adapter."""
        return int(json.loads((folder / "adapter_config.json").read_text())["r"])

    @staticmethod
    def note(**event: Any) -> None:
        with Path(os.environ["FAKE_EVENTS"]).open("a") as file:
            file.write(json.dumps(event) + "\n")


LOGPROBS = {"content": [{"token": "a", "logprob": -1.0}, {"token": "", "logprob": -0.5}]}


def serve(engine: FakeEngine) -> None:
    """Answer requests until the process is ended."""
    if said := os.environ.get("FAKE_FAILS"):
        sys.exit(said)

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


def parse(arguments: list[str], flags: tuple[str, ...], texts: tuple[str, ...], numbers: tuple[str, ...]) -> Any:
    """Return the options of a command; an unknown one ends the program."""
    parser = argparse.ArgumentParser()
    for name in flags:
        parser.add_argument(name, action="store_true")
    for name in texts:
        parser.add_argument(name)
    for name in numbers:
        parser.add_argument(name, type=float if "fraction" in name or "utilization" in name else int)
    return parser.parse_args(arguments)
