"""Checks the files of a model folder of transformers by their names and headers, before weights are read."""

from __future__ import annotations

from pathlib import Path

from backends.models.hub_model import WANTED
from backends.models.peft_folder import read_shapes
from society.core.errors import InputError
from society.core.regular_files import require_readable

TOKENIZERS = ("tokenizer.json", "vocab.json", "vocab.txt", "tekken.json", "*.model", "*.tiktoken")
"""Names of files that hold the tokens of a tokenizer."""


def require_open(folder: Path) -> None:
    """Raise `InputError` if this user may not read the files of a model or an adapter in a folder."""
    require_readable(folder, *(file for pattern in WANTED for file in sorted(folder.glob(pattern))))


def check_model_folder(folder: Path) -> None:
    """Raise `BackendError` for damaged weights.

    Raises `InputError` for a file that this user may not read, and for a folder with weights but without a tokenizer.
    """
    require_open(folder)
    weights = sorted(folder.glob("*.safetensors"))
    read_shapes(*weights)
    if weights and not any(any(folder.glob(name)) for name in TOKENIZERS):
        raise InputError(
            f"The model folder {folder} has no tokenizer.json.",
            "Copy tokenizer.json and tokenizer_config.json of the model into it: in Python, "
            f"AutoTokenizer.from_pretrained(BASE).save_pretrained({str(folder)!r}).",
        )
