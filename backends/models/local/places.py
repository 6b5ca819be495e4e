"""Folders of GGUF files: installed packages, LM Studio, Ollama and llama.cpp.

LM Studio stores `models/PUBLISHER/MODEL/FILE.gguf`. Ollama stores GGUF files under their hash; a manifest, a JSON file
named after the model, lists them. llama.cpp stores the files that it downloads in its cache folder.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from backends.models.local.gguf import add_file, add_files
from backends.models.local.model import Found, LocalModel
from backends.models.packages import list_part_packages, normal_name
from society.core.errors import InputError
from society.core.hub_cache import user_cache, user_home
from society.core.regular_files import read_json

PACKAGE = "Python package"
LARGEST_MANIFEST = 1 << 20
"""Maximum size of a manifest, in bytes."""
_MODEL_LAYER = "application/vnd.ollama.image.model"
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_CARRIED = re.compile(r"\.gguf(\.part-?\d+)?$")


def add_packages(found: Found) -> None:
    """Add the models of installed packages. No package is imported, and parts of a file are not joined."""
    for name, files in sorted(_list_carriers(found).items()):
        with found.skipping(f"package {name}"):
            whole = [file for file in files if file.suffix == ".gguf"]
            if not whole:
                found.models.append(_in_parts(name, files))
            for file in whole:
                add_file(found, file, PACKAGE, f"pypi:{name}" if len(whole) == 1 else str(file))


def _list_carriers(found: Found) -> dict[str, list[Path]]:
    """Return the GGUF files, and parts of such files, of each package. A package's parts may be in others."""
    files: dict[str, list[Path]] = {}
    owners: dict[str, str] = {}
    for distribution in importlib.metadata.distributions():
        with found.skipping(f"package {distribution}"):
            name = str(distribution.metadata["Name"])
            carried = [file for file in distribution.files or () if _CARRIED.search(str(file))]
            files.setdefault(name, []).extend(Path(str(file.locate())) for file in carried)
            parts = list_part_packages(name, distribution.requires or ())
            owners |= dict.fromkeys(map(normal_name, parts), name)
    for part in [name for name in files if normal_name(name) in owners]:
        files[owners[normal_name(part)]] += files.pop(part)
    return {name: sorted(paths) for name, paths in files.items() if paths}


def _in_parts(name: str, files: Sequence[Path]) -> LocalModel:
    """Return a model in parts, which are joined when a scenario uses it. Its header is not read."""
    size = sum(file.stat().st_size for file in files)
    return LocalModel(place=PACKAGE, backend="llama_cpp", model=f"pypi:{name}", path=files[0], size=size, adapters=True)


def add_lm_studio(found: Found) -> None:
    """Add the models of LM Studio."""
    for folder in (_home(".lmstudio", "models"), _home(".cache", "lm-studio", "models")):
        add_files(found, found.walk(folder), "LM Studio")


def add_llama_cpp(found: Found) -> None:
    """Add the models that llama.cpp has downloaded."""
    usual = _home("Library", "Caches") if sys.platform == "darwin" else user_cache()
    add_files(found, found.walk(Path(os.environ.get("LLAMA_CACHE") or usual / "llama.cpp")), "llama.cpp")


def add_ollama(found: Found) -> None:
    """Add the models of Ollama, as files that llama.cpp reads."""
    system = Path("/usr/share/ollama/.ollama/models")
    named = os.environ.get("OLLAMA_MODELS")
    for folder in [Path(named)] if named else [_home(".ollama", "models"), system]:
        for manifest in found.walk(folder / "manifests"):
            with found.skipping(manifest):
                blob = folder / "blobs" / _read_blob(manifest)
                add_file(found, blob, f"Ollama, as {_name(manifest.relative_to(folder / 'manifests'))}", str(blob))


def _read_blob(manifest: Path) -> str:
    """Return the name of the GGUF file that a manifest lists. Raises `InputError` for another file."""
    try:
        layers = read_json(manifest, LARGEST_MANIFEST)["layers"]
    except ValueError:
        raise InputError("it is no mapping in JSON, as a manifest of Ollama is", "") from None
    digests = [layer["digest"] for layer in layers if layer["mediaType"] == _MODEL_LAYER]
    if len(digests) != 1 or not (match := _DIGEST.fullmatch(digests[0])):
        raise InputError("it lists no GGUF file of a model", "")
    return f"sha256-{match[1]}"


def _name(path: Path) -> str:
    """Return Ollama's name for the model of a manifest: HOST/NAMESPACE/MODEL/TAG without what is usual."""
    *where, model, tag = path.parts
    shown = [part for part in where if part not in ("registry.ollama.ai", "library")]
    return "/".join([*shown, f"{model}:{tag}"])


def _home(*parts: str) -> Path:
    return user_home().joinpath(*parts)
