"""The options of a server's entry in `backends:`. Starts nothing."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, ClassVar, Self

from pydantic import AfterValidator, Field, model_validator

from backends.base import Ability, Backend
from backends.hf import HuggingFace
from backends.openai.config import check_address
from backends.training import TrainSettings
from society.core.errors import FieldError, InputError

if TYPE_CHECKING:
    from backends.serving.engine import Engine


class Serving(HuggingFace):
    """A model that a server of some kind serves and `hf` trains."""

    abilities: ClassVar[frozenset[Ability]] = frozenset({"adapters", "trainer", "choices", "streaming"})

    url: Annotated[str, AfterValidator(check_address)] | None = Field(default=None, json_schema_extra={"tuning": True})
    """Address of a running server, including `/v1`, which serves the model's folder on this machine. By default the
    backend starts a server and ends it with the run."""
    gpu_share: float | None = Field(default=None, gt=0, le=1, json_schema_extra={"tuning": True})
    """Share of the GPU's memory for the server that the backend starts; on a CPU, of main memory. By default the
    server's own choice. vLLM does not start if less memory is free."""
    gpus: int = Field(default=1, ge=1, le=64, json_schema_extra={"tuning": True})
    """Number of GPUs over which the server that the backend starts spreads the model (tensor parallelism), for models
    too large for one GPU."""
    start_seconds: float = Field(default=900.0, gt=0, json_schema_extra={"tuning": True})
    """Maximum seconds until the started server answers."""

    @model_validator(mode="after")
    def _leaves_the_server_alone(self) -> Self:
        """Raise `ValueError` for options that a server that runs already cannot follow."""
        fixed = [name for name in ("chat_template", "dtype", "gpus") if name in self.model_fields_set]
        if self.url is not None and fixed:
            raise FieldError(f"`{fixed[0]}` is an option of the server at `url`; start the server with it", fixed[0])
        if self.gpus > 1 and self.device == "cpu":
            raise FieldError("`gpus` needs CUDA; set `device: auto`, or leave it out", "gpus", "device")
        return self

    @abstractmethod
    def engine(self) -> Engine:
        """Return the kind of server."""

    def check_training(self, settings: TrainSettings) -> None:
        from backends.serving.engine import RANK

        super().check_training(settings)
        if self.url is None and settings.method != "full" and settings.rank > RANK:
            raise InputError(
                f"The server that the backend starts takes adapters of a rank up to {RANK}, not {settings.rank}.",
                "Lower rank in train.settings, or start a server with --max-lora-rank and give its url.",
                ("rank",),
            )

    def open(self) -> Backend:
        """Return the backend. Raises `InputError` if libraries or, without `url`, the server are not installed."""
        from backends.hf.libraries import check_libraries
        from backends.serving.backend import ServingBackend

        check_libraries(self)
        if self.url is None:
            self.engine().find_program()
            _check_gpus(self.gpus)
        return ServingBackend(self)

    def check_files(self) -> None:
        """Check the model's files, and whether the server is installed where the backend starts it."""
        super().check_files()
        self.check_heads()
        if self.url is None:
            self.engine().find_program()

    def check_heads(self) -> None:
        """Raise `InputError` if `gpus` cannot share the attention heads of the model evenly, where it is known."""
        config = self.read_config() or {}
        text = config.get("text_config")
        found = {**config, **(text if isinstance(text, dict) else {})}.get("num_attention_heads")
        if isinstance(found, int) and found % self.gpus:
            raise InputError(
                f"{self.gpus} GPUs cannot share the model's {found} attention heads evenly.",
                f"Set gpus to a divisor of {found}.",
                ("gpus",),
            )

    def cached_tokens(self, sequences: int, longest: int) -> int:
        """Return the tokens of one sequence: others wait while the server's memory is full."""
        return longest

    @property
    def generating_gpus(self) -> int:
        """Number of GPUs of the server; 0 for a server that the backend joins, whose GPUs it does not know."""
        return self.gpus if self.url is None else 0

    @property
    def sleeps(self) -> bool:
        """Return True, also for a server that the backend joins, which is on this machine."""
        return True

    def trainer_config(self) -> HuggingFace:
        """Return the backend that trains."""
        shared = {name: getattr(self, name) for name in HuggingFace.model_fields if name != "kind"}
        return HuggingFace.model_construct(kind="hf", **shared)


def _check_gpus(wanted: int) -> None:
    """Raise `InputError` if this machine has fewer GPUs than the server shall use."""
    import torch

    found = torch.cuda.device_count() if wanted > 1 else wanted
    if found < wanted:
        raise InputError(
            f"gpus: {wanted} was asked for, but torch sees {found}.",
            "Lower gpus of the backend, or run on a machine with more GPUs.",
            ("gpus",),
        )
