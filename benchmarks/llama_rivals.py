"""The ways that our llama.cpp backend is compared with: the naive loop, and llama.cpp's own server.

Both implement our backend seam, so the same engine runs the same debates with each. Also an adapter of the usual size,
and a clock.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import gguf
import httpx
import numpy as np

from backends.base import Backend
from society.core.types import GenerateOutput, GenerateRequest, Usage

SERVER = """
import signal, sys, xllamacpp as xlc
p = xlc.CommonParams()
p.model.path, p.hostnames, p.port = sys.argv[1], ["127.0.0.1"], int(sys.argv[2])
p.n_parallel, p.n_ctx = int(sys.argv[3]), int(sys.argv[3]) * int(sys.argv[4])
p.cpuparams.n_threads = p.cpuparams_batch.n_threads = int(sys.argv[5])
p.n_threads_http, p.verbosity = p.n_parallel + 8, 1
server = xlc.Server(p)
signal.pause()
"""


class Naive(Backend):
    """A loop over llama-cpp-python: one reply after another, one model object per adapter."""

    def __init__(self, model: Path, adapters: list[str], context: int, threads: int) -> None:
        self._options = {"n_ctx": context, "n_threads": threads, "n_threads_batch": threads, "verbose": False}
        self._model, self._adapters = str(model), adapters or [""]

    async def __aenter__(self) -> Naive:
        import llama_cpp

        self.models = {
            path: llama_cpp.Llama(self._model, lora_path=path or None, **self._options) for path in self._adapters
        }
        return self

    async def __aexit__(self, *_: object) -> None:
        for model in self.models.values():
            model.close()

    async def generate(self, request: GenerateRequest) -> GenerateOutput:
        sampling = request.sampling
        reply = self.models[request.adapter or ""].create_chat_completion(
            [{"role": m.role, "content": m.content} for m in request.messages],
            seed=request.seed % 2**31,
            temperature=sampling.temperature,
            top_k=sampling.top_k,
            top_p=1.0,
            min_p=0.0,
            repeat_penalty=1.0,
            max_tokens=sampling.max_tokens,
        )
        used = reply["usage"]
        usage = Usage(used["prompt_tokens"], used["completion_tokens"])
        return GenerateOutput(reply["choices"][0]["message"]["content"], "stop", usage)


class Server(Backend):
    """llama.cpp's own server, started for the measurement."""

    def __init__(self, model: Path, slots: int, context: int, threads: int) -> None:
        self._arguments = [str(model), slots, context, threads]

    async def __aenter__(self) -> Server:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        model, *sizes = self._arguments
        command = [sys.executable, "-c", SERVER, model, port, *sizes]
        self._process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        limits = httpx.Limits(max_connections=None)
        self._client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=1800, limits=limits)
        for _ in range(600):
            try:
                if (await self._client.get("/health")).status_code == 200:
                    return self
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.1)
        raise RuntimeError("The server did not start.")

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()
        self._process.terminate()
        self._process.wait(30)

    async def generate(self, request: GenerateRequest) -> GenerateOutput:
        sampling = request.sampling
        body = {
            "messages": [{"role": m.role, "content": m.content} for m in request.messages],
            "temperature": sampling.temperature,
            "top_k": sampling.top_k,
            "top_p": 1.0,
            "min_p": 0.0,
            "repeat_penalty": 1.0,
            "max_tokens": sampling.max_tokens,
            "seed": request.seed % 2**31,
        }
        reply = (await self._client.post("/v1/chat/completions", json=body)).raise_for_status().json()
        used = reply["usage"]
        cached = used.get("prompt_tokens_details", {}).get("cached_tokens", 0)
        usage = Usage(used["prompt_tokens"], used["completion_tokens"], cached)
        return GenerateOutput(reply["choices"][0]["message"]["content"], "stop", usage)


def write_random_lora(path: Path, model: Path, rank: int, seed: int) -> None:
    """Write a LoRA on every linear layer of a llama model, with the size of a trained one and small values."""
    random = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 2.0 * rank)
    for tensor in gguf.GGUFReader(model).tensors:
        if tensor.name.startswith("blk.") and len(tensor.shape) == 2:
            inside, outside = map(int, tensor.shape)
            for part, shape in (("lora_a", (rank, inside)), ("lora_b", (outside, rank))):
                weights = (random.standard_normal(shape) * 0.002).astype(np.float32)
                writer.add_tensor(f"{tensor.name}.{part}", weights)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


class Clock:
    """Adds up the time inside some methods, over all threads."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._threads: set[int] = set()
        self._lock = threading.Lock()

    def watch(self, owner: type, method: str, name: str) -> None:
        """Count the time inside `owner.method` under `name`."""
        inner = getattr(owner, method)

        def timed(*args: Any, **options: Any) -> Any:
            start = time.perf_counter()
            try:
                return inner(*args, **options)
            finally:
                self._add(name, time.perf_counter() - start)

        setattr(owner, method, timed)

    def _add(self, name: str, seconds: float) -> None:
        with self._lock:
            self.seconds[name] = self.seconds.get(name, 0.0) + seconds
            if name == "decode":
                self._threads.add(threading.get_ident())

    def clear(self) -> None:
        """Start again at zero."""
        self.seconds.clear()
        self._threads.clear()

    def shares(self, seconds: float) -> dict[str, float]:
        """Return the share of this time that each method took per worker, on average."""
        return {name: spent / seconds / len(self._threads) for name, spent in sorted(self.seconds.items())}
