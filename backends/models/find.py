"""Finds the file of a model: a path, a package, or a file of the hub, pinned or not."""

from __future__ import annotations

import logging
import re
from pathlib import Path

from backends.models.packages import find_in_package
from society.core.errors import InputError, MissingExtraError
from society.core.hub_cache import commit_of, find_snapshot, is_offline
from society.core.paths import is_revision
from society.core.pip_command import pip
from society.core.regular_files import require_readable

log = logging.getLogger(__name__)

_SPLIT = re.compile(r"(?P<name>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")
"""Names of the files of a model that llama.cpp's tools have split."""
MOST_PARTS = 1_000
"""Maximum number of files of a split model."""
_HUB_NAME = re.compile(r"[\w-][\w.-]{0,95}(/[\w-][\w.-]{0,95})?")


def pin(model: str, revision: str | None) -> str:
    """Return a reference to a model of the hub at a revision: `OWNER/NAME@REVISION` or `hf:REPO@REVISION:FILE`."""
    name, _, file = model.removeprefix("hf:").partition(":")
    if revision is None or not is_of_hub(model):
        return model
    return f"hf:{name}@{revision}" + (f":{file}" if file else "")


def is_of_hub(model: str) -> bool:
    """Return whether a model is one of the hub, and no path or package."""
    if model.startswith("hf:"):
        return True
    return not model.startswith("pypi:") and not model.endswith(".gguf") and not Path(model).expanduser().is_absolute()


def split_pin(name: str) -> tuple[str, str]:
    """Return the name on the hub and the revision of `OWNER/NAME@REVISION`, by default main.

    Raises `InputError` for a name that no model of the hub can have.
    """
    repo, _, revision = name.removeprefix("hf:").partition("@")
    revision = revision or "main"
    if not _HUB_NAME.fullmatch(repo) or ".." in repo or "--" in repo or not is_revision(revision):
        raise InputError(
            f"{name.removeprefix('hf:')!r} is no hub id.",
            "Write OWNER/NAME, such as Qwen/Qwen3-0.6B, hf:OWNER/REPO:FILE.gguf, or the path of a model folder or "
            ".gguf file.",
        )
    return repo, revision


def find_model(model: str) -> Path:
    """Return the GGUF file that `model` names: a path, `pypi:PACKAGE` or `hf:REPO:FILE`, which `pin` may have pinned.

    Raises `InputError` with a remedy if there is none.
    """
    source, _, rest = model.partition(":")
    if source == "pypi":
        return find_in_package(rest)
    if source == "hf":
        return fetch_from_hub(rest)
    path = Path(model).expanduser()
    require_readable(path)
    if (path / "config.json").is_file():
        raise InputError(f"{path} is a folder of transformers, and no .gguf file.", "Set `kind: hf` for this backend.")
    if not path.is_file():
        raise InputError(
            f"There is no model file {path}.",
            "Give the path of a .gguf file, pypi:PACKAGE or hf:REPO:FILE. `society models` lists this machine's.",
        )
    return path


def find_offline(model: str) -> Path | None:
    """Return the GGUF file that `model` names, as `find_model` does, but without a network.

    None for a file of the hub that is not in the local cache.
    """
    source, _, rest = model.partition(":")
    repo, _, name = rest.partition(":")
    if source != "hf" or not (repo and name):
        return find_model(model)
    found = [find_cached(repo, part.as_posix()) for part in split_parts(Path(name))]
    return found[0] if all(found) else None


def find_commit(model: str) -> str:
    """Return the commit of a model in the hub's local cache; "" for any other model."""
    if not is_of_hub(model):
        return ""
    name, _, file = model.removeprefix("hf:").partition(":")
    return commit_of(find_cached(name, file or "config.json"))


def is_first_part(path: Path) -> bool:
    """Return whether a file is a whole model or, by its name, the first one of a split model."""
    match = _SPLIT.fullmatch(path.name)
    return not match or int(match["number"]) == 1


def find_cached(model: str, name: str) -> Path | None:
    """Return a file of a model of the hub from the local cache, or None if it is not there.

    `model` is OWNER/NAME, hf:NAME, or one of these with @REVISION. Raises `InputError` like `split_pin`.
    """
    folder = find_snapshot(*split_pin(model), "models")
    return folder / name if folder and (folder / name).is_file() else None


def split_parts(path: Path) -> list[Path]:
    """Return the files of the model that `path` belongs to, by their names; `path` alone if it is not split.

    Raises `InputError` for a model of more than `MOST_PARTS` files.
    """
    match = _SPLIT.fullmatch(path.name)
    if not match:
        return [path]
    count = int(match["count"])
    if count > MOST_PARTS:
        raise InputError(f"{path} is of a model in more than {MOST_PARTS:,} files.", "Split it into fewer files.")
    return [path.with_name(f"{match['name']}-{number:05}-of-{count:05}.gguf") for number in range(1, count + 1)]


def fetch_from_hub(reference: str) -> Path:
    """Return `REPO:FILE` from the model hub's local cache, after a download if necessary.

    The first file of a split model stands for all of them.
    """
    repo, _, name = reference.partition(":")
    if not repo or not name:
        raise InputError(f"hf:{reference} names no file.", "Write hf:OWNER/REPO:FILE.gguf.")
    repo, revision = split_pin(repo)
    try:
        from huggingface_hub import hf_hub_download
    except ImportError:
        raise MissingExtraError(f"hf:{reference}", "huggingface-hub", remedy=pip("install huggingface-hub")) from None
    offline = not is_offline() and not _knows_hub()  # the client would retry for half a minute
    try:
        parts = [part.as_posix() for part in split_parts(Path(name))]
        files = [hf_hub_download(repo, part, revision=revision, local_files_only=offline) for part in parts]
        return Path(files[0])
    except (OSError, ValueError) as error:  # bases of the hub's own errors: offline, unknown, forbidden
        if isinstance(error, PermissionError) and error.filename:
            require_readable(Path(error.filename))
        reason = "the address of the hub is unknown here" if offline else explain_hub(error)
        pinned = f" --revision {revision}" if revision != "main" else ""
        raise InputError(
            f"{name} of {repo} is not in the local cache and cannot be downloaded: {reason}.",
            f"Check the name, or where there is a network run: hf download {repo} {name}{pinned}",
        ) from None


_HUB_ERRORS = {
    "GatedRepoError": "it is open only to users who have accepted its terms; accept them, then run: hf auth login",
    "LocalEntryNotFoundError": "the hub does not answer",
    "RevisionNotFoundError": "it has no such revision",
    "EntryNotFoundError": "it has no such file",
    "RepositoryNotFoundError": "the hub has no such model, or it is private (then run: hf auth login)",
}
"""Meanings of the errors of the hub's client, by class."""


def explain_hub(error: Exception) -> str:
    """Return the reason of an error of the hub's client, without a full stop."""
    for cls in type(error).__mro__:
        if is_offline() and cls.__name__ in ("LocalEntryNotFoundError", "OfflineModeIsEnabled"):
            return "HF_HUB_OFFLINE is set"
        if cls.__name__ in _HUB_ERRORS:
            return _HUB_ERRORS[cls.__name__]
    return next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".")


def _knows_hub() -> bool:
    """Return whether this machine can look up the address of the model hub, or has a proxy that does."""
    import socket
    from urllib.parse import urlsplit
    from urllib.request import getproxies

    from huggingface_hub.constants import ENDPOINT

    if getproxies():
        return True
    try:
        return bool(socket.getaddrinfo(urlsplit(ENDPOINT).hostname, 443))
    except OSError:
        return False
