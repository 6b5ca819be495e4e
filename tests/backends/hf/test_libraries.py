"""Versions of the libraries: too old or too new is an error whose remedy installs one that works."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from backends.hf.libraries import NEXT, OLDEST, check_version
from society.core.errors import InputError


@pytest.mark.parametrize("found", ["5.17.0", "5.17", "5.23.0.dev0", "5.99.1+local"])
def test_versions_between_the_bounds_are_taken(found: str) -> None:
    check_version("transformers", found)


@pytest.mark.parametrize("found", ["5.16.9", "4.57.1", "6.0.0", "6.0.0rc1", ""])
def test_other_versions_are_refused_with_what_to_install(found: str) -> None:
    with pytest.raises(InputError, match=f"version {re.escape(found)} is installed") as caught:
        check_version("transformers", found)
    assert caught.value.remedy == "pip install 'transformers>=5.17,<6'"


def test_the_bounds_are_those_of_the_distribution() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    named = {re.split("[<>=]", line)[0]: line for line in project["optional-dependencies"]["hf"]}
    for library, oldest in OLDEST.items():
        bound = f",<{NEXT[library]}" if library in NEXT else ""
        assert named[library] == f"{library}>={oldest}{bound}"
