"""Seeds and keys. They derive from the identity of a turn and from what shapes its text, never from time or order."""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields
from operator import attrgetter

from society.core.types import GenerateRequest, Sampling, Thinking, TurnId

_encode = json.JSONEncoder(separators=(",", ":")).encode  # created once: `json.dumps` creates an encoder in every call
_encode_unicode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


def derive_seed(*identity: object) -> int:
    """Return a seed in [0, 2**31) that depends only on these values."""
    text = _encode(identity)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "big") >> 1


def derive_decision_seed(seed: int, iteration: int, item: str, phase: str, sample: int) -> int:
    """Return the seed with which the decision of a debate draws among tied answers. `phase`: the last one declared."""
    return derive_seed(seed, iteration, item, phase, 0, "decision", sample)


def turn_seed(seed: int, turn: TurnId) -> int:
    """Return the seed of one turn of a scenario with this seed."""
    return derive_seed(seed, turn.iteration, turn.item, turn.phase, turn.round, turn.agent, turn.sample)


def request_key(request: GenerateRequest, model_hash: str) -> str:
    """Return 32 hexadecimal digits over all that shapes a reply.

    These are messages, sampling, seed, choices, model, adapter, and thinking with the template's arguments. The last
    two are left out while a scenario does not set them, so that earlier keys remain valid. Options are left out, as the
    prompt has them.
    """
    parts: tuple[object, ...] = (
        [(m.role, m.content) for m in request.messages],
        _sampling_parts(request.sampling),
        request.seed,
        request.adapter,
        request.choices,
        model_hash,
    )
    if request.thinking != Thinking() or request.template_args:
        parts = (*parts, _thinking_parts(request.thinking), request.template_args)
    if request.tools:
        calls = [message.calls for message in request.messages]
        parts = (*parts, [(tool.name, tool.description, tool.takes) for tool in request.tools], calls)
    text = _encode_unicode(parts)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


_sampling_parts = attrgetter(*(field.name for field in fields(Sampling)))
"""Gets the value of every sampling option. A new field of `Sampling` is thus part of the key."""
_thinking_parts = attrgetter(*(field.name for field in fields(Thinking)))
"""Gets the value of every option of thinking."""


def text_key(text: str) -> bytes:
    """Return 16 bytes that identify a text by its contents."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def fingerprint(data: object) -> str:
    """Return 32 hexadecimal digits that identify JSON data. The order of keys does not matter."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
