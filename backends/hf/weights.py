"""One base model in memory: LoRA adapters side by side on it, or full weights in its place."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from backends.hf.adapters import check_adapter, check_full, is_lora
from backends.hf.attach import add_layers, check_own, explained, fill_layers, find_adapted, has_own, read_matrices
from backends.hf.casting import Buffers, Precision
from backends.hf.host import HostWeights, default_budget
from backends.hf.loading import load_model, read_names, read_tensors
from backends.hf.mixing import Stack, can_stack, find_sizes
from backends.hf.writing import can_write, write_weights
from backends.models.lora_config import check_patterns, make_config, read_config
from backends.models.peft_folder import check_fit
from society.core.errors import BackendError
from society.core.types import Adapter

if TYPE_CHECKING:
    from collections.abc import Iterator

# peft asks transformers for a property by its old name: nothing that a user could change.
warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)

STACK_RANKS = 256
"""Maximum sum of the ranks of a stack that keeps adapters which the present batch does not use."""
UNKNOWN, TRAINED = "?", "in training"
"""Names of weights that are neither the base nor an adapter: half changed, and not hashed yet."""
BASE = "__base__"  # PEFT's name for rows of a mixed batch that use no adapter


class Weights:
    """The model and everything that can be put on it. Used by one thread at a time.

    `model` is the transformers model; `peft` wraps it as long as there are LoRA adapters. On the meta device, it has no
    weights: only other processes can train it.
    """

    def __init__(
        self, model: Any, folder: Path, model_hash: str, budget: int | None = None, device: str | None = None
    ) -> None:
        """`budget` is the maximum of bytes in host memory for full weights that are not in use.

        `device` is where a model without weights is trained; by default the model's own.
        """
        self.model, self.folder, self.hash = model, folder, model_hash
        self._device = device
        self.host = HostWeights(default_budget() if budget is None else budget)
        self.peft: Any = None
        self.stack: Stack | None = None
        """The LoRA adapters of the last batch that had any."""
        self.lora: dict[str, Path] = {}
        """All that can be asked for; those that are on the model, `peft` knows."""
        self.alone: set[str] = set()
        """Those of `lora` that are more than sums of products: they share no batch with others."""
        self.full: dict[str, Path] = {}
        self.here: str | None = None
        """The full weights in memory, None the base."""
        self._sizes = find_sizes(model)
        self._inputs = frozenset(signature(model.forward).parameters)

    @property
    def device(self) -> torch.device:
        """Device of the model, or of its training."""
        return torch.device(self._device or self.model.device)

    def add(self, adapter: Adapter) -> None:
        """Make an adapter usable under its hash. Raises `BackendError` for one that cannot be used, or does not fit."""
        name = adapter.hash
        if name in self.lora or name in self.full:
            return
        folder = self.check(adapter)
        if not is_lora(folder):
            self.full[name] = folder
            return
        self.attach(folder, name)
        self.lora[name] = folder
        if not can_stack(self.peft, [name]) or any(".experts." in layer for layer in find_adapted(self.peft, name)):
            self.alone.add(name)

    def check(self, adapter: Adapter) -> Path:
        """Return the folder of an adapter, after reading its configuration and the shapes of its tensors."""
        folder = check_adapter(adapter, self.hash)
        if is_lora(folder):
            check_fit(folder, self._sizes, {name: tuple(tensor.shape) for name, tensor in self._own().items()})
            if has_own(folder):
                self.switch(None)
                check_own(folder, self._own())
        else:
            check_full(folder, self.folder)
        return folder

    def _own(self) -> dict[str, torch.Tensor]:
        """Return the base's weights and stored buffers by the names they have without PEFT."""
        state = self.model.state_dict(keep_vars=True)
        return {name.replace(".base_layer", ""): tensor for name, tensor in state.items() if ".lora_" not in name}

    def _each(self) -> dict[str, torch.Tensor]:
        """Return the base's weights and stored buffers, of those that are tied one."""
        own = self._own()
        last = {id(tensor): name for name, tensor in own.items()}
        return {name: own[name] for name in last.values()}

    def attach(self, folder: Path, name: str, trainable: bool = False, **changes: Any) -> None:
        """Put the LoRA adapter of a PEFT folder beside the base weights, with these changes of its configuration."""
        matrices = read_matrices(folder, self._sizes)
        given = read_config(folder)
        check_patterns(given, [layer for layer, _ in self.model.named_modules()])
        config = make_config(given, inference_mode=not trainable, **changes)
        self._unstack()  # it knows the layers that have had adapters until now
        try:
            with explained(folder, name):
                self.peft = add_layers(self.peft, self.model, config, name)
                fill_layers(self.peft, name, matrices, folder)
        except BackendError:
            self.strip()
            raise
        self.peft.eval()

    def group(self, name: str | None) -> str | None:
        """Return the group of an adapter: rows of one group can share a batch."""
        if name in self.full or name in self.alone:
            return name
        if name is None or name in self.lora:
            return None
        raise BackendError(f"The adapter {name[:12]} is not loaded.", "Load it before asking for it.")

    def forward(self, names: Sequence[str | None], **inputs: Any) -> Any:
        """Return the model's output for a batch whose row i uses the adapter `names[i]`. All are of one group."""
        self.prepare(names)
        if self.peft is None:
            return self._call(self.model, **inputs)
        adapters = [name if name in self.lora else BASE for name in names]
        stack = self._stacked(sorted(set(adapters) - {BASE}))
        if stack is not None:
            with stack.on(adapters, inputs["input_ids"].shape[1]):
                return self._call(self.model, **inputs)
        if len(set(adapters)) > 1:
            return self._call(self.peft, adapter_names=adapters, **inputs)
        if self.peft.active_adapter != adapters[0]:
            self.peft.set_adapter(adapters[0], inference_mode=True)
        return self._call(self.peft, **inputs)

    def prepare_stack(self, names: Sequence[str | None]) -> Stack | None:
        """Put these adapters, all of one group, on the model in one stack and return it; None for the base alone.

        Raises `BackendError` where an adapter cannot be stacked.
        """
        self.prepare(names)
        wanted = sorted({name for name in names if name in self.lora})
        stack = None if self.peft is None else self._stacked(wanted, keep=True)
        if not wanted:
            return None
        if stack is None:
            raise BackendError("An adapter of this batch is not a sum of products.", "Set decoding: dynamic.")
        return stack

    def _call(self, model: Any, **inputs: Any) -> Any:
        """Return the output of the model, or of PEFT's wrapper. Recurrent models have another name for their cache, and
        no positions."""
        if "cache_params" in self._inputs and "past_key_values" in inputs:
            inputs["cache_params"] = inputs.pop("past_key_values")
        if "position_ids" not in self._inputs:
            inputs.pop("position_ids", None)
        return model(**inputs)

    def forward_packed(self, stack: Stack | None, masks: Sequence[torch.Tensor], **inputs: Any) -> Any:
        """Return the model's output for a batch of one row that holds the tokens of many sequences.

        Of `stack`, as `prepare_stack` returned it, each token has the columns that `masks` select (see `Stack`).
        """
        columns = inputs["input_ids"].shape[1]
        with nullcontext() if stack is None else stack.masked(masks[0], columns, *masks[1:]):
            return self.model(**inputs)

    def prepare(self, names: Sequence[str | None]) -> None:
        """Put in place what a batch with these adapters needs. Raises `BackendError` for one that is not loaded."""
        group = self.group(names[0])
        self.switch(group if group in self.full else None)
        for name in sorted({name for name in names if name in self.lora}):
            if self.peft is None or name not in self.peft.peft_config:
                self.attach(self.lora[name], name)

    @property
    def adapts_head(self) -> bool:
        """Return whether any adapter in place is on the output layer: PEFT then wants every row of a batch there."""
        return hasattr(self.model.get_output_embeddings(), "lora_A")

    def _stacked(self, names: Sequence[str], keep: bool = False) -> Stack | None:
        """Return a stack with these adapters, or None where they cannot be stacked.

        The last stack is returned if it has them all. Otherwise a new one is made. With `keep`, it has the adapters of
        the last one as well, and its layers share products. Only static decoding, which records a graph for each stack,
        does so: the last digits of a result then depend on earlier batches.
        """
        if self.stack is None or not self.stack.ranks.keys() >= set(names):
            former = self.stack.ranks if self.stack and keep else {}
            wanted = sorted({*names, *former})
            if sum(self.peft.peft_config[name].r for name in wanted) > STACK_RANKS:
                wanted = list(names)
            self._unstack()
            self.stack = Stack(self.peft, wanted, shared=keep) if can_stack(self.peft, wanted) else None
        return self.stack

    def _unstack(self) -> None:
        if self.stack is not None:
            self.stack.remove()
        self.stack = None

    def switch(self, name: str | None) -> None:
        """Put full weights, or with None the base, in place: from the host's memory, or else from disk."""
        if name == self.here:
            return
        if self.here != UNKNOWN:
            self.host.keep(self.here, self._each())
        self.here = UNKNOWN
        if not self.host.restore(name, self._each()):
            self._read(self.folder if name is None else self.full[name])
        self.here = name

    def save(self, folder: Path) -> dict[str, str]:
        """Write the weights in place as a model folder; return the SHA-256 (hex) of those files that were hashed."""
        own, names = self._own(), read_names(self.folder)
        if not self._has(names, own) or not can_write(own):
            self.model.save_pretrained(folder)
            return {}
        each = self._each()
        self.host.sets.pop(TRAINED, None)
        copies = self.host.keep(TRAINED, each) or each
        places = {id(tensor): copies[name] for name, tensor in each.items()}
        digests = write_weights({name: places[id(own[name])] for name in names}, folder)
        self.model.config.architectures = [type(self.model).__name__]
        for config in (self.model.config, self.model.generation_config):
            config.save_pretrained(folder)
        return digests

    def add_trained(self, name: str, folder: Path) -> None:
        """Make full weights usable that `save` has written and hashed just now."""
        self.full[name] = folder
        self.host.rename(TRAINED, name)

    @staticmethod
    def _has(names: set[str], own: Mapping[str, torch.Tensor]) -> bool:
        """Return whether files with tensors of these names hold all weights of the model as they are."""
        return names <= own.keys() and {id(own[name]) for name in names} == {id(tensor) for tensor in own.values()}

    def _read(self, folder: Path) -> None:
        """Copy the weights of a folder into the model's own, whose names PEFT may have lengthened."""
        own = self._own()
        names = read_names(folder)
        with torch.no_grad():
            if self._has(names, own):
                misfit = _copy_all(read_tensors(folder), own)
            else:  # transformers stores these weights under other names, or in other parts
                misfit = _copy_all(load_model(folder, self.model.dtype, "cpu").state_dict().items(), own)
        if misfit:
            raise BackendError(
                f"The weights in {folder} do not fit this model: {misfit}.",
                "Open the model that they were trained from.",
            )

    @contextmanager
    def bare(self) -> Iterator[Any]:
        """Yield the model without LoRA layers, so that its own weights can be trained.

        Afterwards the base's weights, all buffers and each parameter's dtype are what they were.
        """
        self.strip()
        self.switch(None)
        self.host.keep(None, self._each())
        self.host.reserve(self._each())
        precision, buffers = Precision.of(self.model), Buffers(self.model)
        try:
            yield self.model
        finally:
            precision.restore()
            buffers.restore()
            self.model.eval().requires_grad_(False)
            self.here = UNKNOWN
            self.switch(None)

    def strip(self) -> None:
        """Take all LoRA adapters off the model; a batch that needs one puts it back."""
        self._unstack()
        if self.peft is not None:
            self.model, self.peft = self.peft.unload(), None


def _copy_all(tensors: Iterable[tuple[str, torch.Tensor]], own: Mapping[str, torch.Tensor]) -> str:
    """Copy tensors into those of the same names; return the name of the first that does not fit, or ""."""
    for name, tensor in tensors:
        if name not in own or own[name].shape != tensor.shape:
            return name
        own[name].copy_(tensor)
    return ""
