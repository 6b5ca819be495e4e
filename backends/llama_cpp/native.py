"""The only file that calls llama.cpp: the loaded model, its vocabulary, and a context with its sequences.

All functions are thin, checked calls. A `Context` belongs to one thread; all threads may read a `Vocabulary`.
"""

from __future__ import annotations

import ctypes
import logging
import os
import time
from collections.abc import Mapping, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backends.llama_cpp.config import missing_library
from backends.llama_cpp.probe import check_loads
from backends.llama_cpp.sizes import LARGEST_BATCH, most_logits
from backends.llama_cpp.threads import ThreadTuner
from society.core.errors import BackendError, InputError

Tokens = NDArray[np.int32]
Logits = NDArray[np.float32]
log = logging.getLogger("llama.cpp")

_BOS = b"tokenizer.ggml.bos_token_id"
_FILE_TYPES = {"q8_0": 7, "bf16": 32}  # LLAMA_FTYPE_MOSTLY_...


@cache
def library() -> Any:
    """Return the initialized llama.cpp bindings. Their log goes to `logging` at level DEBUG."""
    # By default, waiting threads spin. On a busy machine they would take time from the threads that work.
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    try:
        import llama_cpp
    except ImportError:
        raise missing_library() from None
    llama_cpp.llama_log_set(_log_callback(llama_cpp), None)
    llama_cpp.llama_backend_init()
    return llama_cpp


@cache  # the callback must live as long as the library
def _log_callback(lib: Any) -> Any:
    @lib.llama_log_callback  # type: ignore[untyped-decorator]
    def write(level: int, text: bytes, data: object) -> None:
        log.debug("%s", text.decode(errors="replace").rstrip())

    return write


def requantize(source: Path, target: Path, kind: str, threads: int) -> bool:
    """Convert the model `source` to weights of this kind in `target`. Return whether it succeeded."""
    check_loads(source)
    lib = library()
    options = lib.llama_model_quantize_default_params()
    options.ftype, options.allow_requantize, options.nthread = _FILE_TYPES[kind], True, threads
    return bool(lib.llama_model_quantize(bytes(source), bytes(target), ctypes.byref(options)) == 0)


class Vocabulary:
    """The model's vocabulary: text to tokens and back."""

    def __init__(self, lib: Any, model: Any) -> None:
        self._lib = lib
        self._vocab = lib.llama_model_get_vocab(model)
        self.size: int = lib.llama_vocab_n_tokens(self._vocab)
        # Where the header names none, llama.cpp takes the comma of byte-level vocabularies.
        named = lib.llama_vocab_type(self._vocab) != lib.LLAMA_VOCAB_TYPE_BPE or _has_entry(lib, model, _BOS)
        self.bos: int = lib.llama_vocab_bos(self._vocab) if named else -1
        self.eos: int = lib.llama_vocab_eos(self._vocab)
        others = {
            "pad_token": lib.llama_vocab_pad,
            "sep_token": lib.llama_vocab_sep,
            "mask_token": lib.llama_vocab_mask,
        }
        self.special: Mapping[str, int] = {
            name: token for name, get in others.items() if (token := get(self._vocab)) >= 0
        }
        self.adds_bos: bool = self.bos >= 0 and lib.llama_vocab_get_add_bos(self._vocab)
        self.ends = frozenset(t for t in range(self.size) if lib.llama_vocab_is_eog(self._vocab, t))
        self.controls = tuple(t for t in range(self.size) if lib.llama_vocab_is_control(self._vocab, t))
        # llama.cpp recognizes these in every text, also where control tokens are to be plain text.
        attributes = {t: lib.llama_vocab_get_attr(self._vocab, t) for t in range(self.size)}
        self.user_defined = tuple(t for t, value in attributes.items() if value & lib.LLAMA_TOKEN_ATTR_USER_DEFINED)
        self._pieces: dict[int, bytes] = {}

    def tokenize(self, text: str, special: bool) -> list[int]:
        """Return the tokens of `text`, with nothing added.

        With `special`, names of control tokens become the tokens.
        """
        raw = text.encode(errors="replace")
        room = len(raw) + 16
        for _ in range(2):
            tokens = (ctypes.c_int32 * room)()
            count = self._lib.llama_tokenize(self._vocab, raw, len(raw), tokens, room, False, special)
            if count >= 0:
                return list(tokens[:count])
            room = -count
        raise BackendError("llama.cpp could not tokenize a prompt.")

    def piece(self, token: int) -> bytes:
        """Return the bytes of `token`; none for control tokens."""
        if token not in self._pieces:
            self._pieces[token] = self._render(token, special=False)
        return self._pieces[token]

    def name(self, token: int) -> str:
        """Return the text of `token`, also of a control token; "" if there is no such token."""
        return self._render(token, special=True).decode(errors="replace") if token >= 0 else ""

    def text(self, tokens: Sequence[int], names: bool = False) -> str:
        """Return the text of tokens, with or without the names of control tokens."""
        pieces = (self._render(token, special=True) if names else self.piece(token) for token in tokens)
        return b"".join(pieces).decode(errors="replace")

    @cached_property
    def speakable(self) -> Tokens:
        """The tokens that do not end a turn, in ascending order."""
        return np.setdiff1d(np.arange(self.size, dtype=np.int32), list(self.ends))

    def _render(self, token: int, special: bool) -> bytes:
        room = ctypes.create_string_buffer(256)
        length = self._lib.llama_token_to_piece(self._vocab, token, room, len(room), 0, special)
        return room.raw[: max(length, 0)]


