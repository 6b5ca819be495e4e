"""Writes the tables of docs/models.md: `python -m tests.matrix` all of them, `python -m tests.matrix hf` one."""

from __future__ import annotations

import sys
import tempfile
from importlib import import_module
from pathlib import Path

from tests.matrix import NAMES
from tests.matrix.table import PAGE, Matrix


def main(names: list[str]) -> None:
    """Examine all subjects of these matrices, or of all, and write what was found."""
    for name in names or NAMES:
        matrix: Matrix = import_module(f"tests.matrix.{name}").MATRIX
        found = {}
        for subject in matrix.subjects:
            with tempfile.TemporaryDirectory() as folder:
                found[subject] = matrix.examine(subject, Path(folder))
            print(subject, found[subject])
        PAGE.write_text(matrix.put(PAGE.read_text("utf-8"), found), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
