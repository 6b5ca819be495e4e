"""The table of llama.cpp in docs/models.md is what its small models do."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.matrix.table import PAGE

pytest.importorskip("torch")
pytest.importorskip("llama_cpp")

from tests.matrix.gguf import MATRIX

pytestmark = [pytest.mark.hf, pytest.mark.llama]


@pytest.mark.slow
@pytest.mark.parametrize("family", MATRIX.subjects)
def test_the_table_says_what_the_model_does(family: str, tmp_path: Path) -> None:
    written = MATRIX.read(PAGE.read_text("utf-8")).get(family)
    assert MATRIX.examine(family, tmp_path) == written, "run: python -m tests.matrix gguf"


def test_the_table_has_each_family_once() -> None:
    assert tuple(MATRIX.read(PAGE.read_text("utf-8"))) == MATRIX.subjects
