"""What a result was measured on, and how busy that was: every result file says it."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

_BEFORE = os.getloadavg()[0]


def describe_machine() -> str:
    """Processor, cores, GPU, Python, and the load average of the last minute before this script and now.

    A script's own work counts: on a machine that does nothing else, the load ends near the number of its threads.
    """
    parts = [f"{os.cpu_count()} cores of {_processor()}", *_gpus(), f"Python {platform.python_version()}"]
    return f"{', '.join(parts)}. Load average {_BEFORE:.1f} at the start, {os.getloadavg()[0]:.1f} at the end."


def _processor() -> str:
    """As the processor calls itself, with what it has for 16-bit arithmetic."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    said = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    name = said.get("model name") or platform.processor() or platform.machine()
    fast = [flag for flag in ("avx512_bf16", "amx_bf16") if flag in said.get("flags", "").split()]
    return f"{platform.machine()} {name}{' with ' * bool(fast)}{', '.join(fast)}"


def _gpus() -> list[str]:
    """GPUs, where the script uses torch."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return []
    return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
