"""Checks the files of a model folder of transformers by their names and headers, before weights are read."""

from __future__ import annotations

from pathlib import Path

from backends.models.peft_folder import read_shapes
from society.core.errors import InputError

TOKENIZERS = ("tokenizer.json", "vocab.json", "vocab.txt", "tekken.json", "*.model", "*.tiktoken")
"""Names of files that hold the tokens of a tokenizer."""


def check_model_folder(folder: Path) -> None:
    """Raise `BackendError` for damaged weights, and `InputError` for a folder with weights but without a tokenizer."""
    weights = sorted(folder.glob("*.safetensors"))
    read_shapes(*weights)
    if weights and not any(any(folder.glob(name)) for name in TOKENIZERS):
        raise InputError(
            f"The model folder {folder} has no tokenizer.json.",
            "Copy tokenizer.json and tokenizer_config.json of the model into it: in Python, "
            f"AutoTokenizer.from_pretrained(BASE).save_pretrained({str(folder)!r}).",
        )
