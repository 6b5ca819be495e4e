"""A sweep split over processes of this machine: each runs `society sweep` on one part."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from society.components.plugin_files import loaded_plugins
from society.core.child_modules import import_path, module_command
from society.core.interrupt import Interrupted
from society.runner.grid import Request

_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
_Processes = list[subprocess.Popen[bytes]]


def run_processes(asked: Request, jobs: int, grace: float) -> None:
    """Run the parts of a sweep in `jobs` processes, and wait for all. Each adds what it prints to `part-K.log`.

    A signal is passed on to them; then `Interrupted` is raised once they have ended.
    """
    command = _make_command(asked, grace)
    environment = {**os.environ, "PYTHONPATH": import_path()}
    asked.out.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        parts = stack.enter_context(pass_signals_on())
        for number in range(jobs):
            log = stack.enter_context((asked.out / f"part-{number}.log").open("a"))
            words = [*command, "--index", str(number), "--of", str(jobs)]
            parts.append(subprocess.Popen(words, stdout=log, stderr=log, start_new_session=True, env=environment))
        for part in parts:
            part.wait()


def _make_command(asked: Request, grace: float) -> list[str]:
    """Return the command of a part, without its number."""
    options = [("--vary", entry) for entry in asked.vary] + [("--set", entry) for entry in asked.overrides]
    options += [("--allow", str(folder)) for folder in asked.allow]
    options += [("--plugins", str(file.path)) for file in loaded_plugins()]
    options.append(("--grace", f"{grace:g}"))
    if asked.seeds != ():
        seeds = str(asked.seeds) if isinstance(asked.seeds, int) else ",".join(map(str, asked.seeds))
        options.append(("--seeds", seeds))
    command = [*module_command("society"), "sweep", str(asked.scenario), "--out", str(asked.out), "--json"]
    return command + [word for option in options for word in option]


@contextmanager
def pass_signals_on() -> Iterator[_Processes]:
    """Yield a list for processes. Signals during the block are passed on to them, and none of them outlives it.

    Only the main thread can handle signals. One that is ignored, as SIGHUP is under nohup, stays so. Raises
    `Interrupted` after a signal.
    """
    parts: _Processes = []
    received: list[int] = []

    def stop(number: int, frame: object) -> None:
        received.append(number)
        for part in parts:
            if part.poll() is None:
                part.send_signal(number)

    is_main = threading.current_thread() is threading.main_thread()
    handled = [number for number in _SIGNALS if is_main and signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, stop) for number in handled}
    try:
        yield parts
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for part in parts:
            if part.poll() is None:
                part.kill()
    if received:
        raise Interrupted(received[0])
