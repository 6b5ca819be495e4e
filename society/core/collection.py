"""Collection of cyclic garbage while a scenario is loaded, or while debates run."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

COLLECT_AFTER = 50_000
"""Number of new objects after which Python collects cyclic garbage."""


@contextmanager
def collecting_seldom() -> Iterator[None]:
    """Collect cyclic garbage less often inside the block.

    Nearly all objects of a scenario and of a debate live until its end, and each collection visits all of them. With
    Python's default, collections take a third of the time of a large society, and more than in proportion to its size.
    """
    usual = gc.get_threshold()
    gc.set_threshold(max(COLLECT_AFTER, usual[0]) if usual[0] else 0, *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)
