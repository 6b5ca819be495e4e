"""Fixtures that all tests of the hf backend share."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest


@pytest.fixture(scope="module", autouse=True)
def threads() -> Iterator[None]:
    """Let torch use one thread: on tiny matrices more threads only wait for each other."""
    if find_spec("torch") is None:
        yield
        return
    from tests.backends.hf.tiny import one_thread

    with one_thread():
        yield


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a tiny model."""
    from tests.backends.hf.tiny import make_model

    return make_model(tmp_path_factory.mktemp("tiny") / "model")
