"""The seam between a run and the place where its models run.

ExecutorConfig   the scenario's `executor:` entry
Executor         an opened executor, which returns backends and limits concurrency
Needs            the backends and processes that a run uses
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import ClassVar, Self

from backends.base import Backend, BackendConfig
from backends.training import Parallel, TrainSettings
from society.core.component import Component


@dataclass(frozen=True, slots=True)
class Needs:
    """The needs of a run: its backends by name, whether it trains, and the processes of one training."""

    backends: Mapping[str, BackendConfig]
    trains: bool = False
    parallel: Parallel | None = None
    settings: Mapping[str, TrainSettings] = field(default_factory=dict)
    """Settings of the trainings, by the name of each backend that trains."""


class Executor(ABC):
    """An executor that is ready to open backends."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return None

    @abstractmethod
    def check(self, needs: Needs) -> None:
        """Raise `InputError` if the run's needs cannot be met. Called before anything loads."""

    @abstractmethod
    def backend(self, name: str, config: BackendConfig) -> Backend:
        """Return the scenario's backend of this name, not loaded yet."""

    def count_runs(self, needs: Needs) -> int:
        """Return the maximum number of concurrent runs of a sweep."""
        return 1


class ExecutorConfig(Component, ABC):
    """The `executor:` entry of a scenario. It affects place and speed, never the replies."""

    shares_runs: ClassVar[bool] = False
    """Whether runs of a sweep may run concurrently on the same weights."""

    @property
    def side_by_side(self) -> int:
        """Return the maximum number of concurrent finetunings."""
        return 1

    @abstractmethod
    def open(self) -> Executor:
        """Return the executor, not connected yet."""
