"""One small vocabulary in three forms: a tokenizer of transformers, fast or slow, and a GGUF file of llama.cpp.

All have the same ids: bytes, a few merges, then the control tokens and other added tokens of all chat templates in
tests/data/chat_templates.yaml.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

DATA = Path(__file__).parents[2] / "data"
ROWS: dict[str, dict[str, Any]] = yaml.safe_load((DATA / "chat_templates.yaml").read_text(encoding="utf-8"))
MERGES = (
    *(("i", "m"), ("_", "s"), ("t", "h"), ("th", "e"), ("Ċ", "Ċ"), ("Ġ", "the"), ("<", "|"), ("|", ">"), ("e", "r")),
)
SIZES = {"context_length": 64, "embedding_length": 32, "block_count": 1, "feed_forward_length": 32}


@dataclass(frozen=True)
class Words:
    """A vocabulary: pieces with their ids, control tokens, and added tokens that are no control tokens."""

    special: tuple[str, ...]
    added: tuple[str, ...]
    merges: tuple[tuple[str, str], ...] = MERGES

    @cached_property
    def pieces(self) -> list[str]:
        """All tokens in the order of their ids."""
        from tokenizers.pre_tokenizers import ByteLevel

        letters = sorted(ByteLevel.alphabet())
        return [*letters, *("".join(merge) for merge in self.merges), *self.special, *self.added]

    def fast(self, row: Mapping[str, Any]) -> Any:
        """Return a fast tokenizer with the template and the special tokens of a row."""
        from transformers import PreTrainedTokenizerFast

        fast = PreTrainedTokenizerFast(
            tokenizer_object=self._tokenizer(row), clean_up_tokenization_spaces=False, **_named(row)
        )
        fast.chat_template = row["template"]
        return fast

    def slow(self, row: Mapping[str, Any]) -> Any:
        """Return the same tokenizer without the library of the fast ones."""
        from tokenizers import Tokenizer
        from transformers import AddedToken, PreTrainedTokenizer

        model: Tokenizer = self._tokenizer(row, added=False)
        pieces = self.pieces

        class Slow(PreTrainedTokenizer):  # type: ignore[misc]
            vocab_size = len(pieces)

            def get_vocab(self) -> dict[str, int]:
                return {piece: i for i, piece in enumerate(pieces)}

            def _tokenize(self, text: str, **more: Any) -> list[str]:
                return list(model.encode(text).tokens)

            def _convert_token_to_id(self, token: str) -> int:
                return pieces.index(token)

            def _convert_id_to_token(self, index: int) -> str:
                return pieces[index]

            def build_inputs_with_special_tokens(self, ids: list[int], other: Any = None) -> list[int]:
                return ([self.bos_token_id] if row.get("adds_bos") else []) + ids

        flags: dict[str, Any] = {"normalized": False, "rstrip": False, "lstrip": False}
        names = {i: AddedToken(p, special=True, **flags) for i, p in enumerate(pieces) if p in self.special}
        names |= {i: AddedToken(p, special=False, **flags) for i, p in enumerate(pieces) if p in self.added}
        slow = Slow(added_tokens_decoder=names, **_named(row))
        slow.chat_template = row["template"]
        return slow

    def _tokenizer(self, row: Mapping[str, Any], added: bool = True) -> Any:
        from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

        plain = len(self.pieces) - len(self.special) - len(self.added)
        made = Tokenizer(models.BPE({piece: i for i, piece in enumerate(self.pieces[:plain])}, list(self.merges)))
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.decoder = decoders.ByteLevel()
        if added:
            for name in (*self.special, *self.added):
                made.add_tokens([AddedToken(name, special=name in self.special, normalized=False)])
            if row.get("adds_bos"):
                ids = [(row["bos"], made.token_to_id(row["bos"]))]
                made.post_processor = processors.TemplateProcessing(
                    single=[row["bos"], "$A"], pair=["$A", "$B"], special_tokens=ids
                )
        return made

    def write_gguf(self, path: Path, pre: str = "gpt-2", **entries: str) -> Path:
        """Write the header of a GGUF model with this vocabulary and without tensors."""
        import gguf

        writer = gguf.GGUFWriter(str(path), "llama")
        for name, size in SIZES.items():
            writer.add_uint32(f"llama.{name}", size)
        writer.add_head_count(2)
        writer.add_layer_norm_rms_eps(1e-5)
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(pre)
        writer.add_token_list(self.pieces)
        kinds = dict.fromkeys(self.special, gguf.TokenType.CONTROL)
        kinds |= dict.fromkeys(self.added, gguf.TokenType.USER_DEFINED)
        writer.add_token_types([kinds.get(piece, gguf.TokenType.NORMAL) for piece in self.pieces])
        writer.add_token_merges([" ".join(merge) for merge in self.merges])
        writer.add_eos_token_id(0)
        for key, text in entries.items():
            writer.add_string(f"tokenizer.{key}", text)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path

    def native(self, vocabulary: Any, row: Mapping[str, Any]) -> Any:
        """Return llama.cpp's vocabulary with the first and last tokens of a row."""
        own = copy.copy(vocabulary)
        own.bos = self.pieces.index(row["bos"]) if "bos" in row else -1
        own.eos = self.pieces.index(row["eos"])
        own.ends, own.special, own.adds_bos = frozenset({own.eos}), {}, bool(row.get("adds_bos"))
        return own


def words() -> Words:
    """Return the vocabulary with the tokens of all templates."""
    special = dict.fromkeys(name for row in ROWS.values() for name in _controls(row))
    added = dict.fromkeys(name for row in ROWS.values() for name in row.get("added", ()) if name not in special)
    return Words(tuple(special), tuple(added))


def _controls(row: Mapping[str, Any]) -> Iterable[str]:
    return [*([row["bos"]] if "bos" in row else []), row["eos"], *row.get("special", ())]


def _named(row: Mapping[str, Any]) -> dict[str, str]:
    return {f"{name}_token": row[name] for name in ("bos", "eos") if name in row}
