"""The filter of system calls (seccomp with a classic BPF program) that a program in the sandbox runs under.

Namespaces and limits leave some ways open. The kernel's keys belong to no namespace, memory of memfd and System V to no
process, and io_uring gets around filters. These calls fail, as do further namespaces, and sockets of every family but
AF_UNIX. The numbers are those of the kernel's asm/unistd_64.h and asm-generic/unistd.h.
"""

from __future__ import annotations

import errno
import struct
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from society.core.errors import NoSandboxError

_COMMON = (425, 447)
"""io_uring_setup and memfd_secret, with the same numbers on all processors."""


@dataclass(frozen=True, slots=True)
class Abi:
    """Numbers of a processor's system calls. `audit` is its number in linux/audit.h."""

    audit: int
    keyctl: int
    sockets: Sequence[int]
    """socket, socketpair"""
    forbidden: Sequence[int]
    """add_key, request_key, keyctl, memfd_create, shmget, semget, msgget, unshare, setns, bpf, perf_event_open,
    userfaultfd"""


_GENERIC = ((198, 199), (217, 218, 219, 279, 194, 190, 186, 97, 268, 280, 241, 282))
ABIS = {
    "x86_64": Abi(0xC000003E, 250, (41, 53), (248, 249, 250, 319, 29, 64, 68, 272, 308, 321, 298, 323)),
    "aarch64": Abi(0xC00000B7, 219, *_GENERIC),
    "riscv64": Abi(0xC00000F3, 219, *_GENERIC),
}
"""System calls by processor, as `uname -m` names it."""

_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
_ALLOW, _ERROR = 0x7FFF0000, 0x00050000
_OTHER_ABI = 0x40000000
_AF_UNIX = 1


def find_abi(machine: str, remedy: str) -> Abi:
    """Return the system calls of this processor. Raises `NoSandboxError` if they are not known."""
    if machine not in ABIS or sys.maxsize < 2**32:
        raise NoSandboxError(
            f"The system calls of this processor ({machine}, {sys.maxsize.bit_length() + 1} bits) cannot be filtered.",
            remedy,
        )
    return ABIS[machine]


def build_filter(abi: Abi) -> bytes:
    """Return the BPF program. Calls fail with EPERM, sockets with EAFNOSUPPORT, other ABIs with ENOSYS."""
    steps = [
        _step(_LOAD, _ARCHITECTURE),
        _step(_EQUAL, abi.audit, 1, 0),
        _fail(errno.ENOSYS),
        _step(_LOAD, _NUMBER),
        _step(_AT_LEAST, _OTHER_ABI, 0, 1),
        _fail(errno.ENOSYS),
    ]
    for number in (*abi.forbidden, *_COMMON):
        steps += [_step(_EQUAL, number, 0, 1), _fail(errno.EPERM)]
    for number in abi.sockets:
        steps += [
            _step(_EQUAL, number, 0, 4),
            _step(_LOAD, _FIRST_ARGUMENT),
            _step(_EQUAL, _AF_UNIX, 1, 0),
            _fail(errno.EAFNOSUPPORT),
            _step(_RETURN, _ALLOW),
        ]
    return b"".join([*steps, _step(_RETURN, _ALLOW)])


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    """Return one instruction. Jumps skip this number of instructions."""
    return struct.pack("<HBBI", code, if_true, if_false, value)


def _fail(number: int) -> bytes:
    return _step(_RETURN, _ERROR | number)
