"""Optional abilities of a backend: its attributes, each an object or None. The engine asks for them, not for classes.

Tokenizer, Decoder   the number of tokens of a prompt, and the text of tokens
Likelihood           log-probabilities of given text
Embeddings           vectors of texts
AdapterLoader        adapters for later requests
Trainer              finetuning
Streaming            replies in pieces
ToolFormat           calls of tools in the model's own format
Exporter             training rows and adapters for other programs, without opening the backend
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from backends.objectives import Objective
from backends.training import OnStep, Parallel, Training, TrainSettings
from society.core.pieces import OnPiece
from society.core.types import (
    DEFAULT_THINKING,
    Adapter,
    ChatMessage,
    Example,
    GenerateOutput,
    GenerateRequest,
    TemplateArgs,
    Thinking,
    ToolSpec,
)

if TYPE_CHECKING:
    from backends.base import BackendConfig


class Tokenizer(Protocol):
    """Counts the tokens of prompts, with the backend's own chat template."""

    def count(
        self,
        messages: Sequence[ChatMessage],
        thinking: Thinking = DEFAULT_THINKING,
        template_args: TemplateArgs = (),
    ) -> int:
        """Return the number of tokens of the prompt with these messages, including the generation prompt.

        `thinking` and `template_args` shape the prompt; see `GenerateRequest`.
        """


@runtime_checkable
class Decoder(Protocol):
    """A second protocol of the tokenizer, for backends whose replies have `tokens`."""

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of drawn tokens, without control tokens: the text of the reply, and its stop text if any."""


class Likelihood(Protocol):
    """Computes log-probabilities of given text."""

    async def logprob(
        self,
        messages: Sequence[ChatMessage],
        reply: str,
        adapter: str | None = None,
        tokens: Sequence[int] | None = None,
        thought_tokens: int = 0,
        thinking: Thinking = DEFAULT_THINKING,
        template_args: TemplateArgs = (),
    ) -> tuple[float, int]:
        """Return the sum of the natural log-probabilities of the tokens of a reply's text, and their number.

        `tokens` are the drawn token ids of the reply, which are scored unchanged, apart from the first
        `thought_tokens`: the text follows on these. Without `tokens`, the text `reply` is tokenized, and the end of the
        turn is scored after it. `thinking` and `template_args` shaped the prompt. Raises `BackendError` for ids outside
        the vocabulary.
        """


class Embeddings(Protocol):
    """Embeds texts as vectors."""

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Return one vector per text, all of the same length, not normalized."""


class AdapterLoader(Protocol):
    """Loads trained adapters beside the base weights, each under its content hash."""

    def identify(self, path: Path) -> Adapter:
        """Return the adapter in a file or folder that a scenario names. Raises `InputError` if there is none."""

    async def load(self, adapter: Adapter) -> None:
        """Make `adapter.hash` usable in requests. Loading the same hash again does nothing."""


class Trainer(Protocol):
    """Trains an adapter on examples."""

    async def train(
        self,
        examples: Sequence[Example],
        settings: TrainSettings,
        start: Adapter | None,
        folder: Path,
        *,
        seed: int,
        on_step: OnStep | None = None,
        parallel: Parallel | None = None,
        objective: Objective | None = None,
    ) -> Training:
        """Finetune on `examples`, from `start` or the base, and write the adapter into `folder`, atomically.

        `parallel` is given only if the scenario asks for it and `BackendConfig.check_parallel` accepts it. `objective`
        is given only for preferences, if `BackendConfig.learns_preferences`; with `contrast: pair`, examples alternate:
        a desired reply, then the undesired one. `on_step` is called in the event loop after every optimizer step.
        Checkpoints may be kept in `backends.training.checkpoint_of(folder)`, which the caller removes in the end.
        Raises `TooLongError` if all examples are too long, `InputError` if there is nothing to train on, and
        `BackendError` if the loss is not finite or memory runs out.
        """


class Streaming(Protocol):
    """Generates replies in pieces, for those who watch."""

    async def stream(self, request: GenerateRequest, on_piece: OnPiece) -> GenerateOutput:
        """Answer one request as `generate` does, with the same reply, and call `on_piece` as the reply grows.

        The pieces make up the thought and the text of the reply. All calls come before the return.
        """


class ToolFormat(Protocol):
    """Offers tools to the model in its own format, which its chat template or its server writes and reads."""

    def supports(self, tools: tuple[ToolSpec, ...]) -> bool:
        """Return whether the model can be offered these tools.

        Then requests may have `tools`, and messages `calls` and the role `tool`. Replies have `calls`, and their text
        ends before these.
        """


class Exporter(Protocol):
    """Renders training rows and writes adapters for other programs, without loading the model for generation."""

    def render(self, example: Example, settings: TrainSettings) -> list[tuple[str, bool]]:
        """Return the example's tokens as training sees them: the text of each, and whether it is learned.

        Tokens that are no text on their own are joined. Nothing is learned of an example that is too long.
        """

    def write(self, adapter: Adapter, folder: Path) -> Path | None:
        """Write the trained adapter into `folder` and, if it is a LoRA, as GGUF beside it. Return the path of the GGUF.

        An adapter that GGUF cannot express has none; the reason is logged. Raises `BackendError` if it belongs to
        another base.
        """

    def merge(self, adapter: Adapter, folder: Path) -> Path:
        """Write base and adapter as one model folder, and return its path."""

    def portable(self, model: str, context: int) -> BackendConfig | None:
        """Return a backend that runs the GGUF adapters on `model`, or for "" on the GGUF that the base came from.

        None if the base came from no GGUF. `context`: tokens of the longest prompt together with its answer.
        """

    def check_base(self, model: str) -> None:
        """Raise `InputError` unless the GGUF file `model` is the base that was trained."""
