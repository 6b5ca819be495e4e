"""The sandbox: what a program may do, and every way out that is tried and refused."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from society.core.errors import NoSandboxError
from society.sandbox import Limits, Outcome, process, require_sandbox, run_python
from society.sandbox.system_calls import ABIS, build_filter, find_abi

STRICT = Limits(cpu_seconds=1, memory_mb=128, processes=3, files=10, disk_mb=1, output_kb=4)


@pytest.fixture(autouse=True)
def _needs_sandbox(request: pytest.FixtureRequest) -> None:
    """Skip where this machine refuses namespaces; the tests marked `anywhere` run there, too."""
    if "anywhere" in request.node.name:
        return
    try:
        require_sandbox()
    except NoSandboxError as error:
        pytest.skip(str(error))


def run(code: str, limits: Limits = STRICT, stdin: str = "") -> Outcome:
    return run_python({"main.py": code}, limits, stdin)


def attempt(code: str, limits: Limits = STRICT) -> str:
    """Return the name of the exception that these statements raise, or "no exception"."""
    indented = "".join(f"    {line}\n" for line in code.splitlines())
    report = (
        "except BaseException as error:\n    print('raised', type(error).__name__)\nelse:\n    print('no exception')\n"
    )
    return run(f"try:\n{indented}{report}", limits).output.strip()


def test_a_program_runs_with_its_files_and_input() -> None:
    """Output, status and processor time come back."""
    main = "import sys\nfrom other import x\nprint(x, input())\nopen('new', 'w').write('y')\nsys.exit(3)"
    outcome = run_python({"main.py": main, "other.py": "x = 5"}, STRICT, "hello\n")
    assert (outcome.output, outcome.status, outcome.ended_by) == ("5 hello\n", 3, "")
    assert 0 < outcome.cpu_seconds < 1


def test_nothing_of_this_process_is_inherited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither variables nor open files nor the user's identity reach the program."""
    monkeypatch.setenv("SECRET", "abc")
    with Path(__file__).open() as held:
        os.set_inheritable(held.fileno(), True)
        listing = "import os\nprint(sorted(os.environ), os.getuid(), os.listdir('.'))\n"
        found = run(f"{listing}for fd in range(3, 200):\n    try: os.fstat(fd); print(fd)\n    except OSError: pass")
    assert found.output == "['HOME', 'LANG', 'PATH', 'PYTHONHASHSEED'] 65534 ['main.py']\n"


@pytest.mark.parametrize(
    "code",
    [
        "import socket; socket.create_connection(('127.0.0.1', 9), 5)",
        "import socket; socket.create_connection(('1.1.1.1', 53), 5)",
        "import socket; socket.getaddrinfo('example.org', 80)",
        "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.sendto(b'x', ('192.0.2.1', 9))",
    ],
)
def test_there_is_no_network(code: str) -> None:
    assert attempt(code) in ("raised OSError", "raised gaierror", "raised ConnectionRefusedError")


