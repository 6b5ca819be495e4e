"""The installed libraries: pinned, hashed, audited, and under licences that are compatible with Apache-2.0."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.project.audit import judge as judge_audit

ROOT = Path(__file__).parents[2]
FITTING = re.compile(
    r"MIT|BSD|Apache|MPL|Mozilla|PSF|Python Software Foundation|ISC|Zlib|CC0|Unlicense|HPND|BSL-1\.0|LGPL|Lesser", re.I
)
"""Licences of libraries that a work under Apache-2.0 may import."""
UNFITTING = re.compile(
    r"(?<!L)GPL|Affero|(?<!Lesser )General Public|Non-?Commercial|CC-BY-NC|Proprietary|SSPL|BUSL", re.I
)


def licence(found: Distribution) -> str:
    """Return the licence that a distribution declares, in the newest form that it has."""
    said = found.metadata.get("License-Expression")
    classifiers = [
        c.rpartition("::")[2].strip() for c in found.metadata.get_all("Classifier") or [] if "License ::" in c
    ]
    files = [
        path.read_text()[:2_000] for path in found.files or [] if re.search(r"(?i)licen[cs]e(\.txt|\.md)?$", str(path))
    ]
    return said or "; ".join(classifiers) or (found.metadata.get("License") or "")[:200] or " ".join(files)


def judge(said: str) -> bool:
    """Return whether a licence is compatible; one of several alternatives is enough."""
    return any(FITTING.search(part) and not UNFITTING.search(part) for part in re.split(r"\bOR\b", said))


@pytest.mark.parametrize(
    ("said", "fits"),
    [
        ("MIT", True),
        ("Apache-2.0 AND BSD-3-Clause", True),
        ("GPL-3.0-only OR MIT", True),
        ("LGPL-2.1", True),
        ("GPL-3.0-only", False),
        ("GNU General Public License v3", False),
        ("AGPL-3.0 AND MIT", False),
        ("Creative Commons BY-NC", False),
        ("", False),
        ("Proprietary", False),
    ],
)
def test_licences_are_told_apart(said: str, fits: bool) -> None:
    assert judge(said) is fits


def test_every_installed_library_has_a_licence_that_fits() -> None:
    wrong = {found.name: said[:90] for found in distributions() if not judge(said := licence(found))}
    assert not wrong


def pins(name: str) -> dict[str, str]:
    text = (ROOT / name).read_text()
    return {canonicalize_name(name): version for name, version in re.findall(r"(?m)^([\w.-]+)==([^\s;\\]+)", text)}


def wanted() -> list[Requirement]:
    """Return what the project and each extra require, without the references of extras to each other."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    found = [Requirement(text) for texts in lists for text in texts]
    return [one for one in found if one.name != project["name"]]


def test_the_hashed_lock_agrees_with_the_constraints_and_hashes_everything() -> None:
    text = (ROOT / "constraints-hashed.txt").read_text()
    locked, pinned = pins("constraints-hashed.txt"), pins("constraints.txt")
    assert {name: pinned.get(name, version) for name, version in locked.items()} == locked
    for block in re.split(r"\n(?=[a-z0-9])", text[text.index("absl-py") :]):
        assert "--hash=sha256:" in block, block[:60]


def test_the_hashed_lock_covers_every_extra() -> None:
    locked = pins("constraints-hashed.txt")
    missing = [str(one) for one in wanted() if locked.get(canonicalize_name(one.name), "") not in one.specifier]
    assert not missing, "make constraints-hashed.txt again, by the command in its first lines"


def test_the_hashed_lock_covers_what_the_installed_libraries_of_each_extra_require() -> None:
    locked = pins("constraints-hashed.txt")
    queue, seen = wanted(), set()
    while queue:
        one = queue.pop()
        if (key := (canonicalize_name(one.name), *sorted(one.extras))) in seen:
            continue
        seen.add(key)
        try:
            found = distribution(one.name)
        except PackageNotFoundError:
            continue
        for text in found.requires or ():
            inner = Requirement(text)
            if inner.marker is None or any(inner.marker.evaluate({"extra": extra}) for extra in ("", *one.extras)):
                queue.append(inner)
    assert not {name for name, *_ in seen} - set(locked)


@pytest.mark.parametrize("name", ["constraints.txt", "constraints-hashed.txt"])
def test_constraints_name_no_place_of_their_own(name: str) -> None:
    assert not re.search(r"https?://|file:|--(?:extra-)?index|--find-links|--trusted| @ ", (ROOT / name).read_text())


@pytest.mark.parametrize(
    ("output", "status"),
    [
        ('{"dependencies": [{"name": "a", "version": "1", "vulns": [{"id": "CVE-1"}]}]}', 1),
        ('{"dependencies": [{"name": "a", "version": "1", "vulns": []}, {"name": "b", "skip_reason": "x"}]}', 0),
        ('{"dependencies": [{"name": "b", "skip_reason": "x"}]}', 0),
        ("", 0),
    ],
)
def test_a_vulnerability_that_was_found_fails_the_audit(
    output: str, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert judge_audit(output, "no route to host") == status
    said = capsys.readouterr().out
    assert ("NOT AUDITED" in said) == ('"vulns"' not in output)
