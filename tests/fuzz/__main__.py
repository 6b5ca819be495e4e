"""Fuzz one target: `python -m tests.fuzz TARGET SECONDS [FOLDER]`. Needs the extra `fuzz` (atheris).

New inputs go to FOLDER (a temporary one unless given), with the kept corpus as seeds; what makes the target fail is
written to FOLDER as crash-*, and the exit status is not 0. Each input may take 10 s and the process 2 GB.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["society", "backends", "yaml"]):
    from tests.fuzz.targets import CORPUS, TARGETS

LIMITS = ("-max_len=8192", "-timeout=10", "-rss_limit_mb=2000", "-print_final_stats=1")


def main() -> None:
    """Run libFuzzer; it ends the process itself."""
    name, seconds, *folders = sys.argv[1:]
    folder = Path(folders[0] if folders else tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    words = CORPUS / f"{name}.dict"
    options = [*LIMITS, f"-max_total_time={seconds}", f"-artifact_prefix={folder}/"]
    options += [f"-dict={words}"] if words.exists() else []
    atheris.Setup([sys.argv[0], *options, str(folder), str(CORPUS / name)], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
