"""Reads PEFT folders as many programs write them: which file holds the matrices, and whether they fit a base.

Only headers are read, without torch, so that `society check` can do it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from backends.models.lora_config import check_patterns, find_fault, read_config
from backends.models.safetensors_header import read_header
from society.core.errors import BackendError
from society.core.regular_files import require_readable

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PICKLED = ("adapter_model.bin", "adapter_model.pt", "adapter_model.pth", "adapter_model.pkl")
PREFIX = "base_model.model."
"""Prefix of the names of layers in PEFT folders."""
WRAPPERS = re.compile(r"\b(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
"""Parts of names that compiled and sharded modules add."""
MATRIX = re.compile(
    r"(?P<layer>.+)\.(?P<kind>lora_A|lora_B|lora_embedding_A|lora_embedding_B|lora_magnitude_vector)"
    r"(\.(?!weight$)\w+)?(?P<end>\.weight)?"
)
"""Name of a tensor of a LoRA. Some programs keep the name of the adapter, such as "default", in it."""
CONVERT = (
    'python -c "import torch, safetensors.torch as s; '
    f"s.save_file(torch.load('{{}}', weights_only=True), '{WEIGHTS}')\""
)
"""Command that converts pickled matrices without running the code in them."""
Shape = tuple[int, ...]


def find_weights(folder: Path) -> Path:
    """Return the file with the matrices of a PEFT folder. Raises `BackendError` with the remedy if there is none."""
    if not (folder / CONFIG).exists():
        raise BackendError(f"{folder} has no {CONFIG}.", _instead(folder))
    if (folder / WEIGHTS).exists():
        return folder / WEIGHTS
    pickled = next((name for name in PICKLED if (folder / name).exists()), None)
    if pickled is None:
        raise BackendError(f"The adapter folder {folder} holds no .safetensors file.", _instead(folder))
    raise BackendError(
        f"The adapter folder {folder} holds no .safetensors file.",
        "Pickled weights (.bin, .pt) can run code and are refused: convert them to safetensors. In that folder: "
        + CONVERT.format(pickled),
    )


def _instead(folder: Path) -> str:
    """Return the remedy for a folder that is no adapter: often its subfolders are, such as checkpoints."""
    inner = sorted(path.parent.relative_to(folder).as_posix() for path in folder.glob(f"*/{CONFIG}"))
    if inner:
        return f"Give one of the adapters in it: {', '.join(inner[:5])}."
    return f"Give a folder with {CONFIG} and {WEIGHTS}, as PEFT's save_pretrained writes it."


def check_folder(folder: Path) -> Path:
    """Return the file with the matrices of an adapter that can be used beside others.

    Raises `BackendError` or `InputError` for a folder that is incomplete, and for an adapter of another kind.
    """
    weights, config = find_weights(folder), read_config(folder)
    if fault := find_fault(config):
        raise BackendError(f"The adapter in {folder} cannot be used: {fault[0]}.", fault[1])
    check_patterns(config, {split(plain_name(key))[0] for key in read_shapes(weights)})
    return weights


def plain_name(key: str) -> str:
    """Return the name that PEFT gives a tensor, for a name as other programs write it.

    A compiled or sharded model, the name of the adapter and a missing prefix make differences.
    """
    key = WRAPPERS.sub("", key).removeprefix("module.")
    key = key if key.startswith(PREFIX) else PREFIX + key
    found = MATRIX.fullmatch(key)
    return f"{found['layer']}.{found['kind']}{found['end'] or ''}" if found else key


def read_shapes(*files: Path) -> dict[str, Shape]:
    """Return the shape of each tensor in safetensors files. Raises `BackendError` for a damaged file."""
    from safetensors import SafetensorError, safe_open

    shapes: dict[str, Shape] = {}
    for path in files:
        require_readable(path)
        try:
            header = read_header(path)
            with safe_open(path, "np"):  # it checks the places of the tensors in the file
                shapes |= header
        except (SafetensorError, OSError, ValueError) as error:
            raise BackendError(
                f"{path} is no sound safetensors file: {error}.", "Restore the folder from a copy."
            ) from error
    return shapes


def check_fit(folder: Path, sizes: Mapping[str, tuple[int, int]], weights: Mapping[str, Shape]) -> None:
    """Raise `BackendError` if a tensor of an adapter does not fit the base.

    `sizes` has the inputs and outputs of the base's layers, `weights` the shapes of its tensors, both by name. Layers
    that are in neither are not checked.
    """
    ranks: dict[str, int] = {}
    for key, shape in read_shapes(find_weights(folder)).items():
        name = plain_name(key)
        layer, kind = split(name)
        if not kind:
            _check_vocabulary(folder, name.removeprefix(PREFIX).replace(".base_layer", ""), shape, weights)
        if not kind.endswith(("A", "B")):
            continue
        side = kind.endswith("A")  # A is (rank, inputs), B is (outputs, rank)
        if len(shape) != 2 or 0 in shape:
            raise misfit(folder, f"{key} has shape {list(shape)}, but a matrix is needed")
        if layer in sizes and sizes[layer][not side] != shape[side]:
            raise misfit(folder, f"{key} has size {shape[side]}, but that layer has {sizes[layer][not side]}")
        if ranks.setdefault(layer, shape[1 - side]) != shape[1 - side]:
            raise misfit(folder, f"{key} has rank {shape[1 - side]}, but the ranks of a pair must be equal")


def split(name: str) -> tuple[str, str]:
    """Return the layer of a tensor that `plain_name` named, and which tensor of it that is: "" for a base's own."""
    found = MATRIX.fullmatch(name)
    return (found["layer"].removeprefix(PREFIX), found["kind"]) if found else (name, "")


