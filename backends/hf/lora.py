"""The LoRA adapter that is being trained: put on the bare model, and written as a PEFT folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from backends.hf.adapters import is_lora, normalise_config
from backends.hf.loading import class_of, explained_loading, find_class
from backends.hf.mixing import is_linear
from backends.hf.weights import Weights
from backends.models.lora_config import find_shared, make_config, quiet_peft, read_config
from backends.training import TrainSettings
from society.core.errors import InputError
from society.core.problems import find_near
from society.core.types import Adapter

NAME = "in_training"
"""Name of the adapter being trained, among those that are loaded."""


def attach_new(weights: Weights, settings: TrainSettings, start: Adapter | None) -> None:
    """Put the adapter to train on the bare model: a copy of `start`, or a new one that changes nothing yet."""
    if start is not None:
        check_start(Path(start.path), settings)
        weights.attach(weights.check(start), NAME, trainable=True, lora_dropout=settings.dropout)
    else:
        weights.peft = _wrap(weights.model, settings)
    _check_layers(weights.peft)
    weights.peft.set_adapter(NAME)
    for name, parameter in weights.peft.named_parameters():
        parameter.requires_grad_(f".{NAME}." in name)


def check_start(folder: Path, settings: TrainSettings) -> None:
    """Raise `InputError` unless a training with these settings can continue from the adapter in this folder.

    The adapter keeps its layers and its patterns, so its rank and its alpha must be those of the settings.
    """
    if not is_lora(folder):
        remedy = "Start from the base, or set method: full."
        raise InputError("LoRA cannot continue from full weights.", remedy, ("method",))
    config = read_config(folder)
    for key, wanted, option in (("r", settings.rank, "rank"), ("lora_alpha", settings.scale, "alpha")):
        if (found := config.get(key, 8)) != wanted:  # 8 is PEFT's default of both
            raise InputError(
                f"The adapter to continue from has {option} {found}, not {wanted:g}.",
                f"Set {option}: {found} in train.settings.",
                (option,),
            )


def check_layers(model: Path, settings: TrainSettings, start: Path | None) -> None:
    """Raise `InputError` if the adapter to train cannot be put on the layers of a model folder. No weights are read."""
    from peft import get_peft_model
    from transformers import AutoConfig

    if settings.method == "full":
        check_full_start(start)
        return
    if start is not None:
        check_start(start, settings)
    with explained_loading(model.name):
        config: Any = AutoConfig.from_pretrained(model, local_files_only=True, trust_remote_code=False)
    with torch.device("meta"), quiet_peft():
        empty = find_class(model).from_config(config)
        given = None if start is None else make_config(read_config(start))
        _check_layers(_wrap(empty, settings) if given is None else get_peft_model(empty, given, NAME))


def check_full_start(start: Path | None) -> None:
    """Raise `InputError` unless full finetuning can go on from there."""
    if start is not None and is_lora(start):
        cause = "Full finetuning cannot continue from a LoRA adapter."
        raise InputError(cause, "Start from the base, or set method: lora.", ("method",))


def _wrap(model: Any, settings: TrainSettings) -> Any:
    """Return PEFT's wrapper around a model, with a new adapter.

    Of `all-linear`, layers are left out that PEFT refuses, and those on which matrices would not act as on others.
    """
    _check_names(model, settings)
    peft = _add(model, settings, find_allowed(model, settings))
    odd = _find_odd(peft).keys()
    if settings.targets != "all-linear" or not odd:
        return peft
    plain = _layers(peft).keys() - odd
    if not plain:
        raise InputError("The model has no linear layers that LoRA can be put on.", "Set method: full.", ("method",))
    taken = {_last(name) for name in odd}
    # A name that layers of both kinds have is given in full.
    return _add(peft.unload(), settings, sorted({name if _last(name) in taken else _last(name) for name in plain}))


def _check_names(model: Any, settings: TrainSettings) -> None:
    """Raise `InputError` for targets that no layer has: PEFT passes over them if another one matches."""
    if isinstance(settings.targets, str):
        return
    names = [f".{name}" for name, _ in model.named_modules()]
    if unmatched := [target for target in settings.targets if not any(n.endswith(f".{target}") for n in names)]:
        linear = sorted({_last(name) for name, layer in model.named_modules() if is_linear(layer)})
        near = [found for found in (find_near(target, linear) for target in unmatched) if found]
        raise InputError(
            f"No layer of the model is called {' or '.join(map(repr, unmatched))}.",
            (f"Did you mean {', '.join(near)}? " if near else "") + f"Its linear layers are {', '.join(linear)}.",
            ("targets",),
        )


def find_allowed(model: Any, settings: TrainSettings) -> str | Sequence[str]:
    """Return the targets of the settings, or of `all-linear` the names that PEFT allows.

    They are tried on a copy without weights: PEFT leaves a model half changed where it refuses a layer.
    """
    config = type(model.config).from_dict(model.config.to_dict())
    for option in ("quantization_config", "distributed_config"):
        vars(config).pop(option, None)
    with torch.random.fork_rng(), torch.device("meta"):
        empty = class_of(config).from_config(config)
        head = empty.get_output_embeddings()
        linear = {_last(name) for name, layer in empty.named_modules() if is_linear(layer) and layer is not head}
        try:
            _add(empty, settings, settings.targets)
        except InputError as error:
            allowed = sorted(name for name in linear if repr(name) not in error.cause)
            if settings.targets != "all-linear" or len(allowed) == len(linear):
                raise
            return allowed
    return settings.targets


def _add(model: Any, settings: TrainSettings, targets: str | Sequence[str]) -> Any:
    """Return PEFT's wrapper around a model, with new matrices on the layers of these names."""
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.scale,
        lora_dropout=settings.dropout,
        target_modules=targets if isinstance(targets, str) else list(targets),
        task_type="CAUSAL_LM",
    )
    try:
        with quiet_peft():
            return get_peft_model(model, config, NAME)
    except ValueError as error:
        cause = f"LoRA cannot be put on {targets}: {error}"
        raise InputError(cause, "Name linear layers of the model.", ("targets",)) from error


