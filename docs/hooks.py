"""Adds files from outside docs/ to the site and rewrites the links to them.

Pages of the repository link to scenarios, benchmark scripts and results, which lie outside docs/. On the site these
files are below `repository/`, so that every link works and the strict build checks it.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
PREFIX = "repository/"
LINK = re.compile(r"(\]\(|\]: )([^()\s#:]+)(#[^()\s]*)?(?=[)\s]|$)")
PAGES = ("SECURITY.md", "CHANGELOG.md", "CONTRIBUTING.md", "scenarios/README.md")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add every file outside docs/ that a page links to, and the pages that `PAGES` names."""
    waiting = [(f"docs/{file.src_uri}", Path(str(file.abs_src_path))) for file in files.documentation_pages()]
    waiting += [(name, ROOT / name) for name in PAGES]
    added: set[str] = set()
    while waiting:
        name, path = waiting.pop()
        if not name.startswith("docs/") and name not in added:
            added.add(name)
            files.append(File.generated(config, PREFIX + name, abs_src_path=str(path)))
        if path.suffix == ".md":
            for link in _targets(path.read_text(encoding="utf-8")):
                target = posixpath.normpath(posixpath.join(posixpath.dirname(name), link))
                if target not in added and not target.startswith(("docs/", "../")) and (ROOT / target).is_file():
                    waiting.append((target, ROOT / target))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrite the links between docs/ and the rest of the repository."""
    source = page.file.src_uri
    name = source.removeprefix(PREFIX) if source.startswith(PREFIX) else f"docs/{source}"

    def rewrite(found: re.Match[str]) -> str:
        before, link, anchor = found[1], found[2], found[3] or ""
        target = posixpath.normpath(posixpath.join(posixpath.dirname(name), link))
        inside = target.startswith("docs/")
        place = target.removeprefix("docs/") if inside else PREFIX + target
        if target.startswith("../") or files.get_file_from_path(place) is None:
            return found[0]
        return f"{before}{posixpath.relpath(place, posixpath.dirname(source) or '.')}{anchor}"

    return LINK.sub(rewrite, markdown)


def _targets(text: str) -> list[str]:
    return [link[1] for link in LINK.findall(text)]


def on_config(config: MkDocsConfig, **_: Any) -> MkDocsConfig:
    """Rebuild the site of `mkdocs serve` when the docstrings of the packages change."""
    config.watch.extend(str(ROOT / package) for package in ("society", "backends", "topologies"))
    return config
