"""The table of the hf backend in docs/models.md is what its small models do."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.matrix.table import PAGE

pytest.importorskip("torch")

from tests.matrix.hf import MATRIX

pytestmark = pytest.mark.hf


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Input and output embeddings are no longer tied")  # said of a merged model
@pytest.mark.parametrize("family", MATRIX.subjects)
def test_the_table_says_what_the_model_does(family: str, tmp_path: Path) -> None:
    written = MATRIX.read(PAGE.read_text("utf-8")).get(family)
    assert MATRIX.examine(family, tmp_path) == written, "run: python -m tests.matrix hf"


def test_the_table_has_each_family_once() -> None:
    assert tuple(MATRIX.read(PAGE.read_text("utf-8"))) == MATRIX.subjects
