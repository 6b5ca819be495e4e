"""A Llama-architecture model of some 50,000 random weights with a word tokenizer, made in a second."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WORDS = """
the cat sat on a mat and dog ran far so it did not stop red green blue one two three four . ? , :
""".split()  # noqa: SIM905 - a list literal would be one word a line
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|{{ message.role }}|> {{ message.content }} <|end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|> {% endif %}"
)
CONTROLS = ["<|bos|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"]


@contextmanager
def one_thread() -> Iterator[None]:
    """Within, torch computes on one thread: on a model this small, threads wait for each other most of the time."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def make_model(folder: Path, seed: int = 0, **overrides: object) -> Path:
    """Write the model folder: safetensors, configuration, tokenizer with a chat template."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = make_tokenizer()
    settings = {
        "vocab_size": len(tokenizer), "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256,
        "tie_word_embeddings": True, "initializer_range": 0.3,
        "bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": 0,
    } | overrides  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = LlamaForCausalLM(LlamaConfig(**settings))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def make_tokenizer():
    """A tokenizer of words and single characters: text comes back as it was, special tokens are single."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    pieces = ["<|pad|>", *[chr(i) for i in range(32, 127)], "\n", *WORDS]
    vocabulary = {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="?"))
    words = "|".join(word for word in WORDS if word.isalpha() and len(word) > 1)
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(rf"\b({words})\b|[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|bos|>", eos_token="<|end|>", pad_token="<|pad|>",
        additional_special_tokens=CONTROLS[1:4], clean_up_tokenization_spaces=False,
    )  # fmt: skip
    fast.chat_template = TEMPLATE
    return fast
