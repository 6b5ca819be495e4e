"""Calls of a model on packed sequences: a batch of one row that holds the tokens of many sequences, without padding.

The model's attention is replaced by `attend` for the call. Each sequence attends to its segment of a `Pool`: its new
tokens and those stored before. On CUDA in half precision that is one flash attention kernel for any mix of lengths;
elsewhere the same is computed by `scaled_dot_product_attention`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from backends.hf.nucleus import has_kernel
from backends.hf.pool import Pool
from backends.hf.probing import make_tokens, near_of, relate
from backends.hf.rotary import FROZEN, find_kinds

NAME = "society_packed"
"""Name of `attend` among the attention functions of transformers."""
MEANINGFUL = ("softcap", "s_aux", "sliding_window", "position_bias")
"""Arguments of an attention function that change its result, and that `attend` does not know."""
USE_KERNEL = True
"""Whether many sequences are decoded by our own kernel, where Triton is installed."""
STATIC_ROPE = {"default", "linear", "llama3", "yarn", "proportional", FROZEN}
"""Rotary embeddings whose frequencies do not depend on the longest sequence of a batch."""


@dataclass(frozen=True)
class Packing:
    """The positions of the tokens of a packed call. Tensors are int32, with n sequences."""

    bounds: torch.Tensor
    """(n + 1): sequence i has the packed tokens from `bounds[i]` to `bounds[i + 1] - 1`."""
    starts: torch.Tensor
    """(n + 1): the first position of each sequence in the pool; the last number is not used."""
    used: torch.Tensor
    """(n): tokens of each sequence in the pool, new ones included."""
    queries: int
    """Maximum number of packed tokens of a sequence; 1 means that each has exactly one."""
    columns: int
    """At least the maximum of `used`."""
    lengths: Sequence[tuple[int, int, int]] = ()
    """New tokens, start and used tokens of each sequence, on the host; needed where `queries` is above 1."""


_now = threading.local()


@contextmanager
def packed_attention(model: Any, packing: Packing) -> Iterator[None]:
    """Replace the attention of a model by `attend` with this packing within the context."""
    usual = model.config._attn_implementation
    model.config._attn_implementation = NAME
    _now.packing = packing
    try:
        yield
    finally:
        model.config._attn_implementation = usual
        _now.packing = None


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Return the attention (1, tokens, heads, size) of packed queries (1, heads, tokens, size) over the pool.

    `key` and `value` (1, key heads, pool tokens, size) are those of the whole pool.
    """
    packing: Packing = _now.packing
    odd = [name for name in MEANINGFUL if kwargs.get(name) is not None]
    if odd or dropout or attention_mask is not None:
        raise NotImplementedError(f"packed attention with {', '.join(odd) or 'dropout or a mask'}")
    if getattr(_now, "seen", None) is not None:
        _now.seen.append(key.data_ptr())
    queries, keys, values = (states[0].transpose(0, 1) for states in (query, key, value))
    if can_flash(query, key, value) and packing.queries == 1 and fills_device(queries, keys):
        out = decode_by_kernel(packing, queries, keys, values, scaling)
    elif can_flash(query, key, value):
        out = _flash(packing, queries, keys, values, scaling)
    elif packing.queries == 1:
        out = _decode(packing, queries, keys, values, scaling)
    else:
        out = _prefill(packing, queries, keys, values, scaling)
    return out[None], None


ALL_ATTENTION_FUNCTIONS.register(NAME, attend)


