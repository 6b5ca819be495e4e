"""The seam between the engine and whatever generates text or trains.

    BackendConfig      the scenario's `backends:` entry; cheap to make; `open()` gives the backend
    Demand, Memory     what a scenario asks of a backend, and the memory that this takes
    Backend            an async context manager; entering loads the weights; `generate` answers a request
    Tokenizer, Likelihood, Embeddings, AdapterLoader, Trainer
                       optional abilities: attributes of the backend that are objects, or None
    Exporter           shows and writes what a backend trains, without opening it; optional, too

A new backend needs `open`, `generate` and nothing else. It knows nothing of debates, scenarios or stores, and
the engine asks for abilities, never for classes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Literal, Protocol, Self, runtime_checkable

from backends.training import OnStep, Parallel, Training, TrainSettings
from society.core.component import Component
from society.core.errors import InputError
from society.core.types import Adapter, ChatMessage, Example, GenerateOutput, GenerateRequest

Ability = Literal["tokenizer", "likelihood", "embeddings", "adapters", "trainer", "choices"]


Count = Callable[[Sequence[ChatMessage]], int]
"""Tokens of the prompt that these messages make."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What a scenario asks of a backend: tokens of its longest prompt with the answer, requests at the same time."""

    tokens: int
    requests: int


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes that an opened backend takes."""

    weights: int
    contexts: int
    adapters: int
    buffers: int = 0

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.contexts + self.adapters + self.buffers


class Tokenizer(Protocol):
    """Counts what a prompt costs, with the backend's own chat template."""

    def count(self, messages: Sequence[ChatMessage]) -> int:
        """Tokens of the prompt these messages make, generation prompt included."""


@runtime_checkable
class Decoder(Protocol):
    """What the tokenizer of a backend also is if the backend's replies have `tokens`."""

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of drawn tokens: that of the reply, up to a stop text. Control tokens are left out."""


class Likelihood(Protocol):
    """Scores given text."""

    async def logprob(
        self,
        messages: Sequence[ChatMessage],
        reply: str,
        adapter: str | None = None,
        tokens: Sequence[int] | None = None,
    ) -> tuple[float, int]:
        """Return the sum of the natural log-probabilities of a reply's tokens, and their number.

        `tokens` are the drawn token ids of the reply; they are scored as they are. Without them, `reply` is tokenized
        and the end of the turn is scored after it. Raises `BackendError` for ids outside the vocabulary.
        """


class Embeddings(Protocol):
    """Turns text into vectors."""

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """One vector per text, all of one length, not normalised."""


class AdapterLoader(Protocol):
    """Puts trained adapters beside the base weights, each named by its content hash."""

    def identify(self, path: Path) -> Adapter:
        """The adapter in a file or folder that a scenario names. Raises `InputError` if there is none."""

    async def load(self, adapter: Adapter) -> None:
        """Make `adapter.hash` usable in requests. Loading the same hash twice does nothing."""


class Trainer(Protocol):
    """Makes an adapter out of examples."""

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
    ) -> Training:
        """Finetune on `examples`, from `start` or the base, and write the adapter into `folder`, atomically.

        `parallel` is given only where the scenario says so and `BackendConfig.check_parallel` let it pass.
        `on_step` is called in the event loop after every optimiser step. Raises `InputError` when there is
        nothing to train on and `BackendError` when the loss is not finite or memory runs out.
        """


class Exporter(Protocol):
    """Shows what a backend trains on and writes what it trained for other programs; loads no weights for it."""

    def render(self, example: Example, settings: TrainSettings) -> list[tuple[str, bool]]:
        """The example's tokens as training sees them: the text of each, and whether it is learned. Tokens that are
        no text by themselves are joined. Nothing is learned of an example that is too long."""

    def write(self, adapter: Adapter, folder: Path) -> Path | None:
        """Write the adapter as it was trained into `folder` and, where it is a LoRA, as GGUF beside it: that path.

        Raises `InputError` for what a GGUF adapter cannot express, `BackendError` where it is another base's.
        """

    def merge(self, adapter: Adapter, folder: Path) -> Path:
        """Write base and adapter as one model folder."""

    def portable(self, model: str, context: int) -> BackendConfig | None:
        """The backend that runs the GGUF adapters on `model`, or if that is "" on the GGUF that the base came from;
        None where it came from none. `context` is how many tokens a prompt and its answer must have room for."""


class Backend(ABC):
    """An opened source of text. Concurrent calls of `generate` are expected: batching is the backend's work."""

    model_hash: str = ""
    """Identifies the weights and everything else that decides what they say. Set when entered."""
    tokenizer: Tokenizer | None = None
    likelihood: Likelihood | None = None
    embeddings: Embeddings | None = None
    adapters: AdapterLoader | None = None
    trainer: Trainer | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return None

    @abstractmethod
    async def generate(self, request: GenerateRequest) -> GenerateOutput:
        """Answer one request.

        Raises `ContextOverflowError` when it cannot fit, `TransientError` when trying again may help and
        `BackendError` when it will not. Cancelling the call frees what it held.
        """


