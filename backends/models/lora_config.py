"""Checks PEFT configurations: which options beside two matrices a layer can be loaded or exported.

An adapter is loaded beside others on one base, so it must not change the base or affect other agents. Every option that
is not known to be harmless is refused: PEFT itself ignores options that it does not know.
"""

from __future__ import annotations

import json
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from society.core.errors import InputError

INITS = (True, False, "gaussian", "orthogonal", "eva")
"""Values of `init_lora_weights` that do not change the base's weights."""
NEUTRAL = frozenset(
    {
        "peft_type",
        "r",
        "lora_alpha",
        "lora_dropout",
        "target_modules",
        "exclude_modules",
        "layers_to_transform",
        "layers_pattern",
        "task_type",
        "bias",
        "init_lora_weights",
        "loftq_config",
        "eva_config",
        "corda_config",
        "lora_ga_config",
        "auto_mapping",
        "peft_version",
        "base_model_name_or_path",
        "revision",
        "inference_mode",
        "megatron_core",
        "qalora_group_size",
        "runtime_config",
    }
)
"""Options that `find_fault` checks, or that have no effect after training."""
COMPUTED = frozenset({"use_rslora", "rank_pattern", "alpha_pattern", "fan_in_fan_out", "use_dora"})
"""Options that PEFT computes correctly for one adapter among others."""
ALONE = frozenset({"use_dora"})
"""Options of adapters that PEFT cannot compute in a batch with other adapters or the bare base."""
REASONS = {
    "alora_invocation_tokens": "it is an activated LoRA, which acts only after its invocation tokens",
    "modules_to_save": "it has whole modules of its own",
    "trainable_token_indices": "it has token embeddings of its own",
    "lora_bias": "it has biases of its own",
    "layer_replication": "it repeats layers of the base for every agent",
    "target_parameters": "it adapts parameters outside of linear layers",
    "ensure_weight_tying": "it ties the matrices of several layers",
}
"""Reasons why options are refused."""
CONVERT = (
    "Save it again as a plain LoRA: peft_model.save_pretrained(FOLDER, path_initial_model_for_weight_conversion=...), "
    "or merge it into its base and use that as the model."
)
PLAINER = "Train a plain LoRA, or merge the adapter into its base with PEFT and use that as the model."


def read_config(folder: Path) -> dict[str, Any]:
    """Return the `adapter_config.json` of a PEFT folder. Raises `InputError` if it cannot be read."""
    path = folder / "adapter_config.json"
    try:
        config = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}.", "Restore the folder from a copy.") from error
    if not isinstance(config, dict):
        raise InputError(f"{path} is no configuration of an adapter.", "Restore the folder from a copy.")
    return config


def find_fault(config: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return why an adapter cannot be used beside others, and the remedy; None if it can be used."""
    if config.get("peft_type") != "LORA":
        return f"it is of the PEFT type {config.get('peft_type')}, not LORA", "Train a LoRA."
    init = config.get("init_lora_weights", True)
    if init not in INITS:
        return f"its init_lora_weights, {init!r:.40}, changes the weights of the base for every agent", CONVERT
    if config.get("bias") not in (None, "none"):
        return f"with bias: {config['bias']!r:.40} it replaces biases of the base for every agent", PLAINER
    if config.get("task_type") not in (None, "CAUSAL_LM"):
        return f"it is for the task {config['task_type']!r:.40}, not for CAUSAL_LM", "Give an adapter of a chat model."
    other = sorted(name for name, value in config.items() if value and name not in NEUTRAL | COMPUTED)
    if other:
        return (
            f"{REASONS.get(other[0], 'it needs options that are not supported here')} ({', '.join(other)[:200]})",
            PLAINER,
        )
    return None


def is_alone(config: Mapping[str, Any]) -> bool:
    """Return whether rows with this adapter can share a batch only with rows of the same adapter."""
    return any(config.get(name) for name in ALONE)


@contextmanager
def quiet_peft() -> Iterator[None]:
    """Suppress PEFT's warnings about cases that this program refuses or handles: tied weights, missing matrices."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Model has `tie_word_embeddings=True`")
        warnings.filterwarnings("ignore", "Found missing adapter keys")
        yield


def find_shared(model: Any) -> list[str]:
    """Return the layers of a PEFT model with LoRA matrices that share their weights with another layer.

    Tied embeddings are the usual case: the output layer shares the weights of the input embeddings.
    """
    from peft.tuners.lora import LoraLayer

    own = (weight for module in model.modules() for weight in module._parameters.values())
    owners = Counter(id(weight) for weight in own if weight is not None)
    layers = {name: module for name, module in model.named_modules() if isinstance(module, LoraLayer)}
    return sorted(
        name.removeprefix("base_model.model.")
        for name, layer in layers.items()
        if owners[id(layer.get_base_layer().weight)] > 1
    )


def is_tied(base: Path) -> bool:
    """Return whether a model folder's output layer shares the weights of its input embeddings."""
    from transformers import AutoConfig

    config: Any = AutoConfig.from_pretrained(base, local_files_only=True, trust_remote_code=False)
    return bool(config.get_text_config().tie_word_embeddings)
