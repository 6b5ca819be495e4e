"""The cache of made and downloaded files: shared by users, read-only, and written by several processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from backends.models.cache import cache_place
from society.core.atomic import atomic_write
from society.core.errors import InputError
from society.core.hub_cache import hub_cache


@pytest.fixture
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Return the shared cache and the user's own."""
    monkeypatch.setenv("SOCIETY_CACHE", str(tmp_path / "shared"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    return tmp_path / "shared", tmp_path / "home" / "society"


def forbid(monkeypatch: pytest.MonkeyPatch, *folders: Path) -> None:
    """Make folders read-only, also for the administrator."""
    monkeypatch.setattr(
        "os.access", lambda path, mode: not any(Path(path).is_relative_to(folder) for folder in folders)
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
