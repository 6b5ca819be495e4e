"""Checks that the libraries of the hf backend are installed, new enough, and able to do what a configuration asks."""

from __future__ import annotations

import importlib.util
import re
from importlib.metadata import version
from typing import TYPE_CHECKING

from society.core.errors import InputError, MissingExtraError
from society.core.pip_command import pip

if TYPE_CHECKING:
    from backends.hf import HuggingFace
    from backends.training import TrainSettings

OLDEST = {"torch": "2.4", "transformers": "5.17", "peft": "0.19", "accelerate": "1.10", "safetensors": "0.5"}
"""Oldest version of each library that works; pyproject.toml names the same."""
OLDEST_SHARDING = "5.23"
"""Oldest version of transformers that shards models for `train.parallel`."""
NEXT = {"transformers": "6"}
"""First version of a library that is not known to work."""


def check_libraries(config: HuggingFace) -> None:
    """Raise unless what the configuration needs is installed, and there is a GPU where one is needed."""
    for library in OLDEST:
        if importlib.util.find_spec(library) is None:
            raise MissingExtraError("The hf backend", library, "hf")
        check_version(library, version(library))
    if config.quantize == "nf4":
        import torch

        if not torch.cuda.is_available() or config.device == "cpu":
            raise InputError("quantize: nf4 needs a CUDA GPU.", "Set quantize: none and method: lora.")
        check_bitsandbytes("quantize: nf4")


def check_sharding() -> None:
    """Raise `InputError` where transformers cannot shard a model that is trained by several processes."""
    check_version("transformers", version("transformers"), OLDEST_SHARDING, "train.parallel")


def check_version(library: str, found: str, oldest: str = "", who: str = "The hf backend") -> None:
    """Raise `InputError` for a version of a library that the hf backend, or that option, does not work with."""
    oldest = oldest or OLDEST[library]
    wanted = f">={oldest}" + (f",<{NEXT[library]}" if library in NEXT else "")
    too_new = library in NEXT and _numbers(found) >= _numbers(NEXT[library])
    if too_new or _numbers(found) < _numbers(oldest):
        raise InputError(
            f"{who} needs {library} {wanted}, but version {found} is installed.",
            pip(f"install '{library}{wanted}'"),
        )


def check_optimizer(settings: TrainSettings, device: str) -> None:
    """Raise `InputError` if the optimizer of a training cannot work on this device, `cpu`, `cuda` or `auto`."""
    if settings.optimizer == "adamw_8bit":
        import torch

        if device == "cpu" or not torch.cuda.is_available():
            raise InputError(
                "optimizer: adamw_8bit needs a CUDA GPU.", "Remove optimizer: adamw_8bit from train.settings."
            )
        check_bitsandbytes("optimizer: adamw_8bit")


def check_bitsandbytes(option: str) -> None:
    """Raise `InputError` if bitsandbytes, which the option needs, is missing."""
    if importlib.util.find_spec("bitsandbytes") is None:
        raise InputError(f"{option} needs bitsandbytes, which is not installed.", pip("install bitsandbytes"))


def _numbers(text: str) -> tuple[int, ...]:
    """Return the leading numbers of a version: those of 2.11.0+cu130 are 2, 11 and 0."""
    start = re.match(r"\d+(\.\d+)*", text)
    return tuple(map(int, start[0].split("."))) if start else ()
