"""Records of the models on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from society.core.errors import MissingExtraError, SocietyError
from society.core.hidden_chars import reveal

MOST_ENTRIES = 20_000
"""Maximum number of files and folders that are looked at below one folder."""
LONGEST_NAME = 40
"""Maximum length of the name of an architecture or a type, in characters."""
LONGEST_REASON = 300
"""Maximum length of the reason for a skipped path, in characters."""


def name_line(text: str, longest: int = LONGEST_NAME) -> str:
    """Return a text of a file as one short line without hidden characters."""
    return reveal(" ".join(text[:longest].split()))


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalModel:
    """A model that a scenario can name. Numbers and abilities that are not known are None."""

    place: str
    """Name of the place in which the model was found, such as "LM Studio"."""
    backend: str
    """Kind of the backend that runs the model."""
    model: str
    """Value of `model` in the backend's entry of a scenario."""
    path: Path | None = None
    """File or folder of the model."""
    url: str = ""
    """Address of the server that runs the model, or ""."""
    architecture: str = ""
    parameters: int | None = None
    quantization: str = ""
    """Type of most weights, such as "Q4_K_M" or "bfloat16"."""
    context: int | None = None
    """Maximum context length, in tokens."""
    size: int | None = None
    """Size of the files, in bytes."""
    token_bytes: int | None = None
    """Bytes of a token's keys and values, where the backend has no estimate of its own."""
    chat: bool | None = None
    """Whether the model has a chat template, as instruction-tuned models have and base models do not."""
    thoughts: bool | None = None
    tools: bool | None = None
    adapters: bool = False
    """Whether the backend can apply LoRA adapters to the model."""
    training: bool = False
    """Whether the backend can finetune the model."""


@dataclass(slots=True)
class Found:
    """Models, and reasons why files and folders were skipped, by path."""

    models: list[LocalModel] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def skipping(self, path: Path | str) -> Iterator[None]:
        """Skip this path if the block fails on what a damaged or strange file can cause."""
        try:
            yield
        except MissingExtraError as error:
            self.skipped[str(path)] = f"{error.cause} {error.remedy}"
        except SocietyError as error:
            self.skipped[str(path)] = name_line(error.cause, LONGEST_REASON)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
            self.skipped[str(path)] = name_line(f"it cannot be read: {error}", LONGEST_REASON)

    def walk(self, folder: Path) -> Iterator[Path]:
        """Yield the regular files below a folder in the order of their names. Links to folders are not followed."""
        seen = 0
        for parent, folders, names in os.walk(folder, onerror=self._note):
            folders.sort()
            seen += len(folders) + len(names)
            if seen > MOST_ENTRIES:
                self.skipped[str(folder)] = f"it holds more than {MOST_ENTRIES:,} files and folders"
                return
            for name in sorted(names):
                path, regular = Path(parent, name), False
                with self.skipping(path):
                    regular = path.is_file()
                if regular:
                    yield path

    def _note(self, error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            self.skipped[str(error.filename)] = f"it cannot be read: {error.strerror}"
