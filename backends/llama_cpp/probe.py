"""Lets a process of its own load a model file first: what llama.cpp dies of, in a file from a stranger, kills that one.

llama.cpp ends the process for what it did not expect in a file (a failed check of its own, or a crash), and no look at
the header from outside knows all of that. A file that has been loaded and computed with once is remembered in the
cache, by its contents and llama.cpp's version.

    check_loads   the parent's end
    main          the child's: `python -m backends.llama_cpp.probe FILE`
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from backends.models.find import cache_folder, digest_of, replacing
from society.core.errors import InputError

if TYPE_CHECKING:
    from backends.llama_cpp.native import Model

CHILD = "SOCIETY_PROBE"
"""Set in the child's environment: it is the one that may die."""
START_SECONDS, SECONDS_A_GIGABYTE = 60, 60
"""How long the child may take; a slow disk reads a gigabyte in ten seconds."""
ERROR = 1
"""The child's status for an error of ours, which is told again, and better, where the model is needed."""
LENGTH = 16
"""Tokens of a slot of the context that is tried."""
EVERY_BYTE = " ".join(map(chr, [*range(1, 0x800), *range(0x800, 0xD800, 0x400), *range(0xE000, 0x110000, 0x1000)]))
TEXTS = ("Hello, world! 1 + 1 = 2.", "<|im_start|>user\nHello.<|im_end|>\n", "a" * 100, "\n\n  \t", EVERY_BYTE)


def check_loads(path: Path) -> None:
    """Raise `InputError` if llama.cpp crashes when it loads this model and computes with it."""
    if os.environ.get(CHILD) == "1":
        return
    memo = _memo(path)
    if memo.exists():
        return
    said = _try(path)
    if said is not None:
        raise InputError(
            f"llama.cpp crashes on the model {path}: {said}",
            "Download or convert it again; if it is sound, a newer llama-cpp-python may be able to read it.",
        )
    with replacing(memo) as part:
        part.touch()


def _memo(path: Path) -> Path:
    folder = cache_folder() / "loads"
    folder.mkdir(exist_ok=True)
    name = f"{digest_of(path)} {version('llama-cpp-python')}"
    return folder / hashlib.sha256(name.encode()).hexdigest()[:32]


def _try(path: Path) -> str | None:
    """How the child that loads the file dies; None if it lives."""
    # -P: modules do not come from wherever we are; no backtrace: llama.cpp would call a debugger for it
    command = [sys.executable, "-P", "-m", __name__, str(path.resolve())]
    environment = os.environ | {CHILD: "1", "GGML_NO_BACKTRACE": "1"}
    seconds = START_SECONDS + SECONDS_A_GIGABYTE * path.stat().st_size / 1e9
    try:
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        return f"it was not loaded within {seconds:.0f} s."
    if done.returncode in (0, ERROR):
        return None
    lines = done.stderr.decode(errors="replace").splitlines()
    told = next((line.rpartition("GGML_ASSERT")[2] for line in lines if "GGML_ASSERT" in line), "")
    return f"{told[:200] or 'it ends'} (status {done.returncode})."


def main(path: Path) -> None:
    """Do with the model, on the CPU, all that a backend and a dry run do with one."""
    from backends.llama_cpp.native import Model

    for vocabulary_only in (True, False):
        model = Model(path, 0, vocabulary_only)
        for text in TEXTS:
            for token in model.vocabulary.tokenize(text, special=True):
                model.vocabulary.name(token)
    _compute(model)


def _compute(model: Model) -> None:
    import numpy as np

    from backends.llama_cpp.native import Context
    from backends.llama_cpp.threads import Pace

    context = Context(model, 2, LENGTH, Pace(1, adapt=False), on_gpu=False)
    tokens = np.linspace(0, model.vocabulary.size - 1, 2 * LENGTH).astype(np.int32)
    positions, slots = np.tile(np.arange(LENGTH), 2), np.repeat([0, 1], LENGTH)
    context.decode(tokens, positions, slots, positions == LENGTH - 1)
    context.restore(1, context.save(0))
    context.cut(0, LENGTH // 2)
    context.close()
    model.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
