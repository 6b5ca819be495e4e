"""Model files that the check of the header lets through, given to llama.cpp itself: none may end our process.

    python -m tests.fuzz.native [--files N] [--seconds S] [--seed 0]

Each file is a sound model of some thousand weights with a few entries or tensors changed. A process of its own stands
for the probe (backends/llama_cpp/probe.py), another for the run that would follow it: where the first one lives, the
second must. Ends with 1 and keeps the file otherwise. Linux only, as it forks.
"""

from __future__ import annotations

import argparse
import math
import os
import resource
import signal
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Any

from gguf.constants import GGML_QUANT_SIZES

from backends.models.gguf_file import check_gguf
from society.core.errors import InputError, SocietyError

Entry = tuple[str, str, Any]
Tensor = tuple[tuple[int, ...], int]
"""Its shape, the innermost dimension first, and the number of its type."""
Model = tuple[list[Entry], dict[str, Tensor]]

MODULES = [
    "asyncio",
    "concurrent.futures.thread",
    "gguf",
    "llama_cpp",
    "society.planning.demand",
    "backends.contract_tools",
    *(f"backends.llama_cpp.{name}" for name in ("backend", "chat", "convert", "fit", "native", "sampling", "sizes")),
]
LETTERS = [chr(c) for c in (*range(33, 127), *range(161, 173), *range(174, 256), *range(256, 324))]
TOKENS = [*LETTERS, "th", "he", "<|end|>", "<|user|>", "<|assistant|>"]
SIZE = len(TOKENS)
SCALARS = {
    "uint8": (0, "<B"),
    "int8": (1, "<b"),
    "uint16": (2, "<H"),
    "int16": (3, "<h"),
    "uint32": (4, "<I"),
    "int32": (5, "<i"),
    "float32": (6, "<f"),
    "bool": (7, "<?"),
    "uint64": (10, "<Q"),
    "int64": (11, "<q"),
    "float64": (12, "<d"),
}
KINDS = [*SCALARS, *(f"{kind}s" for kind in SCALARS), "string", "strings"]
NUMBERS = [
    *range(9),
    15,
    16,
    17,
    31,
    32,
    33,
    63,
    64,
    127,
    128,
    255,
    256,
    SIZE - 1,
    SIZE,
    SIZE + 1,
    512,
    513,
    4096,
    65_536,
    1 << 20,
    (1 << 27) - 1,
    (1 << 31) - 1,
    1 << 31,
    (1 << 32) - 1,
]
FLOATS = [0.0, -0.0, -1.0, 1e-45, 1e38, math.inf, math.nan, 1e4]
STRINGS = [
    "",
    "llama",
    "bert",
    "gpt2",
    "t5",
    "rwkv",
    "no_vocab",
    "none",
    "plamo2",
    "x" * 3000,
    "default",
    "llama-bpe",
    "tekken",
    "gpt-4o",
    "{{ x }}",
    "qwen2",
    "yarn",
    "linear",
]
PIECES = ["", "a", "x" * 5000, "\0", "\ufffd", "th", "  ", " a", "a ", "a b c", "<0x41>", "\U0001f600", "\u2581"]
ARCHITECTURES = [
    "qwen2",
    "gemma3",
    "phi3",
    "mamba",
    "rwkv6",
    "bert",
    "t5",
    "falcon",
    "gpt2",
    "mpt",
    "deepseek2",
    "clip",
    "granite",
    "olmo2",
    "gpt-oss",
    "qwen3moe",
    "llama4",
    "nonsense",
]
MORE = (
    [
        f"llama.{name}"
        for name in (
            "expert_count",
            "expert_used_count",
            "attention.key_length",
            "attention.value_length",
            "rope.scaling.type",
            "rope.scaling.factor",
            "attention.sliding_window",
            "attention.causal",
            "pooling_type",
            "logit_scale",
            "leading_dense_block_count",
            "expert_shared_count",
            "attention.layer_norm_epsilon",
            "rope.dimension_sections",
            "attention.clamp_kqv",
            "final_logit_softcapping",
            "embedding_length_out",
        )
    ]
    + [
        f"tokenizer.ggml.{name}"
        for name in (
            "scores",
            "precompiled_charsmap",
            "unknown_token_id",
            "eot_token_id",
            "fim_pre_token_id",
            "add_eos_token",
            "add_space_prefix",
            "remove_extra_whitespaces",
            "seperator_token_id",
            "mask_token_id",
            "eog_token_ids",
        )
    ]
    + ["general.alignment", "split.count", "split.no", "split.tensors.count", "quantize.imatrix.file"]
)
TENSORS = [
    "output.weight",
    "blk.1.attn_q.weight",
    "rope_freqs.weight",
    "blk.0.attn_q.bias",
    "output_norm.bias",
    "blk.0.ffn_gate_inp.weight",
    "token_types.weight",
    "nonsense",
]


