"""Models of some 50,000 random weights with a word tokenizer, made in a second."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

WORDS = """
the cat sat on a mat and dog ran far so it did not stop red green blue one two three four . ? , :
""".split()  # noqa: SIM905 - a list literal would be one word a line
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|{{ message.role }}|> {{ message.content }} <|end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|> {% endif %}"
)
THINKING_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|{{ m.role }}|> "
    "{% if m.reasoning_content is defined %}<think>\n{{ m.reasoning_content }}\n</think>\n\n{% endif %}"
    "{{ m.content }} <|end|>\n{% endfor %}{% if add_generation_prompt %}<|assistant|> "
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n"
    "{% elif opens is not defined or opens %}<think>\n{% endif %}{% endif %}"
)
"""A template that opens a thought. With `enable_thinking: false` it writes an empty one, with `opens: false` none."""
EXPERTS = {
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "first_k_dense_replace": 1,
    "n_group": 1,
    "topk_group": 1,
    "n_shared_experts": 1,
}
LATENT = {
    "q_lora_rank": 8,
    "kv_lora_rank": 8,
    "qk_rope_head_dim": 8,
    "v_head_dim": 8,
    "qk_nope_head_dim": 8,
    "num_key_value_heads": 4,
    "tie_word_embeddings": False,
}
LONG_ROPE = {
    "rope_type": "longrope",
    "rope_theta": 1e4,
    "short_factor": [1.0] * 4,
    "long_factor": [2.0] * 4,
    "original_max_position_embeddings": 32,
}
ARCHITECTURES: dict[str, dict[str, object]] = {
    "llama": {},
    "qwen3": {"head_dim": 8},
    "gemma3_text": {
        "head_dim": 8,
        "layer_types": ["sliding_attention", "full_attention"],
        "sliding_window": 16,
        "query_pre_attn_scalar": 8,
    },
    "phi3": {"rope_parameters": LONG_ROPE, "original_max_position_embeddings": 32, "tie_word_embeddings": False},
    "deepseek_v3": EXPERTS | LATENT,
    "mixtral": {"num_local_experts": 4, "tie_word_embeddings": False},
}
"""Settings in which the tiny models of each kind differ.

Gemma 3 has two tables of rotary frequencies, Phi-3 one that depends on the length. DeepSeek has a stored buffer in
float32, and Mixtral has weights that transformers joins when it loads them.
"""
CONTROLS = ["<|bos|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"]


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute on one thread within this context: threads of so small a model mostly wait for each other."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def make_model(
    folder: Path,
    seed: int = 0,
    kind: str = "llama",
    tags: Sequence[str] = (),
    template: str = TEMPLATE,
    **overrides: object,
) -> Path:
    """Write the model folder: safetensors, configuration, tokenizer with a chat template and with tokens for `tags`."""
    import torch

    tokenizer = make_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": [*CONTROLS[1:4], *tags]})
    tokenizer.chat_template = template
    settings = (
        {
            "vocab_size": len(tokenizer),
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 256,
            "tie_word_embeddings": True,
            "initializer_range": 0.3,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": 0,
        }
        | ARCHITECTURES.get(kind, {})
        | overrides
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = make_network(kind, settings)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def make_network(kind: str, settings: dict[str, object]):
    """Return a random model. `vision_config` makes it one of images and text, with what `wrapper` adds."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText, AutoModelForSeq2SeqLM

    vision, wrapper = settings.pop("vision_config", None), settings.pop("wrapper", {})
    if vision is not None:
        settings = {"text_config": settings, "vision_config": vision, **wrapper}
    config = AutoConfig.for_model(kind, **settings)
    autos = (AutoModelForCausalLM, AutoModelForImageTextToText, AutoModelForSeq2SeqLM)
    return next(auto for auto in autos if type(config) in auto._model_mapping).from_config(config)


def make_tokenizer():
    """Write a tokenizer of words and single characters, which reproduces text and has single special tokens."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    pieces = ["<|pad|>", *[chr(i) for i in range(32, 127)], "\n", *WORDS]
    vocabulary = {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="?"))
    words = "|".join(word for word in WORDS if word.isalpha() and len(word) > 1)
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(rf"\b({words})\b|[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|bos|>",
        eos_token="<|end|>",
        pad_token="<|pad|>",
        additional_special_tokens=CONTROLS[1:4],
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = TEMPLATE
    return fast
