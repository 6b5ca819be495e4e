"""A Triton kernel of decoding attention. Imported where CUDA and Triton are there, and nowhere else."""

# mypy: ignore-errors

import triton
import triton.language as tl


@triton.jit
def decode_kernel(
    query_ptr,
    key_ptr,
    value_ptr,
    starts_ptr,
    used_ptr,
    out_ptr,
    scale,
    row_stride,
    head_stride,
    key_heads,
    group: tl.constexpr,
    padded: tl.constexpr,
    size: tl.constexpr,
    block: tl.constexpr,
):
    """Write the attention of one sequence's query heads that share a key head.

    Queries have the strides `row_stride` and `head_stride`; keys and values are (tokens, key heads, size) and the
    output is (rows, query heads, size), contiguous. `padded` is `group` rounded up to what `tl.dot` needs.
    """
    row, head = tl.program_id(0), tl.program_id(1)
    start = tl.load(starts_ptr + row).to(tl.int64)
    used = tl.load(used_ptr + row)
    member, channel = tl.arange(0, padded), tl.arange(0, size)
    own = (member < group)[:, None]
    query_at = query_ptr + row * row_stride + (head * group + member)[:, None] * head_stride + channel[None, :]
    query = tl.load(query_at, mask=own, other=0.0)

    best = tl.full([padded], -float("inf"), tl.float32)
    total = tl.zeros([padded], tl.float32)
    summed = tl.zeros([padded, size], tl.float32)
    for first in range(0, used, block):
        column = first + tl.arange(0, block)
        live = column < used
        at = ((start + column) * key_heads + head)[:, None] * size + channel[None, :]
        keys = tl.load(key_ptr + at, mask=live[:, None], other=0.0)
        scores = tl.dot(query, tl.trans(keys)) * scale
        scores = tl.where(live[None, :], scores, -float("inf"))
        # The maximum may grow: what was summed before is scaled to the new one.
        higher = tl.maximum(best, tl.max(scores, 1))
        weights = tl.exp(scores - higher[:, None])
        shrink = tl.exp(best - higher)
        values = tl.load(value_ptr + at, mask=live[:, None], other=0.0)
        total = total * shrink + tl.sum(weights, 1)
        summed = summed * shrink[:, None] + tl.dot(weights.to(values.dtype), values)
        best = higher
    heads = key_heads * group
    out_at = out_ptr + (row * heads + head * group + member)[:, None] * size + channel[None, :]
    tl.store(out_at, (summed / total[:, None]).to(out_ptr.dtype.element_ty), mask=own)
