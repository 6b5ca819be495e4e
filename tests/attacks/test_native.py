"""Model files that pass the check of headers but crash llama.cpp."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("llama_cpp")
pytest.importorskip("resource", reason="the files are tried out in forked processes")

from backends.llama_cpp import probe
from backends.llama_cpp.config import LlamaCpp
from backends.models.gguf_file import check_gguf
from society.core.errors import BackendError, InputError
from tests.fuzz.native import SIZE, TOKENS, Entry, Tensor, changed, use

TOKENIZER = "tokenizer.ggml"
DEADLY: dict[str, tuple[list[Entry], dict[str, Tensor]]] = {
    "no vocabulary": ([(f"{TOKENIZER}.model", "string", "none")], {}),
    "a vocabulary of another kind": ([(f"{TOKENIZER}.model", "string", "llama")], {}),
    "a token twice": ([(f"{TOKENIZER}.tokens", "strings", [TOKENS[1], *TOKENS[1:]])], {}),
    "more experts used than there are": ([("llama.expert_used_count", "uint32", 5)], {}),
    "too many experts": ([("llama.expert_count", "uint32", 100_000)], {}),
    "a kind of scaling that there is not": ([("llama.rope.scaling.type", "string", "x")], {}),
    "norms in blocks": ([], {"output_norm.weight": ((32,), 9)}),
    "a matrix of bytes": ([], {"blk.0.attn_q.weight": ((32, 32), 24)}),
    "embeddings of bytes": ([], {"token_embd.weight": ((32, SIZE), 24)}),
}
"""Changes that fuzzing found (tests/fuzz/native.py): aborts, and one access out of bounds."""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SOCIETY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.gguf"


@pytest.mark.parametrize("fault", DEADLY)
def test_a_file_that_kills_llama_cpp_is_an_error(path: Path, cache: Path, fault: str) -> None:
    """Without the probe, the process of this test crashes."""
    path.write_bytes(changed(*DEADLY[fault]))
    check_gguf(path)
    with pytest.raises(InputError, match=r"llama\.cpp crashes on the model") as refused:
        use(path)
    assert "Download or convert it again" in refused.value.remedy
    assert not list((cache / "loads").iterdir())


def test_a_sound_file_is_tried_out_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []

    def run(command: list[str], real: Any = subprocess.run, **options: Any) -> Any:
        started.append(command)
        return real(command, **options)

    monkeypatch.setattr(subprocess, "run", run)
    path.write_bytes(changed())
    use(path)
    use(path)
    assert len(started) == 1
    path.write_bytes(changed([("general.name", "string", "another")]))
    use(path)
    assert len(started) == 2


def test_a_file_that_is_never_loaded_is_given_up(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_bytes(changed())
    monkeypatch.setattr(probe, "START_SECONDS", 0.01)
    with pytest.raises(InputError, match="not loaded within"):
        use(path)


def test_what_llama_cpp_refuses_by_itself_says_why(path: Path) -> None:
    path.write_bytes(changed([], {"blk.0.attn_q.weight": ((32, 31), 0)}))
    with pytest.raises(BackendError, match="cannot load"):
        use(path)


@pytest.mark.parametrize("epsilon", [-1.0, float("nan"), float("inf")])
def test_a_model_whose_norms_cannot_be_computed_is_refused(path: Path, epsilon: float) -> None:
    path.write_bytes(changed([("llama.attention.layer_norm_rms_epsilon", "float32", epsilon)]))
    with pytest.raises(InputError, match="layer_norm_rms_epsilon"):
        LlamaCpp(model=str(path)).memory(())


def test_a_model_of_too_many_layers_is_refused(path: Path) -> None:
    path.write_bytes(changed([("llama.block_count", "uint32", 513)]))
    with pytest.raises(InputError, match="more than 512 layers"):
        LlamaCpp(model=str(path)).memory(())


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="forks")
def test_random_files_end_no_run() -> None:
    """No file of 40 changed ones passes both checks and then ends the process.

    The test runs in its own process: its children are forked before llama.cpp has threads.
    """
    command = [sys.executable, "-m", "tests.fuzz.native", "--files", "40"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "'files': 40" in done.stdout
    assert "'used'" in done.stdout