@pytest.fixture
def secret(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "store.sqlite"
    path.write_text("the run's store")
    path.chmod(0o666)
    yield path
    assert path.read_text() == "the run's store"


@pytest.mark.parametrize("where", ["{}", "../../../..{}", "/proc/1/root{}", "/proc/self/cwd/..{}", "/tmp/../..{}"])
def test_files_of_this_machine_are_out_of_reach(secret: Path, where: str) -> None:
    """Neither an absolute path, nor a way up, nor a link leads to the run's store."""
    path = where.format(secret)
    assert attempt(f"open({path!r})") == "raised FileNotFoundError"
    assert attempt(f"import os\nos.symlink({path!r}, 'link')\nopen('link')") == "raised FileNotFoundError"


@pytest.mark.parametrize("place", ["/x", "/usr/x", "/dev/x", f"{sys.base_prefix}/lib/x"])
def test_everything_else_is_read_only(place: str) -> None:
    assert attempt(f"open({place!r}, 'w')") in ("raised OSError", "raised PermissionError")
    assert not Path(place).exists()


@pytest.mark.parametrize(
    "code",
    [
        "import ctypes\nassert ctypes.CDLL(None).unshare(0x10000000) == 0",  # another user namespace
        "import ctypes\nassert ctypes.CDLL(None).mount(b'none', b'/work', b'tmpfs', 0, None) == 0",
        "import os\nos.setuid(0)",
        "import os\nos.chroot('/work')",
        "import os\nos.mknod('disk', 0o60666, os.makedev(8, 0))",
        "import resource\nresource.setrlimit(resource.RLIMIT_AS, (1 << 40, 1 << 40))",
    ],
)
def test_rights_cannot_be_regained(code: str) -> None:
    assert attempt(code) != "no exception"


CALL = (
    "import ctypes, errno\nlibc = ctypes.CDLL(None, use_errno=True)\ndef call(*a):\n    assert libc.syscall(*a) >= 0\n"
)


@pytest.mark.parametrize("place", range(12))
def test_forbidden_calls_fail(place: int) -> None:
    """Keys of the kernel, memory of no process, further namespaces, and ways around the filter."""
    abi = ABIS[platform.machine()]
    arguments = ", ".join(str(value) for value in (abi.forbidden[place], 1, 1, 0, 0, 0))
    code = f"{CALL}libc.syscall({arguments})\nassert ctypes.get_errno() != errno.EPERM"
    assert attempt(code) == "raised AssertionError"


def test_keys_of_this_process_are_out_of_reach() -> None:
    """The parent's session keyring is neither found nor changed."""
    abi, libc = ABIS[platform.machine()], ctypes.CDLL(None, use_errno=True)
    key = libc.syscall(abi.forbidden[0], b"user", b"society-test", b"secret", 6, -3)
    if key < 0:
        pytest.skip("This machine has no keys.")
    try:
        code = f"{CALL}call({abi.keyctl}, 10, -3, b'user', b'society-test', 0)"  # KEYCTL_SEARCH
        assert attempt(code) == "raised AssertionError"
        assert libc.syscall(abi.keyctl, 10, -3, b"user", b"society-test", 0) == key
    finally:
        libc.syscall(abi.keyctl, 9, key, -3)  # KEYCTL_UNLINK


@pytest.mark.parametrize(
    "code",
    [
        "import os; os.memfd_create('x')",
        "import socket; socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)",
        "import socket; socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET)",
        "import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
        "import socket; socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)",
    ],
)
def test_memory_files_and_other_sockets_cannot_be_made(code: str) -> None:
    assert attempt(code) in ("raised OSError", "raised PermissionError")


def test_processes_and_pairs_of_sockets_work() -> None:
    code = "import socket, subprocess, sys\na, b = socket.socketpair()\na.send(b'x')\nassert b.recv(1) == b'x'\n"
    assert attempt(f"{code}subprocess.run([sys.executable, '-c', ''], check=True)", Limits()) == "no exception"


def test_every_processor_has_its_own_filter_anywhere() -> None:
    filters = {build_filter(abi) for abi in ABIS.values()}
    assert len(filters) == len(ABIS)
    assert all(len(program) % 8 == 0 for program in filters)
    with pytest.raises(NoSandboxError, match=r"processor \(pdp11, .*cannot be filtered"):
        find_abi("pdp11", "Remedy.")


def test_other_processes_cannot_be_reached() -> None:
    """The parent's id is that of the sandbox's own first process, which no signal of the program ends."""
    code = "import os\nassert os.getppid() == 1\nfor pid in (1, -1, os.getppid()):\n    try: os.kill(pid, 9)\n"
    outcome = run(f"{code}    except OSError: pass\nprint('still here')")
    assert (outcome.output, outcome.status) == ("still here\n", 0)
    assert attempt(f"import os\nos.kill({os.getpid()}, 0)") == "raised ProcessLookupError"


def test_no_process_is_left() -> None:
    """A child in a session of its own ends with the program."""
    code = "import os\nif os.fork() == 0:\n    os.setsid(); os.execv('/bin/sleep', ['sleep', '54321.25'])\n"
    assert run(code + "import time; time.sleep(0.1)").status == 0
    commands = [path.read_bytes() for path in _commands()]
    assert not any(b"54321.25" in command for command in commands)


def _commands() -> list[Path]:
    return [path for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists() and path.parent.exists()]


def test_an_endless_loop_ends_by_processor_time() -> None:
    """A program that catches the signal is killed a second later."""
    stubborn = "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass"
    assert run(stubborn).ended_by == "cpu"


def test_a_program_that_waits_ends_by_elapsed_time() -> None:
    outcome = run("import time; time.sleep(1000)", Limits(wall_seconds=1))
    assert (outcome.ended_by, outcome.status) == ("wall", None)


def test_output_is_limited() -> None:
    outcome = run("while True: print('x' * 100)")
    assert outcome.ended_by == "output"
    assert len(outcome.output) == 4 << 10


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("x = b'x' * (1 << 30)", "MemoryError"),
        ("import mmap; mmap.mmap(-1, 1 << 30)", "OSError"),
        ("open('big', 'w').write('x' * (2 << 20))", "OSError"),
        ("for i in range(5): open(f'{i}', 'w').write('x' * (1 << 19))", "OSError"),
        ("for i in range(50): open(f'{i}', 'w')", "OSError"),
        ("import os\nheld = [os.open('/dev/null', 0) for _ in range(100)]", "OSError"),
        (
            "import os\nfor i in range(9):\n    if os.fork() == 0:\n        import time; time.sleep(9)",
            "BlockingIOError",
        ),
        ("import ctypes\nassert ctypes.CDLL(None).shmget(0, 1 << 30, 0o1600) >= 0", "AssertionError"),
    ],
)
def test_memory_files_and_processes_are_limited(code: str, error: str) -> None:
    """The program gets an error from the system, and goes on."""
    assert attempt(code) == f"raised {error}"


def test_a_fork_bomb_fails_and_the_machine_goes_on() -> None:
    outcome = run("import os\nwhile True: os.fork()")
    assert "Resource temporarily unavailable" in outcome.output


def test_files_have_plain_names_anywhere() -> None:
    """A name with a folder would be written elsewhere."""
    if sys.platform == "linux":
        with pytest.raises(ValueError, match="plain names"):
            run_python({"../main.py": ""})


def test_another_system_is_refused_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process.sys, "platform", "darwin")
    with pytest.raises(NoSandboxError, match=r"darwin.*cannot run code without network"):
        run("print(1)")


def test_a_machine_without_namespaces_is_refused_anywhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The error says which call failed; nothing runs with less."""
    source = process._JAIL.read_text(encoding="utf-8").replace('_call("unshare", ', '_call("unshare", 1 + ')
    broken = tmp_path / "jail.py"
    broken.write_text(source, encoding="utf-8")
    monkeypatch.setattr(process, "_JAIL", broken)
    if sys.platform == "linux":
        require_sandbox.cache_clear()
        with pytest.raises(NoSandboxError, match=r"cannot run code without network: OSError.*unshare"):
            require_sandbox()
        require_sandbox.cache_clear()
