"""The options of the vLLM backend, as a scenario's `backends:` entry gives them. Starts nothing."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from backends.base import Ability, Backend
from backends.hf import HuggingFace
from backends.openai.config import check_address
from backends.training import TrainSettings
from society.core.errors import InputError

RANK = 64
"""Maximum rank of LoRA adapters on a server that the backend starts."""


class VLLM(HuggingFace):
    """A model that vLLM serves and `hf` trains. It has the options of `hf`, most of which concern training.

    The backend starts a server of the installed vLLM on loopback, or joins one by `url`. While `hf` trains, the server
    sleeps: its weights are in main memory and its KV cache is dropped. LoRA adapters are loaded under their content
    hash and share batches. Full weights are read from disk in place of the base, so agents with full weights of their
    own use the server in turn.
    """

    abilities: ClassVar[frozenset[Ability]] = frozenset({"adapters", "trainer", "choices", "streaming"})

    kind: Literal["vllm"] = "vllm"  # type: ignore[assignment]
    url: Annotated[str, AfterValidator(check_address)] | None = Field(default=None, json_schema_extra={"tuning": True})
    """Address of a running vLLM, including `/v1`, which serves the model's folder on this machine. By default the
    backend starts a server and ends it with the run."""
    gpu_share: float = Field(default=0.9, gt=0, le=1, json_schema_extra={"tuning": True})
    """Share of the GPU's memory for the server that the backend starts."""
    start_seconds: float = Field(default=900.0, gt=0, json_schema_extra={"tuning": True})
    """Maximum seconds until the started server answers."""

    @model_validator(mode="after")
    def _leaves_the_server_alone(self) -> Self:
        """Raise `ValueError` for options that a server that runs already cannot follow."""
        fixed = [name for name in ("chat_template", "dtype") if name in self.model_fields_set]
        if self.url is not None and fixed:
            raise ValueError(f"`{fixed[0]}` is an option of the server at `url`; start the server with it")
        return self

    def check_training(self, settings: TrainSettings) -> None:
        super().check_training(settings)
        if self.url is None and settings.method != "full" and settings.rank > RANK:
            raise InputError(
                f"The server that the backend starts takes adapters of a rank up to {RANK}, not {settings.rank}.",
                "Lower rank in train.settings, or start a server with --max-lora-rank and give its url.",
            )

    def open(self) -> Backend:
        """Return the backend. Raises `InputError` if libraries or, without `url`, vLLM are not installed."""
        from backends.hf.libraries import check_libraries
        from backends.vllm.backend import VLLMBackend
        from backends.vllm.server import find_program

        check_libraries(self)
        if self.url is None:
            find_program()
        return VLLMBackend(self)

    def check_files(self) -> None:
        """Check the model's files, and whether vLLM is installed where the backend starts it."""
        from backends.vllm.server import find_program

        super().check_files()
        if self.url is None:
            find_program()

    def trainer_config(self) -> HuggingFace:
        """Return the backend that trains."""
        shared = {name: getattr(self, name) for name in HuggingFace.model_fields if name != "kind"}
        return HuggingFace.model_construct(kind="hf", **shared)
