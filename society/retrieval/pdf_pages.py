"""Reads the text of PDF files with pypdf, in a child process with limits: a PDF of a stranger may loop or be a bomb."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from society.core.child_modules import import_path, module_command
from society.core.errors import InputError, MissingExtraError

CPU_SECONDS = 120
"""Maximum processor time for a file, in seconds."""
WALL_SECONDS = 1200.0
"""Maximum elapsed time for a file, in seconds; generous, as a machine may be busy."""
MEMORY_BYTES = 2 << 30
LARGEST_FILE = 200 << 20
"""Maximum size of a PDF file, in bytes."""
MOST_CHARACTERS = 20_000_000
"""Maximum number of characters of a PDF file's text."""


def require_pdf() -> None:
    """Raise `MissingExtraError` where pypdf is not installed."""
    if find_spec("pypdf") is None:
        raise MissingExtraError("Reading PDF files", "pypdf", "search")


def read_pages(path: Path) -> list[str]:
    """Return the text of each page. Raises `InputError` for a file that cannot be read within the limits."""
    require_pdf()
    try:
        done = subprocess.run(
            [*module_command(__name__), str(path)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=WALL_SECONDS,
            env={"PATH": os.defpath, "PYTHONPATH": import_path()},
            check=False,
        )
        pages = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, ValueError):
        pages = f"its text cannot be found within {CPU_SECONDS} s and {MEMORY_BYTES >> 20:,} MiB"
    if isinstance(pages, str):
        raise InputError(f"The document {path.name} cannot be read: {pages}.", "Convert it to text, or move it away.")
    return [str(page) for page in pages]


def main() -> None:
    """Print the pages of the PDF file in the first argument as JSON, or the reason why it has none."""
    from society.core.regular_files import read_limited

    _set_limits()
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # messages of the library are no pages
    try:
        found: list[str] | str = _extract(read_limited(Path(sys.argv[1]), LARGEST_FILE))
    except MemoryError:
        return
    except Exception as error:
        found = f"{type(error).__name__}: {' '.join(str(error).split()):.200}".rstrip(".")
    json.dump(found, replies)
    replies.close()


def _extract(data: bytes) -> list[str] | str:
    import io

    from pypdf import PdfReader

    reader = PdfReader(io.BytesIO(data))
    if reader.is_encrypted and not reader.decrypt(""):
        return "it is protected by a password"
    pages, count = [], 0
    for page in reader.pages:
        pages.append(page.extract_text().encode("utf-8", "replace").decode())
        count += len(pages[-1])
        if count > MOST_CHARACTERS:
            return f"its text has more than {MOST_CHARACTERS:,} characters"
    return pages


def _set_limits() -> None:
    import resource

    for what, most in ((resource.RLIMIT_CPU, CPU_SECONDS), (resource.RLIMIT_AS, MEMORY_BYTES)):
        hard = resource.getrlimit(what)[1]
        limit = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (limit, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    main()
