"""The report as one HTML file: template, style, script, compressed data and a strict Content-Security-Policy.

The data are in `<script type="text/plain">` blocks as base64 of gzipped JSON, which cannot close the block. The policy
allows the script and the style by hash. Nothing else in the page can run, and the page loads and sends nothing.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any, Literal
from urllib.parse import quote

from society.core.atomic import atomic_write
from society.core.disks import advise
from society.core.errors import InputError
from society.core.hidden_chars import reveal
from society.report.data import RunData, build_chunk, build_index, count_chunks, read_runs
from society.report.rows import Json
from society.report.run_list import RunList, describe_list
from society.runs.places import PAGE
from society.runs.run import Run

RUN_LIST_SCRIPTS = ("hidden_chars.js", "dom.js", "source.js", "fit.js", "run_list.js")
"""Files of the script of the page that lists runs, in the order in which they are joined."""
SCRIPTS = (
    "hidden_chars.js",
    "dom.js",
    "source.js",
    "filters.js",
    "charts.js",
    "fit.js",
    "terms.js",
    "tables.js",
    "graph.js",
    "list.js",
    "copy.js",
    "debate.js",
    "main.js",
)
"""Files of the script, in the order in which they are joined."""
PERSON_SCRIPTS = ("hidden_chars.js", "dom.js", "person.js")
"""Files of the script of the page of a person who is asked."""
PageKind = Literal["report", "run_list", "person"]
PAGES: Mapping[PageKind, Sequence[str]] = {
    "report": SCRIPTS,
    "run_list": RUN_LIST_SCRIPTS,
    "person": PERSON_SCRIPTS,
}
"""Files of the script of each page, by the name of its body: a report, a list of runs, questions to a person."""
EXTENSIONS = (".html", ".htm")
"""Extensions that a report's file may have."""
KINDS = ("replies", "thoughts", "calls", "prompts")
"""Kinds of text chunks."""


def write_report(runs: Sequence[Run], path: Path) -> None:
    """Write the report of these runs to `path` atomically.

    Raises `InputError` for a run without a finished debate, for an extension that is not in `EXTENSIONS`, or if
    `path` cannot be written.
    """
    _require_extension(path)
    data = read_runs(runs)
    index = build_index(data, runs)
    write_atomically(path, build_page(index["title"], "".join(_blocks(index, data))))


def write_run_list(folder: Path, path: Path) -> None:
    """Write the page that lists the runs in a folder to `path`. It links the pages that lie in the runs' folders.

    Raises `InputError` as `write_report` does, and `RunFolderError` if the folder cannot be read.
    """
    _require_extension(path)
    rows, left_out = RunList(folder).read()
    place = path.resolve().parent
    pages = {row.name: (folder / row.name / PAGE).resolve() for row in rows}
    links = {
        name: quote(Path(os.path.relpath(page, place)).as_posix()) for name, page in pages.items() if page.is_file()
    }
    index = describe_list(folder, rows, left_out, links)
    write_atomically(path, build_page(index["folder"], _block("index", index), kind="run_list"))


def _require_extension(path: Path) -> None:
    if path.suffix.lower() not in EXTENSIONS:
        raise InputError(
            f"{path.name} does not have the extension of a web page.", f"Use {' or '.join(EXTENSIONS)} with -o."
        )


def build_page(title: str, blocks: str = "", live: bool = False, kind: PageKind = "report") -> str:
    """Return the HTML of a report, or by `kind` that of a list of runs or of the questions to a person.

    `blocks` are the data; a live page has none and requests them from its server.
    """
    style, script = _asset("report.css"), build_script(kind)
    policy = {
        "default-src": "'none'",
        "script-src": _source(script),
        "style-src": _source(style),
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    if live:
        policy["connect-src"] = "'self'"
    return Template(_asset("page.html")).substitute(
        policy="; ".join(f"{name} {value}" for name, value in policy.items()),
        title=escape(reveal(title)),
        style=style,
        body=_asset(f"{kind}.html"),
        script=script,
        data=blocks,
        mode="live" if live else "file",
    )


def _blocks(index: Json, data: Sequence[RunData]) -> Iterator[str]:
    yield _block("index", index)
    for i, run in enumerate(data):
        for kind in KINDS:
            for number in range(count_chunks(run)):
                yield _block(f"{kind}-{i}-{number}", build_chunk(run, kind, number))


def _block(name: str, value: Any) -> str:
    return f'<script type="text/plain" id="{name}">{base64.b64encode(pack(value)).decode()}</script>\n'


def pack(value: Any) -> bytes:
    """Return the value as gzipped JSON. The same value gives the same bytes."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return gzip.compress(text.encode("utf-8", "replace"), compresslevel=6, mtime=0)


@cache
def build_script(kind: PageKind = "report") -> str:
    """Return the joined script of a page."""
    return '"use strict";\n' + "\n".join(_asset(name) for name in PAGES[kind])


@cache
def _asset(name: str) -> str:
    return (files("society.report") / "assets" / name).read_text(encoding="utf-8")


def _source(text: str) -> str:
    """Return the source expression that allows this inline script or style by its hash."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def write_atomically(path: Path, text: str) -> None:
    """Write a text file so that readers never see a part of it. Raises `InputError` if `path` cannot be written."""
    if path.is_dir():
        raise InputError(f"{path} is a folder.", "Give the path of a file in it, such as report.html.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as part:
            part.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"{path} cannot be written: {error.strerror}.", advise(error, "Choose another place with -o.")
        ) from error
