"""Metrics of a run while it goes on, logged to TensorBoard, MLflow, trackio or Weights & Biases.

Tracker        the interface of a service: it logs numbers by name at a step
open_tracker   "tensorboard:DIR", "mlflow:URI", "trackio:PROJECT" or "wandb:PROJECT" -> a Tracker
Tracking       a watcher that logs to a tracker
open_tracking  any of these, or "otel:URL" -> the watcher
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from society.core.errors import InputError, MissingExtraError
from society.core.pip_command import pip
from society.core.types import Item, Turn, Usage
from society.watcher import Watcher

if TYPE_CHECKING:
    from society.scenario.expand import Society
    from society.simulation.simulate import DebateResult


class Tracker(Protocol):
    """A service that stores numbers by name and step."""

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Log these numbers at this step. Steps increase."""

    def close(self) -> None:
        """Write buffered numbers and close. It is called once."""


class Tracking(Watcher):
    """A watcher that logs metrics after every debate and every optimizer step. Each of these is one step.

    evaluation/accuracy and training/accuracy: share of right debates in this iteration so far, among those with a true
    answer; missing without any. evaluation/undecided
    and training/undecided: debates without a decision. turns, failed, tokens/generated and tokens/prompt: totals of
    the run so far, stored turns included. loss/LEARNER/AGENT: loss of an optimizer step.
    """

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker
        self._split, self._iteration = "evaluation", 0
        self._right = self._undecided = self._scored = self._turns = self._failed = self._step = 0
        self._usage = Usage()

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._tracker.close()

    def started(self, society: Society, items: Sequence[Item], folder: Path, iteration: int, split: str) -> None:
        self._split, self._iteration = split, iteration
        self._right = self._undecided = self._scored = 0

    def turn(self, turn: Turn, replayed: bool) -> None:
        self._turns += 1
        self._failed += turn.status == "failed"
        self._usage += turn.usage

    def result(self, result: DebateResult) -> None:
        self._scored += result.scored and result.decision.single
        self._right += result.correct
        self._undecided += result.decision.answer is None and result.decision.single
        accuracy = {f"{self._split}/accuracy": self._right / self._scored} if self._scored else {}
        self._log(
            accuracy
            | {
                "iteration": self._iteration,
                f"{self._split}/undecided": self._undecided,
                "turns": self._turns,
                "failed": self._failed,
                "tokens/generated": self._usage.generated_tokens,
                "tokens/thought": self._usage.thought_tokens,
                "tokens/prompt": self._usage.prompt_tokens,
            }
        )

    def training(self, learner: str, agent: str, step: int, steps: int, loss: float) -> None:
        self._log({f"loss/{learner}/{agent}": loss})

    def _log(self, values: Mapping[str, float]) -> None:
        self._step += 1
        self._tracker.log(values, self._step)


def open_tracking(where: str, name: str) -> Watcher:
    """Return the watcher that sends a run of this name where `where` says: to a tracker, or to OpenTelemetry."""
    service, _, target = where.partition(":")
    if service == "otel" and target:
        from society.runner.telemetry import open_telemetry

        return open_telemetry(target, name)
    return Tracking(open_tracker(where, name))


def open_tracker(where: str, name: str) -> Tracker:
    """Return the tracker that `where` names, such as "tensorboard:DIR", for a run of this name.

    Raises `InputError` if it names none, `MissingExtraError` if its library is not installed.
    """
    service, _, target = where.partition(":")
    if service not in SERVICES or not target:
        raise InputError(
            f"{where!r} does not name a tracking service.",
            "Give tensorboard:DIR, mlflow:URI, trackio:PROJECT, wandb:PROJECT, otel:URL or otel:env.",
        )
    try:
        return SERVICES[service](target, name)
    except ImportError as error:
        if service == "tensorboard":
            raise MissingExtraError("--track tensorboard", service, "track") from error
        raise InputError(
            f"--track {service} needs {service}, which is not installed.", pip(f"install {service}")
        ) from error


class _TensorBoard:
    """Event files of TensorBoard in a folder, written by tensorboard alone, without torch or TensorFlow."""

    def __init__(self, folder: str, name: str) -> None:
        from tensorboard.summary import Writer

        self._writer = Writer(str(Path(folder) / name))

    def log(self, values: Mapping[str, float], step: int) -> None:
        for tag, value in values.items():
            self._writer.add_scalar(tag, value, step)

    def close(self) -> None:
        self._writer.close()


class _MLflow:
    """A run on an MLflow tracking server or in its local store."""

    def __init__(self, uri: str, name: str) -> None:
        import mlflow

        self._mlflow: Any = mlflow
        mlflow.set_tracking_uri(uri)
        mlflow.start_run(run_name=name)

    def log(self, values: Mapping[str, float], step: int) -> None:
        self._mlflow.log_metrics(dict(values), step=step)

    def close(self) -> None:
        self._mlflow.end_run()


class _Logged:
    """A run of trackio or Weights & Biases, which have the same functions."""

    def __init__(self, library: str, project: str, name: str) -> None:
        from importlib import import_module

        self._library: Any = import_module(library)
        self._library.init(project=project, name=name)

    def log(self, values: Mapping[str, float], step: int) -> None:
        self._library.log(dict(values), step=step)

    def close(self) -> None:
        self._library.finish()


SERVICES: Mapping[str, Callable[[str, str], Tracker]] = {
    "tensorboard": _TensorBoard,
    "mlflow": _MLflow,
    "trackio": lambda project, name: _Logged("trackio", project, name),
    "wandb": lambda project, name: _Logged("wandb", project, name),
}
"""Function of each service that opens it for a target and the name of a run."""
