"""Bytes of a slot's memory in each layer: keys and values of its tokens, or a recurrent state.

A layer has attention, a recurrent state (Mamba, short convolutions, delta nets), or both (Falcon H1); the names of its
tensors show which. Multi-head latent attention (DeepSeek) stores one compressed key a token, and no values.
"""

from __future__ import annotations

from backends.models.gguf_file import GGUFInfo

_STATES = ("ssm_conv1d", "shortconv.conv", "time_mix_w")
"""Beginnings of the names of tensors that a recurrent layer has: state space models, short convolutions, RWKV."""
_KEYS = ("attn_k.", "attn_qkv.", "attn_kv_a_mqa.", "attn_k_b.")
"""Beginnings of the names of tensors that a layer with attention has."""


def count_cache_bytes(info: GGUFInfo) -> tuple[int, int]:
    """Return the bytes of a token's keys and values in all layers, and of a slot's recurrent states.

    llama.cpp stores keys and values in 2 bytes per number, and states in 4.
    """
    layers = range(info.number("block_count"))
    tensors: dict[int, list[str]] = {layer: [] for layer in layers}
    for name in info.shapes:
        kind, _, rest = name.partition(".")
        number, _, tensor = rest.partition(".")
        if kind == "blk" and number.isdecimal():
            tensors.setdefault(int(number), []).append(tensor)
    recurrent = [layer for layer in layers if any(name.startswith(_STATES) for name in tensors[layer])]
    keyed = [layer for layer in layers if _has_keys(tensors[layer], layer in recurrent)]
    width = sum(_key_width(info, layer) for layer in keyed)
    return 2 * width, 4 * len(recurrent) * _state_width(info)


def _has_keys(names: list[str], recurrent: bool) -> bool:
    """Return whether a layer has keys. Layers of unknown tensors do; delta nets name their own projection attn_qkv."""
    keys = [name for name in names if name.startswith(_KEYS)]
    return bool(keys) and not (recurrent and keys[0].startswith("attn_qkv.")) if names else True


def _key_width(info: GGUFInfo, layer: int) -> int:
    """Return the numbers that a layer stores for a token."""
    heads = info.number("attention.head_count", layer)
    key_heads = info.number("attention.head_count_kv", layer)
    if not key_heads and not isinstance(info.metadata.get(f"{info.architecture}.attention.head_count_kv"), list):
        key_heads = heads
    usual = info.number("embedding_length") // max(heads, 1)
    keys = info.number("attention.key_length") or usual
    compressed = info.number("attention.key_length_mla")
    values = 0 if compressed else info.number("attention.value_length") or usual
    return key_heads * (keys + values)


def _state_width(info: GGUFInfo) -> int:
    """Return the numbers of a recurrent layer's state: of its convolution, and of the recurrence."""
    embedding, inner, state = (
        info.number("embedding_length"),
        info.number("ssm.inner_size"),
        info.number("ssm.state_size"),
    )
    taps = max(info.number("ssm.conv_kernel") - 1, 0) * (inner + 2 * info.number("ssm.group_count") * state)
    short = max(info.number("shortconv.l_cache") - 1, 0) * embedding
    head = info.number("wkv.head_size")
    shifted = (info.number("token_shift_count") or 2) * embedding + head * embedding if head else 0
    return taps + state * inner + short + shifted
