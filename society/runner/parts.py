"""A sweep split over processes of this machine: each runs `society sweep` on one part."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from society.components.plugin_files import loaded_plugins
from society.core.child_modules import import_path, module_command
from society.core.interrupt import Interrupted


def run_processes(
    scenario: Path,
    vary: Sequence[str],
    out: Path,
    overrides: Sequence[str],
    allow: Sequence[Path],
    seeds: Sequence[int] | int,
    jobs: int,
    grace: float,
) -> None:
    """Run the parts of a sweep in `jobs` processes, and wait for all. Each writes what it prints to `part-K.log`.

    A signal is passed on to them; then `Interrupted` is raised once they have ended.
    """
    options = [("--vary", entry) for entry in vary] + [("--set", entry) for entry in overrides]
    options += [("--allow", str(folder)) for folder in allow]
    options += [("--plugins", str(file.path)) for file in loaded_plugins()]
    options.append(("--grace", f"{grace:g}"))
    if seeds != ():
        options.append(("--seeds", str(seeds) if isinstance(seeds, int) else ",".join(map(str, seeds))))
    command = [*module_command("society"), "sweep", str(scenario), "--out", str(out), "--json"]
    command += [word for option in options for word in option]
    environment = {**os.environ, "PYTHONPATH": import_path()}
    out.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        parts = []
        for number in range(jobs):
            log = stack.enter_context((out / f"part-{number}.log").open("w"))
            words = [*command, "--index", str(number), "--of", str(jobs)]
            parts.append(subprocess.Popen(words, stdout=log, stderr=log, start_new_session=True, env=environment))
        _wait(parts)


def _wait(parts: Sequence[subprocess.Popen[bytes]]) -> None:
    """Wait for all processes. SIGTERM and Ctrl-C are passed on."""
    asked: list[int] = []

    def stop(number: int, frame: object) -> None:
        asked.append(number)
        for part in parts:
            if part.poll() is None:
                part.send_signal(signal.SIGINT if number == signal.SIGINT else signal.SIGTERM)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        for part in parts:
            part.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for part in parts:
            if part.poll() is None:
                part.kill()
    if asked:
        raise Interrupted(asked[0])
