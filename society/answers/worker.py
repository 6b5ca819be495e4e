"""A process apart in which answers are judged by libraries that may run long, grow large or crash.

The parent side, `Worker`, asks one question at a time and kills the process when it overruns; it works in any
thread. The child side, `serve`, has a memory limit, and `judge_in_time` gives up by timer signals. Requests and
replies are lines of JSON. The hash seed is fixed: libraries that go by the order of a set repeat themselves.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from society.errors import SocietyError

CPU_SECONDS = 0.3
"""Processor time for one question, so that a busy machine changes no verdict; then the child gives up on it."""
NATIVE_SECONDS = 0.6
"""Processor time after which the system ends the child: native code does not heed handlers. The next takes a second
or two to start."""
WALL_SECONDS = 20.0
"""Then the parent kills a child that uses no processor time at all."""
START_SECONDS = 120.0
MEMORY_BYTES = 4 << 30


class Overrun(BaseException):
    """Raised in the child when a question has used its time. No library's `except Exception` swallows it."""


class Worker:
    """The parent's end. The process starts with the first question, and again after it was killed."""

    def __init__(self, module: str, preparation: float = 0.0) -> None:
        """`module` is run as a script and calls `serve`. `preparation`: seconds it may need beside judging."""
        self._module = module
        self._seconds = WALL_SECONDS + preparation
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._ready = False
        atexit.register(self.close)

    def ask(self, *question: str | int) -> Any:
        """The child's reply; None where it overruns, fails or crashes.

        Raises `SocietyError` if the child cannot be started at all.
        """
        line = json.dumps(question).encode() + b"\n"
        with self._lock:
            process = self._started()
            assert process.stdin is not None
            try:
                process.stdin.write(line)
                process.stdin.flush()
                reply = _read_line(process, self._seconds)
            except BrokenPipeError:
                reply = None
            if reply is None:
                self._restart()
            return None if reply is None else json.loads(reply)

    def close(self) -> None:
        """End the process, if there is one."""
        process, self._process, self._ready = self._process, None, False
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()  # type: ignore[union-attr]  # both are pipes

    def _started(self) -> subprocess.Popen[bytes]:
        """The process, once it has said that it is ready."""
        if self._process is None:
            self._process = self._spawn()
        if not self._ready:
            if _read_line(self._process, START_SECONDS) is None:
                self.close()
                raise SocietyError(
                    f"The process that judges answers ({self._module}) did not start.",
                    f"Run `{sys.executable} -m {self._module}` to see why.",
                )
            self._ready = True
        return self._process

    def _restart(self) -> None:
        """Kill the process and start the next one, which loads its libraries while the caller goes on."""
        self.close()
        self._process = self._spawn()

    def _spawn(self) -> subprocess.Popen[bytes]:
        path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
        return subprocess.Popen(
            [sys.executable, "-m", self._module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": path, "PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1"},
            start_new_session=True,  # Ctrl-C is for the parent, which then closes it
        )


def _read_line(process: subprocess.Popen[bytes], seconds: float) -> bytes | None:
    """The next line that the process writes; None if it ends, or takes longer than `seconds`."""
    assert process.stdout is not None
    line, deadline = b"", time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while not line.endswith(b"\n"):
            if not selector.select(max(0.0, deadline - time.monotonic())):
                return None
            part = os.read(process.stdout.fileno(), 4096)
            if not part:
                return None
            line += part
    return line


def serve(reply_to: Callable[..., object], warm_up: tuple[Any, ...]) -> None:
    """Reply to each line of stdin until it ends; null where `reply_to` fails. `warm_up` is its first question."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints must not look like a reply
    _limit_memory()
    signal.signal(signal.SIGVTALRM, _overrun)
    reply_to(*warm_up)
    print("ready", file=replies, flush=True)
    for line in sys.stdin:
        try:
            reply = reply_to(*json.loads(line))
        except Exception:
            reply = None
        print(json.dumps(reply), file=replies, flush=True)


def judge_in_time(judge: Callable[..., bool], *question: Any) -> bool:
    """The verdict of `judge`; False if it fails or takes too long. For the child, whose handlers heed timers."""
    try:
        # Again and again: a library may swallow the first one.
        signal.setitimer(signal.ITIMER_VIRTUAL, CPU_SECONDS, 0.05)
        signal.setitimer(signal.ITIMER_PROF, NATIVE_SECONDS)  # nothing handles its signal: it ends the process
        try:
            return bool(judge(*question))
        finally:
            for timer in (signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
                signal.setitimer(timer, 0)
    except (Exception, Overrun):
        return False


def _overrun(signum: int, frame: object) -> None:
    raise Overrun


def _limit_memory() -> None:
    import resource

    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    limit = MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(hard, MEMORY_BYTES)
    with contextlib.suppress(OSError, ValueError):  # not every system can
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
