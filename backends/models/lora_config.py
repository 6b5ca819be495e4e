"""Checks PEFT configurations: which options beside two matrices a layer can be loaded or exported.

An adapter is loaded beside others on one base, so it must not change the base or affect other agents. Every option that
is not known to be harmless is refused: PEFT itself ignores options that it does not know.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

from society.core.errors import InputError
from society.core.regular_files import read_json
from society.core.templating.patterns import compile_pattern

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
        "merge_weights",
        "peft_version",
        "base_model_name_or_path",
        "revision",
        "inference_mode",
        "megatron_core",
        "qalora_group_size",
        "runtime_config",
    }
)
"""Options that are checked elsewhere, or that have no effect after training."""
TRAINED = frozenset(
    {
        "bias",
        "init_lora_weights",
        "loftq_config",
        "eva_config",
        "corda_config",
        "lora_ga_config",
        "auto_mapping",
        "base_model_name_or_path",
        "revision",
        "inference_mode",
        "megatron_core",
    }
)
"""Options without effect on an adapter whose matrices are given."""
COMPUTED = frozenset({"use_rslora", "rank_pattern", "alpha_pattern", "fan_in_fan_out", "use_dora"})
"""Options that PEFT computes correctly for one adapter among others."""
REASONS = {
    "alora_invocation_tokens": "it is an activated LoRA, which acts only after its invocation tokens",
    "modules_to_save": "it has whole modules of its own",
    "trainable_token_indices": "it has token embeddings of its own",
    "lora_bias": "it has biases of its own",
    "layer_replication": "it repeats layers of the base for every agent",
    "target_parameters": "it adapts parameters outside of linear layers, such as the weights of experts",
    "ensure_weight_tying": "it ties the matrices of several layers",
    "use_qalora": "it is a QALoRA, whose matrices fit a quantised base only",
    "megatron_config": "its layers are those of Megatron",
}
"""Reasons why options are refused."""
PROMPTS = frozenset(
    {"PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING", "MULTITASK_PROMPT_TUNING", "ADAPTION_PROMPT", "CPT", "CARTRIDGE"}
)
"""PEFT types that add to the prompt or to the cache, and cannot be merged."""
UNMERGED = frozenset({"alora_invocation_tokens", "lora_bias"})
"""Options of adapters that cannot be merged either, or only into some bases."""
MERGED = (
    "merge it into its base with PEFT (merge_and_unload, then save_pretrained), and give the folder of the merged "
    "model as the adapter, or as the model."
)
CONVERT = (
    "Save it again as a plain LoRA: "
    f"peft_model.save_pretrained(FOLDER, path_initial_model_for_weight_conversion=...). Or {MERGED}"
)
MOST_RANK = 1 << 16
"""Maximum rank of an adapter."""
LARGEST_ALPHA = 1e9
MATCH = """import json, re, sys
patterns, names = json.load(sys.stdin)
for pattern in map(re.compile, patterns):
    for name in names:
        pattern.match(name)"""
MATCH_SECONDS = 10.0
"""Maximum seconds in which the regular expressions of an adapter are matched with the names of layers."""
PLAIN = re.compile(r"[\w.]+")
"""Names of layers that are no regular expressions: they match in linear time."""
ATTENTION = "target_modules: [q_proj, k_proj, v_proj, o_proj]"
"""Layers of a plain LoRA that mixtures of experts have, too."""
PLAINER = "Train a plain LoRA, or " + MERGED


def read_config(folder: Path) -> dict[str, Any]:
    """Return the `adapter_config.json` of a PEFT folder. Raises `InputError` if it cannot be read."""
    path = folder / "adapter_config.json"
    try:
        return read_json(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}.", "Restore the folder from a copy.") from error


def find_fault(config: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return why an adapter cannot be used beside others, and the remedy; None if it can be used."""
    kind = config.get("peft_type")
    if kind != "LORA":
        return f"it is of the PEFT type {kind!s:.40}, not LORA", "Train a LoRA." if kind in PROMPTS else PLAINER
    init = config.get("init_lora_weights", True)
    if init not in INITS:
        return f"its init_lora_weights, {init!r:.40}, changes the weights of the base for every agent", CONVERT
    if config.get("task_type") not in (None, "CAUSAL_LM"):
        return f"it is for the task {config['task_type']!r:.40}, not for CAUSAL_LM", "Give an adapter of a chat model."
    other = sorted(name for name, value in config.items() if value and name not in NEUTRAL | COMPUTED)
    if other and other[0] in REASONS:
        remedy = PLAINER if UNMERGED.isdisjoint(other) else "Train a plain LoRA."
        if "target_parameters" in other:
            remedy = f"Train it with {ATTENTION}: in a mixture of experts, all-linear reaches the experts. Or {MERGED}"
        return f"{REASONS[other[0]]} ({', '.join(other)[:200]})", remedy
    if other:
        return (
            f"it needs options that are not supported here ({', '.join(other)[:200]})",
            f"If they do not change what it computes, remove them from its adapter_config.json. Otherwise {MERGED}",
        )
    odd = next(_find_odd(config), None)
    return (f"its {odd} cannot be used", "Restore its adapter_config.json from a copy.") if odd else None


