"""The child of the sandbox. `society.sandbox.process` runs this file as a script; it imports only the standard library.

Three processes follow each other. The first one enters new namespaces, and waits until the parent has set its user ids.
The second one is process 1 of a new process namespace. It mounts a root folder that holds only the system's libraries
and the interpreter, read-only, and an empty folder in memory. The third one gives up all rights and becomes the
program, under a filter of system calls. When the second one ends, the kernel ends every process that the program left.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

NOBODY = 65534
"""User and group id of the program inside the sandbox."""
WORK = "/work"
"""Folder of the program, the only one that it may write to."""
INPUT_BYTES = 4096
"""Maximum length of the program's standard input, which must fit into a pipe."""

_CLONE = {"mount": 0x00020000, "uts": 0x04000000, "ipc": 0x08000000, "user": 0x10000000, "pid": 0x20000000}
_NEW_NETWORK = 0x40000000
_MS_NOSUID, _MS_NODEV, _MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE = 2, 4, 32, 4096, 16384, 1 << 18
_MS_RDONLY = 1
_MNT_DETACH = 2
_AT_FDCWD, _AT_RECURSIVE, _MOUNT_SETATTR = -100, 0x8000, 442
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
_SECCOMP_MODE_FILTER, _KEYCTL_JOIN_SESSION_KEYRING = 2, 1
_SYSTEM = ("/usr", "/bin", "/lib", "/lib32", "/lib64", "/nix/store", "/etc/ld.so.cache")
"""Folders of the system that programs may need, as far as they exist."""
_libc = ctypes.CDLL(None, use_errno=True)


