"""Checkpoints within a finetuning: all that the next optimizer step depends on, on the disk from time to time.

A checkpoint is a folder that is named by the number of steps taken. It has a file of each process, and `about.json`
with what the finetuning is. Weights that all processes hold are in the first one's file only. A checkpoint is complete
or absent, and the one before it is removed after it is complete. A checkpoint of another finetuning is ignored with a
warning.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

import torch

from society.core.atomic import move_into_place
from society.core.errors import BackendError
from society.core.identity import fingerprint
from society.core.regular_files import open_regular, read_json

if TYPE_CHECKING:
    from backends.hf.examples import Rows
    from backends.hf.loop import Share
    from backends.hf.train import Job

log = logging.getLogger(__name__)

ABOUT = "about.json"
SHARE_OF_TIME = 0.05
"""Maximum share of the time that is spent on writing checkpoints."""
LIBRARIES = ("torch", "transformers", "peft")
State = dict[str, Any]


def describe(job: Job, rows: Rows, processes: int) -> dict[str, object]:
    """Return what a finetuning is, as JSON data. Checkpoints of others cannot be continued from."""
    settings = job.settings.model_dump(mode="json", exclude={"checkpoint_minutes"})
    objective = None if job.objective is None else job.objective.model_dump(mode="json")
    parts: list[object] = [rows.rows, rows.weights, rows.desired]
    if job.objective is not None and job.objective.measures_drift:
        parts.append(rows.questions)
    return {
        "rows": fingerprint(parts),
        "settings": settings,
        "objective": objective,
        "seed": job.seed,
        "model": job.weights.hash,
        "start": None if job.start is None else job.start.hash,
        "processes": processes,
        "library versions": {name: version(name) for name in LIBRARIES},
    }


@dataclass
class Checkpoints:
    """The checkpoints of one finetuning in the folder `place`, written every `seconds`; never for 0."""

    place: Path
    seconds: float
    about: Mapping[str, object]
    share: Share
    steps: int = 0
    """Number of steps taken until the last checkpoint."""
    _next: float = field(init=False)

    def __post_init__(self) -> None:
        self._next = time.monotonic() + self.seconds

    @property
    def due(self) -> bool:
        """Return whether it is time for a checkpoint."""
        return self.seconds > 0 and time.monotonic() >= self._next

    def load(self) -> State | None:
        """Return the state of this process in the last checkpoint; None where there is none that can be used.

        Everything else is removed from the folder.
        """
        found = max(self._finished(), key=lambda path: int(path.name), default=None)
        state = None if found is None else self._read(found)
        usable = self.share.agree(state is not None)
        if self.share.rank == 0:
            self._remove_others(found if usable else None)
        self.share.agree(True)  # no process writes before the first one has cleared the folder
        if state is None or not usable or found is None:
            return None
        self.steps = int(found.name)
        return state

    @contextmanager
    def restoring(self) -> Iterator[None]:
        """Raise `BackendError` for a state in this context that this program did not write."""
        try:
            yield
        except torch.OutOfMemoryError:
            raise
        except (KeyError, RuntimeError, TypeError, ValueError, AttributeError) as error:
            raise BackendError(
                f"The checkpoint in {self.place} does not fit its finetuning: {error!s:.200}",
                f"Delete {self.place}, and run again with --resume (Python: resume=True).",
            ) from error

    def save(self, steps: int, state: State) -> None:
        """Write a checkpoint in place of the last one. Where it cannot be written, log a warning and keep the last."""
        if not self.seconds or steps == self.steps:
            return
        started = time.monotonic()
        part = self.place / f".{steps}.part"
        try:
            part.mkdir(parents=True, exist_ok=True)
            torch.save(state, part / f"{self.share.rank}.pt")
            error = ""
        except (OSError, RuntimeError) as reason:
            error = str(reason).splitlines()[0]
            log.warning("A checkpoint of the finetuning cannot be written: %s. The finetuning goes on.", error)
        whole = self.share.agree(not error)
        if self.share.rank == 0:
            whole = self._finish(part, steps if whole else 0)
        if self.share.agree(whole):
            self.steps = steps
        spent = time.monotonic() - started
        self._next = time.monotonic() + max(self.seconds, spent / SHARE_OF_TIME)

    def _finish(self, part: Path, steps: int) -> bool:
        """Name a checkpoint, remove the one before it, and return True. For 0, remove what was written."""
        try:
            if steps:
                (part / ABOUT).write_text(json.dumps(self.about, indent=2) + "\n", "utf-8")
                self._remove_others(move_into_place(part, self.place / str(steps)))
                return True
        except OSError as error:
            log.warning("A checkpoint of the finetuning cannot be written: %s. The finetuning goes on.", error)
        shutil.rmtree(part, ignore_errors=True)
        return False

    def _finished(self) -> list[Path]:
        """Return the complete checkpoints."""
        try:
            return [path for path in self.place.iterdir() if path.name.isdecimal() and path.is_dir()]
        except OSError:
            return []

    def _remove_others(self, kept: Path | None) -> None:
        """Remove all checkpoints but one, and incomplete ones."""
        for path in [*self._finished(), *self.place.glob(".*.part")]:
            if path != kept:
                shutil.rmtree(path, ignore_errors=True)

    def _read(self, folder: Path) -> State | None:
        try:
            about = read_json(folder / ABOUT)
            odd = [name for name in self.about if about.get(name) != self.about[name]]
            if odd:
                log.warning(
                    "The finetuning begins anew: the checkpoint in %s is of another one (%s).", folder, ", ".join(odd)
                )
                return None
            state = _load(folder / f"{self.share.rank}.pt")
            return state if "weights" in state else _load(folder / "0.pt") | state
        except (OSError, RuntimeError, ValueError, EOFError, UnpicklingError) as error:
            said = str(error).splitlines() or [type(error).__name__]
            log.warning("The finetuning begins anew: the checkpoint in %s cannot be read: %.200s", folder, said[0])
            return None


def _load(path: Path) -> State:
    """Return the state that a process has written."""
    open_regular(path).close()  # no pipe, no device
    # States that go to a GPU are read one by one, so that the host does not hold all of them.
    state: State = torch.load(path, "cpu", weights_only=True, mmap=torch.cuda.is_available())
    return state


def local(value: Any) -> Any:
    """Return this process's shard of a tensor that FSDP has sharded, anything else as it is."""
    from torch.distributed.tensor import DTensor

    return value.to_local() if isinstance(value, DTensor) else value