def sound() -> Model:
    """Return a model that llama.cpp loads: two heads, one layer, a vocabulary of bytes."""
    settings = {
        "context_length": 64,
        "embedding_length": 32,
        "block_count": 1,
        "feed_forward_length": 32,
        "attention.head_count": 2,
        "attention.head_count_kv": 1,
        "rope.dimension_count": 16,
        "vocab_size": SIZE,
    }
    entries: list[Entry] = [
        ("general.architecture", "string", "llama"),
        ("general.file_type", "uint32", 0),
        *((f"llama.{name}", "uint32", value) for name, value in settings.items()),
        ("llama.rope.freq_base", "float32", 1e4),
        ("llama.attention.layer_norm_rms_epsilon", "float32", 1e-5),
        ("tokenizer.ggml.model", "string", "gpt2"),
        ("tokenizer.ggml.pre", "string", "smollm"),
        ("tokenizer.ggml.tokens", "strings", TOKENS),
        ("tokenizer.ggml.merges", "strings", ["t h", "h e"]),
        ("tokenizer.ggml.token_type", "int32s", [1] * (SIZE - 3) + [3] * 3),
        ("tokenizer.ggml.bos_token_id", "uint32", SIZE - 3),
        ("tokenizer.ggml.eos_token_id", "uint32", SIZE - 3),
        ("tokenizer.ggml.padding_token_id", "uint32", 0),
        ("tokenizer.ggml.add_bos_token", "bool", False),
        ("tokenizer.chat_template", "string", "{% for m in messages %}<|user|>{{ m.content }}<|end|>{% endfor %}"),
    ]
    square, half, row = (32, 32), (32, 16), (32,)
    layer = {
        "attn_norm": row,
        "attn_q": square,
        "attn_k": half,
        "attn_v": half,
        "attn_output": square,
        "ffn_norm": row,
        "ffn_gate": square,
        "ffn_up": square,
        "ffn_down": square,
    }
    shapes = {"token_embd.weight": (32, SIZE), "output_norm.weight": row}
    shapes |= {f"blk.0.{name}.weight": shape for name, shape in layer.items()}
    return entries, {name: (shape, 0) for name, shape in shapes.items()}


def changed(entries: Sequence[Entry] = (), tensors: Mapping[str, Tensor] | None = None) -> bytes:
    """Return the sound model with these entries and tensors instead of its own, or besides."""
    kept, more = sound()
    names = {name for name, _, _ in entries}
    return write(([*(entry for entry in kept if entry[0] not in names), *entries], more | dict(tensors or {})))


def write(model: Model) -> bytes:
    """Return the GGUF file."""
    entries, tensors = model
    out = [b"GGUF", struct.pack("<IQQ", 3, len(tensors), len(entries))]
    out += [_text(key) + _value(kind, value) for key, kind, value in entries]
    weights, luck = b"", Random(0)
    for name, (shape, kind) in tensors.items():
        out.append(_text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, len(weights)))
        weights += _weights(math.prod(shape), kind, luck)
    header = b"".join(out)
    return header + bytes(-len(header) % 32) + weights


