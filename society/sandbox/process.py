"""The parent side of the sandbox: starts a program without network, bounds its time and output, returns its end."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, Self

from society.core.errors import NoSandboxError
from society.sandbox.limits import Limits
from society.sandbox.system_calls import build_filter, find_abi

End = Literal["", "cpu", "wall", "output", "killed"]
"""The limit that ended a program; "" if it ended by itself. `killed`: by a signal, such as one for lack of memory."""
START_SECONDS = 120.0
"""Maximum seconds to prepare the sandbox, on a machine under heavy load."""
NOBODY = 65534
_JAIL = Path(__file__).with_name("jail.py")
_REMEDY = (
    "Code from models runs only without network and with limits, which takes Linux 5.14 or later on a "
    "processor with x86-64, ARM64 or RISC-V (64 bits), with user namespaces. "
    "Allow them (on Ubuntu: kernel.apparmor_restrict_unprivileged_userns=0; in a container: a security "
    "profile that allows namespaces and mounts), or run on another machine."
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a program. `status` is its exit status, negative for a signal; None if it was stopped.

    `output` is the text on standard output and error together. `cpu_seconds` is the processor time of the program and
    the children that it waited for, as far as it ended by itself.
    """

    output: str
    status: int | None
    ended_by: End = ""
    cpu_seconds: float = 0.0


def run_python(
    files: Mapping[str, str], limits: Limits | None = None, stdin: str = "", jail: Jail | None = None
) -> Outcome:
    """Run the file `main.py` among these files, given by name and text, and return its end. It blocks.

    The program runs in the base interpreter with the standard library alone, in an empty folder in memory. It sees
    neither the network, the user's files and keys, the environment nor other processes. `stdin` has at most 4096 bytes.
    `jail` is a child that was started before; each runs one program.

    Raises `NoSandboxError` if this machine cannot give such a process.
    """
    abi, limits = find_abi(platform.machine(), _REMEDY), limits or Limits()
    if not files or any(name != Path(name).name or not name for name in files):
        raise ValueError("Files of a program have plain names, and one of them is main.py.")
    with tempfile.TemporaryDirectory(prefix="society-sandbox-") as root:
        spec = {
            "root": root,
            "prefix": sys.base_prefix,
            "python": os.path.realpath(sys._base_executable),  # type: ignore[attr-defined]  # of a virtual environment
            "main": "/work/main.py",
            "files": dict(files),
            "limits": limits.model_dump(),
            "input": stdin,
            "keyctl": abi.keyctl,
            "filter": build_filter(abi).hex(),
        }
        with jail or Jail() as child:
            return child.run(json.dumps(spec).encode(), limits)


@cache
def require_sandbox() -> None:
    """Raise `NoSandboxError`, with the reason and the remedy, if this machine cannot run code in the sandbox."""
    outcome = run_python({"main.py": "print(6 * 7)"})
    if outcome.output.strip() != "42":
        raise NoSandboxError(f"A program of one line fails in the sandbox: {outcome.output.strip()[-300:]!r}.", _REMEDY)


def _require_linux() -> None:
    if sys.platform != "linux":
        raise NoSandboxError(f"This system ({sys.platform}) cannot run code without network.", _REMEDY)


class Jail:
    """A child process that waits for a program, with its pipes. Starting one ahead saves half of a call's time."""

    def __init__(self) -> None:
        _require_linux()
        self._output, self._report = bytearray(), bytearray()
        self._report_end, write = os.pipe()
        try:
            self._child = self._start(write)
        except BaseException:
            os.close(self._report_end)
            raise
        finally:
            os.close(write)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def is_alive(self) -> bool:
        """Return whether the process still waits or runs."""
        return self._child.poll() is None

    def close(self) -> None:
        """End the process and its program."""
        self._child.kill()
        with self._child, contextlib.suppress(OSError):
            os.close(self._report_end)

    def _start(self, report: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", "-B", str(_JAIL), str(report)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(report,),
            env={},
            cwd="/",
            start_new_session=True,  # Ctrl-C is for the parent
        )

    def run(self, spec: bytes, limits: Limits) -> Outcome:
        """Run the program that `spec` describes, and return its end."""
        child, self._limits = self._child, limits
        assert child.stdin is not None
        self._read(START_SECONDS, until=b"\n")
        if not self._report.startswith(b"ready"):
            raise _unavailable(self._message() or self._text())
        self._report.clear()
        try:
            _map_users(child.pid)
        except OSError as error:
            raise _unavailable({"error": f"the user ids of the child cannot be set: {error}"}) from error
        with contextlib.suppress(BrokenPipeError):
            child.stdin.write(spec)
            child.stdin.close()
        ended = self._read(limits.wall_seconds)
        found = self._message()
        if ended:
            return Outcome(self._text(), None, ended)
        if not isinstance(found, dict) or "status" not in found:
            raise _unavailable(found or self._text())
        return Outcome(self._text(), found["status"], self._explain(found["status"], found["cpu"]), found["cpu"])

    def _read(self, seconds: float, until: bytes = b"") -> End:
        """Read both pipes until they end, or until the report contains `until`. Return the limit that was reached."""
        assert self._child.stdout is not None
        deadline = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            selector.register(self._report_end, selectors.EVENT_READ, self._report)
            selector.register(self._child.stdout.fileno(), selectors.EVENT_READ, self._output)
            while selector.get_map() and not (until and until in self._report):
                ready = selector.select(max(0.0, deadline - time.monotonic()))
                if not ready:
                    return "wall"
                for key, _ in ready:
                    part = os.read(key.fd, 65_536)
                    key.data.extend(part)
                    if not part:
                        selector.unregister(key.fd)
                if len(self._output) > self._limits.output_kb << 10:
                    return "output"
        return ""

    def _message(self) -> Any:
        """Return the last line of the report, or None."""
        lines = self._report.split(b"\n")
        return json.loads(lines[-2]) if len(lines) > 1 else None

    def _text(self) -> str:
        return self._output[: self._limits.output_kb << 10].decode("utf-8", "replace")

    def _explain(self, status: int, cpu: float) -> End:
        if status >= 0:
            return ""
        return "cpu" if -status == signal.SIGXCPU or cpu >= self._limits.cpu_seconds else "killed"


def _map_users(pid: int) -> None:
    """Give the child a user and a group id inside its namespace. Only root may give it one that is not its own."""
    root = os.geteuid() == 0
    if not root:
        Path(f"/proc/{pid}/setgroups").write_text("deny")
    for name, own in (("uid_map", os.geteuid()), ("gid_map", os.getegid())):
        lines = f"0 0 1\n{NOBODY} {NOBODY} 1\n" if root else f"{NOBODY} {own} 1\n"
        Path(f"/proc/{pid}/{name}").write_text(lines)


def _unavailable(why: Any) -> NoSandboxError:
    cause = why.get("error", "") if isinstance(why, dict) else str(why)[-300:].strip()
    return NoSandboxError(f"This machine cannot run code without network: {cause or 'the child ended'}.", _REMEDY)
