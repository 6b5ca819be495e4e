r"""Writes the splitting of text that a GGUF header names into the tokenizer of the dequantized model.

A GGUF header names the splitting of its vocabulary (`tokenizer.ggml.pre`). llama.cpp follows it, but transformers
splits every text as GPT-2 does. The ids of line breaks before digits, of long numbers and of capitals then differ.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backends.models.cache import replacing
from backends.models.gguf_file import GGUFInfo

_CONTRACTIONS = "'s|'t|'re|'ve|'m|'ll|'d"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_CASED = (rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+", rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*")
_ENDING = rf"(?i:{_CONTRACTIONS})?"
_SLASHED = _REST.replace(r"[\r\n]*", r"[\r\n/]*", 1)

DIGITS = (r"\p{N}", rf"{_CONTRACTIONS}| ?\p{{L}}+| ?\p{{N}}+| ?[^\s\p{{L}}\p{{N}}]+|\s+(?!\S)|\s+")
LLAMA_3 = (rf"(?i:{_CONTRACTIONS})|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,3}}|{_REST}",)
QWEN_2 = (rf"(?i:{_CONTRACTIONS})|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}|{_REST}",)
TEKKEN = (rf"{_CASED[0]}|{_CASED[1]}|\p{{N}}|{_SLASHED}",)
GPT_4O = (rf"{_CASED[0]}{_ENDING}|{_CASED[1]}{_ENDING}|\p{{N}}{{1,3}}|{_SLASHED}",)

SPLITTINGS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone"), DIGITS),
    **dict.fromkeys(("llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "lfm2", "dbrx"), LLAMA_3),
    **dict.fromkeys(("qwen2", "stablelm2", "deepseek-r1-qwen"), QWEN_2),
    "tekken": TEKKEN,
    "gpt-4o": GPT_4O,
    "llama4": GPT_4O,
}
"""Regular expressions by the name in the header. Each splits the pieces of the one before."""
WHOLE_WORDS = frozenset({"llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "lfm2", "tekken"})
"""Splittings whose words are taken from the vocabulary, where they are there, before any merge."""


def mend_tokenizer(folder: Path, info: GGUFInfo) -> None:
    """Write the splitting of a GGUF header into the tokenizer of its model folder, unless it is there already."""
    name = str(info.metadata.get("tokenizer.ggml.pre", ""))
    path = folder / "tokenizer.json"
    if info.metadata.get("tokenizer.ggml.model") != "gpt2" or name not in SPLITTINGS or not path.is_file():
        return
    tokenizer: dict[str, Any] = json.loads(path.read_text("utf-8"))
    wanted = splitting(name)
    whole = name in WHOLE_WORDS
    if tokenizer["pre_tokenizer"] == wanted and bool(tokenizer["model"].get("ignore_merges")) == whole:
        return
    tokenizer["pre_tokenizer"], tokenizer["model"]["ignore_merges"] = wanted, whole
    with replacing(path) as part:
        part.write_text(json.dumps(tokenizer, ensure_ascii=False), "utf-8")


def splitting(name: str) -> dict[str, Any]:
    """Return the `pre_tokenizer` of a tokenizer.json for the splitting of this name."""
    splits = [
        {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
        for pattern in SPLITTINGS[name]
    ]
    letters = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    return {"type": "Sequence", "pretokenizers": [*splits, letters]}
