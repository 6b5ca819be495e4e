"""Start of this program's modules in child processes, which import no module from the current folder.

module_command    the command that runs a module
import_path       the value of PYTHONPATH for such a command
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
"""Folder of this program's packages."""


def module_command(module: str) -> list[str]:
    """Return the command that runs a module. Without -P, Python would import from the current folder first."""
    return [sys.executable, "-P", "-m", module]


def import_path() -> str:
    """Return the folders from which this process imports, and that of this program, as a value of PYTHONPATH.

    The current folder is left out, as it may come from a stranger, unless it is that of this program.
    """
    here = Path.cwd()
    folders = [entry for entry in sys.path if entry and Path(entry).resolve() != here]
    return os.pathsep.join(dict.fromkeys([*folders, str(ROOT)]))
