"""Checks that a GGUF file has the weights of a model folder, before adapters of that model run on it.

Architecture, layers and shapes are compared by the headers. Norms and some embeddings are compared by their values, to
tell models of one family apart. Models that differ by less than the precision of the file pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backends.models.gguf_file import GGUFInfo, check_gguf
from backends.models.gguf_model import TRANSPOSED, compute_weight
from backends.models.gguf_names import Names
from backends.models.peft_folder import Shape, read_shapes
from society.core.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

EMBEDDINGS, HEAD = "token_embd.weight", "output.weight"
SAMPLED = 64
"""Maximum number of compared embeddings."""
ROUNDED, QUANTISED = 0.004, 0.5
"""Largest relative difference of weights that are stored in 16 or 32 bits, and of quantised ones."""


def check_base(gguf: Path, folder: Path, vocabulary: int) -> None:
    """Raise `InputError` unless a GGUF file has the weights of a model folder.

    `vocabulary`: number of the model's tokens. A GGUF file may leave out the embeddings after them.
    """
    info, names = check_gguf(gguf), Names.of(folder)
    cause = _compare_headers(info, names, folder, vocabulary) or _compare_values(gguf, names, folder)
    if cause:
        raise InputError(
            f"{gguf} is not the base of this run as GGUF: {cause}.",
            "Give the GGUF of the model that the run trained with --base (Python: model), or leave it out.",
        )


def _compare_headers(info: GGUFInfo, names: Names, folder: Path, vocabulary: int) -> str:
    """Return the first difference of architecture, layers and shapes, or ""."""
    if info.architecture != names.in_gguf:
        return f"its architecture is {info.architecture}, not {names.in_gguf}"
    if info.number("block_count") != names.blocks:
        return f"it has {info.number('block_count')} layers, not {names.blocks}"
    for name, (rows, columns) in _expected_shapes(names, folder):
        found = info.shapes.get(name)
        if found is None and name != HEAD:  # the output layer may be that of the embeddings
            return f"it has no {name}"
        least = min(vocabulary, rows) if name in (EMBEDDINGS, HEAD) else rows
        if found is not None and not (found[0] == columns and least <= found[1] <= rows):
            return f"its {name} is of shape {[found[1], found[0]]}, not {[rows, columns]}"
    return ""


def _expected_shapes(names: Names, folder: Path) -> Iterator[tuple[str, Shape]]:
    """Yield the GGUF name and the shape of each matrix of a folder; of an expert, that of its part."""
    for weight, shape in read_shapes(*sorted(folder.glob("*.safetensors"))).items():
        if len(shape) != 2:
            continue
        rows, columns = reversed(shape) if names.architecture == "GPT2" and weight.endswith(TRANSPOSED) else shape
        for name, part in _places(names, weight, rows).items():
            yield name, (part, columns)


def _places(names: Names, weight: str, rows: int) -> dict[str, int]:
    """Return the rows of a matrix by GGUF name; nothing for weights such as those of a part for images."""
    import numpy as np

    try:
        return {name: len(part) for name, part in names.places(weight, np.empty((rows, 0), np.float32))}
    except InputError:
        return {}


def _compare_values(gguf: Path, names: Names, folder: Path) -> str:
    """Return the first weight with other values, or "". Of a split file, the first part is compared."""
    import numpy as np
    from gguf import GGMLQuantizationType, GGUFReader, dequantize

    stored = {tensor.name: tensor for tensor in GGUFReader(gguf).tensors}
    plain = {GGMLQuantizationType[name] for name in ("F32", "F16", "BF16")}
    for name, step, own in _sample(names, folder):
        if (tensor := stored.get(name)) is None:
            continue
        found = dequantize(tensor.data[::step], tensor.tensor_type).ravel()
        wanted = own.ravel()[: len(found)]
        limit = ROUNDED if tensor.tensor_type in plain else QUANTISED
        if np.linalg.norm(found - wanted) > limit * np.linalg.norm(wanted):
            return f"its {name} has other values"
    return ""


def _sample(names: Names, folder: Path) -> Iterator[tuple[str, int, Array]]:
    """Yield the norms and some embeddings of a folder: GGUF name, distance of the chosen rows, values."""
    import torch
    from safetensors import safe_open

    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as file:  # numpy has no bfloat16
            for weight in sorted(file.keys()):
                part = file.get_slice(weight)
                shape = part.get_shape()
                if len(shape) == 1 and weight.endswith("norm.weight"):
                    step, rows = 1, part[:]
                elif len(shape) == 2 and EMBEDDINGS in _places(names, weight, shape[0]):
                    step = -(-shape[0] // SAMPLED)
                    rows = torch.cat([part[number : number + 1] for number in range(0, shape[0], step)])
                else:
                    continue
                if _places(names, weight, shape[0]):
                    value = compute_weight(names, weight, rows.float().numpy())
                    yield from ((name, step, placed) for name, placed in names.places(weight, value))
