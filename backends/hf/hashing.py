"""The hash of a model: of everything in its folder that determines its output.

These are weights, configuration, generation configuration, tokenizer and chat templates. The hash of a large file is
cached by path, size, inode and times (`digest_of`).
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from backends.hf.chat import Chat
from backends.models.digests import digest_of
from society.core.regular_files import parse_json

SHAPING = {".json", ".safetensors", ".model", ".txt", ".jinja", ".tiktoken"}
"""Suffixes of files that transformers may read from a model's folder."""
TEMPLATES = "additional_chat_templates"
"""Name of the folder with additional chat templates."""
PLACES = ("_name_or_path", "name_or_path")
"""Keys of a configuration without effect on the output, such as its path."""


def hash_base(folder: Path, chat: Chat) -> str:
    """Return the SHA-256 (hex) of a base: its folder's files, and the chat template in use."""
    digest = hashlib.sha256()
    for name, value in sorted(hash_parts(folder).items()):
        digest.update(f"{name}\0{value}\0".encode())
    digest.update(str(chat.tokenizer.chat_template).encode("utf-8", "surrogatepass"))
    if traits := chat.traits():
        digest.update(json.dumps(traits, sort_keys=True).encode())
    return digest.hexdigest()


def hash_parts(folder: Path) -> dict[str, str]:
    """Return the hash of each file of a model's folder that may affect the output, by name."""
    files = [path for path in folder.iterdir() if path.suffix in SHAPING and path.is_file()]
    files += [path for path in folder.glob(f"{TEMPLATES}/*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): _hash(path) for path in files}


def _hash(path: Path) -> str:
    if path.name.endswith("config.json"):
        return hashlib.sha256(_plain(path.read_bytes())).hexdigest()
    return digest_of(path)


def _plain(raw: bytes) -> bytes:
    """Return a configuration in a normal form: sorted keys, no spacing and no path."""
    try:
        read = parse_json(raw, "config.json")
    except ValueError:
        return raw
    if not isinstance(read, dict):
        return raw
    kept = {key: value for key, value in read.items() if key not in PLACES}
    return json.dumps(kept, sort_keys=True, separators=(",", ":")).encode("utf-8", "surrogatepass")
