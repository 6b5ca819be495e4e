"""Memory that this process has freed and the C library keeps."""

from __future__ import annotations

import ctypes


def return_memory() -> None:
    """Return freed memory to the system.

    glibc keeps it for each thread that has used some: gigabytes after a few runs in one process. Other C libraries
    have no such function.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
