"""The Triton kernel of `nucleus`. Imported where CUDA and Triton are there, and nowhere else."""

# mypy: ignore-errors

import triton
import triton.language as tl


@triton.jit
def _count(probs, floor, size, block: tl.constexpr):
    """Return how many probabilities of a row are at least `floor`."""
    found = tl.zeros([block], dtype=tl.int32)
    for start in range(0, size, block):
        column = start + tl.arange(0, block)
        p = tl.load(probs + column, mask=column < size, other=-1.0)
        found += (p >= floor).to(tl.int32)
    return tl.sum(found)


@triton.jit
def _mass(probs, floor, size, block: tl.constexpr):
    """Return the sum of the probabilities of a row that are at least `floor`."""
    found = tl.zeros([block], dtype=tl.float32)
    for start in range(0, size, block):
        column = start + tl.arange(0, block)
        p = tl.load(probs + column, mask=column < size, other=0.0)
        found += tl.where(p >= floor, p, 0.0)
    return tl.sum(found)


@triton.jit
def floors_kernel(
    probs_ptr, top_k_ptr, top_p_ptr, min_p_ptr, floors_ptr, size, block: tl.constexpr, halvings: tl.constexpr
):
    """Write the floor of one row; see `nucleus.find_floors`."""
    row = tl.program_id(0).to(tl.int64)
    probs = probs_ptr + row * size
    top_k = tl.load(top_k_ptr + row).to(tl.int32)
    top_p = tl.load(top_p_ptr + row)
    min_p = tl.load(min_p_ptr + row)

    highest = tl.zeros([block], dtype=tl.float32)
    for start in range(0, size, block):
        column = start + tl.arange(0, block)
        highest = tl.maximum(highest, tl.load(probs + column, mask=column < size, other=0.0))
    best = tl.max(highest)

    # The k-th largest probability.
    low = best.to(tl.int32, bitcast=True) * 0
    if top_k > 0:
        high = best.to(tl.int32, bitcast=True) + 1
        for _ in range(halvings):
            middle = low + (high - low) // 2
            passed = _count(probs, middle.to(tl.float32, bitcast=True), size, block) >= top_k
            low = tl.where(passed, middle, low)
            high = tl.where(passed, high, middle)
    limit = low

    # The largest threshold, at least that, which leaves the share top_p of the mass.
    if top_p < 1.0:
        wanted = top_p * _mass(probs, limit.to(tl.float32, bitcast=True), size, block)
        high = best.to(tl.int32, bitcast=True) + 1
        for _ in range(halvings):
            middle = low + (high - low) // 2
            passed = _mass(probs, middle.to(tl.float32, bitcast=True), size, block) >= wanted
            low = tl.where(passed, middle, low)
            high = tl.where(passed, high, middle)

    floor = low.to(tl.float32, bitcast=True)
    tl.store(floors_ptr + row, tl.maximum(floor, min_p * best))
