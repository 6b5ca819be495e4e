"""Models that cannot be found: the error says why."""

from __future__ import annotations

import pytest
from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled

from backends.models.find import explain_hub, fetch_from_hub
from backends.models.hub_model import download
from society.core.errors import InputError


@pytest.mark.parametrize("cls", [LocalEntryNotFoundError, OfflineModeIsEnabled])
def test_the_variable_that_keeps_the_hub_away_is_named(monkeypatch: pytest.MonkeyPatch, cls: type[Exception]) -> None:
    error = cls("no file")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert explain_hub(error) == "HF_HUB_OFFLINE is set"
    monkeypatch.delenv("HF_HUB_OFFLINE")
    assert "HF_HUB_OFFLINE" not in explain_hub(error)


@pytest.mark.parametrize("get", [download, fetch_from_hub], ids=["a folder", "a GGUF file"])
def test_a_model_that_is_missing_offline_names_the_variable(monkeypatch: pytest.MonkeyPatch, get: object) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="HF_HUB_OFFLINE is set"):
        get("a/missing" if get is download else "a/missing:m.gguf")  # type: ignore[operator]
