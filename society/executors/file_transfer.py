"""Files on their way between machines: a file or a folder as pieces of bytes, and back, whole or not at all."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from society.core.errors import BackendError

PIECE = 1 << 26
"""Most bytes of a piece: what is in memory at a time."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Some bytes of a file; those of one file come in order. `name` is the file's path in its folder, "" if it is
    the file itself that was sent."""

    name: str
    data: bytes


def pack(path: Path) -> Iterator[Piece]:
    """A file, or all files below a folder, in an order that is always the same."""
    if path.is_file():
        yield from _read(path, "")
        return
    for file in sorted(file for file in path.rglob("*") if file.is_file()):
        yield from _read(file, file.relative_to(path).as_posix())


def _read(file: Path, name: str) -> Iterator[Piece]:
    with file.open("rb") as stream:
        yield Piece(name, stream.read(PIECE))
        while data := stream.read(PIECE):
            yield Piece(name, data)


class Unpacking:
    """Puts pieces together beside `target`, which appears when `finish` finds them to be what was sent."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.part = target.with_name(target.name + ".part")
        self._digest = hashlib.sha256()
        target.parent.mkdir(parents=True, exist_ok=True)
        self.drop()

    def add(self, piece: Piece) -> None:
        """One more piece. Raises `BackendError` for one that would lie elsewhere."""
        name = PurePosixPath(piece.name)
        if name.is_absolute() or ".." in name.parts:
            raise BackendError(f"A file called {piece.name!r} came from a worker.", "Its files must lie in one folder.")
        file = self.part / piece.name if piece.name else self.part
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("ab") as stream:
            stream.write(piece.data)
        absorb(self._digest, piece)

    def finish(self, digest: str) -> Path:
        """The target, complete. Raises `BackendError` when its contents are not those that were sent."""
        if self._digest.hexdigest() != digest:
            raise BackendError(f"The files for {self.target} were damaged on their way.", "Run again with --resume.")
        if self.target.is_dir():
            shutil.rmtree(self.target)
        self.part.rename(self.target)
        return self.target

    def drop(self) -> None:
        """Take away what is there of an unfinished one."""
        if self.part.is_dir():
            shutil.rmtree(self.part)
        self.part.unlink(missing_ok=True)


class Digest:
    """The digest of pieces as they pass by."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def follow(self, pieces: Iterable[Piece]) -> Iterator[Piece]:
        """The same pieces."""
        for piece in pieces:
            absorb(self._digest, piece)
            yield piece

    @property
    def value(self) -> str:
        """SHA-256 in hex of all that passed."""
        return self._digest.hexdigest()


def absorb(digest: hashlib._Hash, piece: Piece) -> None:
    """Take a piece into a digest, its name and length too."""
    digest.update(f"{piece.name}\0{len(piece.data)}\0".encode())
    digest.update(piece.data)
