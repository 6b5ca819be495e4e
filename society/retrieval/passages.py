"""The passages of a folder of documents: text, Markdown and PDF files, cut at paragraphs.

Documents are untrusted: their sizes are limited, links lead nowhere outside, and PDF files are read in a child process.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from unicodedata import category

from society.core.errors import InputError
from society.core.plain import list_some
from society.core.regular_files import read_limited
from society.retrieval.pdf_pages import read_pages, require_pdf

TEXTS = (".txt", ".text", ".md", ".markdown", ".rst")
"""Endings of files that are read as text in UTF-8."""
PDF = ".pdf"
MOST_CHARACTERS = 50_000_000
"""Maximum number of characters of all documents together."""
_CONTROL = ("Cc", "Cs", "Zl", "Zp")
"""Unicode categories that names of documents must not have: a source is one line of UTF-8."""
_PARAGRAPH = re.compile(r"\n[ \t]*\n\s*")


@dataclass(frozen=True, slots=True)
class Passage:
    """A part of a document. `source` names the file and its line or page: `notes/a.md, line 12`."""

    text: str
    source: str


def list_documents(folder: Path) -> list[Path]:
    """Return the documents in a folder or the one file, in the order of their names. Hidden files are left out.

    Raises `InputError` if there is none, if one is a link, if a folder cannot be read, or where PDF files are among
    them and pypdf is not installed.
    """
    if not folder.exists():
        raise InputError(f"There is no file or folder {folder.name}.", "Correct the path of the documents.")
    if folder.is_file():
        return _checked([folder], folder)
    names: list[Path] = []
    for place, folders, files in os.walk(folder, onerror=_refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        here = [Path(place, name) for name in files if not name.startswith(".")]
        for path in (*here, *(Path(place, name) for name in folders)):
            if path.is_symlink():
                raise InputError(f"{path.relative_to(folder)} is a link.", "Put the document itself there.")
        names += here
    return _checked(sorted(names), folder)


def _refuse(error: OSError) -> None:
    """Raise `InputError` for a folder that cannot be listed: its documents would be left out silently."""
    name = Path(error.filename).name
    raise InputError(f"The folder {name} cannot be read: {error.strerror}.", "Correct it, or move it away.") from error


def _name(path: Path, folder: Path) -> str:
    return path.name if path == folder else path.relative_to(folder).as_posix()


def _checked(paths: list[Path], folder: Path) -> list[Path]:
    found = [path for path in paths if path.suffix.lower() in (*TEXTS, PDF)]
    if not found:
        raise InputError(
            f"{folder.name} holds no documents: {list_some([path.name for path in paths]) or 'it is empty'}.",
            f"Give files that end in {', '.join((*TEXTS, PDF))}.",
        )
    for path in found:
        name = _name(path, folder)
        if any(category(sign) in _CONTROL for sign in name):
            raise InputError(
                f"The name of the document {name!a} has a line break or control character, or is not UTF-8.",
                "Rename the document.",
            )
    if any(path.suffix.lower() == PDF for path in found):
        require_pdf()
    return found


def load_passages(folder: Path, longest: int = 1000) -> list[Passage]:
    """Return the passages of all documents in a folder, in order, of at most `longest` characters each.

    Raises `InputError` for a document that cannot be read: none is left out silently.
    """
    found: list[Passage] = []
    left = MOST_CHARACTERS
    for path in list_documents(folder):
        name = _name(path, folder)
        for text, place in _read(path, name):
            left -= len(text)
            if left < 0:
                raise InputError(
                    f"The documents in {folder.name} have more than {MOST_CHARACTERS:,} characters.",
                    "Name a folder that holds only what is meant.",
                )
            found += [Passage(part, f"{name}, {place(line)}") for part, line in cut(text, longest)]
    if not found:
        raise InputError(f"The documents in {folder.name} hold no text.", "Scanned pages need text recognition first.")
    return found


def _read(path: Path, name: str) -> Iterator[tuple[str, _Place]]:
    """Yield the texts of a document, each with the function that names a place in it."""
    if path.suffix.lower() == PDF:
        for number, page in enumerate(read_pages(path), 1):
            yield page, _Place(f"page {number}")
        return
    try:
        yield read_limited(path).decode("utf-8-sig"), _Place("")
    except UnicodeDecodeError:
        raise InputError(f"The document {name} is not UTF-8.", "Convert it to UTF-8, or move it away.") from None
    except (OSError, ValueError) as error:
        raise InputError(f"The document {name} cannot be read: {error}.", "Correct it, or move it away.") from None


@dataclass(frozen=True, slots=True)
class _Place:
    """Names a place in a document: its page, or a line."""

    page: str

    def __call__(self, line: int) -> str:
        return self.page or f"line {line}"


def cut(text: str, longest: int) -> Iterator[tuple[str, int]]:
    """Yield the passages of a text and the line that each begins in, from 1.

    Paragraphs are joined while they fit into `longest` characters; a longer one is cut between words.
    """
    text = text.replace("\r\n", "\n")
    passage, line, counted = "", 1, 0
    for at, paragraph in _paragraphs(text):
        for offset, piece in _pieces(paragraph, longest):
            if passage and len(passage) + 2 + len(piece) > longest:
                yield passage, line
                passage = ""
            if not passage:
                start = at + offset
                line, counted = line + text.count("\n", counted, start), start
            passage = f"{passage}\n\n{piece}" if passage else piece
    if passage:
        yield passage, line


def _paragraphs(text: str) -> Iterator[tuple[int, str]]:
    """Yield the paragraphs of a text with their places in it."""
    at = 0
    for blank in [*_PARAGRAPH.finditer(text), None]:
        end = len(text) if blank is None else blank.start()
        paragraph = text[at:end]
        if stripped := paragraph.strip():
            yield at + paragraph.index(stripped[0]), stripped
        at = end if blank is None else blank.end()


def _pieces(paragraph: str, longest: int) -> Iterator[tuple[int, str]]:
    """Yield a paragraph whole, or in pieces of at most `longest` characters, with their places in it."""
    if len(paragraph) <= longest:
        yield 0, paragraph
        return
    words = rf"\S(?:.{{0,{longest - 2}}}\S)?(?!\S)"
    for piece in re.finditer(rf"{words}|\S{{1,{longest}}}", paragraph, re.DOTALL):
        yield piece.start(), piece[0]
