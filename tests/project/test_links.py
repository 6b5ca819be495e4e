"""Links between the pages of the repository: every relative link has a target, and every anchor a heading."""

from __future__ import annotations

import re
import subprocess
import unicodedata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TRACKED = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
PAGES = sorted(name for name in TRACKED if name.endswith(".md") and (ROOT / name).exists())
LINK = re.compile(r"\]\(([^()\s]+)\)")


def without_code(text: str) -> str:
    """Return the text without code blocks and code spans."""
    text = re.sub(r"(?ms)^( *)(```+|~~~+).*?^\1\2", "", text)
    return re.sub(r"`[^`\n]*`", lambda span: "x" * len(span[0]), text)


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"(?ms)^( *)(```+|~~~+).*?^\1\2", "", page.read_text(encoding="utf-8"))
    found: dict[str, int] = {}
    for heading in re.findall(r"(?m)^#{1,6} +(.+?)\s*$", text):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        kept = "".join(c for c in plain if c in "-_ " or unicodedata.category(c)[0] in "LN")
        slug = kept.replace(" ", "-")
        found[slug] = found.get(slug, -1) + 1
        if found[slug]:
            found[f"{slug}-{found[slug]}"] = 0
    return set(found)


def broken(page: Path) -> list[str]:
    """Return the relative links of a page that lead nowhere."""
    wrong = []
    for link in LINK.findall(without_code(page.read_text(encoding="utf-8"))):
        place, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", place):
            continue
        target = (page.parent / place).resolve() if place else page
        if not target.exists() or ROOT not in target.parents or (anchor and anchor not in anchors(target)):
            wrong.append(link)
    return wrong


def test_there_are_pages() -> None:
    assert {"README.md", "CONTRIBUTING.md", "docs/tutorial.md", "scenarios/README.md"} <= set(PAGES)


@pytest.mark.parametrize("name", PAGES)
def test_every_link_has_a_target(name: str) -> None:
    assert broken(ROOT / name) == []


def test_a_broken_link_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    (tmp_path / "b.md").write_text("# One `two`, three\n\n# Same\n\n# Same\n")
    page = tmp_path / "a.md"
    page.write_text(
        "[x](b.md) [x](b.md#one-two-three) [x](b.md#same-1) [x](https://a.b) `[x](code.md)`\n"
        "[x](c.md) [x](b.md#no) [x](#no) [x](../out.md)\n\n```\n[x](code.md)\n```\n"
    )
    assert broken(page) == ["c.md", "b.md#no", "#no", "../out.md"]


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text()
    pages = {name.removeprefix("docs/") for name in PAGES if name.startswith("docs/")}
    assert {page for page in pages if f": {page}\n" not in navigation} == set()


@pytest.mark.parametrize("page", ["SECURITY.md", "docs/reliability.md"])
def test_the_tests_that_a_page_names_exist(page: str) -> None:
    named = set(re.findall(r"`([\w/]+\.py)`", (ROOT / page).read_text()))
    assert len(named) > 10
    assert [n for n in sorted(named) if not (ROOT / "tests" / n).exists() and not (ROOT / n).exists()] == []
