"""Facts about the machine of a run: GPUs and git commits. Nothing here imports a model's library."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path

import society

_DRIVER = Path("/proc/driver/nvidia/gpus")
_SECONDS = 2
"""Timeout in seconds of a call to git."""


def read_gpus() -> list[str]:
    """Return the names of this machine's GPUs; none where neither the driver nor a loaded torch names any."""
    found = []
    for file in sorted(_DRIVER.glob("*/information")):
        lines = (line.partition(":") for line in file.read_text(errors="replace").splitlines())
        found += [value.strip() for name, _, value in lines if name.strip() == "Model"]
    torch = sys.modules.get("torch")
    if not found and torch is not None and torch.cuda.is_available():
        found = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    return found


@cache
def read_commit(folder: Path) -> str:
    """Return the git commit of the repository that holds a folder; "" where there is none.

    It ends in `+` if files that git knows have changed since.
    """
    commit = _git(folder, "rev-parse", "--verify", "HEAD")
    changed = commit and _git(folder, "status", "--porcelain", "--untracked-files=no")
    return f"{commit}+" if changed else commit


def _git(folder: Path, *command: str) -> str:
    """Return the output of a git command that changes nothing; "" if it fails."""
    options = ("--no-optional-locks", "-C", str(folder), "-c", "core.fsmonitor=false")
    try:
        done = subprocess.run(["git", *options, *command], capture_output=True, text=True, timeout=_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError, UnicodeError):
        return ""
    return done.stdout.strip()


def read_program_commit() -> str:
    """Return the git commit of this program; "" where it was installed as a package."""
    root = Path(society.__file__).resolve().parents[1]
    return read_commit(root) if (root / ".git").exists() else ""
