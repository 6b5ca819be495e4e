"""Files between machines: a file or folder as chunks of bytes, written atomically at the receiver."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from society.core.atomic import move_into_place
from society.core.errors import BackendError

CHUNK_SIZE = 1 << 26
"""Maximum size of a chunk in bytes, and so of the data in memory."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Bytes of a file. Chunks of a file are in order; `name` is its path in the sent folder, or "" for a sent file."""

    name: str
    data: bytes


def read_chunks(path: Path) -> Iterator[Chunk]:
    """Yield the chunks of a file, or of all files below a folder in sorted order."""
    if path.is_file():
        yield from _read(path, "")
        return
    for file in sorted(file for file in path.rglob("*") if file.is_file()):
        yield from _read(file, file.relative_to(path).as_posix())


def _read(file: Path, name: str) -> Iterator[Chunk]:
    with file.open("rb") as stream:
        yield Chunk(name, stream.read(CHUNK_SIZE))
        while data := stream.read(CHUNK_SIZE):
            yield Chunk(name, data)


class ChunkReceiver:
    """Writes received chunks beside `target`. `finish` verifies them and renames the result to `target`."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.part = target.with_name(target.name + ".part")
        self._digest = hashlib.sha256()
        target.parent.mkdir(parents=True, exist_ok=True)
        self.discard()

    def add(self, chunk: Chunk) -> None:
        """Append a chunk. Raises `BackendError` for a chunk with a path outside of the folder."""
        name = PurePosixPath(chunk.name)
        if name.is_absolute() or ".." in name.parts:
            raise BackendError(f"A worker sent the file {chunk.name!r}.", "Its files must lie in one folder.")
        file = self.part / chunk.name if chunk.name else self.part
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("ab") as stream:
            stream.write(chunk.data)
        update_digest(self._digest, chunk)

    def finish(self, digest: str) -> Path:
        """Return the complete target. Raises `BackendError` if the digest of the contents differs."""
        if self._digest.hexdigest() != digest:
            raise BackendError(
                f"The files for {self.target} were damaged in transit.",
                "Run again with --resume (Python: resume=True).",
            )
        return move_into_place(self.part, self.target)

    def discard(self) -> None:
        """Remove the files of an unfinished transfer."""
        if self.part.is_dir():
            shutil.rmtree(self.part)
        self.part.unlink(missing_ok=True)


class Digest:
    """A digest of chunks, computed while they are iterated."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def hash_each(self, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
        """Yield the chunks unchanged."""
        for chunk in chunks:
            update_digest(self._digest, chunk)
            yield chunk

    @property
    def value(self) -> str:
        """Return the SHA-256 of all chunks in hex."""
        return self._digest.hexdigest()


def update_digest(digest: hashlib._Hash, chunk: Chunk) -> None:
    """Add the chunk's name, length and data to the digest."""
    digest.update(f"{chunk.name}\0{len(chunk.data)}\0".encode())
    digest.update(chunk.data)
