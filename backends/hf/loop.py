"""The training loop: batches to losses, gradients and steps of the optimiser, with one wait for the device a step."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
import torch.distributed as dist
from torch.nn import Parameter
from torch.nn.utils import clip_grad_norm_
from torch.utils._pytree import tree_map
from transformers import get_scheduler

from backends.hf.attention import fast_attention
from backends.hf.batches import Batches
from backends.hf.checkpoints import Checkpoints, State, copy_weights, local, read_random, shard_state, write_random
from backends.hf.compiling import compiled
from backends.hf.examples import Rows
from backends.hf.goals import Likelihood, Preference, Reference
from backends.hf.lora import NAME
from backends.hf.lora_sum import rounded_once
from backends.hf.loss import Loss
from backends.hf.recomputing import recomputed
from backends.hf.working import Working, is_shard, working_copies
from backends.objectives import Objective
from backends.training import OnStep, TrainSettings
from society.core.errors import BackendError

log = logging.getLogger(__name__)


class Watch:
    """Records the loss of each step and reports it. `stop` is set when the training is cancelled."""

    def __init__(self, on_step: OnStep, stop: threading.Event) -> None:
        self.on_step, self.stop = on_step, stop
        self.losses: list[float] = []
        self.begin()

    def begin(self) -> None:
        """Start the measurement of the time anew, after a wait for the model."""
        self._started = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Return the seconds that the finetuning has taken, those before its checkpoint included."""
        return time.perf_counter() - self._started

    def resume(self, losses: Sequence[float], seconds: float) -> None:
        """Take over the losses of the steps before a checkpoint, and the seconds that they took."""
        self.losses = list(losses)
        self._started -= seconds

    def record(self, steps: int, loss: float, tokens: int) -> None:
        """Record one optimiser step. `steps`: total planned; `tokens`: tokens trained on so far."""
        if not math.isfinite(loss):
            raise BackendError(
                f"The training loss is {loss} in step {len(self.losses) + 1}.",
                "Lower train.settings.learning_rate, raise train.settings.warmup, or set train.settings.precision: "
                "float32.",
            )
        self.losses.append(loss)
        self.on_step(len(self.losses), steps, loss, tokens)


def cancelled() -> BackendError:
    """Return the error of a training that was stopped."""
    return BackendError("The training was cancelled.", "It goes on from its last checkpoint, if there is one.")


@dataclass(frozen=True, slots=True)
class Share:
    """The part of a sharded training that this process has. Alone, a process is the first of one."""

    rank: int = 0
    processes: int = 1

    @property
    def sharded(self) -> bool:
        """Return whether FSDP shards the model, over one process or more."""
        return dist.is_available() and dist.is_initialized()

    def add(self, numbers: torch.Tensor) -> torch.Tensor:
        """Return the sums of numbers over all processes."""
        if self.sharded:
            dist.all_reduce(numbers)
        return numbers

    def agree(self, whole: bool) -> bool:
        """Return whether this is true on all processes. No process returns before all have asked."""
        return not self.add(torch.tensor(int(not whole)))


def train_rows(
    inner: Any,
    model: Any,
    rows: Rows,
    settings: TrainSettings,
    seed: int,
    watch: Watch,
    share: Share,
    objective: Objective | None = None,
    checkpoints: Checkpoints | None = None,
) -> None:
    """Train what requires gradients of `model`: the transformers model `inner` itself, or PEFT's wrapper around it.

    Without an `objective`, the rows' likelihood is learned. The training goes on from its checkpoint, if there is one.
    """
    dtype = torch.bfloat16 if use_bfloat16(settings, inner.device) else None
    with ExitStack() as stack:
        if settings.gradient_checkpointing:
            stack.enter_context(recomputed(inner))
        working = stack.enter_context(working_copies(model, dtype))
        state = None if checkpoints is None else checkpoints.load()
        known: Reference | None = None
        if state is not None and checkpoints is not None:
            # Before any forward pass: FSDP keeps some of the weights that it gathers.
            with checkpoints.restoring():
                copy_weights(state.pop("weights"), working.trained)
                working.update()
                known = state["reference"]
        stack.enter_context(rounded_once(model, NAME, dtype))
        loss = Loss(inner, model, dtype)
        stack.enter_context(compiled(inner, settings.compile))
        fit_attention = stack.enter_context(fast_attention(inner, dtype))
        model.train()
        goal: Likelihood | Preference = Likelihood(loss, rows, fit_attention)
        if objective is not None:
            goal = Preference(loss, rows, fit_attention, objective, settings.batch_size, known)
        batches = Batches(goal.lengths, settings, seed, share.rank, share.processes, len(goal.units[0]))
        loop = Loop(working, goal, batches, settings, share, watch, checkpoints)
        if state is not None and checkpoints is not None:
            with checkpoints.restoring():
                loop.restore(state)
        loop.run()