def _text(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def _value(kind: str, value: Any) -> bytes:
    if kind == "string":
        return struct.pack("<I", 8) + _text(value)
    if kind == "strings":
        return struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(_text, value))
    if kind in SCALARS:
        number, form = SCALARS[kind]
        return struct.pack("<I", number) + struct.pack(form, value)
    number, form = SCALARS[kind[:-1]]
    return struct.pack("<IIQ", 9, number, len(value)) + b"".join(struct.pack(form, one) for one in value)


def _weights(elements: int, kind: int, luck: Random) -> bytes:
    block, width = GGML_QUANT_SIZES[kind]
    size = elements // block * width
    data = struct.pack(f"<{size // 4}f", *(luck.gauss(0, 0.3) for _ in range(size // 4))) if kind == 0 else bytes(size)
    return data + bytes(-len(data) % 32)


# -- changes


def mutated(luck: Random) -> bytes:
    """Return a sound file, changed in one to three places."""
    entries, tensors = sound()
    changes: list[Callable[[list[Entry], dict[str, Tensor], Random], None]]
    changes = [_change_value, _change_value, _change_kind, _drop, _add, _rename, _change_tensor, _change_tensor]
    for _ in range(luck.choice([1, 1, 1, 2, 3])):
        luck.choice(changes)(entries, tensors, luck)
    data = bytearray(write((entries, tensors)))
    if luck.random() < 0.1:
        data[luck.randrange(9000)] = luck.randrange(256)
    return bytes(data)


def _change_value(entries: list[Entry], tensors: dict[str, Tensor], luck: Random) -> None:
    i = luck.randrange(1, len(entries))
    key, kind, value = entries[i]
    entries[i] = (key, kind, _other(kind, value, luck))


def _other(kind: str, value: Any, luck: Random) -> Any:
    """Another value of this kind."""
    if kind in ("strings", "int32s"):
        few, odd = list(value), PIECES if kind == "strings" else [-1, 0, *range(8), (1 << 31) - 1, -(1 << 31)]
        for _ in range(luck.choice([1, 1, 50])):
            if few:
                few[luck.randrange(len(few))] = luck.choice(odd)
        return few[: luck.choice([0, 1, len(few) // 2, len(few) - 1] + [len(few)] * 8)] + [odd[1]] * luck.choice(
            [0, 0, 5]
        )
    if kind == "string":
        return luck.choice(STRINGS)
    if kind == "bool":
        return not value
    if kind == "uint32":
        return luck.choice(NUMBERS)
    return _any(kind, luck)


def _any(kind: str, luck: Random) -> Any:
    if kind == "strings":
        return ["a"] * luck.choice([0, 1, 70])
    if kind.endswith("s"):
        return [_any(kind[:-1], luck)] * luck.choice([0, 1, 4, SIZE])
    if kind == "string":
        return luck.choice(STRINGS)
    if kind == "bool":
        return True
    if kind.startswith("float"):
        return luck.choice(FLOATS)
    low, high = (0, 8) if kind.endswith("8") else (0, 16) if kind.endswith("16") else (0, 31)
    return luck.choice([low, 1, 3, 100, (1 << (high - 1)) - 1]) * (
        -1 if kind.startswith("int") and luck.random() < 0.3 else 1
    )


def _change_kind(entries: list[Entry], tensors: dict[str, Tensor], luck: Random) -> None:
    i, kind = luck.randrange(1, len(entries)), luck.choice(KINDS)
    entries[i] = (entries[i][0], kind, _any(kind, luck))


def _drop(entries: list[Entry], tensors: dict[str, Tensor], luck: Random) -> None:
    entries.pop(luck.randrange(1, len(entries)))


def _add(entries: list[Entry], tensors: dict[str, Tensor], luck: Random) -> None:
    key, kind = luck.choice(MORE), luck.choice(KINDS)
    entries[:] = [entry for entry in entries if entry[0] != key] + [(key, kind, _any(kind, luck))]


def _rename(entries: list[Entry], tensors: dict[str, Tensor], luck: Random) -> None:
    """Claim another architecture."""
    name = luck.choice(ARCHITECTURES)
    entries[:] = [(k.replace("llama.", f"{name}."), kind, v) for k, kind, v in entries]
    entries[0] = ("general.architecture", "string", name)


def _change_tensor(entries: list[Entry], tensors: dict[str, Tensor], luck: Random) -> None:
    name = luck.choice(list(tensors))
    shape, kind = tensors[name]
    what = luck.randrange(5)
    if what == 0:
        del tensors[name]
    elif what == 1:
        at, size = luck.randrange(len(shape)), luck.choice([1, 2, 16, 31, 32, 33, 64, SIZE])
        tensors[name] = ((*shape[:at], size, *shape[at + 1 :]), kind)
    elif what == 2:
        tensors[name] = ((*shape, luck.choice([1, 2]))[:4], kind)
    elif what == 3:
        tensors[name] = (shape, int(luck.choice(list(GGML_QUANT_SIZES))))
    else:
        tensors[luck.choice(TENSORS)] = (shape, kind)


# -- what is done with a file


def use(path: Path) -> None:
    """Do the steps of a run: estimate, count tokens, load, answer together, score."""
    import asyncio

    from backends.contract_tools import ask, run
    from backends.llama_cpp import fit
    from backends.llama_cpp.config import LlamaCpp
    from society.core.types import ChatMessage

    config = LlamaCpp(model=str(path), slots=2, threads=1, context=48, cache_mb=1)
    config.memory(())
    with fit.count_tokens(config) as count:
        count((ChatMessage("user", "hello the"),))

    async def talk(backend: Any) -> None:
        questions = [ask(f"hello \U0001f600 <|end|> the {i}", max_tokens=4) for i in range(3)]
        await asyncio.gather(*map(backend.generate, questions))
        await backend.likelihood.logprob((ChatMessage("user", "hi"),), "the")

    run(config, talk)


def lives(work: Callable[[Path], None], path: Path) -> int:
    """Return the signal that ends a process which does this with the file; 0 if none does."""
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.alarm(60)
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        try:
            work(path)
        except SocietyError:
            os._exit(0)
        except BaseException:  # a bug of ours, which costs a turn
            os._exit(1)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return -min(status, 0)


def prepare() -> Callable[[Path], None]:
    """Import what the children need, nothing of which starts llama.cpp; gives what the probe's child does."""
    for module in MODULES:
        import_module(module)
    from backends.llama_cpp.probe import main

    os.environ |= {"SOCIETY_PROBE": "1", "GGML_NO_BACKTRACE": "1", "OMP_NUM_THREADS": "1"}
    return main


def fuzz(files: int, seconds: float, seed: int) -> tuple[Counter[str], bytes | None]:
    """Return the outcomes of the files, and the first file that passed a probe and crashed a run."""
    probe, found, ends = prepare(), Counter[str](), time.monotonic() + seconds
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        os.environ["SOCIETY_CACHE"] = folder
        path = Path(folder) / "model.gguf"
        while found["files"] < files and time.monotonic() < ends:
            data = mutated(Random(f"{seed} {found['files']}"))
            path.write_bytes(data)
            found["files"] += 1
            what = _try(path, probe)
            if what is None:
                return found, data
            found[what] += 1
    return found, None


def _try(path: Path, probe: Callable[[Path], None]) -> str | None:
    """Return the outcome of a file, or None if it crashes a run."""
    try:
        check_gguf(path)
    except InputError:
        return "refused by the check"
    if ended := lives(probe, path):
        return f"probe ended by {signal.Signals(ended).name}"
    return None if lives(use, path) else "used"


def main() -> int:
    """Fuzz for so long, print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10**9)
    parser.add_argument("--seconds", type=float, default=math.inf)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    found, crash = fuzz(asked.files, asked.seconds, asked.seed)
    print(dict(found))
    if crash is not None:
        place = Path(tempfile.gettempdir()) / "crash.gguf"
        place.write_bytes(crash)
        print(f"A run crashes on {place}.")
    return crash is not None


if __name__ == "__main__":
    sys.exit(main())
