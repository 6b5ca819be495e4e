"""LoRA adapters put on a model: their layers and matrices, and the checks that need the model.

What headers and configurations show is checked in `backends.models.peft_folder`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from backends.hf.loading import read_names, read_tensors
from backends.hf.mixing import is_linear
from backends.models.lora_config import PLAINER, REASONS, quiet_peft
from backends.models.peft_folder import PREFIX, WEIGHTS, misfit, plain_name, split
from society.core.errors import BackendError


def read_matrices(folder: Path, sizes: Mapping[str, object]) -> dict[str, torch.Tensor]:
    """Return the matrices of a PEFT folder under PEFT's names. `sizes` has the model's layers by name.

    Raises `BackendError` for numbers that are not finite, and for layers that transformers joins in one tensor.
    """
    tensors = {plain_name(key): tensor for key, tensor in read_tensors(folder, WEIGHTS)}
    matrices = {key: tensor for key, tensor in tensors.items() if split(key)[1]}
    for key, tensor in matrices.items():
        layer = split(key)[0]
        if ".experts." in layer and layer not in sizes:
            raise BackendError(f"The adapter in {folder} cannot be used: {REASONS['target_parameters']}.", PLAINER)
        if not tensor.isfinite().all():
            raise BackendError(
                f"The adapter in {folder} cannot be used: {key} has numbers that are not finite.",
                "Train it again, at a lower learning rate, or take an earlier checkpoint.",
            )
    return matrices


def add_layers(peft: Any, model: Any, config: Any, name: str) -> Any:
    """Return PEFT's wrapper, or a new one of `model` for None, with the layers of one more adapter."""
    from peft import get_peft_model

    with quiet_peft(), torch.inference_mode(False):
        if peft is None:
            return get_peft_model(model, config, name)
        peft.add_adapter(name, config)
        return peft


def fill_layers(peft: Any, name: str, matrices: Mapping[str, torch.Tensor], folder: Path) -> None:
    """Copy matrices into the layers of an adapter. Raises `BackendError` unless each has one of the other."""
    from peft import set_peft_model_state_dict

    with quiet_peft(), torch.inference_mode(False):
        found = set_peft_model_state_dict(peft, dict(matrices), name)
    layers = {layer.removeprefix(PREFIX) for layer, _ in peft.named_modules()}
    for key in found.unexpected_keys:
        if (layer := split(plain_name(key))[0]) not in layers:
            raise misfit(folder, f"it adapts {layer}, but there is no such layer")
    odd = [key for key in found.missing_keys if ".lora_" in key and f".{name}" in key] + found.unexpected_keys
    if odd:
        raise BackendError(
            f"The adapter in {folder} is not what its adapter_config.json says: {', '.join(sorted(odd)[:3])}.",
            "Restore the folder from a copy, or train the adapter again.",
        )
    for layer, module in find_adapted(peft, name).items():
        base = module.get_base_layer()
        if not (is_linear(base) or isinstance(base, torch.nn.Embedding)):
            raise BackendError(
                f"The adapter in {folder} cannot be used: it adapts {layer}, which is no linear layer, but of the kind "
                f"{type(base).__name__}.",
                PLAINER,
            )


def find_adapted(peft: Any, name: str) -> dict[str, Any]:
    """Return the layers on which an adapter of a PEFT model has matrices, by name."""
    modules = ((layer, module) for layer, module in peft.named_modules() if hasattr(module, "lora_A"))
    return {
        layer.removeprefix(PREFIX): module
        for layer, module in modules
        if name in module.lora_A or name in module.lora_embedding_A
    }


@contextmanager
def explained(folder: Path, name: str) -> Iterator[None]:
    """Convert exceptions of PEFT within this context to errors that name the folder."""
    try:
        yield
    except (RuntimeError, ValueError, KeyError) as error:
        raise misfit(folder, " ".join(str(error).replace(f".{name}.", ".").split())[:300]) from error
    except (TypeError, AttributeError, re.error) as error:
        raise BackendError(
            f"The adapter_config.json in {folder} is not valid: {error}.", "Restore the folder from a copy."
        ) from error


def has_own(folder: Path) -> bool:
    """Return whether an adapter's folder has tensors that are no matrices of the adapter."""
    return not all(split(plain_name(name))[1] for name in read_names(folder, WEIGHTS))


def check_own(folder: Path, own: Mapping[str, torch.Tensor]) -> None:
    """Raise `BackendError` if an adapter's folder has weights for the base that are not the base's `own`.

    PEFT saves embeddings beside an adapter on the output layer, and biases with `bias: all`.
    """
    for name, tensor in read_tensors(folder, WEIGHTS):
        plain = plain_name(name)
        known = own.get(plain.removeprefix(PREFIX).replace(".base_layer", ""))
        if split(plain)[1] or (known is not None and torch.equal(known.cpu(), tensor.to(known.dtype))):
            continue
        raise BackendError(
            f"The adapter in {folder} cannot be used: {name} would replace weights of the base for every agent.",
            "Save the adapter with bias: none and save_embedding_layers=False, or merge it into its base, and give the "
            "folder of the merged model as the adapter, or as the model.",
        )
