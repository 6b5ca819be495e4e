"""Finding, checking, hashing and loading a model's folder, with dequantization of GGUF files.

Only safetensors are read, and no code from a model's folder runs.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from filelock import FileLock

from backends.hf.adapters import write_folder
from backends.hf.chat import Chat
from backends.hf.gguf_tokenizer import mend_tokenizer
from backends.hf.hashing import hash_base
from backends.hf.rotary import find_context, freeze_frequencies
from backends.models.digests import dequantised_folder
from backends.models.find import find_model
from backends.models.gguf_file import GGUFInfo, check_gguf
from backends.models.hub_model import download
from backends.models.model_folder import check_model_folder
from society.core.errors import BackendError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from backends.hf import HuggingFace

SCALES = {"rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"}
"""Tensors of a GGUF file that scale rotary frequencies."""
LONG = "-long"
"""End of the hash of a model with the frequencies of long texts; see `rotary`."""
SCALED = {"gpt-oss"}
"""Architectures whose scaling transformers reads from a GGUF file."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model with its tokenizer. `hash` covers base, device, attention and precision."""

    model: Any
    """The model in memory, or without weights on the meta device."""
    device: str
    """Device of the model, or of a model without weights where it is trained."""
    chat: Chat
    folder: Path
    hash: str
    context: int


def load(config: HuggingFace, empty: bool = False) -> Loaded:
    """Find and check the model, and load it to its device; with `empty`, make its modules without weights."""
    from transformers.utils import logging

    quiet: Any = logging.disable_progress_bar
    quiet()
    folder = find_folder(config.reference)
    device = pick_device(config.device)
    dtype = pick_dtype(config.dtype, device)
    with explained_loading(config.model):
        chat = load_chat(folder, config.chat_template, config.model)
        model = make_empty(folder, dtype) if empty else load_model(folder, dtype, device, config.quantize)
    context = find_context(model.config, config.context)
    long = freeze_frequencies(model, context)
    name = name_model(hash_base(folder, chat), model, device, dtype, config.quantize) + (LONG if long else "")
    return Loaded(model, device, chat, folder, name, context)


def name_model(base: str, model: Any, device: str, dtype: torch.dtype, quantize: str) -> str:
    """Return a model's hash: that of its base, then each option that changes its output."""
    precision = str(dtype).removeprefix("torch.") + ("" if quantize == "none" else f"-{quantize}")
    return f"{base}-{device}-{model.config._attn_implementation}-{precision}"


def find_folder(model: str) -> Path:
    """Return the folder with the model's safetensors: as given, dequantized from a GGUF file, or from the hub."""
    if model.startswith("pypi:") or model.endswith(".gguf"):
        return dequantise(find_model(model))
    path = Path(model).expanduser()
    local = path.is_absolute() and path.is_dir()  # a relative name is the hub's: see `society.core.paths.HubModel`
    folder = path if local else download(model)
    if not any(folder.glob("*.safetensors")):
        raise InputError(
            f"{model} holds no .safetensors file.",
            "Pickled weights (.bin, .pt) can run code and are refused: convert them to safetensors.",
        )
    if (folder / "adapter_config.json").exists():  # transformers would load another model and put this on it
        raise InputError(f"{model} is an adapter, not a model.", "Give the base here, and the adapter to an agent.")
    check_model_folder(folder)
    return folder


def dequantise(gguf: Path) -> Path:
    """Return the float32 model folder of a GGUF file, from a cache by the hash of its contents."""
    folder, info = dequantised_folder(gguf), check_gguf(gguf)
    _check_rotary(info, gguf)
    if not (folder / "config.json").exists():
        # Another process may be at it: it must not be replaced while somebody reads it.
        with FileLock(folder.with_name(f".{folder.name}.lock")), explained_loading(gguf.name):
            if not (folder / "config.json").exists():
                write_folder(folder, lambda part: _convert(gguf, part))
    mend_tokenizer(folder, info)
    return folder


def _check_rotary(info: GGUFInfo, gguf: Path) -> None:
    """Raise `InputError` for a GGUF file with scaled rotary frequencies, which transformers ignores."""
    kind = info.metadata.get(f"{info.architecture}.rope.scaling.type", "none")
    if info.architecture not in SCALED and (kind != "none" or not SCALES.isdisjoint(info.shapes)):
        raise BackendError(
            f"{gguf} scales its rotary frequencies, which transformers does not read from a GGUF of the architecture "
            f"{info.architecture}.",
            "Give the model's own folder or hub id (safetensors), or use the llama_cpp backend.",
        )


def _convert(gguf: Path, part: Path) -> None:
    """Write the weights of a GGUF file as safetensors.

    The weights are copied to a fresh model, as transformers does not save a model loaded from GGUF.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    auto: Any = AutoModelForCausalLM
    loaded = auto.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    loaded.config.__dict__.pop("quantization_config", None)
    fresh = auto.from_config(loaded.config, dtype=torch.float32)
    fresh.load_state_dict(loaded.state_dict())
    fresh.generation_config = loaded.generation_config
    fresh.save_pretrained(part)
    tokenizer: Any = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    tokenizer.save_pretrained(part)


def load_chat(folder: Path, template: str | None, name: str = "") -> Chat:
    """Return the encoder of chats for the model of this name, optionally with another chat template."""
    from transformers import AutoConfig

    config: Any = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    vocabulary = int(getattr(config.get_text_config(), "vocab_size", None) or 0)
    return Chat(load_tokenizer(folder, template), _eos_ids(folder), vocabulary, name)


def load_tokenizer(folder: Path, template: str | None) -> Any:
    """Return the folder's tokenizer, optionally with another chat template."""
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    tokenizer.chat_template = template or tokenizer.chat_template
    return tokenizer


