"""A worker process for libraries that may run long, use much memory or crash.

The parent side, `Worker`, sends one request at a time and kills the process after a timeout. It works in any thread.
The child side, `serve`, has a memory limit, and `judge_in_time` stops by timer signals. Requests and replies are lines
of JSON. The hash seed is fixed, so that libraries that depend on the order of a set are deterministic.

No verdict depends on the speed or the load of the machine. Loading the libraries has no limit. A request that is not
answered quickly is repeated with its steps counted. After `MAX_STEPS` it is undecided, which is neither true nor false;
the limits of time are far larger. A process that does not start is an error.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import selectors
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Any

from society.core.child_modules import import_path, module_command
from society.core.errors import SocietyError

QUICK_SECONDS = 0.2
"""Seconds of processor time of a request before its steps are counted. Most requests take 0.01."""
MAX_STEPS = 6_000_000
"""Maximum number of function calls and returns per request: about 3 seconds. Caches are cleared before."""
CPU_SECONDS = 60.0
"""Seconds of processor time of a request while its steps are counted."""
NATIVE_SECONDS = 80.0
"""Seconds of processor time after which the system ends the child, as native code ignores signal handlers."""
WALL_SECONDS = 600.0
"""Seconds without a reply after which the parent kills the child, for example a stopped one."""
START_SECONDS = 600.0
"""Maximum seconds to load the libraries of the child, on a machine under heavy load."""
MEMORY_BYTES = 4 << 30
ATTEMPTS = 2
"""Number of processes that may die at a request before it is undecided: others may kill the first one."""


class Overrun(BaseException):
    """The exception in the child after a timeout. It is no `Exception`, so that libraries do not catch it."""


class Worker:
    """The parent side. The process starts at the first request, and after it was killed."""

    def __init__(self, module: str, preparation: float = 0.0, wall: float = WALL_SECONDS) -> None:
        """Run `module` as a script that calls `serve`. `preparation`: additional seconds per request."""
        self._module = module
        self._seconds = wall + preparation
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  # standard error of the processes, for a failed start
        self._ready = False
        atexit.register(self.close)

    def ask(self, *question: str | int | float) -> Any:
        """Return the child's reply, or None if it is undecided, or if `ATTEMPTS` children in a row crash or hang.

        Raises `SocietyError` if the child cannot be started.
        """
        line = json.dumps(question).encode() + b"\n"
        with self._lock:
            for _ in range(ATTEMPTS):
                reply = self._exchange(line)
                if reply is not None:
                    return json.loads(reply)
                if self._restart() == -signal.SIGPROF:  # the question itself used all its time in native code
                    break
        return None

    def close(self) -> None:
        """End the process, if there is one."""
        process, self._process, self._ready = self._process, None, False
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()  # type: ignore[union-attr]  # both are pipes

    def _exchange(self, line: bytes) -> bytes | None:
        """Return the reply to one request, or None if the process ends or takes too long."""
        process = self._started()
        assert process.stdin is not None
        try:
            process.stdin.write(line)
            process.stdin.flush()
        except BrokenPipeError:
            return None
        return _read_line(process, self._seconds)

    def _started(self) -> subprocess.Popen[bytes]:
        """Return the process after it reported that it is ready. Raises `SocietyError` if it does not."""
        for attempt in range(ATTEMPTS):
            if self._process is None:
                self._process = self._spawn()
            if self._ready:
                break
            greeting = _read_line(self._process, START_SECONDS)
            if greeting is not None and json.loads(greeting) == "ready":
                self._ready = True
                break
            self.close()
            if greeting is not None or attempt == ATTEMPTS - 1:
                raise self._failed_to_start(greeting)
        assert self._process is not None
        return self._process

    def _failed_to_start(self, greeting: bytes | None) -> SocietyError:
        """Return an error with the cause, from the child's first line or the last line of its standard error."""
        self._stderr.seek(max(0, self._stderr.seek(0, os.SEEK_END) - 2000))
        written = self._stderr.read().decode("utf-8", "replace").strip().splitlines()
        why = json.loads(greeting) if greeting else (written or ["it wrote nothing"])[-1]
        return SocietyError(
            f"The process that judges answers ({self._module}) did not start: {why}",
            f"Run `{shlex.join(module_command(self._module))}` to see why. No answer was judged without it.",
        )

    def _restart(self) -> int | None:
        """Kill the process and start the next one, which loads its libraries in the background.

        Returns the exit status of the old process, or None if it was still running.
        """
        process = self._process
        status = None if process is None else _exit_status(process)
        self.close()
        self._process = self._spawn()
        return status

    def _spawn(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            module_command(self._module),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env=os.environ | {"PYTHONPATH": import_path(), "PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1"},
            start_new_session=True,  # Ctrl-C is for the parent, which then closes it
        )


