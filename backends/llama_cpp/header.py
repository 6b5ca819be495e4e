"""Reads the header of a model, and refuses GGUF files that are no chat model before native code reads them."""

from __future__ import annotations

from pathlib import Path

from backends.models.gguf_file import GGUFInfo, check_gguf
from society.core.errors import InputError

_KINDS = {
    "mmproj": ("the part of a model that sees images or hears sound (mmproj)", "Give the file of the language model."),
    "imatrix": ("an importance matrix", "Give the file of the language model."),
    "vocab": ("a vocabulary", "Give the file of the language model."),
}
"""Values of general.type of files that belong to a model, and remedies."""
_TOKENIZER = "tokenizer.ggml"


def read_model(path: Path) -> GGUFInfo:
    """Return the header of a chat model. Raises `InputError` for a damaged file, and for one of another kind."""
    info = check_gguf(path)
    if info.is_adapter:
        raise InputError(
            f"{path} is an adapter, not a model.",
            "Set `model` to the base model, and name the adapter at the agent.",
        )
    fault = _find_fault(info)
    if fault:
        raise InputError(f"{path} is no chat model: {fault[0]}.", fault[1])
    return info


def _find_fault(info: GGUFInfo) -> tuple[str, str] | None:
    """Return what a file is instead of a chat model, or lacks, and the remedy."""
    kind, metadata = str(info.metadata.get("general.type", "model")), info.metadata
    if kind in _KINDS:
        return f"it is {_KINDS[kind][0]}", _KINDS[kind][1]
    if info.is_encoder:
        return f"models of the architecture {info.architecture} do not write texts", "Give a generating model."
    if metadata.get(f"{info.architecture}.attention.causal") is False:
        return "its attention is not causal, as in encoders and diffusion models", "Give a generating model."
    if metadata.get(f"{_TOKENIZER}.model") == "gpt2" and not _has_end(info):
        return (
            "its header names no token that ends a reply, and llama.cpp would take the comma",
            "Write it into a copy: gguf-new-metadata --special-token eos TOKEN OLD.gguf NEW.gguf.",
        )
    return None


def _has_end(info: GGUFInfo) -> bool:
    return any(f"{_TOKENIZER}.{name}_token_id" in info.metadata for name in ("eos", "eot"))
