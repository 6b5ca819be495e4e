"""The command that installs packages for this interpreter, as remedies print it."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path


def pip(arguments: str) -> str:
    """Return the shell command that does `pip ARGUMENTS` with the packages of this interpreter.

    It names the interpreter, unless an activated virtual environment makes `pip` the interpreter's own. An environment
    that uv made may have no pip, but uv itself.
    """
    if _is_own():
        return f"pip {arguments}"
    python = shlex.quote(sys.executable)
    if shutil.which("uv") and not _has_pip():
        action, _, packages = arguments.partition(" ")
        return f"uv pip {action} --python {python} {packages}"
    return f"{python} -m pip {arguments}"


def _has_pip() -> bool:
    """Return whether this interpreter has pip, without a search for its module: setuptools hooks that."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        distribution("pip")
    except PackageNotFoundError:
        return False
    return True


def _is_own() -> bool:
    """Return whether the first `pip` on PATH is that of this interpreter's virtual environment."""
    found = shutil.which("pip")
    in_environment = sys.prefix != sys.base_prefix
    return found is not None and in_environment and Path(found).parent.samefile(Path(sys.executable).parent)
