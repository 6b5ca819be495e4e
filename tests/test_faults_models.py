"""SIGKILL, power cuts and full disks while a society is finetuned, and SIGKILL while a real model speaks: a sample of
what `make torture` does."""

from __future__ import annotations

import pytest

from tests.test_faults import needs_preload
from tests.torture import cut, fill, kill


@needs_preload
def test_killed_in_a_finetuning_and_resumed_equals_uninterrupted() -> None:
    """The same turns, results, adapters by hash and origins of training rows; no half-written adapter on the way."""
    assert kill("training", 2, 0, print)["kills"] == 2


@needs_preload
def test_a_power_cut_in_a_finetuning_leaves_every_adapter_that_the_store_knows() -> None:
    """Whole, with the weights that the store says, however little of what was not synced has reached the disk."""
    assert cut("training", 12, 0, print)["finished"] == 2


@needs_preload
def test_a_disk_that_is_full_in_a_finetuning_is_told_and_loses_nothing() -> None:
    assert fill("training", 3, 0, print)["full disks"] == 3


@needs_preload
@pytest.mark.model
def test_killed_on_a_real_model_and_resumed_equals_uninterrupted() -> None:
    """llama.cpp in its reproducible mode: the same texts and answers."""
    assert kill("llama", 2, 0, print)["kills"] == 2
