"""The seam between a run and where its models are.

ExecutorConfig   the scenario's `executor:` entry
Executor         opened: gives backends, says how much may go on side by side
Needs            what a run will ask of it
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import ClassVar, Self

from backends.base import Backend, BackendConfig
from backends.training import Parallel
from society.core.component import Component


@dataclass(frozen=True, slots=True)
class Needs:
    """What a run uses: its backends by name, those that it trains, and over how many processes."""

    backends: Mapping[str, BackendConfig]
    trains: bool = False
    parallel: Parallel | None = None


class Executor(ABC):
    """An opened executor."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return None

    @abstractmethod
    def check(self, needs: Needs) -> None:
        """Raise `InputError` when there is not what a run needs; asked before anything loads."""

    @abstractmethod
    def backend(self, name: str, config: BackendConfig) -> Backend:
        """The scenario's backend of that name, not yet loaded."""

    def count_runs(self, needs: Needs) -> int:
        """How many runs of a sweep may go side by side."""
        return 1


class ExecutorConfig(Component, ABC):
    """The `executor:` entry of a scenario. It decides where and how fast, never what is said."""

    shares_runs: ClassVar[bool] = False
    """Whether the runs of a sweep may go side by side, on the same weights."""

    @property
    def side_by_side(self) -> int:
        """Most finetunings at the same time."""
        return 1

    @abstractmethod
    def open(self) -> Executor:
        """The executor, not yet connected to anything."""
