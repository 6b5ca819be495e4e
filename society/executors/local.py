"""Models in this process, and one finetuning at a time."""

from __future__ import annotations

from typing import Literal

from backends.base import Backend, BackendConfig
from society.components.faults import faults_of
from society.executors.base import Executor, ExecutorConfig, Needs


class Local(ExecutorConfig):
    """Models run in this process, on this machine."""

    kind: Literal["local"] = "local"

    def open(self) -> LocalExecutor:
        """Return the executor, which connects to nothing."""
        return LocalExecutor()


class LocalExecutor(Executor):
    """Opens backends in this process."""

    def check(self, needs: Needs) -> None:
        """Raise `InputError` if this machine lacks the devices or libraries of a training."""
        for name, settings in needs.settings.items():
            with faults_of(needs.backends[name], "check_training_here", f"of the backend {name!r}"):
                needs.backends[name].check_training_here(settings)
        if needs.trains and needs.parallel is not None:
            for config in needs.backends.values():
                if "trainer" in config.abilities:
                    config.check_devices(needs.parallel)

    def backend(self, name: str, config: BackendConfig) -> Backend:
        """Return the backend itself."""
        return config.open()
