"""The page as a file: template, style and script in one, the data compressed, a strict Content-Security-Policy.

The data stand in `<script type="text/plain">` blocks as base64 of gzipped JSON, which no text of a model can leave.
The policy names the one script and the one style by hash, so nothing else in the page can run, load or be sent.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Iterator, Sequence
from functools import cache
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from society.core.atomic import appearing
from society.core.errors import InputError
from society.core.hidden_chars import reveal
from society.report.data import RunData, build_chunk, build_index, count_chunks, read_runs
from society.report.rows import Json
from society.runs.run import Run

SCRIPTS = (
    "hidden_chars.js",
    "dom.js",
    "source.js",
    "filters.js",
    "charts.js",
    "tables.js",
    "graph.js",
    "list.js",
    "debate.js",
    "main.js",
)
"""The page's script, in the order in which its parts build on each other."""
KINDS = ("replies", "prompts")


def write_report(runs: Sequence[Run], path: Path) -> None:
    """Write the report of these runs to `path`: whole, or not at all.

    Raises `InputError` for a run that cannot be reported, or where `path` cannot be written.
    """
    data = read_runs(runs)
    index = build_index(data, runs)
    write_atomically(path, build_page(index["title"], "".join(_blocks(index, data))))


def build_page(title: str, blocks: str = "", live: bool = False) -> str:
    """The HTML. `blocks` are the data; a live page has none and may ask the server that it came from."""
    style, script = _asset("report.css"), build_script()
    policy = {
        "default-src": "'none'", "script-src": _source(script), "style-src": _source(style), "img-src": "data:",
        "base-uri": "'none'", "form-action": "'none'",
    }  # fmt: skip
    if live:
        policy["connect-src"] = "'self'"
    return Template(_asset("template.html")).substitute(
        policy="; ".join(f"{name} {value}" for name, value in policy.items()),
        title=escape(reveal(title)), style=style, script=script, data=blocks, mode="live" if live else "file",
    )  # fmt: skip


def _blocks(index: Json, data: Sequence[RunData]) -> Iterator[str]:
    yield _block("index", index)
    for i, run in enumerate(data):
        for kind in KINDS:
            for number in range(count_chunks(run)):
                yield _block(f"{kind}-{i}-{number}", build_chunk(run, kind, number))


def _block(name: str, value: Any) -> str:
    return f'<script type="text/plain" id="{name}">{base64.b64encode(pack(value)).decode()}</script>\n'


def pack(value: Any) -> bytes:
    """Gzipped JSON, the same for the same value."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return gzip.compress(text.encode("utf-8", "replace"), compresslevel=6, mtime=0)


@cache
def build_script() -> str:
    """Return the script of the page: its files, in the order in which they build on each other."""
    return '"use strict";\n' + "\n".join(_asset(name) for name in SCRIPTS)


@cache
def _asset(name: str) -> str:
    return (files("society.report") / "assets" / name).read_text(encoding="utf-8")


def _source(text: str) -> str:
    """A hash that allows this inline script or style."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def write_atomically(path: Path, text: str) -> None:
    """Write a text file so that nobody ever sees half of it. Raises `InputError` where that fails."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with appearing(path) as part:
            part.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}.", "Choose another place with -o.") from error