def _has_entry(lib: Any, model: Any, key: bytes) -> bool:
    """Return whether the model's header has this entry."""
    return bool(lib.llama_model_meta_val_str(model, key, None, 0) >= 0)


class Model:
    """The weights in memory, with the adapters loaded on them."""

    def __init__(self, path: Path, gpu_layers: int, vocabulary_only: bool = False) -> None:
        """Raise `InputError` if llama.cpp crashes on the file, `BackendError` if it refuses the file."""
        self.lib = library()
        check_loads(path)
        options = self.lib.llama_model_default_params()
        options.n_gpu_layers, options.vocab_only = gpu_layers, vocabulary_only
        # llama.cpp's products on AMX tiles crash where the compiler drops their configuration (its issue 20824).
        options.use_extra_bufts &= b"AMX_INT8 = 1" not in self.lib.llama_print_system_info()
        self.pointer = self.lib.llama_model_load_from_file(bytes(path), options)
        if not self.pointer:
            raise BackendError(f"llama.cpp cannot load {path}.", "It may be of an architecture newer than the library.")
        self.vocabulary = Vocabulary(self.lib, self.pointer)
        self.is_recurrent: bool = self.lib.llama_model_is_recurrent(self.pointer)
        """Whether the memory of a sequence is a state that grows with no token, so that no token can be removed."""
        self.is_recurrent |= self.lib.llama_model_is_hybrid(self.pointer)
        self.window: int = self.lib.llama_model_n_swa(self.pointer)
        """Tokens that layers with sliding attention see; 0 without such layers."""

    def load_adapter(self, path: Path) -> Any:
        """Return the LoRA adapter in the GGUF file `path`. It lives as long as the model."""
        adapter = self.lib.llama_adapter_lora_init(self.pointer, bytes(path))
        if not adapter:
            raise InputError(f"The adapter {path} does not fit this model.", "Train it on this model, or on its base.")
        if self.lib.llama_adapter_get_alora_n_invocation_tokens(adapter):
            raise InputError(f"{path} is an activated LoRA, which would always be active here.", "Train a plain LoRA.")
        return adapter

    def close(self) -> None:
        """Free the weights and the adapters."""
        if self.pointer:
            self.lib.llama_model_free(self.pointer)
            self.pointer = None


