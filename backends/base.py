"""The seam between the engine and the backends, which generate text and train models.

    BackendConfig      the scenario's `backends:` entry; loads nothing; `open()` returns the backend
    Backend            an async context manager: entering it loads the weights, `generate` answers a request

A new backend needs `open` and `generate` only; all else is in `backends.abilities`. It knows nothing of debates,
scenarios or stores.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import fields
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Literal, Self

from pydantic import Field

from backends.abilities import (
    AdapterLoader,
    Embeddings,
    Exporter,
    Likelihood,
    Streaming,
    Tokenizer,
    ToolFormat,
    Trainer,
)
from backends.price import FREE, Price
from backends.sizes import Demand, Memory, WeightBytes
from backends.training import Parallel, TrainSettings
from society.core.component import Component
from society.core.errors import InputError
from society.core.machine import ProcessFacts
from society.core.types import (
    ChatMessage,
    GenerateOutput,
    GenerateRequest,
    Sampling,
    TemplateArgs,
    Thinking,
)

Ability = Literal["tokenizer", "likelihood", "embeddings", "adapters", "trainer", "choices", "streaming"]
Count = Callable[..., int]
"""Returns the number of tokens of a prompt; the arguments are those of `Tokenizer.count`."""
CheckChat = Callable[[Sequence[ChatMessage], Thinking, TemplateArgs], object]
"""Raises `ChatTemplateError` for a chat that the model's chat template refuses."""


