"""The parts of a kind of server that differ from those of other kinds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from backends.openai.client import Client, ClosedError
from backends.openai.dialects import Dialect
from backends.openai.served import Served
from society.core.errors import BackendError, InputError, TransientError, UnavailableError

if TYPE_CHECKING:
    from backends.serving.config import Serving

NAME = "society"
"""The model's name on a server that the backend starts."""
RANK = 64
"""Maximum rank of LoRA adapters on a server that the backend starts."""
ADAPTERS = 8
"""Maximum number of LoRA adapters that share a batch on a server that the backend starts."""


class Engine(ABC):
    """A kind of server: how it is started, put to sleep, woken, and given other weights."""

    dialect: ClassVar[Dialect]
    tokens: ClassVar[Mapping[str, Any]]
    """Fields of a request that make the server return the drawn tokens, which training needs."""
    start: ClassVar[str]
    """Command that a user starts a server with, without the model's folder."""
    flags: ClassVar[str]
    """Sentence that names the options of a server that the backend can join."""

    @property
    def name(self) -> str:
        """Name of the program."""
        return self.dialect.name

    @abstractmethod
    def find_program(self) -> list[str]:
        """Return the command of the installed program. Raises `MissingExtraError` if there is none."""

    @abstractmethod
    def options(self, config: Serving, folder: Path, port: int, place: Path) -> list[str]:
        """Return the options of the command. `place` is a folder for files that they name."""

    def environment(self, config: Serving) -> dict[str, str]:
        """Return variables of the environment of a started server."""
        return {}

    async def describe(self, client: Client, served: Served) -> tuple[str | None, str | None]:
        """Return the folder of the weights that the server holds, and the version of its program, where it says so."""
        return served.folder, served.build

    @abstractmethod
    async def sleep(self, client: Client) -> None:
        """Free the memory of the device. No request may be in flight."""

    @abstractmethod
    async def wake(self, client: Client, folder: Path) -> None:
        """Put the weights on the device again. `folder` has those that the server held."""

    @abstractmethod
    async def read_weights(self, client: Client, folder: Path) -> None:
        """Put the weights in `folder` in place of those of the server."""

    async def post(self, client: Client, path: str, body: dict[str, Any] | None = None) -> bytes:
        """Send a command to the server, and return its response.

        Raises `InputError` if the server refuses the command, `UnavailableError` if it is gone, and `ClosedError` if it
        closes the connection.
        """
        try:
            return await client.command(client.root + path, body)
        except (UnavailableError, ClosedError):
            raise
        except TransientError as error:
            raise BackendError(error.cause, "Look into the server's log.") from None
        except BackendError as error:
            raise InputError(f"{self.name} at {client.url} cannot do {path}: {error.cause}", self.flags) from None


def write_template(config: Serving, place: Path) -> Path | None:
    """Write the scenario's chat template into `place`, and return its path; None if there is none."""
    if config.chat_template is None:
        return None
    template = place / "template.jinja"
    template.write_text(config.chat_template, "utf-8")
    return template
