"""A SentencePiece vocabulary gives the same ids in both backends, with and without a space before texts."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from society.core.types import ChatMessage
from tests.backends.models.vocabularies import ROWS, SIZES, words

pytestmark = [pytest.mark.hf, pytest.mark.llama]

SPECIAL, ADDED = words().special, words().added
SPACE = "\u2581"
BYTES = [f"<0x{i:02X}>" for i in range(256)]
MERGES = [(SPACE, "t"), ("h", "e"), (SPACE + "t", "he"), ("i", "m"), (SPACE, SPACE), (SPACE, "a"), ("[", "/")]
BASE = ["<unk>", *BYTES, SPACE, *map(chr, range(33, 127)), "\n", *("".join(merge) for merge in MERGES)]
PIECES = [*BASE, *SPECIAL, *ADDED]
NAMES = ["llama-2", "mistral-v3", "gemma-3", "zephyr", "phi-3", "vicuna"]
TEXTS = st.lists(
    st.one_of(
        st.sampled_from([*SPECIAL, *ADDED, " the", "the", " a", "\n\n", "🙂", "é"]), st.text("<|>[/ the", max_size=4)
    ),
    max_size=5,
).map("".join)


def fast(row: dict[str, Any], space: bool) -> Any:
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors
    from transformers import PreTrainedTokenizerFast

    ids = {piece: i for i, piece in enumerate(BASE)}
    made = Tokenizer(models.BPE(ids, MERGES, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    replace = normalizers.Replace(" ", SPACE)
    made.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), replace]) if space else replace
    made.decoder = decoders.Sequence([decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()])
    for name in (*SPECIAL, *ADDED):
        made.add_tokens([AddedToken(name, special=name in SPECIAL, normalized=False)])
    if row.get("adds_bos"):
        bos = (row["bos"], made.token_to_id(row["bos"]))
        made.post_processor = processors.TemplateProcessing(
            single=[bos[0], "$A"], pair=["$A", "$B"], special_tokens=[bos]
        )
    tokens = {f"{name}_token": row[name] for name in ("bos", "eos") if name in row}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, clean_up_tokenization_spaces=False, **tokens)
    tokenizer.chat_template = row["template"]
    return tokenizer


def write_gguf(path: Path, space: bool) -> Path:
    import gguf

    kinds = dict.fromkeys(BYTES, gguf.TokenType.BYTE) | {"<unk>": gguf.TokenType.UNKNOWN}
    kinds |= dict.fromkeys(SPECIAL, gguf.TokenType.CONTROL) | dict.fromkeys(ADDED, gguf.TokenType.USER_DEFINED)
    scores = {"".join(merge): -float(i) for i, merge in enumerate(MERGES)}
    writer = gguf.GGUFWriter(str(path), "llama")
    for name, size in SIZES.items():
        writer.add_uint32(f"llama.{name}", size)
    writer.add_head_count(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(PIECES)
    writer.add_token_scores([scores.get(piece, -1000.0) for piece in PIECES])
    writer.add_token_types([kinds.get(piece, gguf.TokenType.NORMAL) for piece in PIECES])
    writer.add_eos_token_id(0)
    writer.add_add_space_prefix(space)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture(scope="module")
def chats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[tuple[str, bool], tuple[Any, Any]]]:
    """Return both backends' chats by the name of the template, with and without a space before texts."""
    from backends.hf.chat import Chat as HubChat
    from backends.llama_cpp import probe
    from backends.llama_cpp.chat import Chat as LlamaChat
    from backends.llama_cpp.native import Model

    folder, made, models = tmp_path_factory.mktemp("pieces"), {}, []
    for space in (True, False):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(probe.CHILD, "1")  # the file is ours
            models.append(Model(write_gguf(folder / f"{space}.gguf", space), 0, vocabulary_only=True))
        for name in NAMES:
            own, row = copy.copy(models[-1].vocabulary), ROWS[name]
            own.bos, own.eos = PIECES.index(row["bos"]), PIECES.index(row["eos"])
            own.special, own.adds_bos = {}, bool(row.get("adds_bos"))
            made[name, space] = LlamaChat(row["template"], own, name), HubChat(fast(row, space), [])
    yield made
    for model in models:
        model.close()


@settings(max_examples=120, deadline=None)
@given(st.sampled_from(NAMES), st.booleans(), st.lists(TEXTS, min_size=1, max_size=4))
def test_both_backends_make_the_same_ids(chats: Any, name: str, space: bool, texts: list[str]) -> None:
    roles: list[Any] = ["system", "user", "assistant", "user"] if len(texts) == 4 else ["user", "assistant", "user"]
    messages = [ChatMessage(role, text) for role, text in zip(roles, texts, strict=False)]
    llama, hub = chats[name, space]
    assert llama.tokens(messages) == hub.prompt_ids(messages)