class Backend(ABC):
    """An opened backend. Calls of `generate` are concurrent; the backend batches them."""

    model_hash: str = ""
    """Hash of the weights and of everything else that determines the replies. Set on entering."""
    tokenizer: Tokenizer | None = None
    likelihood: Likelihood | None = None
    embeddings: Embeddings | None = None
    adapters: AdapterLoader | None = None
    trainer: Trainer | None = None
    streaming: Streaming | None = None
    tools: ToolFormat | None = None
    asks_people: bool = False
    """Whether a person gives the replies; see `BackendConfig.asked_person`."""
    processes: Sequence[ProcessFacts] = ()
    """Processes elsewhere that have worked for the backend. None for a backend that works in this one, or on servers
    that others have started."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return None

    async def check(self, requests: Sequence[GenerateRequest]) -> None:
        """Raise `InputError` if the opened model refuses or ignores an option of such requests.

        Called once before the first turn, with one request for each combination of options that the scenario uses. Its
        messages are placeholders.
        """
        return

    @abstractmethod
    async def generate(self, request: GenerateRequest) -> GenerateOutput:
        """Answer one request. A cancelled call frees its resources.

        Raises `ContextOverflowError` if the request does not fit the context, `TransientError` if a retry may help, and
        `BackendError` if it will not. `UnavailableError` is for a model that no request reaches now.
        """

    def drop_queued(self) -> None:
        """Let calls of `generate` whose requests still wait for a place raise `DroppedError`, since the run stops.

        Requests in progress go on. A backend without a queue of its own does nothing.
        """
        return


ALL_OPTIONS = frozenset({"temperature", "top_p", "top_k", "min_p", "repeat_penalty", "max_tokens", "stop"})
"""Options of `Sampling` that our backends honour. A new option is added here once all of them read it."""


def changed_options(sampling: Sampling) -> list[str]:
    """Return the names of the options that differ from their defaults."""
    default = type(sampling)()
    return [f.name for f in fields(sampling) if getattr(sampling, f.name) != getattr(default, f.name)]


class BackendConfig(Component, ABC):
    """The `backends:` entry of a scenario. Subclasses add `kind` and their options.

    Mark options that change speed or memory but never text with `json_schema_extra={"tuning": True}`: a run can be
    resumed with other values of these. Mark options as well whose every effect on the text shows in the `model_hash` of
    the opened backend, such as the path of the weights: a run goes on only with the same hash.
    """

    abilities: ClassVar[frozenset[Ability]] = frozenset()
    """Abilities of the opened backend, known before anything loads."""
    learns_preferences: ClassVar[bool] = False
    """Whether the trainer takes an `objective` other than `sft`."""
    sampling_options: ClassVar[frozenset[str]] = frozenset({"temperature", "top_p", "max_tokens", "stop"})
    """Options of `Sampling` that the backend honours. A scenario that sets another one for its agents is refused."""
    thinking_options: ClassVar[frozenset[str]] = frozenset()
    """Options of thinking that the backend honours, among `enabled`, `budget` and `template_args`. A scenario that sets
    another one is refused."""
    greedy_at_zero: ClassVar[bool] = True
    """Whether replies at temperature 0 are the same for every seed."""
    reads_instructions: ClassVar[bool] = True
    """Whether replies can follow what a prompt asks for. Rules reply as they are written."""

    price: Price | None = Field(None, json_schema_extra={"tuning": True})
    """Price of the model in dollars per million tokens, for `limits.dollars` and the cost in summaries. By default a
    model of your own is free, and the price of a hosted one is looked up."""

    @property
    def asked_person(self) -> str:
        """The name of the person who gives the replies; "" for a model.

        The scenario's `timeout` does not apply to people, a run that stops does not wait for them, and their time is
        counted apart. They are asked in the process of the run, and never for an estimate.
        """
        return ""

    @property
    def gives_logprobs(self) -> bool:
        """Return whether replies may have log-probabilities, for `confidence: logprob`. A person's have none."""
        return not self.asked_person

    @abstractmethod
    def open(self) -> Backend:
        """Return the backend, not yet loaded."""

    def find_price(self) -> Price | None:
        """Return the price of the model; None if it is not known. Uses no network."""
        return self.price or FREE

    def find_licence(self) -> str:
        """Return the name of the model's licence; "" if it is not known. Uses no network."""
        return ""

    def find_commit(self) -> str:
        """Return the commit of the model's files on the hub; "" if they are not from there. Uses no network."""
        return ""

    def context_tokens(self) -> int | None:
        """Return the maximum tokens of a prompt together with its answer; None if only the opened model knows."""
        return None

    @property
    def unknown_context(self) -> str:
        """Return why `context_tokens` returns None, and what to do, in a sentence; "" for a backend without a limit."""
        return "Only the opened model knows it. Set `context` of the backend to check lengths before."

    @property
    def stated_context(self) -> int | None:
        """The context that the scenario sets, in tokens; None if it sets none. By default the option `context`."""
        stated = self.__dict__.get("context")
        return stated if isinstance(stated, int) else None

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
        """Return the memory of the opened backend with these adapters; None if it is not known."""
        return None

    def idle(self) -> Mapping[tuple[str | int, ...], str]:
        """Return why options change nothing, each by its path below the entry, such as ("rules", 1)."""
        return {}

    def check_here(self) -> None:
        """Raise `InputError` if this process lacks what the opened backend needs, such as a terminal.

        Called at the start of a run, before any other work. `society check` does not call it.
        """
        return

    def check_libraries(self) -> None:
        """Raise `MissingExtraError` if a library that the backend needs is not installed.

        The default opens the backend, which loads no model.
        """
        self.open()

    @property
    def missing(self) -> str:
        """Return the model files that have to be downloaded first, in words, or "". It uses no network."""
        return ""

    def fetch(self) -> None:
        """Download the files of `missing`. Raises `InputError` or `BackendError` if they cannot be downloaded."""
        return

    def check_files(self) -> None:
        """Raise `InputError` if a local file that this entry names is missing or invalid.

        The check loads no weights and uses no network. A model that must be downloaded first is not checked.
        """
        return

    def chat_check(self, say: Callable[[str], None] | None = None) -> CheckChat | None:
        """Return the check of chats with the model's chat template; None where this machine does not have it.

        Weights are not loaded. `say` is called with a sentence for each change of chats that the template makes
        necessary, such as a system message within a user message; by default such a sentence is logged. Raises
        `InputError` for a model without a chat template, or with an invalid one.
        """
        return None

    def check_thinking(self, thinking: Thinking, args: TemplateArgs, max_tokens: int | None = None) -> None:
        """Raise `InputError` if the model cannot think as these settings ask, such as for a template without a switch.

        With `max_tokens`, also if a thought as long as its budget leaves no token for the text of such a reply.
        Called with the settings of each agent that has any, after `check_files`, under the same conditions.
        """
        return

    def check_adapter(self, path: Path) -> None:
        """Raise `InputError` or `BackendError` if an adapter that exists cannot be used with this entry's model.

        The check reads headers and configurations only. It compares with the model where this machine has it.
        """
        return

    def exporter(self) -> Exporter | None:
        """Return the exporter of what this backend trains; None if it trains nothing."""
        return None

    def check_training(self, settings: TrainSettings) -> None:
        """Raise `InputError` if the backend cannot train with these settings. Called before anything loads."""
        return

    def check_training_here(self, settings: TrainSettings) -> None:
        """Raise `InputError` if this machine lacks a device or a library that these settings need.

        Called before anything loads. `society check` does not call it, since another machine may train.
        """
        return

    def check_layers(self, settings: TrainSettings, start: Path | None) -> None:
        """Raise `InputError` if the model cannot be trained with these settings, from the adapter `start` or the base.

        Called before the first turn. The check loads no weights, and passes over a model that this machine lacks.
        """
        return

    def check_parallel(self, parallel: Parallel, settings: TrainSettings) -> None:
        """Raise `InputError` if the backend cannot spread such a training over processes.

        Called before anything loads, possibly on another machine than the training's.
        """
        raise InputError("This backend trains in one process.", "Leave out train.parallel.")

    def check_devices(self, parallel: Parallel) -> None:
        """Raise `InputError` if this machine lacks the devices for it. Called before anything loads."""
        return

    def read_config(self) -> Mapping[str, object] | None:
        """Return the contents of the model's `config.json` for estimates; None if this machine does not have it."""
        return None

    def weight_bytes(self) -> WeightBytes:
        """Return the bytes of one weight of the opened model on a GPU that supports bfloat16."""
        return WeightBytes()

    @property
    def generating_gpus(self) -> int:
        """Number of GPUs that share the opened model; 0 if the model is on a server that others have started."""
        return 1

    @property
    def sleeps(self) -> bool:
        """True if a server keeps the weights of the opened model in main memory while the model is trained."""
        return False

    def cached_tokens(self, sequences: int, longest: int) -> int:
        """Return the maximum number of tokens in the KV cache, for this many sequences of `longest` tokens."""
        return sequences * longest
