"""A Slurm on this machine: munged, slurmctld and one slurmd for each of several nodes, on loopback.

All processes belong to the current user, and end with the block. Nodes are named n1, n2, ...; each has eight processors
and two GPUs in name only. The partition `low` loses its jobs to `high`, with a grace time.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
GresTypes=gpu
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
ReturnToService=2
MpiDefault=none
KillWait=10
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0,requeue_delay=1
{nodes}
PartitionName=low Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=60
PartitionName=high Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=9 PreemptMode=OFF
"""


def missing_programs() -> list[str]:
    """Return the programs of Slurm that this machine lacks."""
    return [name for name in PROGRAMS if not shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")]


@contextmanager
def local_slurm(folder: Path, nodes: int) -> Iterator[Mapping[str, str]]:
    """Run a Slurm of several nodes in `folder`. Yield the environment for its commands."""
    _write_configuration(folder, nodes)
    names = os.environ | {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": f"{os.environ['PATH']}:/usr/sbin"}
    with ExitStack() as stack:
        munged = ["munged", "--foreground", "--force", f"--socket={folder}/munge.socket", f"--key-file={folder}/key"]
        munged += [f"--pid-file={folder}/munged.pid", f"--log-file={folder}/munged.log", f"--seed-file={folder}/seed"]
        stack.enter_context(_running(munged, folder / "munged.out", names))
        _wait_until(lambda: (folder / "munge.socket").exists())
        stack.enter_context(_running(["slurmctld", "-D"], folder / "slurmctld.log", names))
        for n in range(1, nodes + 1):
            stack.enter_context(_running(["slurmd", "-D", "-N", f"n{n}"], folder / f"n{n}.log", names))
        _wait_until(lambda: _ask(names, "sinfo", "-h", "-p", "low", "-o", "%t %D") == f"idle {nodes}")
        yield names


def _write_configuration(folder: Path, nodes: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)  # munged asks for it
    (folder / "state").mkdir()
    (folder / "key").write_bytes(secrets.token_bytes(128))
    (folder / "key").chmod(0o400)
    host, ports = socket.gethostname().partition(".")[0], _free_ports(nodes + 1)
    lines = [
        f"NodeName=n{n} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=8 RealMemory=1000 Gres=gpu:2"
        for n, port in enumerate(ports[1:], 1)
    ]
    facts = {"host": host, "port": ports[0], "user": _user(), "folder": folder, "nodes": "\n".join(lines)}
    (folder / "slurm.conf").write_text(CONFIGURATION.format(**facts))
    for name in ("gpu0", "gpu1"):
        (folder / name).touch()
    (folder / "gres.conf").write_text(f"AutoDetect=off\nNodeName=n[1-{nodes}] Name=gpu File={folder}/gpu[0-1]\n")


def _user() -> str:
    import pwd

    return pwd.getpwuid(os.getuid()).pw_name


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


@contextmanager
def _running(command: Sequence[str], log: Path, names: Mapping[str, str]) -> Iterator[None]:
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=names)
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _ask(names: Mapping[str, str], *command: str) -> str:
    return subprocess.run(command, env=names, check=False, capture_output=True, text=True, timeout=30).stdout.strip()


def _wait_until(holds: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError("Slurm did not start; its logs are beside its slurm.conf.")
        time.sleep(0.2)
