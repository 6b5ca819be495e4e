"""The chat template and the added tokens of a folder: files of strangers are read up to a limit."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from backends.hf import HuggingFace
from backends.hf.template_file import read_template, template_of
from society.core.errors import InputError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "chat_template.jinja").write_text("{{ messages }}")
    (tmp_path / "tokenizer.json").write_text('{"added_tokens": [{"content": "<a>"}]}')
    (tmp_path / "tokenizer_config.json").write_text('{"added_tokens_decoder": {"1": {"content": "<b>"}}}')
    return tmp_path


def test_template_and_tokens_are_read(folder: Path) -> None:
    assert read_template(HuggingFace(model=str(folder))) == ("{{ messages }}", frozenset({"<a>", "<b>"}))
    assert template_of(folder) == "{{ messages }}"


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("tokenizer.json", '{"added_tokens": 5}', "added tokens"),
        ("tokenizer_config.json", '{"added_tokens_decoder": [1, 2]}', "added tokens"),
        ("tokenizer.json", '{"a":' * 100_000, "nested too deeply"),
        ("tokenizer_config.json", "[" * 100_000, "nested too deeply"),
        ("tokenizer_config.json", "[]", "no mapping"),
        ("tokenizer.json", "{", "cannot be read"),
    ],
)
def test_damaged_files_are_one_clear_error(folder: Path, name: str, content: str, match: str) -> None:
    (folder / name).write_text(content)
    with pytest.raises(InputError, match=match):
        read_template(HuggingFace(model=str(folder)))


@pytest.mark.parametrize("name", ["chat_template.jinja", "tokenizer.json", "tokenizer_config.json"])
def test_files_without_end_are_refused(folder: Path, name: str) -> None:
    os.truncate(folder / name, 1 << 40)  # takes no room
    with pytest.raises(InputError, match=f"{name} is larger than"):
        read_template(HuggingFace(model=str(folder)))


def test_a_nested_configuration_is_one_clear_error(folder: Path) -> None:
    (folder / "config.json").write_text('{"a":' * 100_000)
    with pytest.raises(InputError, match="nested too deeply"):
        HuggingFace(model=str(folder)).read_config()
