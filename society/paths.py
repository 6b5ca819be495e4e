"""Paths in a scenario: relative to the scenario's folder, and only inside the folders it may read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationInfo


def _allowed(path: Path, info: ValidationInfo) -> Path:
    """Resolve `path` (symbolic links included) against the validation's folders, the scenario's first."""
    folders = [Path(folder).resolve() for folder in (info.context or {}).get("folders", ())] or [Path.cwd()]
    try:
        resolved = (folders[0] / path).resolve()
        special = resolved.exists() and not (resolved.is_file() or resolved.is_dir())
    except (OSError, RuntimeError) as error:  # a loop of links, or a name that no system takes
        raise ValueError(f"is no usable path: {error}") from None
    if special:
        raise ValueError("is a device or a pipe; give a file")
    if any(resolved.is_relative_to(folder) for folder in folders):
        return resolved
    names = ", ".join(str(folder) for folder in dict.fromkeys(folders))
    raise ValueError(f"is outside the folders that a scenario may read ({names}); allow its folder with --allow")


ReadablePath = Annotated[Path, Field(strict=False), AfterValidator(_allowed)]  # not strict: YAML gives text
"""A file that a scenario names. Validated into an absolute path inside the allowed folders."""