class BackendConfig(Component, ABC):
    """The `backends:` entry of a scenario. Subclasses add `kind` and their options.

    Options that change speed or memory but never text are marked `json_schema_extra={"tuning": True}`: a run
    may be resumed with other values of these. So are options whose every effect on the text shows in the `model_hash`
    of the opened backend, such as the place of the weights: a run goes on only with the same hash.
    """

    abilities: ClassVar[frozenset[Ability]] = frozenset()
    """What the opened backend will be able to do; known before anything loads."""
    greedy_at_zero: ClassVar[bool] = True
    """Whether replies at temperature 0 are the same for every seed."""

    @abstractmethod
    def open(self) -> Backend:
        """The backend, not yet loaded."""

    def context_tokens(self) -> int | None:
        """How many tokens a prompt and its answer may have together; None where only the opened model knows."""
        return None

    def token_counter(self, answer: int) -> AbstractContextManager[Count | None]:
        """Open the model's own count of prompt tokens; the weights are not loaded. None: the backend cannot count yet.

        `answer` is the length of the longest answer in tokens. The counter may return an upper bound for prompts that
        certainly fit into the context beside such an answer.
        """
        return nullcontext()

    def fitted(self, demand: Demand, adapters: Sequence[Path]) -> Self:
        """Return this configuration with the sizes that it leaves open set to those that a scenario needs.

        Called only where `token_counter` gives a counter. Raises `InputError`, with sizes that would fit, when the
        scenario cannot fit into memory or into the context.
        """
        return self

    def memory(self, adapters: Sequence[Path]) -> Memory | None:
        """What opening it will take with these adapters beside the base; None where it cannot be known."""
        return None

    def idle(self) -> Mapping[tuple[str | int, ...], str]:
        """Return why options change nothing, each by its path below the entry, such as ("rules", 1)."""
        return {}

    def exporter(self) -> Exporter | None:
        """What shows and writes what this backend trains; None where it trains nothing."""
        return None

    def check_training(self, settings: TrainSettings) -> None:
        """Raise `InputError` when the backend cannot train that way; asked before anything loads."""
        return

    def check_parallel(self, parallel: Parallel, settings: TrainSettings) -> None:
        """Raise `InputError` when the backend cannot spread such a training over processes; asked before anything
        loads, and perhaps on another machine than it will run on."""
        raise InputError("This backend trains in one process.", "Take out train.parallel.")

    def check_devices(self, parallel: Parallel) -> None:
        """Raise `InputError` when this machine lacks the devices for that; asked before anything loads."""
        return

    def read_config(self) -> Mapping[str, object] | None:
        """The model's sizes as its `config.json` names them, where this machine has that; for estimates."""
        return None