class Loop:
    """Optimiser steps over the batches of all epochs."""

    def __init__(
        self,
        working: Working,
        goal: Likelihood | Preference,
        batches: Batches,
        settings: TrainSettings,
        share: Share,
        watch: Watch,
        checkpoints: Checkpoints | None = None,
    ) -> None:
        self.working, self.goal, self.batches = working, goal, batches
        self.settings, self.share, self.watch, self.checkpoints = settings, share, watch, checkpoints
        self.accumulation = settings.accumulation // share.processes
        self.steps = math.ceil(len(batches) / self.accumulation) * settings.epochs
        self.optimizer = make_optimizer(working.trained, settings)
        name = "constant_with_warmup" if settings.schedule == "constant" else settings.schedule
        # Rounded down: in the first step of a warm-up the learning rate is 0.
        self.schedule = get_scheduler(name, self.optimizer, int(settings.warmup * self.steps), self.steps)
        self.tokens = 0
        """Number of tokens trained on so far."""
        self.random: dict[str, torch.Tensor] = {}
        """The state of the random numbers before the step under way."""

    def run(self) -> None:
        """Take all steps, or those that are left after `restore`."""
        for step in islice(self._steps(), len(self.watch.losses), None):
            self._pause()
            loss, count = self._step(step)
            self.tokens += count
            self.watch.record(self.steps, loss, self.tokens)
        self._pause()

    def restore(self, state: State) -> None:
        """Continue from the state of a checkpoint, whose weights are in place."""
        self.optimizer.load_state_dict(shard_state(state["optimizer"], self.optimizer))
        self.schedule.load_state_dict(state["schedule"])
        self.tokens = state["tokens"]
        self.watch.resume(state["losses"], float(state.get("seconds", 0)))
        write_random(state["random"], self.goal.loss.device)
        log.warning("The finetuning goes on from its checkpoint: %d of %d steps.", len(self.watch.losses), self.steps)

    def _pause(self) -> None:
        """Write a checkpoint if one is due. Raises `BackendError` if the training was cancelled."""
        if self.checkpoints is None and not self.share.sharded:
            self._stop()
            return
        self.random = read_random(self.goal.loss.device)
        wanted = [self.checkpoints is not None and self.checkpoints.due, self.watch.stop.is_set()]
        due, stop = self.share.add(torch.tensor(wanted, dtype=torch.int64)).tolist()
        if due or stop:
            self._save()
        if stop:
            raise cancelled()

    def _stop(self) -> None:
        """Write a checkpoint and raise `BackendError` if the training was cancelled."""
        if self.watch.stop.is_set():
            self._save()
            raise cancelled()

    def _save(self) -> None:
        """Write a checkpoint of the state before the step under way. Gradients of the step are no part of it."""
        if self.checkpoints is None:
            return
        state = {
            "schedule": self.schedule.state_dict(),
            "losses": self.watch.losses,
            "seconds": self.watch.seconds,
            "tokens": self.tokens,
            "random": self.random,
            "reference": self.goal.reference,
        }
        if self.share.rank == 0 or any(map(is_shard, self.working.trained)):  # else all processes have the same ones
            state["weights"] = [local(parameter.data) for parameter in self.working.trained]
            state["optimizer"] = tree_map(local, self.optimizer.state_dict())
        self.checkpoints.save(len(self.watch.losses), state)

    def _steps(self) -> Iterator[list[list[int]]]:
        """Yield the batches of each step of all epochs, as indices of units. An empty batch has nothing to learn."""
        for _ in range(self.settings.epochs):
            every = list(self.batches)
            for start in range(0, len(every), self.accumulation):
                yield every[start : start + self.accumulation]

    def _step(self, batches: Sequence[Sequence[int]]) -> tuple[float, int]:
        """Take one step; return the mean loss over its learned tokens or units, and its tokens without padding."""
        size = sum(map(self.goal.size, batches))
        tokens = sum(self.goal.lengths[unit] for batch in batches for unit in batch)
        counts = self.share.add(torch.tensor([size, tokens])).tolist()
        total = torch.zeros((), device=self.goal.loss.device)
        for batch in batches:
            if not self.share.sharded:  # other processes would wait for the step
                self._stop()
            # FSDP takes the mean of the processes' gradients, not their sum.
            loss = self.goal(batch, self.share.processes / counts[0])
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        self._apply()
        return float(self.share.add(total)) / self.share.processes, counts[1]

    def _apply(self) -> None:
        """Change the weights by the gradients of the step."""
        if self.share.sharded:
            self._share_gradients()
        clip_grad_norm_(self.working.trained, self.settings.clip)
        self.optimizer.step()
        self.working.update()
        self.schedule.step()
        self.optimizer.zero_grad()

    def _share_gradients(self) -> None:
        """Average the gradients of what every process holds whole. FSDP averages those of shards."""
        from torch.distributed.tensor import DTensor

        for parameter in self.working.trained:
            if not isinstance(parameter, DTensor) and not isinstance(parameter.data, DTensor):
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                self.share.add(parameter.grad).div_(self.share.processes)


def make_optimizer(parameters: Sequence[Parameter], settings: TrainSettings) -> torch.optim.Optimizer:
    """Return AdamW for these parameters; weights decay, norms and biases do not."""
    matrices, others = ([p for p in parameters if (p.ndim > 1) == wanted] for wanted in (True, False))
    groups = [
        {"params": matrices, "weight_decay": settings.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if settings.optimizer == "adamw_8bit":
        import bitsandbytes

        optimizer: torch.optim.Optimizer = bitsandbytes.optim.AdamW8bit(groups, lr=settings.rate)
        return optimizer
    return torch.optim.AdamW(groups, lr=settings.rate, fused=True)


def use_bfloat16(settings: TrainSettings, device: torch.device) -> bool:
    """Return whether to compute in bfloat16: as asked for, or where the hardware has instructions for it."""
    if settings.precision != "auto":
        return settings.precision == "bfloat16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    able: Callable[[], dict[str, Any]] = getattr(torch.cpu, "get_capabilities", dict)
    return any(able().get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
