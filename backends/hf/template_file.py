"""The chat template and the added tokens of a model, read from its files without transformers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backends.models.find import find_cached, find_offline
from backends.models.gguf_file import check_gguf
from society.core.errors import InputError
from society.core.regular_files import read_json, read_limited

if TYPE_CHECKING:
    from backends.hf import HuggingFace

TEMPLATE, SETTINGS, TOKENS = "chat_template.jinja", "tokenizer_config.json", "tokenizer.json"
"""Files of a model's folder."""
REMEDY = "Restore the folder from a copy, or download it again."


def read_template(config: HuggingFace) -> tuple[str, frozenset[str] | None] | None:
    """Return the text of the chat template, and the names of added tokens if they can be read.

    None if this machine has no chat template of the model. Raises `InputError` for a damaged or too large file.
    """
    if config.model.startswith("pypi:") or config.model.endswith(".gguf"):
        path = find_offline(config.reference)
        source = config.chat_template or ("" if path is None else check_gguf(path).chat_template)
        return (source, None) if source else None
    settings = _read_json(_find(config.reference, SETTINGS))
    written = _find(config.reference, TEMPLATE)
    source = config.chat_template or (_read_text(written) if written else _default(settings.get("chat_template")))
    tokens = _read_json(_find(config.reference, TOKENS)).get("added_tokens") or []
    decoder = settings.get("added_tokens_decoder") or {}
    if not isinstance(tokens, list) or not isinstance(decoder, dict):
        raise InputError(f"The added tokens of {config.model} are no list or no mapping.", REMEDY)
    added = [*tokens, *decoder.values()]
    return (source, frozenset(_names(added))) if source else None


def template_of(folder: Path) -> str:
    """Return the chat template of a folder with a tokenizer, or "" if it has none."""
    written = folder / TEMPLATE
    if written.is_file():
        return _read_text(written)
    settings = folder / SETTINGS
    return _default(_read_json(settings if settings.is_file() else None).get("chat_template"))


def _names(added: list[Any]) -> Iterator[str]:
    for token in added:
        if isinstance(token, dict) and isinstance(token.get("content"), str):
            yield token["content"]


def _default(templates: object) -> str:
    """Return the template of `tokenizer_config.json`, which may hold several by name."""
    if isinstance(templates, list):
        named = {entry.get("name"): entry.get("template") for entry in templates if isinstance(entry, dict)}
        templates = named.get("default")
    return templates if isinstance(templates, str) else ""


def _find(model: str, name: str) -> Path | None:
    """Return a file of a local folder, or of a hub model in the local cache; None if it is not there."""
    folder = Path(model).expanduser()
    if folder.is_absolute():
        return folder / name if (folder / name).is_file() else None
    return find_cached(model, name)


def _read_json(path: Path | None) -> dict[str, Any]:
    try:
        return read_json(path) if path else {}
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}.", REMEDY) from None


def _read_text(path: Path) -> str:
    try:
        return read_limited(path).decode("utf-8")
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}.", REMEDY) from None