def load_model(
    folder: Path, dtype: torch.dtype, device: str, quantize: str = "none", kind: Any = None, **options: Any
) -> Any:
    """Return the folder's causal language model in evaluation mode.

    `kind` is the class that loads it, by default the one of its configuration; `options` are for transformers.
    """
    if quantize == "nf4":
        import transformers

        four_bits: Any = transformers.BitsAndBytesConfig
        options["quantization_config"] = four_bits(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype
        )
        options["device_map"] = {"": device}
    model, found = (kind or find_class(folder)).from_pretrained(
        folder,
        dtype=dtype,
        use_safetensors=True,
        trust_remote_code=False,
        local_files_only=True,
        output_loading_info=True,
        **options,
    )
    _check_complete(folder, found)
    return (model if options else model.to(device)).eval()


def make_empty(folder: Path, dtype: torch.dtype) -> Any:
    """Return a folder's model on the meta device: its modules, without memory for weights."""
    from transformers import AutoConfig

    config: Any = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    with torch.device("meta"):
        return class_of(config).from_config(config, dtype=dtype).eval()


def find_class(folder: Path) -> Any:
    """Return the class of transformers that loads a folder's model to continue text; see `class_of`."""
    from transformers import AutoConfig

    return class_of(AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False))


def class_of(config: Any) -> Any:
    """Return the class of transformers that makes models with this configuration to continue text.

    Models of images and text continue text, too. Raises `BackendError` for models that do not, such as encoders.
    """
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

    for auto in (AutoModelForCausalLM, AutoModelForImageTextToText):
        if type(config) in auto._model_mapping and not config.is_encoder_decoder:
            return auto
    kind = "models with an encoder and a decoder" if config.is_encoder_decoder else "no causal language models"
    raise BackendError(
        f"Models of the kind {config.model_type} cannot be used: they are {kind}.",
        "Give a causal language model, such as those that chat.",
    )


def read_names(folder: Path, files: str = "*.safetensors") -> set[str]:
    """Return the names of all tensors in a folder's safetensors."""
    from safetensors import safe_open

    names: set[str] = set()
    for path in folder.glob(files):
        with safe_open(path, "pt") as file:
            names |= set(file.keys())
    return names


def read_tensors(folder: Path, files: str = "*.safetensors") -> Iterator[tuple[str, torch.Tensor]]:
    """Yield every tensor of a folder's safetensors with its name."""
    from safetensors import safe_open

    for path in sorted(folder.glob(files)):
        with safe_open(path, "pt") as file:
            for name in sorted(file.keys()):
                yield name, file.get_tensor(name)


def pick_device(device: str) -> str:
    """Return the device. `auto` prefers a GPU. Raises `InputError` if CUDA is requested and unavailable."""
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("device: cuda was asked for, but torch sees no GPU.", "Set device: auto or cpu.")
    return "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"


def pick_dtype(dtype: str, device: str) -> torch.dtype:
    """Return the precision of the weights. `auto` is bfloat16 on a GPU that supports it, else float32."""
    if dtype == "auto":
        return torch.bfloat16 if device == "cuda" and torch.cuda.is_bf16_supported() else torch.float32
    return torch.bfloat16 if dtype == "bfloat16" else torch.float32


def _eos_ids(folder: Path) -> list[int]:
    """Return the end-of-text tokens of the folder's generation config, or else of its model config."""
    from transformers import AutoConfig, GenerationConfig

    if (folder / "generation_config.json").exists():
        config: Any = GenerationConfig.from_pretrained(folder, local_files_only=True)
    else:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    eos = config.eos_token_id
    if isinstance(eos, list):
        return list(eos)
    return [] if eos is None else [eos]


def _check_complete(folder: Path, found: Mapping[str, Any]) -> None:
    """Raise `InputError` for a folder with missing weights, which transformers would initialize at random."""
    wrong = sorted(map(str, (*found["missing_keys"], *found["mismatched_keys"])))
    if wrong:
        raise BackendError(
            f"The model in {folder} is incomplete: no weights that fit {', '.join(wrong[:3])} "
            f"({len(wrong)} tensors in all).",
            "Restore the folder, or give the config.json that belongs to its weights.",
        )


@contextmanager
def explained_loading(model: str) -> Iterator[None]:
    """Convert exceptions of transformers during loading to an error with the model and the cause."""
    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        cause = re.sub(r"\s+", " ", str(error))[:300]
        raise BackendError(
            f"The model {model} could not be loaded: {cause}",
            "Give a causal language model in safetensors or GGUF that this version of transformers knows; "
            "models that bring their own code are refused.",
        ) from error
