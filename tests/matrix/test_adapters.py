"""The table of adapters in docs/models.md is what the hf backend does with each kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.matrix.table import PAGE

pytest.importorskip("torch")

from tests.matrix.adapters import MATRIX

pytestmark = [pytest.mark.hf, pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`")]


@pytest.mark.parametrize("kind", MATRIX.subjects)
def test_the_table_says_what_the_backend_does(kind: str, tmp_path: Path) -> None:
    written = MATRIX.read(PAGE.read_text("utf-8")).get(kind)
    assert MATRIX.examine(kind, tmp_path) == written, "run: python -m tests.matrix adapters"


def test_the_table_has_each_kind_once() -> None:
    assert tuple(MATRIX.read(PAGE.read_text("utf-8"))) == MATRIX.subjects