def _exit_status(process: subprocess.Popen[bytes]) -> int | None:
    """Return the exit status of a process whose pipe has ended, or None if it is still running."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        return process.wait(timeout=1.0)
    return None


def _read_line(process: subprocess.Popen[bytes], seconds: float) -> bytes | None:
    """Return the next line of the process, or None if it ends or takes longer than `seconds`."""
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


def serve(reply_to: Callable[..., object], warm_up: tuple[Any, ...], expected: object = True) -> None:
    """Reply to each line of stdin until it ends. The reply is null if `reply_to` raises.

    `warm_up` is the first request, without a time limit, which loads the libraries. The process reports that it is
    ready only if the reply equals `expected`.
    """
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # output of a library must not look like a reply
    _limit_memory()
    signal.signal(signal.SIGVTALRM, _overrun)
    print(json.dumps(_warm_up(reply_to, warm_up, expected)), file=replies, flush=True)
    os.dup2(1, 2)  # later messages on standard error are not needed
    for line in sys.stdin:
        try:
            reply = reply_to(*json.loads(line))
        except Exception:
            reply = None
        print(json.dumps(reply), file=replies, flush=True)


def _warm_up(reply_to: Callable[..., object], question: tuple[Any, ...], expected: object) -> str:
    """Return "ready", or the error of the first request."""
    global _limited
    _limited = False
    try:
        reply = reply_to(*question)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    finally:
        _limited = True
    return "ready" if reply == expected else f"it judges {question!r} as {reply!r}, not as {expected!r}"


_limited = True
"""Whether requests have a time limit. The first one has none."""


def judge_in_time(
    judge: Callable[..., bool], *question: Any, clear_cache: Callable[[], None] = lambda: None
) -> bool | None:
    """Return the verdict of `judge`: False if it raises, None if it needs too much work or memory.

    `clear_cache` clears the caches of `judge`, so that its work depends on the request alone. Call this function in the
    child, which has the signal handlers. The first request of `serve` has no limit, and its errors are raised.
    """
    if not _limited:
        return bool(judge(*question))
    try:
        signal.setitimer(signal.ITIMER_PROF, NATIVE_SECONDS)  # its signal has no handler, so it ends the process
        try:
            return _within(QUICK_SECONDS, judge, *question)
        except Overrun:
            clear_cache()
            return _within(CPU_SECONDS, _counted, judge, *question)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
    except (MemoryError, RecursionError, Overrun):
        return None
    except Exception:
        return False


def _within(seconds: float, judge: Callable[..., bool], *question: Any) -> bool:
    """Return the verdict of `judge`. Raises `Overrun` after `seconds` of processor time."""
    try:
        signal.setitimer(signal.ITIMER_VIRTUAL, seconds, 0.05)  # repeatedly, as a library may catch the first one
        return bool(judge(*question))
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def _counted(judge: Callable[..., bool], *question: Any) -> bool:
    """Return the verdict of `judge`. Raises `Overrun` after `MAX_STEPS` function calls and returns."""
    left = MAX_STEPS

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Overrun

    sys.setprofile(count)
    try:
        verdict = bool(judge(*question))
    finally:
        sys.setprofile(None)
    if left < 0:  # a library caught the exception
        raise Overrun
    return verdict


def _overrun(signum: int, frame: object) -> None:
    raise Overrun


def _limit_memory() -> None:
    import resource

    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    limit = MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(hard, MEMORY_BYTES)
    with contextlib.suppress(OSError, ValueError):  # not supported on every system
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
