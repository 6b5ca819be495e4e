"""The licence of a model as its package, its README or its header names it. Nothing is loaded or downloaded."""

from __future__ import annotations

import importlib.metadata
import re
from contextlib import suppress
from pathlib import Path

from backends.models.find import find_cached
from backends.models.gguf_file import check_gguf
from society.core.errors import SocietyError
from society.core.regular_files import read_limited

LONGEST = 100
"""Maximum number of characters of a licence's name."""
LARGEST_README = 1_000_000
"""Maximum size of a README that is read, in bytes."""
_FRONT = re.compile(r"\A---\s*\n(.*?)\n---", re.DOTALL)
_LICENCE = re.compile(r"^license(?:_name)?:\s*[\"']?([^\"'\n#]+)", re.MULTILINE)


def find_licence(model: str) -> str:
    """Return the name of a model's licence, such as "apache-2.0"; "" if it is not known.

    `model` is a path, `pypi:PACKAGE`, `hf:NAME`, `hf:REPO:FILE` or a hub id.
    """
    source, _, rest = model.partition(":")
    if source == "pypi":
        return _clean(_read_package(rest))
    with suppress(SocietyError, OSError, ValueError):
        path = Path(model).expanduser()
        if path.is_file():
            return _clean(_read_readme(path.parent / "README.md") or _read_header(path))
        if path.is_dir():
            return _clean(_read_readme(path / "README.md"))
        repo = rest.partition(":")[0] if source == "hf" else model
        if (readme := find_cached(repo, "README.md")) is not None:
            return _clean(_read_readme(readme))
    return ""


def _read_package(package: str) -> str:
    try:
        found = importlib.metadata.metadata(package.strip())
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return ""
    named = [*(found.get_all("License-Expression") or ()), *(found.get_all("License") or ())]
    return str(named[0]) if named else ""


def _read_readme(path: Path) -> str:
    """Return the licence of a model card, which begins with YAML between two lines of dashes."""
    if not path.is_file():
        return ""
    front = _FRONT.match(read_limited(path, LARGEST_README).decode(errors="replace"))
    found = _LICENCE.findall(front[1]) if front else []
    return str(found[-1]) if found else ""


def _read_header(path: Path) -> str:
    found = check_gguf(path).metadata.get("general.license", "")
    return found if isinstance(found, str) else ""


def _clean(text: str) -> str:
    """Return the first line of a licence, cut: some packages give its whole text."""
    return next(iter(text.strip().splitlines()), "").strip()[:LONGEST]
