"""A process of a sharded finetuning (FSDP2): `python -m backends.hf.sharded FOLDER`.

Each process has its shard of every weight, gradient and optimizer state, and processes its share of the batches. The
weights of a layer are gathered only during its computation. LoRA matrices are small and replicated. transformers shards
the weights while reading them, so no process has the whole model. The module also runs under `accelerate launch` or
`torchrun`, which set the same environment.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import torch
import torch.distributed as dist

from backends.hf.casting import cast_shards
from backends.hf.checkpoints import Checkpoints
from backends.hf.examples import Rows
from backends.hf.launch import LOSSES, NOTE, ORDER, STEP, STORE
from backends.hf.loading import LONG, class_of, load_model
from backends.hf.loop import Share, Watch, use_bfloat16
from backends.hf.lora import attach_new, check_full_start, write_lora
from backends.hf.rotary import freeze_frequencies
from backends.hf.train import Job, explained_memory_errors, run, seeded
from backends.hf.weights import Weights
from backends.models.lora_config import is_tied
from backends.training import TrainSettings
from society.core.errors import SocietyError
from society.core.types import Adapter


def main(folder: Path) -> int:
    """Train by the order in the folder, and return the exit status.

    The first process writes the weights. A failed process writes its cause beside the order.
    """
    rank, stop = int(os.environ["RANK"]), Event()
    for number in (signal.SIGINT, signal.SIGTERM):  # Ctrl-C in a terminal reaches every process
        signal.signal(number, lambda *_: stop.set())
    if rank == 0:
        logging.getLogger("backends").addHandler(_Notes())
    try:
        with _together(folder, rank):
            _train(json.loads((folder / ORDER).read_text("utf-8")), rank, stop)
    except SocietyError as error:
        (folder / f"{rank}.error").write_text(json.dumps([error.cause, error.remedy]), "utf-8")
        return 1
    return 0


@contextmanager
def _together(folder: Path, rank: int) -> Iterator[None]:
    """Return a context with an initialized process group, which meets in a file."""
    cuda = json.loads((folder / ORDER).read_text("utf-8"))["device"] == "cuda"
    if cuda:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group(
        "cuda:nccl,cpu:gloo" if cuda else "gloo",
        init_method=f"file://{folder / STORE}",
        rank=rank,
        world_size=int(os.environ["WORLD_SIZE"]),
    )
    yield
    dist.destroy_process_group()  # not after an error: the others are waiting, not leaving


def _train(order: dict[str, Any], rank: int, stop: Event) -> None:
    settings = TrainSettings.model_validate_json(json.dumps(order["settings"]))
    start = None if order["start"] is None else Adapter(**order["start"])
    rows = Rows([(ids, first) for ids, first in order["rows"]], weights=tuple(order["weights"]))
    part = Path(order["part"])
    with tempfile.TemporaryDirectory() as scratch, explained_memory_errors(settings), seeded(order["seed"]):
        weights, dtypes = _load(order, settings, start)
        place = part if rank == 0 else Path(scratch)
        share = Share(rank, dist.get_world_size())
        watch = _FirstWatch(_report, stop) if rank == 0 else Watch(_ignore, stop)
        job = Job(weights, settings, start, order["seed"], watch, share, checkpoints=_checkpoints(order, share))
        if settings.method == "full":
            _train_full(job, rows, place, getattr(torch, order["dtype"]), dtypes)
        else:
            _train_lora(job, rows, place)


def _checkpoints(order: Mapping[str, Any], share: Share) -> Checkpoints | None:
    if order["checkpoints"] is None:
        return None
    place, seconds, about = order["checkpoints"]
    return Checkpoints(Path(place), seconds, about, share)


def _load(
    order: dict[str, Any], settings: TrainSettings, start: Adapter | None
) -> tuple[Weights, dict[str, torch.dtype]]:
    """Return this process's shard of the base, or of the full weights to start from, and the dtype of each tensor.

    Weights that are trained in full are float32; their dtypes are those of the files.
    """
    full = settings.method == "full"
    if full:
        check_full_start(Path(start.path) if start else None)
    folder = Path(start.path) if full and start is not None else Path(order["model"])
    mixed = use_bfloat16(settings, torch.device(order["device"]))
    model = load_shard(folder, getattr(torch, order["dtype"]), order["device"], mixed)
    dtypes = {name: tensor.dtype for name, tensor in model.state_dict().items()}
    if full:
        cast_shards(model, torch.float32)
    freeze_frequencies(model, sys.maxsize if order["hash"].endswith(LONG) else 0)
    return Weights(model, folder, order["hash"]), dtypes


def load_shard(folder: Path, dtype: torch.dtype, device: str, mixed: bool) -> Any:
    """Return a model of which this process holds its shard, layer by layer. Nobody reads more than a tensor at a time.

    With `mixed`, weights are gathered in bfloat16, whatever their own precision. They are freed after the forward pass
    of their layer, unlike copies that autocast makes, which the backward pass keeps.
    """
    from transformers import AutoConfig
    from transformers.distributed.configuration_utils import DistributedConfig

    config: Any = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    kind = class_of(config)._model_mapping[type(config)]
    sharding = DistributedConfig(fsdp_size=dist.get_world_size(), fsdp_mixed_precision=mixed)
    wanted = _tied(kind) if is_tied(folder) else kind
    model = load_model(folder, dtype, device, kind=wanted, distributed_config=sharding)
    model.__class__ = kind
    return model


def _tied(kind: Any) -> Any:
    """Return a model's class that ties the embeddings before they are sharded, as a part of the whole model's shard.

    transformers 5.23 ties them afterwards. FSDP then has two matrices, which are trained separately.
    """

    @classmethod  # type: ignore[misc]
    def maybe_distribute_model(cls: Any, model: Any, config: Any, meshes: Any) -> Any:
        model.tie_weights()
        shared = model.get_input_embeddings(), model.get_output_embeddings()
        names = {name for name, module in model.named_modules() if module in shared}
        model._fsdp_plan = {name: style for name, style in model._fsdp_plan.items() if name not in names}
        return kind.maybe_distribute_model(model, config, meshes)

    return type(kind.__name__, (kind,), {"maybe_distribute_model": maybe_distribute_model})


def _train_lora(job: Job, rows: Rows, place: Path) -> None:
    attach_new(job.weights, job.settings, job.start)
    run(job, job.weights.peft, rows)
    write_lora(job.weights.peft, place)


def _train_full(job: Job, rows: Rows, place: Path, dtype: torch.dtype, dtypes: Mapping[str, torch.dtype]) -> None:
    """Train all weights in float32. The first process gathers them and writes them in the base's precision.

    The base is opened in `dtype`; `dtypes` has that of each of its tensors.
    """
    from transformers.distributed.utils import gather_full_state_dict

    model = job.weights.model
    run(job, model.requires_grad_(True), rows)
    whole = gather_full_state_dict(model)
    if job.share.rank == 0:
        state = {name: tensor.to(dtypes[name]) for name, tensor in whole.items()}
        write_model(model, state, dtype, place)


def write_model(model: Any, state: dict[str, torch.Tensor], dtype: torch.dtype, place: Path) -> None:
    """Write a sharded model's gathered weights as a plain model folder whose configuration names `dtype`."""
    config = type(model.config).from_dict(model.config.to_dict())
    config.distributed_config = None
    with torch.device("meta"):
        whole = class_of(config).from_config(config, dtype=dtype)
    whole.load_state_dict(state, assign=True)
    whole.tie_weights()
    whole.generation_config = model.generation_config
    whole.save_pretrained(place)


class _FirstWatch(Watch):
    """Reports the losses before a checkpoint to the parent process."""

    def resume(self, losses: Sequence[float], seconds: float) -> None:
        super().resume(losses, seconds)
        print(LOSSES + json.dumps([self.losses, seconds]), flush=True)


class _Notes(logging.Handler):
    """Sends warnings to the parent process as lines."""

    def emit(self, record: logging.LogRecord) -> None:
        print(NOTE + json.dumps(record.getMessage()), flush=True)


def _report(step: int, steps: int, loss: float, tokens: int) -> None:
    """Report a step as a line to the parent process."""
    print(STEP + json.dumps([steps, loss, tokens]), flush=True)


def _ignore(step: int, steps: int, loss: float, tokens: int) -> None:
    """Do nothing: the first process reports."""


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
