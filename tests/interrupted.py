"""Runs that stop in the middle and are resumed."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import pytest

from backends.scripted.backend import ScriptedBackend
from society.core.errors import InputError
from society.core.types import GenerateOutput, GenerateRequest
from society.session import run


def run_interrupted(made: dict[str, Any], folder: Path, replies: int) -> None:
    """Run a scripted scenario that stops with an error after this number of replies, then resume it to its end."""
    left = count(replies, -1)
    generate = ScriptedBackend.generate

    async def limited(self: ScriptedBackend, request: GenerateRequest) -> GenerateOutput:
        if next(left) <= 0:
            raise InputError("The test stops here.", "Resume.")
        return await generate(self, request)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScriptedBackend, "generate", limited)
        with pytest.raises(InputError, match="The test stops here"):
            run(made, folder, progress=False)
    run(made, folder, resume=True, progress=False)
