"""Sleep, waking and weights of a running vLLM, by the endpoints of its development mode.

POST /sleep?level=1       weights into main memory, KV cache dropped
POST /wake_up             weights back
POST /collective_rpc      `reload_weights` with the path of a model's folder
POST /reset_prefix_cache  drop cached prompts of the earlier weights
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from backends.openai.client import Client
from society.core.errors import BackendError, InputError, TransientError

FLAGS = "Start it with VLLM_SERVER_DEV_MODE=1, --enable-sleep-mode and, for adapters, --enable-lora."


class Control:
    """Commands to the server that `client` is connected to."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def sleep(self) -> None:
        """Free the memory of the device. No request may be in flight."""
        await self._post("/sleep?level=1")

    async def wake(self) -> None:
        """Load the weights into the device again."""
        await self._post("/wake_up")

    async def read_weights(self, folder: Path) -> None:
        """Put the weights in `folder` in place of those of the server."""
        await self._post("/collective_rpc", {"method": "reload_weights", "kwargs": {"weights_path": str(folder)}})
        await self._post("/reset_prefix_cache")

    async def _post(self, path: str, body: dict[str, Any] | None = None) -> None:
        try:
            await self._client.send("POST", self._client.root + path, body)
        except TransientError as error:
            raise BackendError(error.cause, "Look into the server's log.") from None
        except BackendError as error:
            raise InputError(f"vLLM at {self._client.url} cannot do {path}: {error.cause}", FLAGS) from None
