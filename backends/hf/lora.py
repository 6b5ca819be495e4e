"""The LoRA adapter that is being trained: put on the bare model, and written as a PEFT folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from backends.hf.adapters import is_lora, normalise_config
from backends.hf.weights import Weights
from backends.models.lora_config import find_shared, quiet_peft
from backends.training import TrainSettings
from society.core.errors import InputError
from society.core.types import Adapter

NAME = "in_training"
"""Name of the adapter being trained, among those that are loaded."""


def attach_new(weights: Weights, settings: TrainSettings, start: Adapter | None) -> None:
    """Put the adapter to train on the bare model: a copy of `start`, or a new one that changes nothing yet."""
    from peft import LoraConfig, get_peft_model

    if start is not None:
        folder = Path(start.path)
        if not is_lora(folder):
            raise InputError("LoRA cannot continue from full weights.", "Start from the base, or set method: full.")
        weights.add(start)
        weights.attach(folder, NAME, trainable=True)
        rank = weights.peft.peft_config[NAME].r
        if rank != settings.rank:
            raise InputError(f"The adapter to continue from has rank {rank}, not {settings.rank}.", "Set that rank.")
    else:
        targets = settings.targets if isinstance(settings.targets, str) else list(settings.targets)
        config = LoraConfig(
            r=settings.rank,
            lora_alpha=settings.scale,
            lora_dropout=settings.dropout,
            target_modules=targets,
            task_type="CAUSAL_LM",
        )
        try:
            with quiet_peft():
                weights.peft = get_peft_model(weights.model, config, NAME)
        except ValueError as error:
            raise InputError(f"LoRA cannot be put on {targets}: {error}", "Name linear layers of the model.") from error
        _check_targets(weights.peft)
    weights.peft.set_adapter(NAME)
    for name, parameter in weights.peft.named_parameters():
        parameter.requires_grad_(f".{NAME}." in name)


def _check_targets(peft: Any) -> None:
    """Raise `InputError` for layers whose adapters could be neither exported nor merged."""
    from peft.tuners.lora import LoraLayer

    odd = [name for name, layer in peft.named_modules() if isinstance(layer, LoraLayer) and layer.lora_embedding_A]
    if odd:
        raise InputError(
            f"{odd[0].removeprefix('base_model.model.')} is no linear layer, but an embedding.",
            "Name linear layers in train.settings.targets, or leave it out.",
        )
    if shared := find_shared(peft):
        raise InputError(
            f"The weights of {shared[0]} are those of the input embeddings, too: an adapter on it could be neither "
            "exported to GGUF nor merged.",
            f"Take {shared[0].rpartition('.')[2]} out of train.settings.targets.",
        )


def write_lora(peft: Any, part: Path) -> None:
    """Write the trained adapter as a PEFT folder that says nothing about this machine."""
    from peft import get_peft_model_state_dict
    from safetensors.torch import save_file

    state = get_peft_model_state_dict(peft, adapter_name=NAME, save_embedding_layers=False)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    save_file(tensors, part / "adapter_model.safetensors")
    peft.peft_config[NAME].save_pretrained(str(part))
    normalise_config(part)
