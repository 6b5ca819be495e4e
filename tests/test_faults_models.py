"""SIGKILL while a society is finetuned, and while a real model speaks: a sample of what `make torture` does."""

from __future__ import annotations

import pytest

from tests.test_faults import needs_preload
from tests.torture import kill


@needs_preload
def test_killed_in_a_finetuning_and_resumed_equals_uninterrupted() -> None:
    """The same turns, results, adapters by hash and origins of training rows; no half-written adapter on the way."""
    assert kill("training", 2, 0, print)["kills"] == 2


@needs_preload
@pytest.mark.model
def test_killed_on_a_real_model_and_resumed_equals_uninterrupted() -> None:
    """llama.cpp in its reproducible mode: the same texts and answers."""
    assert kill("llama", 2, 0, print)["kills"] == 2
