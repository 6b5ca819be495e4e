"""The stored inputs of the fuzzers, replayed without atheris."""

from __future__ import annotations

import pytest

from tests.fuzz.targets import CORPUS, TARGETS

KEPT = [(name, path) for name in TARGETS for path in sorted((CORPUS / name).iterdir())]


def test_every_target_has_inputs() -> None:
    assert {name for name, _ in KEPT} == set(TARGETS)


@pytest.mark.parametrize(("name", "path"), KEPT, ids=lambda value: getattr(value, "name", value))
def test_what_was_found_once_still_holds(name: str, path: object) -> None:
    TARGETS[name](path.read_bytes())  # type: ignore[attr-defined]
