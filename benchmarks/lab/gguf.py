"""The lab model for llama.cpp: a float32 GGUF of a model folder with the Llama architecture and the lab's tokenizer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from backends.models.cache import replacing
from backends.models.gguf_model import gguf_weights
from backends.models.gguf_names import Names

PRE = "smollm"
"""llama.cpp's name for byte-level BPE whose digits stand alone."""


def write_gguf(folder: Path, out: Path) -> Path:
    """Write the model in `folder` as a GGUF, in one step."""
    from gguf import GGUFWriter

    config: dict[str, Any] = json.loads((folder / "config.json").read_text("utf-8"))
    names = Names.of(folder)
    out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(out) as part:
        writer = GGUFWriter(part, names.in_gguf)
        _describe(writer, config)
        _add_vocabulary(writer, folder)
        for name, tensor in gguf_weights(folder, names):
            writer.add_tensor(name, tensor)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    return out


def _describe(writer: Any, config: dict[str, Any]) -> None:
    """Add the sizes of the model, from its configuration."""
    from gguf import LlamaFileType

    heads, width = config["num_attention_heads"], config["hidden_size"]
    writer.add_name("society lab")
    writer.add_file_type(LlamaFileType.ALL_F32)
    writer.add_vocab_size(config["vocab_size"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(width)
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_rope_dimension_count(width // heads)
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])


def _add_vocabulary(writer: Any, folder: Path) -> None:
    """Add tokens, merges, control tokens and chat template, from the tokenizer's own files."""
    from gguf import TokenType
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    inner = json.loads(tokenizer.backend_tokenizer.to_str())
    tokens = sorted(tokenizer.get_vocab().items(), key=lambda entry: entry[1])
    controls = {token["id"] for token in inner["added_tokens"] if token["special"]}
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(PRE)
    writer.add_token_list([token for token, _ in tokens])
    writer.add_token_types([TokenType.CONTROL if i in controls else TokenType.NORMAL for _, i in tokens])
    writer.add_token_merges([" ".join(pair) for pair in inner["model"]["merges"]])
    writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_pad_token_id(tokenizer.pad_token_id)
    writer.add_add_bos_token(False)
    writer.add_chat_template(tokenizer.chat_template)
