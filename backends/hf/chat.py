"""Tokens of chats. Inference and training both call `prompt`, so they cannot differ by a token."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from backends.models.chat_encoding import ChatEncoder
from backends.models.chat_rendering import ChatTemplate
from backends.models.control_tokens import ControlTokens, Span
from backends.models.thoughts import Thoughts
from society.core.errors import BackendError, InputError
from society.core.types import DEFAULT_THINKING, ChatMessage, TemplateArgs, Thinking, ToolSpec

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PROBE = (ChatMessage("user", "Ping?"), ChatMessage("assistant", "Pong."))


class Chat:
    """A tokenizer with its chat template, and the tokens that end a turn.

    `end` is the token a reply ends with in training; any token of `stops` ends one in generation.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, eos: Sequence[int], vocabulary: int = 0, name: str = ""
    ) -> None:
        """`vocabulary` is the model's number of tokens; by default the tokenizer's, which may be smaller.

        `name` is the model's name in messages, as the scenario has it.
        """
        self.tokenizer = tokenizer
        # Encoding sets options of the tokenizer, which no other thread may be using meanwhile.
        self._lock = threading.RLock()
        self.vocabulary = vocabulary or len(tokenizer)
        source = tokenizer.get_chat_template() if tokenizer.chat_template else ""
        name = name or str(tokenizer.name_or_path) or "the model"
        self.template = ChatTemplate(str(source), name, tokenizer.special_tokens_map)
        added = {token.content: number for number, token in tokenizer.added_tokens_decoder.items()}
        refused = _control_names(tokenizer, self.template)
        self._controls = ControlTokens(added, refused, self._encode, self._spans, self._normalize)
        self._bos = _added_bos(tokenizer)
        self._encoder = ChatEncoder(self.template, self._controls, self._bos)
        self.thoughts = Thoughts(self.template, added, self._encode_own, self._plain, self._raw, self.text)
        known = [*eos, *([tokenizer.eos_token_id] if tokenizer.eos_token_id is not None else [])]
        closing = self._closing_token()
        if closing is None and not known:
            raise BackendError(
                "Neither the model nor its chat template defines the token that ends an answer.",
                "Set `chat_template` to a template that ends assistant messages with a special token.",
            )
        self.end = closing if closing is not None else known[0]
        self.stops = frozenset([self.end, *known])

    def traits(self) -> dict[str, object]:
        """Return what shapes prompts beside the files of the model, where it differs from the usual."""
        plain = self.template.text([ChatMessage("user", "Ping?")])
        starts = {"bos": True} if self._bos is not None and not plain.startswith(str(self.tokenizer.bos_token)) else {}
        return {**self.template.traits(), **starts}

    def prompt_ids(self, messages: Sequence[ChatMessage], args: TemplateArgs = ()) -> list[int]:
        """Return the tokens of a prompt, generation prompt included; see `ChatEncoder.tokens`."""
        return self._tokens(messages, args, add_generation_prompt=True)

    def prompt(
        self, messages: Sequence[ChatMessage], thinking: Thinking, args: TemplateArgs, tools: tuple[ToolSpec, ...] = ()
    ) -> tuple[list[int], str]:
        """Return the tokens of a prompt, and the text that the template writes after the last message.

        Raises `InputError` if the template does not read what `thinking` or `args` set.
        """
        with self._lock:
            return self._encoder.with_tools(tools).tokens_and_tail(messages, self.thoughts.arguments(thinking, args))

    def reply_ids(self, reply: str, ended: bool = True) -> list[int]:
        """Tokenize the text of an assistant's reply; where the reply `ended` its turn, add the end of the turn.

        A text has several tokenizations: these need not be the tokens that a model drew.
        """
        with self._lock:
            ids: Any = self.tokenizer(reply, add_special_tokens=False, split_special_tokens=True)["input_ids"]
            if self._controls.refuses(ids):  # the tokenizer splits special tokens alone
                ids = self._controls.encode_text(reply)
        return [*ids, *([self.end] if ended else [])]

    def text_ids(self, text: str) -> list[int]:
        """Tokenize a text by itself, with the special tokens that the tokenizer adds to texts."""
        with self._lock:
            return list(self.tokenizer(text)["input_ids"])

    def row_ids(
        self,
        messages: Sequence[ChatMessage],
        tokens: Sequence[int] | None = None,
        ended: bool = True,
        args: TemplateArgs = (),
        *,
        thinking: Thinking = DEFAULT_THINKING,
        thought: str = "",
        thought_tokens: int = 0,
        skips_thought: bool = False,
    ) -> tuple[list[int], int]:
        """Return the tokens of a chat that ends with an assistant's reply, and where the reply starts in them.

        `tokens` are the reply's drawn tokens, taken as they are; the first `thought_tokens` precede the text. Without
        them, `thought` and the text of the last message are tokenized. With `skips_thought` the start is that of the
        text. Raises `BackendError` for tokens that are not in the vocabulary.
        """
        if not messages or messages[-1].role != "assistant":
            raise InputError("A training example must end with an assistant message: that is what is learned.")
        prompt, tail = self.prompt(messages[:-1], thinking, args)
        if tokens is None:
            before = self.thoughts.before_text(tail, thinking, thought)
            tokens, thought_tokens = [*before, *self.reply_ids(messages[-1].content, ended)], len(before)
        elif not all(0 <= token < self.vocabulary for token in tokens):
            raise BackendError(
                f"A reply has token ids that the model does not have: its vocabulary has {self.vocabulary} tokens.",
                "Use the model that gave the reply, or the reply without its token ids.",
            )
        return [*prompt, *tokens], len(prompt) + (thought_tokens if skips_thought else 0)

    def count(
        self,
        messages: Sequence[ChatMessage],
        thinking: Thinking = DEFAULT_THINKING,
        template_args: TemplateArgs = (),
    ) -> int:
        """Return the number of tokens of a prompt (the backend's `tokenizer` ability)."""
        return len(self.prompt(messages, thinking, template_args)[0])

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of drawn tokens, without control tokens and without the token that ended the turn."""
        ids = list(tokens)
        return self.text(ids[:-1] if ids and ids[-1] in self.stops else ids)

    def text(self, ids: Sequence[int]) -> str:
        """Return the text of tokens, without control tokens."""
        with self._lock:
            return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))

    def pieces(self, ids: Sequence[int]) -> Iterator[tuple[str, int]]:
        """Yield the text of each token, control tokens included, and 1.

        Tokens that are no text by themselves, such as the bytes of one character, are joined and yielded with their
        number.
        """
        before: list[int] = []  # decoded too: some tokenizers drop a space at the beginning of a text
        now: list[int] = []
        for token in ids:
            now.append(token)
            known = self._raw(before)
            text = self._raw(before + now)[len(known) :]
            if not text.endswith("\ufffd"):
                yield text, len(now)
                before, now = now, []
        if now:
            yield self._raw(before + now)[len(self._raw(before)) :], len(now)

    def _plain(self, text: str) -> list[int]:
        return self.reply_ids(text, ended=False)

    def _encode_own(self, text: str) -> list[int]:
        with self._lock:
            return self._controls.encode_own(text)

    def _raw(self, ids: Sequence[int]) -> str:
        with self._lock:
            return str(self.tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def _tokens(self, messages: Sequence[ChatMessage], args: TemplateArgs, add_generation_prompt: bool) -> list[int]:
        with self._lock:
            return self._encoder.tokens(messages, args, add_generation_prompt)

    def _spans(self, text: str) -> list[Span]:
        """Return the added tokens that the tokenizer recognizes in a text, and where."""
        if not self.tokenizer.is_fast:
            return self._controls.written_spans(text)
        found: Any = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        added = self.tokenizer.added_tokens_decoder
        places = zip(found["input_ids"], found["offset_mapping"], strict=True)
        return [(token, start, end) for token, (start, end) in places if token in added]

    def _normalize(self, text: str) -> str:
        normalizer = getattr(getattr(self.tokenizer, "backend_tokenizer", None), "normalizer", None)
        return text if normalizer is None else str(normalizer.normalize_str(text))

    def _encode(self, text: str, as_text: bool) -> list[int]:
        """Return the tokens of a text, with `as_text` the names of control tokens as plain text."""
        backend: Any = getattr(self.tokenizer, "backend_tokenizer", None)
        if not as_text or backend is None:
            ids: Any = self.tokenizer(text, add_special_tokens=False, split_special_tokens=as_text)["input_ids"]
            return list(ids)
        # The fast tokenizers' own switch skips special tokens alone, so their steps run here without added tokens.
        if backend.normalizer is not None:
            text = backend.normalizer.normalize_str(text)
        splits = [text]
        if backend.pre_tokenizer is not None:
            splits = [split for split, _ in backend.pre_tokenizer.pre_tokenize_str(text)]
        return [token.id for split in splits for token in backend.model.tokenize(split)]

    def _closing_token(self) -> int | None:
        """Return the control token that the template writes after an assistant message, or None."""
        rendered = self._tokens(PROBE, (), add_generation_prompt=False)
        controls = set(self.tokenizer.added_tokens_decoder)
        for start in range(len(rendered) - 1, -1, -1):  # backwards to the beginning of the reply
            if PROBE[-1].content in str(self.tokenizer.decode(rendered[start:])):
                return next((token for token in rendered[start:] if token in controls), None)
        return None


def _added_bos(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """Return the token that the tokenizer puts before a text, if it is the one that begins texts, or else None."""
    with_special: Any = tokenizer("a")["input_ids"]
    bos = tokenizer.bos_token_id
    return int(bos) if bos is not None and with_special[:1] == [bos] else None


def _control_names(tokenizer: PreTrainedTokenizerBase, template: ChatTemplate) -> list[str]:
    """Return the names of tokens that messages must not make: the special ones, and those that the template writes."""
    listed = getattr(tokenizer, "chat_control_tokens", None)
    is_control: Callable[[str], bool] = template.controls if listed is None else listed.__contains__
    added = tokenizer.added_tokens_decoder.values()
    return [token.content for token in added if token.special or is_control(token.content)]
