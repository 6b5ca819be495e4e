"""The lab model's vocabulary and chat template: bytes, the words of its prompts, single digits, four control tokens.

Byte-level BPE with digits apart is what llama.cpp calls the pre-tokenizer `smollm`, so both split every text alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

END, ROLES = "<|end|>", ("<|system|>", "<|user|>", "<|assistant|>")
TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message.role + '|>' + message.content + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
MOST_TOKENS = 512


def make_tokenizer(texts: Iterable[str]) -> Any:
    """Return a tokenizer with the words of `texts`; other text is written in bytes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=MOST_TOKENS, special_tokens=[END, *ROLES], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator((re.sub("[^A-Za-z]+", " ", text) for text in texts), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        bos_token=END,
        pad_token=END,
        clean_up_tokenization_spaces=False,
        additional_special_tokens=list(ROLES),
        chat_template=TEMPLATE,
    )