@torch.no_grad()
def copy_weights(stored: Sequence[torch.Tensor], parameters: Sequence[torch.nn.Parameter]) -> None:
    """Copy stored weights, or this process's shards of them, into parameters."""
    for tensor, parameter in zip(stored, parameters, strict=True):
        local(parameter.data).copy_(tensor)


def shard_state(stored: State, optimizer: torch.optim.Optimizer) -> State:
    """Return the stored state of an optimizer with the moments of sharded parameters as shards again."""
    from torch.distributed.tensor import DTensor

    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]

    def shard(value: Any, parameter: Any) -> Any:
        if not isinstance(parameter.data, DTensor) or not isinstance(value, torch.Tensor) or not value.ndim:
            return value
        whole = parameter.data
        return DTensor.from_local(
            value.to(whole.device), whole.device_mesh, whole.placements, shape=whole.shape, stride=whole.stride()
        )

    states = {
        number: {name: shard(value, parameters[number]) for name, value in state.items()}
        for number, state in stored["state"].items()
    }
    return {**stored, "state": states}


def read_random(device: torch.device) -> dict[str, torch.Tensor]:
    """Return the state of torch's random numbers on the host, and on the device if it is a GPU."""
    states = {"cpu": torch.get_rng_state()}
    return states | {"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else states


def write_random(states: Mapping[str, torch.Tensor], device: torch.device) -> None:
    """Restore a state of the random numbers."""
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], device)
