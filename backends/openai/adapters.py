"""Adapters on the server, each identified by its content hash, so that a name cannot refer to other weights.

vLLM, SGLang     load a PEFT folder on request, under its hash; requests name the hash
llama.cpp        has the GGUF adapters that it was started with; the one with the same contents is switched on

Both read the adapter's files themselves, so server and runner must share a file system. On any server, an adapter that
is served under a name of its own can be the `model` of a backend entry of its own.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from backends.openai.client import Client
from backends.openai.dialects import LLAMA_CPP, SGLANG, VLLM
from backends.openai.served import Served
from society.core.errors import BackendError, InputError, UnavailableError
from society.core.hashing import hash_path
from society.core.types import Adapter

_VLLM = "--enable-lora and VLLM_ALLOW_RUNTIME_LORA_UPDATING=True"
_SGLANG = "--enable-lora, --max-lora-rank and --lora-target-modules all"


class ServerAdapters:
    """The adapters ability. `serve` loads all adapters again on a restarted server."""

    def __init__(self, client: Client, served: Served) -> None:
        self._client = client
        self._served = served
        self._loaded: dict[str, Adapter] = {}
        self._numbers: dict[str, int] = {}  # numbers of llama.cpp's adapters, by hash

    def identify(self, path: Path) -> Adapter:
        """Return the adapter in a file or folder. Its base is not known."""
        return Adapter(hash_path(path), str(path), "")

    async def load(self, adapter: Adapter) -> None:
        """Make `adapter.hash` usable in requests. Raises `InputError` if this server cannot load it."""
        if adapter.hash in self._loaded:
            return
        if self._served.dialect is LLAMA_CPP:
            await self._find(adapter)
        elif self._served.dialect in (SGLANG, VLLM):
            await self._send(adapter)
        else:
            raise InputError(
                f"{self._served.dialect.name} at {self._client.url} loads no adapters.",
                "Serve it under a name of its own, and give that name as `model` of another backend entry.",
            )
        self._loaded[adapter.hash] = adapter

    async def serve(self, served: Served) -> None:
        """Make every adapter usable again on a restarted server."""
        again, self._loaded, self._numbers = list(self._loaded.values()), {}, {}
        self._served = served
        for adapter in again:
            await self.load(adapter)

    def fields(self, adapter: str | None) -> dict[str, Any]:
        """Return the fields of a request that select this adapter.

        llama.cpp applies all its adapters by default, so the request switches the others off.
        """
        if adapter is not None and adapter not in self._loaded:
            raise BackendError(f"The adapter {adapter} is not loaded.", "Load it first, with `adapters.load`.")
        if self._served.dialect is LLAMA_CPP:
            chosen = self._numbers[adapter] if adapter is not None else None
            scales = [{"id": n, "scale": 1.0 if n == chosen else 0.0} for n, _ in self._served.adapters]
            return {"lora": scales} if scales else {}
        name = "lora_path" if self._served.dialect is SGLANG else "model"
        return {name: adapter} if adapter is not None else {}

    async def _find(self, adapter: Adapter) -> None:
        """Find the number of the adapter with these contents among the adapters of llama.cpp's server."""
        for number, name in self._served.adapters:
            if await asyncio.to_thread(_hash, Path(name)) == adapter.hash:
                self._numbers[adapter.hash] = number
                return
        names = ", ".join(name for _, name in self._served.adapters) or "none"
        raise InputError(
            f"The server at {self._client.url} has no adapter with the contents of {adapter.path}; it has: {names}.",
            f"Start it on this machine with --lora {adapter.path}",
        )

    async def _send(self, adapter: Adapter) -> None:
        """Load the adapter on vLLM or SGLang under its hash, unless it is loaded."""
        models = await self._client.list_models()
        if any(entry.id == adapter.hash for entry in models.data):
            return
        body = {"lora_name": adapter.hash, "lora_path": str(Path(adapter.path).resolve())}
        sglang = self._served.dialect is SGLANG
        place = self._client.root if sglang else self._client.url
        try:
            await self._client.command(f"{place}/load_lora_adapter", body)
        except UnavailableError:
            raise
        except BackendError as error:
            if "already" in error.cause:  # another run has just loaded it: the hash is the same
                return
            raise InputError(
                f"{adapter.path} could not be loaded. {error.cause}",
                f"Start {self._served.dialect.name} with {_SGLANG if sglang else _VLLM} where it sees the same files.",
            ) from None


def _hash(path: Path) -> str | None:
    """Return the content hash of a file that the server names; None if this machine does not have it."""
    return hash_path(path) if path.is_file() else None
