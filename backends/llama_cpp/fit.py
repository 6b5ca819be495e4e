"""Fits a context to a scenario: as many tokens and slots as the scenario needs, if they fit into memory."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from backends.base import Count
from backends.llama_cpp.config import LlamaCpp
from backends.llama_cpp.header import read_model
from backends.llama_cpp.sizes import STEP, Sizes, find_memory, find_sizes, free_memory, round_up
from backends.models.find import find_model
from backends.models.gguf_file import GGUFInfo
from backends.sizes import Demand
from society.core.errors import InputError
from society.core.types import DEFAULT_THINKING, ChatMessage, TemplateArgs, Thinking

if TYPE_CHECKING:
    from backends.llama_cpp.chat import Chat

log = logging.getLogger(__name__)

MARGIN = 1.05
"""Factor on the longest prompt: a reply that is read again may have a few more tokens than when it was generated."""


def fit(config: LlamaCpp, demand: Demand, adapters: Sequence[Path]) -> LlamaCpp:
    """Return the configuration with the context and the slots that the scenario needs, if it leaves them open.

    Raises `InputError` when they do not fit into memory.
    """
    info = read_model(find_model(config.reference))
    longest = round_up(int(demand.tokens * MARGIN), STEP)
    context = config.context or min(longest, info.context_length or longest)
    holds = round_up(context, STEP)
    if demand.tokens > holds:
        holder = "the context" if config.context else "the model"
        log.warning(
            "A prompt with its answer may need %d tokens and %s holds %d: the run ends if one does. Lower "
            "sampling.max_tokens, `edges.window` or the role's memory, or give the backend more context.",
            *(demand.tokens, holder, holds),
        )
    fitted = config.model_copy(update={"context": context})
    slots = config.slots or min(find_sizes(fitted, info).slots, max(demand.requests, 1))
    fitted = fitted.model_copy(update={"slots": slots})
    _require_memory(fitted, info, adapters)
    return fitted


@contextmanager
def count_tokens(config: LlamaCpp) -> Iterator[Count]:
    """Open a counter with the model's own vocabulary and chat template; the weights are not loaded."""
    with open_chat(config, find_model(config.reference)) as chat:

        def count(
            messages: Sequence[ChatMessage], thinking: Thinking = DEFAULT_THINKING, args: TemplateArgs = ()
        ) -> int:
            return len(chat.prompt(messages, thinking, args)[0])

        yield count


@contextmanager
def open_chat(config: LlamaCpp, path: Path) -> Iterator[Chat]:
    """Open the model's vocabulary with its chat template; the weights are not loaded."""
    from backends.llama_cpp.chat import Chat
    from backends.llama_cpp.native import Model

    info = read_model(path)
    model = Model(path, 0, vocabulary_only=True)
    try:
        yield Chat(config.chat_template or info.chat_template, model.vocabulary, path.name)
    finally:
        model.close()


def _require_memory(config: LlamaCpp, info: GGUFInfo, adapters: Sequence[Path]) -> None:
    free = free_memory()
    needed = find_memory(config, info, adapters)
    if free is None or needed.total <= free:
        return
    sizes = find_sizes(config, info)
    room = free - (needed.total - needed.contexts)
    raise InputError(
        f"{config.model} does not fit into memory: {sizes.slots} slots of {sizes.length} tokens need "
        f"{needed.contexts >> 20:,} MiB, weights, adapters and buffers {(needed.total - needed.contexts) >> 20:,} MiB, "
        f"and {free >> 20:,} MiB are free.",
        _what_fits(sizes, room),
    )


def _what_fits(sizes: Sizes, room: int) -> str:
    """Return the remedy for `room` bytes of memory for the slots."""
    slots = room // max(1, sizes.slot_bytes)
    if slots >= 1:
        return f"Set slots: {slots}."
    tokens = (room - sizes.state_bytes) // max(1, sizes.token_bytes) // STEP * STEP
    if tokens >= STEP:
        return f"Set slots: 1 and context: {tokens}, and shorter prompts and answers (sampling.max_tokens)."
    return "Take a smaller model, or weights of fewer bits."
