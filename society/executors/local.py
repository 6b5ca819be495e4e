"""Everything in this process, one finetuning after another."""

from __future__ import annotations

from typing import Literal

from backends.base import Backend, BackendConfig
from society.executors.base import Executor, ExecutorConfig, Needs


class Local(ExecutorConfig):
    """Models run in this process, on this machine."""

    kind: Literal["local"] = "local"

    def open(self) -> LocalExecutor:
        """The executor; there is nothing to connect to."""
        return LocalExecutor()


class LocalExecutor(Executor):
    """Opens backends as they are."""

    def check(self, needs: Needs) -> None:
        """Raise `InputError` when a training over several processes lacks GPUs."""
        if needs.trains and needs.parallel is not None:
            for config in needs.backends.values():
                if "trainer" in config.abilities:
                    config.check_devices(needs.parallel)

    def backend(self, name: str, config: BackendConfig) -> Backend:
        """The backend itself."""
        return config.open()