class Context:
    """The KV cache of `slots` sequences of at least `length` tokens each, and the computation on it.

    Every slot has a memory stream of its own: attention over one slot never reads another slot's cells.
    """

    def __init__(self, model: Model, slots: int, length: int, tuner: ThreadTuner, on_gpu: bool) -> None:
        self.lib = lib = model.lib
        self._vocabulary_size = model.vocabulary.size
        self._window = model.window
        self._batch = _Batch(lib, max(LARGEST_BATCH, slots))
        options = lib.llama_context_default_params()
        options.n_ctx, options.n_seq_max, options.kv_unified = slots * length, slots, False
        options.n_batch = options.n_ubatch = self._batch.room
        options.n_outputs_max = most_logits(slots)
        options.n_threads = options.n_threads_batch = tuner.threads
        self._tuner, self._threads = tuner, tuner.threads
        options.offload_kqv = options.op_offload = on_gpu
        self.pointer = lib.llama_init_from_model(model.pointer, options)
        if not self.pointer:
            raise BackendError(
                f"There is not enough memory for {slots} slots of {length} tokens.", "Lower slots or context."
            )
        self._memory = lib.llama_get_memory(self.pointer)
        self._adapter: Any = None

    def use(self, adapter: Any) -> None:
        """Switch to this adapter, or to the bare base with None."""
        if adapter is self._adapter:
            return
        lib = self.lib
        array = (lib.llama_adapter_lora_p_ctypes * 1)(adapter) if adapter else None
        scales = (ctypes.c_float * 1)(1.0) if adapter else None
        if lib.llama_set_adapters_lora(self.pointer, array, 1 if adapter else 0, scales):
            raise BackendError("llama.cpp refused an adapter.")
        self._adapter = adapter

    def decode(self, tokens: Any, positions: Any, slots: Any, wanted: Any) -> Logits:
        """Compute `tokens` at `positions` of `slots` (arrays of the same length, slots ascending).

        Return the logits of the `wanted` rows [number wanted, vocabulary]. They are valid until the next call.
        """
        self._batch.fill(tokens, positions, slots, wanted)
        self._set_threads(self._tuner.threads)
        started = time.perf_counter()
        status = self.lib.llama_decode(self.pointer, self._batch.native)
        if status:
            raise BackendError(f"llama.cpp could not compute a batch (status {status}).")
        self._tuner.record(len(tokens), time.perf_counter() - started)
        shape = (int(np.count_nonzero(wanted)), self._vocabulary_size)
        if not shape[0]:
            return np.empty(shape, np.float32)
        return np.ctypeslib.as_array(self.lib.llama_get_logits(self.pointer), shape)

    def _set_threads(self, threads: int) -> None:
        if threads != self._threads:
            self.lib.llama_set_n_threads(self.pointer, threads, threads)
            self._threads = threads

    def cut(self, slot: int, length: int) -> bool:
        """Remove all but the first `length` tokens of `slot`. Return False if the model's memory cannot do that.

        What `save` returns has only the last tokens of layers with sliding attention. A memory that was restored from
        it can therefore not be cut to a length whose window begins before them.
        """
        if length and self._window:
            first = self.lib.llama_memory_seq_pos_min(self._memory, slot)
            if first > max(0, length - self._window + 1):
                return False
        return bool(self.lib.llama_memory_seq_rm(self._memory, slot, length, -1))

    def copy(self, source: int, target: int) -> None:
        """Replace the memory of the slot `target` by that of `source`, including what sliding attention has passed.

        llama.cpp makes the copy before the next batch. Until then, no slot may be saved or restored.
        """
        self.lib.llama_memory_seq_cp(self._memory, source, target, -1, -1)

    def save(self, slot: int) -> NDArray[np.uint8]:
        """Return a copy of the memory of `slot`."""
        state = np.empty(self.lib.llama_state_seq_get_size(self.pointer, slot), np.uint8)
        self.lib.llama_state_seq_get_data(self.pointer, _bytes(state), state.size, slot)
        return state

    def restore(self, slot: int, state: NDArray[np.uint8]) -> bool:
        """Replace the memory of `slot` by `state`. Return False if that fails; the slot is then empty."""
        done = bool(self.lib.llama_state_seq_set_data(self.pointer, _bytes(state), state.size, slot))
        return done or (self.cut(slot, 0) and False)

    def close(self) -> None:
        """Free the memory."""
        if self.pointer:
            self.lib.llama_free(self.pointer)
            self.pointer = None


def _bytes(array: NDArray[np.uint8]) -> Any:
    return array.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))


class _Batch:
    """A `llama_batch` over numpy arrays: one sequence id per token, at most `room` tokens."""

    def __init__(self, lib: Any, room: int) -> None:
        self.room = room
        self._tokens, self._positions, self._slots, self._ones = (np.ones(room, np.int32) for _ in range(4))
        self._wanted = np.zeros(room, np.int8)
        self._slot_pointers = (self._slots.ctypes.data + self._slots.itemsize * np.arange(room)).astype(np.uintp)
        int_pointer = ctypes.POINTER(ctypes.c_int32)
        self.native = lib.llama_batch(
            0,
            self._tokens.ctypes.data_as(int_pointer),
            None,
            self._positions.ctypes.data_as(int_pointer),
            self._ones.ctypes.data_as(int_pointer),
            self._slot_pointers.ctypes.data_as(ctypes.POINTER(int_pointer)),
            self._wanted.ctypes.data_as(ctypes.POINTER(ctypes.c_int8)),
        )

    def fill(self, tokens: Sequence[int] | Tokens, positions: Any, slots: Any, wanted: Any) -> None:
        """Fill the batch with one token per row."""
        count = len(tokens)
        self.native.n_tokens = count
        self._tokens[:count], self._positions[:count] = tokens, positions
        self._slots[:count], self._wanted[:count] = slots, wanted