def main() -> NoReturn:
    """Run the program that the parent describes on standard input, and report its end on the given descriptor."""
    report = int(sys.argv[1])
    try:
        _enter_namespaces()
        os.write(report, b"ready\n")
        spec = json.loads(sys.stdin.buffer.read() or b"null")
        if spec is None:  # the parent could not set the user ids
            os._exit(1)
        _call("prctl", _PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        first = os.fork()
        if first == 0:
            _be_first(spec, report)
        os.waitpid(first, 0)
    except BaseException as error:
        _report(report, {"error": f"{type(error).__name__}: {error}"})
    os._exit(0)


def _enter_namespaces() -> None:
    """Enter new namespaces of users, mounts, processes, network, host name and shared memory."""
    _call("unshare", _NEW_NETWORK | sum(_CLONE.values()))
    _call("prctl", _PR_SET_DUMPABLE, 1, 0, 0, 0)  # so that the parent may write the maps of user ids


def _be_first(spec: dict[str, Any], report: int) -> NoReturn:
    """Prepare the file system, run the program as a child, and report its end."""
    try:
        _call("prctl", _PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        _forbid_more_namespaces()
        _change_root(spec)
        program = os.fork()
        if program == 0:
            _become_program(spec, report)
        os.close(1)
        os.close(2)
        _report(report, _wait_for(program))
    except BaseException as error:
        _report(report, {"error": f"{type(error).__name__}: {error}"})
    os._exit(0)


def _wait_for(program: int) -> dict[str, Any]:
    """Return how the program ended, and its processor time. Orphans of the program are reaped meanwhile."""
    while True:
        pid, status, used = os.wait4(-1, 0)
        if pid == program:
            return {"status": os.waitstatus_to_exitcode(status), "cpu": used.ru_utime + used.ru_stime}


def _forbid_more_namespaces() -> None:
    """Forbid further namespaces and System V shared memory, where the system lets a namespace set that."""
    for name in ("user/max_user_namespaces", "kernel/shmall", "kernel/shmmni", "kernel/msgmni"):
        with contextlib.suppress(OSError):
            Path(f"/proc/sys/{name}").write_text("0")


def _change_root(spec: dict[str, Any]) -> None:
    """Replace the file system by the system's folders, the interpreter and the folder of the program."""
    root, limits = Path(spec["root"]), spec["limits"]
    _mount(None, "/", None, _MS_REC | _MS_PRIVATE)
    _mount("tmpfs", root, "tmpfs", _MS_NOSUID | _MS_NODEV, "size=1m,mode=755")
    for path in dict.fromkeys((*_SYSTEM, spec["prefix"], Path(spec["python"]).parent)):
        _show(root, Path(path))
    _bind(root, Path("/dev/null"))
    work = _inside(root, WORK)
    work.mkdir()
    options = f"size={limits['disk_mb']}m,nr_inodes={limits['files'] + len(spec['files']) + 2},mode=777"
    _mount("tmpfs", work, "tmpfs", _MS_NOSUID | _MS_NODEV, options)
    _inside(root, "/tmp").symlink_to(WORK)
    for name, text in spec["files"].items():
        (work / name).write_text(text, encoding="utf-8")
    os.chdir(root)
    _call("pivot_root", b".", b".")
    _call("umount2", b".", _MNT_DETACH)
    _mount(None, "/", None, _MS_REMOUNT | _MS_BIND | _MS_RDONLY | _MS_NOSUID | _MS_NODEV)
    os.chdir(WORK)


def _inside(root: Path, path: Path | str) -> Path:
    return root / str(path).lstrip("/")


def _show(root: Path, path: Path) -> None:
    """Make a folder or file of the system visible at the same place, read-only; a link as a link."""
    place = _inside(root, path)
    if os.path.lexists(place) or not os.path.lexists(path):
        return
    if path.is_symlink():
        place.symlink_to(path.readlink())
        return
    _bind(root, path)
    attributes = (ctypes.c_uint64 * 4)(_MS_RDONLY | _MS_NOSUID | _MS_NODEV, 0, 0, 0)
    _call("syscall", _MOUNT_SETATTR, _AT_FDCWD, os.fsencode(place), _AT_RECURSIVE, attributes, 32)


def _bind(root: Path, path: Path) -> None:
    place = _inside(root, path)
    place.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        place.mkdir()
    else:
        place.touch()
    _mount(path, place, None, _MS_BIND | _MS_REC)


def _become_program(spec: dict[str, Any], report: int) -> NoReturn:
    """Give up all rights, set the limits, and run the interpreter on the program."""
    try:
        os.setsid()
        read, write = os.pipe()
        os.write(write, spec["input"].encode()[:INPUT_BYTES])
        os.dup2(read, 0)
        if os.getuid() == 0:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
        _call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        _set_limits(spec["limits"])
        _libc.syscall(spec["keyctl"], _KEYCTL_JOIN_SESSION_KEYRING, None)  # if it fails, the filter holds alone
        os.set_inheritable(report, False)  # execve closes it, and tells an error before
        os.closerange(3, report)
        os.closerange(report + 1, 4096)
        environment = {"PATH": "/usr/bin:/bin", "HOME": WORK, "LANG": "C.UTF-8", "PYTHONHASHSEED": "0"}
        _filter_system_calls(bytes.fromhex(spec["filter"]))
        os.execve(spec["python"], [spec["python"], "-E", "-s", "-S", "-B", spec["main"]], environment)
    except BaseException as error:
        _report(report, {"error": f"{type(error).__name__}: {error}"})
    os._exit(1)


class _BpfProgram(ctypes.Structure):
    """A `struct sock_fprog`: the number of instructions of 8 bytes, and their address."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def _filter_system_calls(instructions: bytes) -> None:
    """Forbid system calls to this process and its children for good."""
    held = ctypes.create_string_buffer(instructions, len(instructions))
    program = _BpfProgram(len(instructions) // 8, ctypes.addressof(held))
    _call("prctl", _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0)


def _set_limits(limits: dict[str, Any]) -> None:
    disk, memory, cpu = limits["disk_mb"] << 20, limits["memory_mb"] << 20, limits["cpu_seconds"]
    for what, soft, hard in (
        (resource.RLIMIT_CPU, cpu, cpu + 1),
        (resource.RLIMIT_AS, memory, memory),
        (resource.RLIMIT_FSIZE, disk, disk),
        (resource.RLIMIT_NPROC, limits["processes"], limits["processes"]),
        (resource.RLIMIT_NOFILE, 64, 64),
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_MSGQUEUE, 0, 0),
        (resource.RLIMIT_MEMLOCK, 0, 0),
    ):
        most = resource.getrlimit(what)[1]
        bounded = [value if most == resource.RLIM_INFINITY else min(value, most) for value in (soft, hard)]
        resource.setrlimit(what, (bounded[0], bounded[1]))


def _mount(
    source: Path | str | None, target: Path | str, kind: str | None, flags: int, options: str | None = None
) -> None:
    values = [None if text is None else os.fsencode(text) for text in (source, target, kind, options)]
    _call("mount", *values[:3], ctypes.c_ulong(flags), values[3])


def _call(name: str, *arguments: Any) -> None:
    """Call a function of the C library. Raises `OSError` with its name if it fails."""
    if getattr(_libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def _report(report: int, message: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):
        os.write(report, json.dumps(message).encode() + b"\n")


if __name__ == "__main__":
    main()
