"""Start, sleep, waking and weights of SGLang (read in the code of version 0.5.23).

GET  /model_info                 the folder of the weights that the server holds now
GET  /server_info                its version and options
POST /flush_cache                drop the KV cache, once no request is in flight
POST /release_memory_occupation  weights into main memory, KV cache dropped
POST /resume_memory_occupation   weights back
POST /update_weights_from_disk   the weights in a model's folder, and drop the KV cache
"""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import ClassVar

from backends.openai import dialects
from backends.openai.client import Client
from backends.openai.served import Served
from backends.openai.wire import Answer
from backends.serving.config import Serving
from backends.serving.engine import ADAPTERS, NAME, RANK, Engine, write_template
from society.core.child_modules import module_command
from society.core.errors import BackendError, InputError, MissingExtraError, TransientError
from society.core.pip_command import pip

IDLE_SECONDS = 60
"""Maximum seconds until the server has cleared the last reply away: it may not sleep before."""

KEPT = 32
"""Maximum number of adapters in the memory of a server that the backend starts."""


class _ModelInfo(Answer):
    """SGLang's response of /model_info."""

    model_path: str


class _ServerInfo(Answer):
    """SGLang's response of /server_info."""

    version: str | None = None
    enable_memory_saver: bool = False
    enable_weights_cpu_backup: bool = False


class SGLangEngine(Engine):
    """The server `sglang serve`."""

    dialect = dialects.SGLANG
    tokens: ClassVar = {"return_output_ids_in_sglext": True}
    start = "sglang serve --model-path"
    flags = (
        "On a GPU, it needs --enable-memory-saver and --enable-weights-cpu-backup; for adapters --enable-lora, "
        f"--max-lora-rank {RANK} and --lora-target-modules all."
    )

    def find_program(self) -> list[str]:
        if importlib.util.find_spec("sglang") is not None:
            return module_command("sglang.launch_server")
        if (program := shutil.which("sglang")) is not None:
            return [program, "serve"]
        raise MissingExtraError(
            "The sglang backend",
            "SGLang (the command `sglang`)",
            remedy=f"Install it ({pip('install sglang')}), give the `url` of a running server, or use the backend hf.",
        )

    def options(self, config: Serving, folder: Path, port: int, place: Path) -> list[str]:
        from backends.hf.loading import pick_device

        found = ["--model-path", str(folder), "--host", "127.0.0.1", "--port", str(port)]
        found += ["--served-model-name", NAME, "--max-running-requests", str(config.batch)]
        found += ["--enable-lora", "--max-lora-rank", str(RANK), "--lora-target-modules", "all"]
        # The base counts as an adapter. Those that are not loaded any more are loaded again for a request.
        found += ["--max-loras-per-batch", str(ADAPTERS + 1), "--max-loaded-loras", str(KEPT)]
        found.append("--enable-metrics")  # the length of the queue
        found += ["--sampling-defaults", "openai"]  # the scenario's options alone, not the defaults of the model
        if pick_device(config.device) == "cpu":
            found += ["--device", "cpu"]
        else:
            found += ["--enable-memory-saver", "--enable-weights-cpu-backup"]
        found += ["--dtype", config.dtype]
        if config.gpus > 1:
            found += ["--tp-size", str(config.gpus)]
        if config.gpu_share is not None:
            found += ["--mem-fraction-static", str(config.gpu_share)]
        if config.context is not None:
            found += ["--context-length", str(config.context)]
        if (template := write_template(config, place)) is not None:
            found += ["--chat-template", str(template)]
        return found

    async def describe(self, client: Client, served: Served) -> tuple[str | None, str | None]:
        try:
            info = await client.get(f"{client.root}/model_info", _ModelInfo)
            return info.model_path, (await self._options(client)).version
        except TransientError:
            raise
        except BackendError as error:
            raise InputError(
                f"SGLang at {client.url} does not say which weights it holds: {error.cause}",
                "Use a version that has the pages /model_info and /server_info, such as 0.5.23.",
            ) from None

    async def sleep(self, client: Client) -> None:
        await self.post(client, f"/flush_cache?timeout={IDLE_SECONDS}")
        await self.post(client, "/release_memory_occupation", {})

    async def wake(self, client: Client, folder: Path) -> None:
        await self.post(client, "/resume_memory_occupation", {})
        options = await self._options(client)
        if options.enable_memory_saver and not options.enable_weights_cpu_backup:
            await self.read_weights(client, folder)  # such a server has dropped its weights

    async def read_weights(self, client: Client, folder: Path) -> None:
        await self.post(client, "/update_weights_from_disk", {"model_path": str(folder)})

    async def _options(self, client: Client) -> _ServerInfo:
        return await client.get(f"{client.root}/server_info", _ServerInfo)
