"""Passages of folders of documents."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from society.core.errors import InputError
from society.core.hashing import hash_path
from society.retrieval.passages import cut, list_documents, load_passages


def make_pdf(*pages: str) -> bytes:
    """Return a PDF file with one line of text on each page."""
    kids = " ".join(f"{4 + 2 * i} 0 R" for i in range(len(pages)))
    parts = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for i, text in enumerate(pages):
        stream = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET"
        parts.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {5 + 2 * i} 0 R"
            " /Resources << /Font << /F1 3 0 R >> >> >>"
        )
        parts.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
    data, places = "%PDF-1.4\n", []
    for number, part in enumerate(parts, 1):
        places.append(len(data))
        data += f"{number} 0 obj\n{part}\nendobj\n"
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    head = f"xref\n0 {len(parts) + 1}\n0000000000 65535 f \n{table}trailer << /Size {len(parts) + 1} /Root 1 0 R >>\n"
    return f"{data}{head}startxref\n{len(data)}\n%%EOF\n".encode()


def test_paragraphs_are_joined_while_they_fit() -> None:
    text = "# One\n\nfirst\n\nsecond\n\n\nthird is long enough"
    assert list(cut(text, 20)) == [("# One\n\nfirst\n\nsecond", 1), ("third is long enough", 8)]
    assert list(cut("\n\n a \n\n", 20)) == [("a", 3)]
    assert list(cut("", 20)) == []


def test_a_long_paragraph_is_cut_between_words() -> None:
    parts = [part for part, _ in cut("alpha beta gamma delta", 11)]
    assert parts == ["alpha beta", "gamma delta"]
    assert [part for part, _ in cut("x" * 25, 10)] == ["x" * 10, "x" * 10, "x" * 5]


def test_a_folder_is_read_in_the_order_of_names(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.md").write_text("# Beta\n\nsecond")
    (tmp_path / "a.txt").write_bytes("\ufefffirst".encode())
    (tmp_path / ".hidden.md").write_text("no")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    found = load_passages(tmp_path)
    assert [(p.text, p.source) for p in found] == [("first", "a.txt, line 1"), ("# Beta\n\nsecond", "sub/b.md, line 1")]
    assert [p.source for p in load_passages(tmp_path / "a.txt")] == ["a.txt, line 1"]


def test_what_cannot_be_read_is_an_error_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="it is empty"):
        list_documents(tmp_path)
    (tmp_path / "image.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"no documents: image\.png"):
        list_documents(tmp_path)
    (tmp_path / "empty.md").write_text("\n")
    with pytest.raises(InputError, match="hold no text"):
        load_passages(tmp_path)
    (tmp_path / "bad.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"bad\.txt is not UTF-8"):
        load_passages(tmp_path)


def test_a_folder_that_cannot_be_listed_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_text("first")
    (tmp_path / "closed").mkdir()
    scandir = os.scandir

    def refuse(path: str) -> object:  # rights do not bind root
        if Path(path).name == "closed":
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(InputError, match="The folder closed cannot be read: Permission denied"):
        list_documents(tmp_path)


@pytest.mark.needs("pypdf")
def test_pages_of_a_pdf_are_named(tmp_path: Path) -> None:
    (tmp_path / "two.pdf").write_bytes(make_pdf("Hello page one", "And page two"))
    assert [(p.text, p.source) for p in load_passages(tmp_path)] == [
        ("Hello page one", "two.pdf, page 1"),
        ("And page two", "two.pdf, page 2"),
    ]


@pytest.mark.needs("pypdf")
def test_a_broken_pdf_is_an_error_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "bad.pdf").write_bytes(b"%PDF-1.4 and nothing else")
    with pytest.raises(InputError, match=r"bad\.pdf cannot be read"):
        load_passages(tmp_path)


def test_a_folder_that_is_missing_is_not_called_empty(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no file or folder nope"):
        list_documents(tmp_path / "nope")


@pytest.mark.parametrize("name", [b"a\nb, line 1.md", b"caf\xe9.md"])
def test_a_name_that_cannot_be_a_source_is_refused(tmp_path: Path, name: bytes) -> None:
    (tmp_path / os.fsdecode(name)).write_text("text")
    with pytest.raises(InputError, match="Rename"):
        list_documents(tmp_path)


def test_other_files_may_have_any_name(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("text")
    (tmp_path / os.fsdecode(b"caf\xe9.png")).write_bytes(b"")
    assert [passage.source for passage in load_passages(tmp_path)] == ["a.md, line 1"]
    assert len(hash_path(tmp_path)) == 32


def test_each_line_of_a_document_is_counted_once() -> None:
    """The text counts the characters in which line breaks are looked for."""

    class Text(str):
        looked_at = 0

        def replace(self, *_: object) -> Text:  # type: ignore[override]
            return self

        def count(self, sign: str, start: int = 0, end: int = 0) -> int:  # type: ignore[override]
            Text.looked_at += end - start
            return super().count(sign, start, end)

    text = Text("word\n\n" * 2000)
    assert list(cut(text, 100))[-1][1] > 3000
    assert 0 < Text.looked_at <= len(text)
