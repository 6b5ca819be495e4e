"""Loads a model file in a child process first, because llama.cpp may crash on an untrusted file.

llama.cpp ends the process if a file violates its expectations (by a failed assertion or a crash), and a check of the
header cannot find all such files. The cache stores which files have been loaded and computed with, by their contents
and llama.cpp's version.

    check_loads   the parent's side
    main          the child's side: `python -m backends.llama_cpp.probe FILE`
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from backends.models.cache import cache_place, replacing
from backends.models.digests import digest_model
from society.core.child_modules import import_path, module_command
from society.core.errors import InputError

if TYPE_CHECKING:
    from backends.llama_cpp.native import Model

CHILD = "SOCIETY_PROBE"
"""Environment variable that marks the child process."""
START_SECONDS, SECONDS_A_GIGABYTE = 60, 60
"""Time limit of the child, in seconds. A slow disk reads a gigabyte in ten seconds."""
ERROR = 1
"""The child's exit status for a reported error. Opening the model reports the same error with more details."""
LENGTH = 16
"""Tokens of a slot of the test context."""
EVERY_BYTE = " ".join(map(chr, [*range(1, 0x800), *range(0x800, 0xD800, 0x400), *range(0xE000, 0x110000, 0x1000)]))
TEXTS = ("Hello, world! 1 + 1 = 2.", "<|im_start|>user\nHello.<|im_end|>\n", "a" * 100, "\n\n  \t", EVERY_BYTE)


def check_loads(path: Path) -> None:
    """Raise `InputError` if llama.cpp crashes when it loads this model and computes with it."""
    if os.environ.get(CHILD) == "1":
        return
    memo = _memo(path)
    if memo.exists():
        return
    crash = _try(path)
    if crash is not None:
        raise InputError(
            f"llama.cpp crashes on the model {path}: {crash}",
            "Download or convert it again; if it is sound, a newer llama-cpp-python may be able to read it.",
        )
    with replacing(memo) as part:
        part.touch()


def _memo(path: Path) -> Path:
    name = f"{digest_model(path)} {version('llama-cpp-python')}"
    return cache_place("loads", hashlib.sha256(name.encode()).hexdigest()[:32])


def _try(path: Path) -> str | None:
    """Return how the child process ends; None if it loads the file without a crash."""
    command = [*module_command(__name__), str(path.resolve())]
    # No backtrace: llama.cpp would start a debugger.
    environment = os.environ | {CHILD: "1", "GGML_NO_BACKTRACE": "1", "PYTHONPATH": import_path()}
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
    assertion = next((line.rpartition("GGML_ASSERT")[2] for line in lines if "GGML_ASSERT" in line), "")
    return f"{assertion[:200] or 'it ends'} (status {done.returncode})."


def main(path: Path) -> None:
    """Use the model on the CPU as a backend and a dry run do."""
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
    from backends.llama_cpp.threads import ThreadTuner

    context = Context(model, 2, LENGTH, ThreadTuner(1, adapt=False), on_gpu=False)
    tokens = np.linspace(0, model.vocabulary.size - 1, 2 * LENGTH).astype(np.int32)
    positions, slots = np.tile(np.arange(LENGTH), 2), np.repeat([0, 1], LENGTH)
    context.decode(tokens, positions, slots, positions == LENGTH - 1)
    context.restore(1, context.save(0))
    context.cut(0, LENGTH // 2)
    context.close()
    model.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
