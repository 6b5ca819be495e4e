"""Generation by SGLang and training by `hf`, on the same weights: a scenario changes the word `hf` to `sglang`."""

from __future__ import annotations

from typing import Literal

from backends.serving.config import Serving
from backends.serving.engine import Engine


class SGLang(Serving):
    """A model that SGLang serves and `hf` trains. It has the options of `hf`, most of which concern training.

    The backend starts a server of the installed SGLang on loopback, or joins one by `url`. While `hf` trains, the
    server sleeps: its weights are in main memory and its KV cache is dropped. LoRA adapters are loaded under their
    content hash; up to eight share a batch. Full weights are read from disk in place of the base, so agents with full
    weights of their own use the server in turn.
    """

    kind: Literal["sglang"] = "sglang"  # type: ignore[assignment]

    def engine(self) -> Engine:
        from backends.sglang.engine import SGLangEngine

        return SGLangEngine()


__all__ = ["SGLang"]
