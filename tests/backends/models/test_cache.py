"""The cache of made and downloaded files: shared by users, read-only, and written by several processes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from backends.models.cache import cache_place
from backends.models.find import find_model
from backends.models.model_folder import check_model_folder
from society.core.atomic import atomic_write
from society.core.errors import InputError
from society.core.hub_cache import hub_cache


@pytest.fixture
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Return the shared cache and the user's own."""
    monkeypatch.setenv("SOCIETY_CACHE", str(tmp_path / "shared"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    return tmp_path / "shared", tmp_path / "home" / "society"


def forbid(monkeypatch: pytest.MonkeyPatch, *places: Path, right: int = os.W_OK) -> None:
    """Take a right to files and folders, by default that to write, also from the administrator."""
    monkeypatch.setattr(
        "os.access",
        lambda path, mode: not (mode & right and any(Path(path).is_relative_to(place) for place in places)),
    )


def test_a_shared_cache_is_used_by_all(caches: tuple[Path, Path]) -> None:
    shared, _ = caches
    assert cache_place("a.gguf") == shared / "a.gguf"
    assert cache_place("hf", "b") == shared / "hf" / "b"


def test_a_read_only_cache_is_read_and_the_rest_is_ones_own(
    caches: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    shared, own = caches
    cache_place("a.gguf").write_text("whole")
    forbid(monkeypatch, shared)
    assert cache_place("a.gguf") == shared / "a.gguf"
    assert cache_place("b.gguf") == own / "b.gguf"
    cache_place("b.gguf").write_text("whole")
    assert cache_place("b.gguf") == own / "b.gguf"


@pytest.mark.parametrize("inner", [None, "model.safetensors"], ids=["a file", "a file in a folder"])
def test_what_may_not_be_read_is_made_again_in_ones_own_cache(
    caches: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, inner: str | None
) -> None:
    own = caches[1]
    closed = cache_place("a") / inner if inner else cache_place("a")
    closed.parent.mkdir(exist_ok=True)
    closed.write_text("whole")
    forbid(monkeypatch, closed, right=os.R_OK)
    assert cache_place("a") == cache_place("a") == own / "a"
    assert [record.getMessage().count(str(closed)) for record in caplog.records] == [1]
    assert "chmod" in caplog.text
    (own / "a").write_text("whole")
    assert cache_place("a") == own / "a"
    forbid(monkeypatch, closed, own / "a", right=os.R_OK)
    with pytest.raises(InputError, match=f"(?s)shared: this user may not read {closed}; .*chmod"):
        cache_place("a")


def test_a_model_that_may_not_be_read_is_named_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"")
    (tmp_path / "link.gguf").symlink_to(tmp_path / "file.gguf")
    (tmp_path / "file.gguf").write_bytes(b"")
    forbid(monkeypatch, weights, tmp_path / "link.gguf", right=os.R_OK)
    with pytest.raises(InputError, match=r"not read .*model.safetensors\.\n  .*chmod"):
        check_model_folder(tmp_path)
    with pytest.raises(InputError, match=r"not read .*file.gguf\.\n  .*chmod a.rX .*file.gguf"):
        find_model(str(tmp_path / "link.gguf"))


def test_without_any_cache_the_variable_is_named(caches: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    forbid(monkeypatch, *caches)
    with pytest.raises(InputError, match="SOCIETY_CACHE"):
        cache_place("a.gguf")
    caches[0].parent.joinpath("shared").rmdir()
    caches[0].write_text("a file in the way")
    with pytest.raises(InputError, match=r"shared: .*; .*home/society: not writable"):
        cache_place("a.gguf")


def test_a_user_without_a_home_uses_the_shared_cache(
    caches: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container that runs as an unknown user."""

    def unknown() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    for name in ("HF_HOME", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", unknown)
    assert cache_place("a.gguf") == caches[0] / "a.gguf"
    assert not hub_cache().exists()
    monkeypatch.delenv("SOCIETY_CACHE")
    with pytest.raises(InputError, match="SOCIETY_CACHE"):
        cache_place("a.gguf")


def test_a_file_in_the_cache_has_the_rights_of_the_umask(caches: tuple[Path, Path]) -> None:
    plain = caches[0].parent / "plain"
    plain.write_text("")
    with atomic_write(cache_place("a.gguf")) as part:
        part.write_text("whole")
    assert cache_place("a.gguf").stat().st_mode == plain.stat().st_mode


def test_two_writers_have_files_of_their_own(caches: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes on two machines may have equal ids and counts."""
    place = cache_place("a.gguf")
    monkeypatch.setattr("society.core.atomic._numbers", iter([1, 1]))
    with atomic_write(place) as first:
        first.write_text("first")
        monkeypatch.setattr("society.core.atomic._TOKEN", "another")
        with atomic_write(place) as second:
            second.write_text("second")
        assert first.read_text() == "first"
    assert place.read_text() == "first"
