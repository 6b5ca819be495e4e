"""A GGUF file of another model than the trained one is refused, however similar the two are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("llama_cpp")

from backends.models.gguf_base import check_base
from backends.models.gguf_file import check_gguf
from society.core.errors import InputError
from tests.backends.hf.tiny import make_model
from tests.matrix.gguf import HEADERS, Made, make, write_model

pytestmark = [pytest.mark.hf, pytest.mark.llama]


def write(folder: Path, seed: int = 0, **options: Any) -> Made:
    """Return a small model of the family Llama as a folder and as a GGUF file."""
    made = Made(folder)
    make_model(made.base, seed, **{"tie_word_embeddings": False, **options})
    header = json.loads(HEADERS.read_text("utf-8"))["Llama"]
    write_model(made, header | {"block_count": options.get("num_hidden_layers", 2)})
    return made


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return write(tmp_path_factory.mktemp("own"))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"seed": 1}, "other values"),
        ({"num_hidden_layers": 3}, "3 layers, not 2"),
        ({"hidden_size": 64}, r"of shape \[\d+, 64\], not"),
        ({"vocab_size": 100}, r"of shape \[100, 32\], not"),
        ({"intermediate_size": 32}, "ffn_"),
        ({"num_key_value_heads": 4}, "attn_k"),
    ],
)
def test_another_model_is_refused(tmp_path: Path, own: Made, options: dict[str, Any], says: str) -> None:
    other = write(tmp_path, **options)
    size = check_gguf(own.gguf).shapes["token_embd.weight"][1]
    with pytest.raises(InputError, match=f"is not the base of this run as GGUF: .*{says}"):
        check_base(other.gguf, own.base, size)


@pytest.mark.parametrize("family", ["Llama", "Falcon H1", "Mamba 2", "Gemma 3", "GPT-2", "Granite MoE hybrid"])
def test_the_same_model_passes(tmp_path: Path, own: Made, family: str) -> None:
    made = make(family, tmp_path)
    check_base(made.gguf, made.base, 100)
    if family != "Llama":
        with pytest.raises(InputError, match="its architecture is llama"):
            check_base(own.gguf, made.base, 100)


def test_embeddings_after_the_vocabulary_may_be_left_out(tmp_path: Path, own: Made) -> None:
    short = write(tmp_path, vocab_size=100)
    with pytest.raises(InputError, match="other values"):  # the shapes fit, the weights of the two are random
        check_base(short.gguf, own.base, 100)