def can_flash(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> bool:
    """Return whether torch's flash attention computes these."""
    half = query.is_cuda and query.dtype in (torch.bfloat16, torch.float16)
    return half and query.shape[-1] == key.shape[-1] == value.shape[-1] <= 256 and query.shape[-1] % 8 == 0


def fills_device(queries: torch.Tensor, keys: torch.Tensor) -> bool:
    """Return whether one program for each sequence and key head keeps the device busy, and Triton can build it.

    Flash attention splits a sequence where there are few; where there are many, it reads keys at two thirds of the
    speed.
    """
    count, heads, size = queries.shape
    enough = count * keys.shape[1] >= 2 * torch.cuda.get_device_properties(queries.device).multi_processor_count
    return USE_KERNEL and enough and size in (64, 128, 256) and heads // keys.shape[1] <= 16 and has_kernel()


def decode_by_kernel(
    packing: Packing, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, scaling: float | None
) -> torch.Tensor:
    """Compute one query a sequence by a Triton kernel."""
    from backends.hf.decode_kernel import decode_kernel

    count, heads, size = queries.shape
    out = torch.empty(count, heads, size, dtype=queries.dtype, device=queries.device)
    queries = queries if queries.stride(2) == 1 else queries.contiguous()
    scale = size**-0.5 if scaling is None else scaling
    decode_kernel[(count, keys.shape[1])](
        queries,
        keys,
        values,
        packing.starts,
        packing.used,
        out,
        scale,
        queries.stride(0),
        queries.stride(1),
        keys.shape[1],
        group=heads // keys.shape[1],
        padded=16,
        size=size,
        block=64,
        num_warps=4,
        num_stages=3,
    )
    return out


def _flash(
    packing: Packing, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, scaling: float | None
) -> torch.Tensor:
    """Compute all sequences by one kernel, which reads no more of the pool than `used`. The mask is causal and aligned
    to the last token of each sequence."""
    out = torch.ops.aten._flash_attention_forward(
        queries,
        keys,
        values,
        packing.bounds,
        packing.starts,
        packing.queries,
        packing.columns,
        0.0,
        packing.queries > 1,
        False,
        scale=scaling,
        seqused_k=packing.used,
    )
    return out[0]  # type: ignore[no-any-return]


def _decode(
    packing: Packing, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, scaling: float | None
) -> torch.Tensor:
    """Compute one query a sequence: copy the segments into a padded tensor, and mask what is not used."""
    count, heads, size = queries.shape
    column = torch.arange(packing.columns, device=queries.device)
    index = (packing.starts[:count, None] + column).clamp(max=len(keys) - 1)
    # The query heads that share a key head become queries of that head: keys are read once.
    grouped = queries.reshape(count, keys.shape[1], heads // keys.shape[1], size)
    padded = keys[index].transpose(1, 2), values[index].transpose(1, 2)
    mask = (column < packing.used[:, None])[:, None, None]
    out = scaled_dot_product_attention(grouped, *padded, attn_mask=mask, scale=scaling)
    return out.reshape(count, heads, -1)


def _prefill(
    packing: Packing, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, scaling: float | None
) -> torch.Tensor:
    """Compute one sequence after another."""
    outputs, first = [], 0
    groups = queries.shape[1] // keys.shape[1]
    for new, start, used in packing.lengths:
        query = queries[first : first + new].transpose(0, 1)
        key, value = (
            states[start : start + used].transpose(0, 1).repeat_interleave(groups, 0) for states in (keys, values)
        )
        mask = torch.ones(new, used, dtype=torch.bool, device=query.device).tril(used - new)
        out = scaled_dot_product_attention(query[None], key[None], value[None], attn_mask=mask, scale=scaling)
        outputs.append(out[0].transpose(0, 1))
        first += new
    return torch.cat(outputs)


def count_layers(model: Any) -> int:
    """Return the number of layers of a model's cache."""
    return len(DynamicCache(config=model.config).layers)


def find_obstacle(model: Any) -> str:
    """Return why packed calls would not compute what the model computes, "" if they would.

    The model's cache must have plain layers alone (neither sliding windows nor recurrent states), its attention must
    be torch's and be replaceable, and the rotary frequencies of a sequence must not depend on the other sequences.
    """
    layers = [type(layer) for layer in DynamicCache(config=model.config).layers]
    if DynamicSlidingWindowLayer in layers:
        return f"its configuration has attention layers with a sliding window ({layers.count(DynamicLayer)} without)"
    if set(layers) != {DynamicLayer}:
        names = sorted({layer.__name__ for layer in layers} - {DynamicLayer.__name__})
        return f"it has layers without a plain KV cache ({', '.join(names) or 'all of them'})"
    if model.config._attn_implementation != "sdpa" or not getattr(model, "_supports_attention_backend", False):
        return "its attention cannot be replaced"
    if getattr(model.config, "quantization_config", None) is not None:
        return "its weights are quantised"
    if changing := find_kinds(model) - STATIC_ROPE:
        return f"its rotary frequencies depend on the length ({', '.join(sorted(changing))})"
    return _probe(model, len(layers))


@torch.inference_mode()
def _probe(model: Any, layers: int) -> str:
    """Call the model on two packed sequences, and return why packed calls are wrong for it, "" if they are right.

    Each layer must use the pool as `attend` needs, and the logits must be those of each sequence alone.
    """
    lengths = [6, 3]
    pool = Pool(layers, sum(lengths), torch.device(model.device))
    segments, _ = pool.allocate(lengths)
    pool.where = torch.arange(sum(lengths), device=model.device)
    packing = make_packing([(segment.size, segment.start, segment.size) for segment in segments], model.device)
    seen: list[int] = []
    ids = torch.tensor([make_tokens(sum(lengths), model)], device=model.device)
    positions = torch.tensor([[place for length in lengths for place in range(length)]], device=model.device)
    _now.seen = seen
    try:
        with packed_attention(model, packing):
            found = model(input_ids=ids, position_ids=positions, past_key_values=pool, use_cache=True).logits[0]
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # models of other authors raise errors of many kinds
        return f"it fails on packed sequences: {error}"
    finally:
        _now.seen = None
    if seen != [layer.held[0].data_ptr() for layer in pool.parts]:
        return "its layers do not use the cache one after the other"
    alone = [model(input_ids=part, use_cache=False).logits[0] for part in torch.split(ids, lengths, 1)]
    difference = relate([(found, torch.cat(alone))])
    return "" if difference < near_of(model) else f"packed logits differ by {difference:.1g}"


def make_packing(lengths: Sequence[tuple[int, int, int]], device: torch.device) -> Packing:
    """Return the packing of sequences given as (new tokens, start, used tokens)."""
    bounds, starts, used = [0], [], []
    for new, start, length in lengths:
        bounds.append(bounds[-1] + new)
        starts.append(start)
        used.append(length)

    def put(numbers: list[int]) -> torch.Tensor:
        return torch.tensor(numbers, dtype=torch.int32).to(device, non_blocking=True)

    # At least 2: a packing of 1 promises exactly one token a sequence, and its mask is then not causal.
    queries = max(2, *(new for new, _, _ in lengths))
    return Packing(put(bounds), put([*starts, 0]), put(used), queries, max(used), list(lengths))