def _check_vocabulary(folder: Path, name: str, shape: Shape, weights: Mapping[str, Shape]) -> None:
    """Raise `BackendError` for weights of another shape than the base's, such as embeddings of added tokens."""
    if weights.get(name, shape) == shape:
        return
    raise BackendError(
        f"The adapter in {folder} does not fit this model: it has {name} of shape {list(shape)}, and the model "
        f"{list(weights[name])}. Its base had another vocabulary, perhaps with added tokens{_origin(folder)}.",
        "Merge it with PEFT into the base that it was trained on, and use the merged model as the model.",
    )


def misfit(folder: Path, cause: str) -> BackendError:
    """Return the error for an adapter of another base."""
    return BackendError(
        f"The adapter in {folder} does not fit this model: {cause}{_origin(folder)}.",
        "Open the model that it was trained on.",
    )


def _origin(folder: Path) -> str:
    """Return which base an adapter says that it was trained on."""
    base = read_config(folder).get("base_model_name_or_path")
    return f" (its adapter_config.json names the base {base!s:.100})" if base else ""


def check_stored(folder: Path, base: Path) -> None:
    """Raise `BackendError` if an adapter's tensors do not fit the files of a base. Conversions of names are allowed."""
    config = read_config(folder)
    stored = read_shapes(*sorted(base.glob("*.safetensors")))
    check_patterns(config, {name.rpartition(".")[0] for name in stored})
    weights = {name.removesuffix(".weight"): shape for name, shape in stored.items()}
    layers = dict(split(plain_name(key)) for key in read_shapes(find_weights(folder)))
    adapted = {layer: kind for layer, kind in layers.items() if kind}
    ends = {name.rpartition(".")[2] for name in weights}
    inner = [layer for layer in adapted if "." in layer]  # an output layer may be stored as the embeddings
    if inner and ends.isdisjoint(layer.rpartition(".")[2] for layer in inner):
        raise misfit(folder, f"the model has no layers such as {inner[0]}")
    sizes = {}
    for layer, kind in adapted.items():
        shape = weights.get(layer, ())
        if len(shape) == 2:
            turned = "embedding" in kind or config.get("fan_in_fan_out")
            sizes[layer] = (shape[0], shape[1]) if turned else (shape[1], shape[0])
    check_fit(folder, sizes, {f"{name}.weight": shape for name, shape in weights.items()})