def _layers(peft: Any) -> dict[str, Any]:
    """Return the layers of a PEFT model that have LoRA matrices, by the names that they have in the model."""
    from peft.tuners.lora import LoraLayer

    modules = peft.named_modules()
    return {name.removeprefix("base_model.model."): layer for name, layer in modules if isinstance(layer, LoraLayer)}


def _find_odd(peft: Any) -> dict[str, str]:
    """Return the layers with LoRA matrices that could not be used everywhere, and the reasons.

    PEFT counts the router and the joined weights of experts as linear layers, too. Some recurrent layers multiply with
    the weights of a linear layer without calling it, so its matrices would be ignored.
    """
    layers = _layers(peft)
    kinds = {name: layer.get_base_layer() for name, layer in layers.items()}
    odd = {
        name: f"is no linear layer, but of the kind {type(base).__name__}"
        for name, base in kinds.items()
        if not is_linear(base)
    }
    return odd or dict.fromkeys(_find_uncalled(peft), "is not called by the model, which uses its weights alone")


@torch.no_grad()
def _find_uncalled(peft: Any) -> list[str]:
    """Return the layers with LoRA matrices that a pass of the model over two tokens does not call. A model without
    weights is not tried."""
    device = next(peft.parameters()).device
    if device.type == "meta":
        return []
    called: set[Any] = set()
    layers = _layers(peft)
    hooks = [layer.register_forward_pre_hook(lambda layer, _: called.add(layer)) for layer in layers.values()]
    try:
        peft(input_ids=torch.zeros(1, 2, dtype=torch.long, device=device), use_cache=False)
    finally:
        for hook in hooks:
            hook.remove()
    return [name for name, layer in layers.items() if layer not in called]


def _last(name: str) -> str:
    return name.removesuffix(".base_layer").rpartition(".")[2]


def _check_layers(peft: Any) -> None:
    """Raise `InputError` for layers whose adapters could be neither exported nor merged."""
    for name, reason in _find_odd(peft).items():
        raise InputError(
            f"LoRA cannot be put on {name}: it {reason}.",
            "Name linear layers in train.settings.targets, no embeddings, routers or experts, or leave it out.",
            ("targets",),
        )
    if shared := find_shared(peft):
        raise InputError(
            f"The weights of {shared[0]} are those of the input embeddings, too: an adapter on it could be neither "
            "exported to GGUF nor merged.",
            f"Take {shared[0].rpartition('.')[2]} out of train.settings.targets, or set train.start: base if it is a "
            "layer of the adapter to start from.",
            ("targets",),
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
