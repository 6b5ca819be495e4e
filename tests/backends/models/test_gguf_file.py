"""GGUF headers: good ones are described, and no bad one gets past the check or makes it fail otherwise."""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path

import gguf
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backends.models.gguf_file import check_gguf
from society.core.errors import InputError


def write(path: Path) -> Path:
    """Return a small model with all that a header can hold."""
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_context_length(512)
    writer.add_block_count(2)
    writer.add_array("llama.attention.head_count_kv", [1, 3])
    writer.add_chat_template("{{ messages }}")
    writer.add_token_list([f"token{i}" for i in range(100)])
    writer.add_array("numbers", list(range(1000)))
    writer.add_bool("flag", True)
    writer.add_tensor("a.weight", np.ones((3, 32), np.float32))
    writer.add_tensor("b.weight", np.zeros((2, 34), np.uint8), raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    finish(writer)
    return path


def test_a_big_endian_file_is_called_so(tmp_path: Path) -> None:
    path = tmp_path / "big.gguf"
    path.write_bytes(b"GGUF" + struct.pack(">IQQ", 3, 0, 0))
    with pytest.raises(InputError, match="it is big endian; little-endian"):
        check_gguf(path)


def finish(writer: gguf.GGUFWriter) -> None:
    """Write the file."""
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write(tmp_path_factory.mktemp("gguf") / "good.gguf").read_bytes()


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gguf") / "bad.gguf"


def test_a_good_file_is_described(tmp_path: Path) -> None:
    info = check_gguf(write(tmp_path / "good.gguf"))
    assert (info.architecture, info.quantisation, info.context_length) == ("llama", "Q8_0", 512)
    assert (info.tensor_count, info.chat_template, info.is_adapter) == (2, "{{ messages }}", False)
    assert (info.number("attention.head_count_kv"), info.number("block_count"), info.number("absent")) == (3, 2, 0)
    assert info.metadata["flag"] is True
    assert "numbers" not in info.metadata


@pytest.mark.parametrize("content", [b"", b"GGUF", b"PK\x03\x04" + b"x" * 100, b"GGUF" + b"\xff" * 100])
def test_what_is_no_gguf_is_named(bad: Path, content: bytes) -> None:
    bad.write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.gguf"):
        check_gguf(bad)


def test_absent_files_and_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.gguf"):
        check_gguf(tmp_path / "absent.gguf")
    with pytest.raises(InputError, match="cannot be read"):
        check_gguf(tmp_path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(share=st.floats(0, 1, exclude_max=True))
def test_every_truncation_is_found(good: bytes, bad: Path, share: float) -> None:
    used = len(good) - 32  # the writer pads the end, which nobody misses
    bad.write_bytes(good[: int(used * share)])
    with pytest.raises(InputError, match=r"bad\.gguf"):
        check_gguf(bad)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300)
@given(changes=st.lists(st.tuples(st.integers(0, 3000), st.binary(min_size=1, max_size=8)), min_size=1, max_size=4))
def test_a_damaged_file_is_refused_or_described(good: bytes, bad: Path, changes: list[tuple[int, bytes]]) -> None:
    data = bytearray(good)
    for at, new in changes:
        at %= len(data) - len(new)
        data[at : at + len(new)] = new
    bad.write_bytes(data)
    # Any other exception than InputError fails the test; so does a description of nonsense.
    with contextlib.suppress(InputError):
        info = check_gguf(bad)
        assert info.tensor_count <= 2
        assert info.architecture


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.binary(max_size=300))
def test_anything_after_the_magic_is_refused(bad: Path, data: bytes) -> None:
    bad.write_bytes(b"GGUF" + struct.pack("<I", 3) + data)
    with pytest.raises(InputError):
        check_gguf(bad)


@pytest.mark.parametrize(
    ("fault", "at"), [("the number of tensors", 8), ("the number of metadata entries", 16), ("metadata entry 0", 24)]
)
def test_absurd_counts_are_named_before_anything_is_read(good: bytes, bad: Path, fault: str, at: int) -> None:
    bad.write_bytes(good[:at] + struct.pack("<Q", 2**60) + good[at + 8 :])
    with pytest.raises(InputError, match=fault):
        check_gguf(bad)


def test_a_tensor_past_the_end_is_named(good: bytes, bad: Path) -> None:
    at = good.index(b"b.weight") + len(b"b.weight") + 4 + 16 + 4  # dimensions, shape, type
    bad.write_bytes(good[:at] + struct.pack("<Q", 2**40) + good[at + 8 :])
    with pytest.raises(InputError, match="truncated"):
        check_gguf(bad)


@pytest.mark.parametrize("setting", ["feed_forward_length", "attention.head_count", "attention.head_count_kv"])
def test_zeros_of_recurrent_models_are_read(tmp_path: Path, setting: str) -> None:
    """The converter writes 0 for what a model does not have."""
    writer = gguf.GGUFWriter(str(tmp_path / "mamba.gguf"), "mamba")
    writer.add_uint32(f"mamba.{setting}", 0)
    writer.add_tensor("blk.0.ssm_in.weight", np.ones((4, 8), np.float32))
    finish(writer)
    assert check_gguf(tmp_path / "mamba.gguf").number(setting) == 0


def test_settings_of_each_layer_are_read(good: bytes, bad: Path) -> None:
    bad.write_bytes(good)
    info = check_gguf(bad)
    assert [info.number("attention.head_count_kv", layer) for layer in range(3)] == [1, 3, 0]


def test_only_a_truncated_file_is_called_an_interrupted_download(good: bytes, bad: Path) -> None:
    bad.write_bytes(good[:-100])
    with pytest.raises(InputError) as truncated:
        check_gguf(bad)
    assert "interrupted download" in truncated.value.remedy
    bad.write_bytes(good[:8] + struct.pack("<Q", 2**60) + good[16:])
    with pytest.raises(InputError) as damaged:
        check_gguf(bad)
    assert "interrupted download" not in damaged.value.remedy


@pytest.fixture
def parts(tmp_path: Path) -> list[Path]:
    """Return the two files of a split model."""
    writer = gguf.GGUFWriter(str(tmp_path / "m.gguf"), "llama", split_max_tensors=1)
    writer.add_block_count(2)
    for name in "ab":
        writer.add_tensor(f"{name}.weight", np.ones((3, 32), np.float32))
    finish(writer)
    return sorted(tmp_path.glob("*.gguf"))


def test_a_split_model_is_described_as_a_whole(parts: list[Path]) -> None:
    info = check_gguf(parts[0])
    assert set(info.shapes) == {"a.weight", "b.weight"}
    assert info.tensor_count == 2
    assert info.size == sum(part.stat().st_size for part in parts)


def test_parts_that_are_absent_truncated_or_not_the_first_are_named(parts: list[Path]) -> None:
    with pytest.raises(InputError, match="one of 2 parts"):
        check_gguf(parts[1])
    parts[1].write_bytes(parts[1].read_bytes()[:-64])
    with pytest.raises(InputError, match="00002-of-00002"):
        check_gguf(parts[0])
    parts[1].unlink()
    with pytest.raises(InputError, match="00002-of-00002"):
        check_gguf(parts[0])
    with pytest.raises(InputError, match="one of 2 parts"):
        check_gguf(parts[0].rename(parts[0].with_name("renamed.gguf")))
