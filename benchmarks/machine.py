"""The machine of a result and its load, for every result file."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

_BEFORE = os.getloadavg()[0]


def describe_machine() -> str:
    """Return processor, cores, GPU, Python, and the load average before this script and now.

    A script's own work counts: on an idle machine, the load ends near the number of its threads.
    """
    parts = [f"{os.cpu_count()} cores of {_processor()}", *_gpus(), f"Python {platform.python_version()}"]
    return f"{', '.join(parts)}. Load average {_BEFORE:.1f} at the start, {os.getloadavg()[0]:.1f} at the end."


def _processor() -> str:
    """Return the processor's name and its support for 16-bit arithmetic."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    said = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    name = said.get("model name") or platform.processor() or platform.machine()
    fast = [flag for flag in ("avx512_bf16", "amx_bf16") if flag in said.get("flags", "").split()]
    return f"{platform.machine()} {name}{' with ' * bool(fast)}{', '.join(fast)}"


def _gpus() -> list[str]:
    """Return the GPUs, if the script uses torch."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return []
    return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
