"""Launching of the processes of a sharded finetuning. If one fails, all are ended.

The processes are `python -m backends.hf.sharded FOLDER`, one per GPU, or on the CPU by gloo. They meet through a file
and listen only on the loopback device.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from backends.hf.adapters import check_adapter
from backends.training import Parallel
from society.core.child_modules import import_path, module_command
from society.core.errors import BackendError

if TYPE_CHECKING:
    from backends.hf.examples import Rows
    from backends.hf.loop import Watch
    from backends.hf.train import Job
    from backends.hf.weights import Weights

log = logging.getLogger(__name__)

ORDER, STORE = "order.json", "store"
"""Files of the folder: the order, and the meeting point of the processes."""
STEP, LOSSES, NOTE = "STEP ", "LOSSES ", "NOTE "
"""Prefixes of lines of the first process: about a step, about those before a checkpoint, and for the log."""
LOOPBACK = "lo0" if sys.platform == "darwin" else "lo"
POLL = 0.2
"""Seconds between two looks at whether processes have ended."""
SHOWN = 400
"""Maximum length of a failed process's last line, in characters."""


def train_sharded(job: Job, rows: Rows, part: Path, parallel: Parallel) -> None:
    """Train in separate processes, which write the weights into `part`.

    Raises `BackendError` with the cause if a process fails, after all processes have ended.
    """
    if job.start is not None:
        check_adapter(job.start, job.weights.hash)
    with tempfile.TemporaryDirectory() as scratch, _set_aside(job.weights):
        folder = Path(scratch)
        (folder / ORDER).write_text(json.dumps(_order(job, rows, part)), "utf-8")
        with _started(folder, parallel.processes) as processes:
            _follow(processes, job.watch)
        _check(folder, processes)


def _order(job: Job, rows: Rows, part: Path) -> dict[str, object]:
    """Return the parameters of a process."""
    weights, found = job.weights, job.checkpoints
    return {
        "model": str(weights.folder),
        "hash": weights.hash,
        "dtype": str(weights.model.dtype).removeprefix("torch."),
        "device": weights.device.type,
        "settings": job.settings.model_dump(mode="json", exclude_unset=True),
        "start": None if job.start is None else asdict(job.start),
        "seed": job.seed,
        "rows": rows.rows,
        "weights": rows.weights,
        "part": str(part),
        "checkpoints": None if found is None else [str(found.place.absolute()), found.seconds, found.about],
    }


@contextmanager
def _set_aside(weights: Weights) -> Iterator[None]:
    """Return a context in which the model of this process is not on the GPU."""
    device = weights.model.device
    if device.type != "cuda":
        yield
        return
    try:
        weights.model.to("cpu")
        torch.cuda.empty_cache()
        yield
    finally:
        weights.model.to(device)


@contextmanager
def _started(folder: Path, count: int) -> Iterator[list[subprocess.Popen[str]]]:
    """Return a context with the running processes, whose output is in `RANK.log`. None remains afterwards."""
    command = [*module_command("backends.hf.sharded"), str(folder)]
    with ExitStack() as stack:
        processes: list[subprocess.Popen[str]] = []
        stack.callback(_end, processes)
        for rank in range(count):
            log = stack.enter_context((folder / f"{rank}.log").open("w", encoding="utf-8"))
            steps = subprocess.PIPE if rank == 0 else subprocess.DEVNULL
            environment = os.environ | make_environment(rank, count)
            processes.append(subprocess.Popen(command, stdout=steps, stderr=log, env=environment, text=True))
        yield processes


def make_environment(rank: int, count: int) -> dict[str, str]:
    """Return the environment variables that torch.distributed expects from a launcher."""
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "GLOO_SOCKET_IFNAME": LOOPBACK,
        "NCCL_SOCKET_IFNAME": LOOPBACK,
        "OMP_NUM_THREADS": str(max(torch.get_num_threads() // count, 1)),
        "PYTHONPATH": import_path(),
    }


def _follow(processes: Sequence[subprocess.Popen[str]], watch: Watch) -> None:
    """Report every step until the first process ends. If a process fails, the others are ended, as they would wait.

    If the training is cancelled, the processes stop after the step under way.
    """
    guards = [threading.Thread(target=_guard, args=(process, processes), daemon=True) for process in processes]
    guards.append(threading.Thread(target=_pass_on, args=(watch.stop, processes), daemon=True))
    for guard in guards:
        guard.start()
    lines = processes[0].stdout
    assert lines is not None
    for line in lines:
        if line.startswith(STEP):
            number, loss, tokens = json.loads(line.removeprefix(STEP))
            watch.record(number, loss, tokens)
        elif line.startswith(LOSSES):
            watch.resume(*json.loads(line.removeprefix(LOSSES)))
        elif line.startswith(NOTE):
            log.warning("%s", json.loads(line.removeprefix(NOTE)))
    for guard in guards:
        guard.join()


def _guard(process: subprocess.Popen[str], processes: Sequence[subprocess.Popen[str]]) -> None:
    if process.wait() != 0:
        for other in processes:
            other.kill()


def _pass_on(stop: threading.Event, processes: Sequence[subprocess.Popen[str]]) -> None:
    """Wait until the training is cancelled, and ask the processes to stop."""
    while any(process.poll() is None for process in processes):
        if stop.wait(POLL):
            for process in processes:
                process.terminate()
            return


def _end(processes: Sequence[subprocess.Popen[str]]) -> None:
    for process in processes:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _check(folder: Path, processes: Sequence[subprocess.Popen[str]]) -> None:
    """Raise the error that a failed process reported, or its exit status."""
    codes = [process.returncode for process in processes]
    if not any(codes):
        return
    for path in sorted(folder.glob("*.error")):
        raise BackendError(*json.loads(path.read_text("utf-8")))
    rank = next((i for i, code in enumerate(codes) if code > 0), codes.index(min(codes)))
    said = (folder / f"{rank}.log").read_text("utf-8", "replace").strip().splitlines()
    raise BackendError(
        f"Process {rank} of {len(codes)} of the training ended with status {codes[rank]}: "
        f"{said[-1][:SHOWN] if said else 'it said nothing'}",
        "Status -9 is most often a lack of memory: lower train.settings.batch_size or max_length, or use more "
        "processes.",
    )