def _find_odd(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield the options with a value of another kind, or beyond what an adapter can have."""
    ranks, scales = (config.get(name) or {} for name in ("rank_pattern", "alpha_pattern"))
    for name, values in (("rank_pattern", ranks), ("alpha_pattern", scales)):
        if not isinstance(values, Mapping):
            yield f"{name} {values!r:.40}"
            return
    for name, value in [("r", config.get("r")), *ranks.items()]:
        if value is not None and not (type(value) is int and 1 <= value <= MOST_RANK):
            yield f"rank {value!r:.40} ({name:.80})"
    for name, value in [("lora_alpha", config.get("lora_alpha")), *scales.items()]:
        if value is not None and not (type(value) in (int, float) and abs(value) <= LARGEST_ALPHA):  # false for NaN
            yield f"alpha {value!r:.40} ({name:.80})"
    for name in ("target_modules", "exclude_modules", "layers_pattern"):
        value = config.get(name)
        names = value if isinstance(value, list) else [value or ""]
        if not all(isinstance(one, str) for one in names):
            yield f"{name} {value!r:.40}"


def check_patterns(config: Mapping[str, Any], layers: Iterable[str]) -> None:
    """Raise `InputError` for a regular expression that is not valid, or that takes long in the name of a layer.

    PEFT matches these expressions with `re`, which has no time limit and holds its whole process. Here another process
    does the same first. A plain name is no expression.
    """
    patterns = list(_list_patterns(config))
    if not patterns:
        return
    try:
        for pattern in patterns:
            compile_pattern(pattern)
        run = [sys.executable, "-I", "-c", MATCH]
        given = json.dumps([patterns, list(layers)])
        subprocess.run(run, input=given, text=True, timeout=MATCH_SECONDS, capture_output=True, check=True)
    except ValueError as error:
        raise _refusal(patterns, str(error)) from None
    except subprocess.TimeoutExpired:
        raise _refusal(patterns, "takes too long in the names of layers") from None
    except subprocess.CalledProcessError:
        raise _refusal(patterns, "is not a regular expression") from None


def _refusal(patterns: Sequence[str], fault: str) -> InputError:
    return InputError(
        f"A regular expression in adapter_config.json {fault}: {', '.join(patterns)[:200]!r}.",
        "List the names of the layers there instead.",
    )


def _list_patterns(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield the regular expressions of a configuration that `find_fault` accepts, as PEFT completes them."""
    for option in ("target_modules", "exclude_modules"):
        if isinstance(value := config.get(option), str):
            yield rf"\A(?:{value})\Z"
    inner = [*(config.get("rank_pattern") or ()), *(config.get("alpha_pattern") or ())]
    yield from (rf"\A(.*\.)?({key})$" for key in inner if not PLAIN.fullmatch(key))
    layers = config.get("layers_pattern") or []
    for key in [layers] if isinstance(layers, str) else layers:
        if not PLAIN.fullmatch(key):
            yield rf"\A(?:^|.*?\.){key}\.(?P<idx>\d+)\."


def make_config(config: Mapping[str, Any], **changes: Any) -> Any:
    """Return PEFT's configuration of an adapter that `find_fault` accepts, with these changes.

    Options are left out that this version of PEFT does not know, which `find_fault` found to be harmless, and those
    that concern only how the adapter was trained. Raises `InputError` for values that PEFT refuses.
    """
    from peft import LoraConfig

    known = {field.name for field in fields(LoraConfig) if field.init} - TRAINED - {"runtime_config"}
    options = {name: value for name, value in config.items() if name in known and value is not None}
    try:
        return LoraConfig(**options | {"task_type": "CAUSAL_LM"} | changes)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"The adapter_config.json of the adapter is not valid: {str(error)[:300]}", "Restore it from a copy."
        ) from error


@contextmanager
def quiet_peft() -> Iterator[None]:
    """Suppress PEFT's warnings about cases that this program refuses or handles, and its renaming of layers.

    The warnings concern tied weights, missing matrices and transposed layers. PEFT takes layers that are named like
    parts of an expert, such as gate_proj, for the weights of experts, in a mixture of experts of transformers 5.
    Adapters on these are refused here, and other layers keep their names.
    """
    with warnings.catch_warnings(), _names_kept():
        warnings.filterwarnings("ignore", "Model has `tie_word_embeddings=True`")
        warnings.filterwarnings("ignore", "Found missing adapter keys")
        warnings.filterwarnings("ignore", "fan_in_fan_out is set to")
        yield


@contextmanager
def _names_kept() -> Iterator[None]:
    try:
        from peft.utils import transformers_weight_conversion as conversion
    except ImportError:  # an older PEFT renames nothing
        yield
        return
    table: dict[str, Any] = getattr(conversion, "_MOE_TARGET_MODULE_MAPPING", {})
    saved = dict(table)
    table.clear()
    try:
        yield
    finally:
        table.update(saved)


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
