"""The scenario's settings for a Ray cluster, and the executor that uses the cluster.

Actors hold the weights and generate; each finetuning is a task. The engine and the store stay in this process, so the
death of a worker or a machine loses no finished turn.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from backends.base import Backend, BackendConfig
from society.components.plugin_files import is_from_file
from society.core.component import Component
from society.core.errors import FieldError, InputError, MissingExtraError
from society.executors.base import Executor, ExecutorConfig, Needs
from society.executors.cluster_connection import ClusterConnection

if TYPE_CHECKING:
    from society.executors.finetune import FinetuneJob, RemoteTrainer
    from society.executors.pool import Pool

CALLS = 64
"""Maximum number of concurrent calls to a replica. A call can carry many requests."""
Name = Annotated[str, Field(min_length=1)]


class Placement(Component):
    """Resources of each worker."""

    gpus: float = Field(0, ge=0)
    """GPUs per worker. Below 1, several workers share a GPU; above 1, only whole numbers."""
    cpus: float = Field(1, ge=0)
    """CPU cores per worker."""
    resources: dict[Name, float] = Field(default_factory=dict)
    """Custom resources per worker, as declared when the machines were started, such as `{big: 1}`."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.gpus > 1 and self.gpus != int(self.gpus):
            raise FieldError("above 1, gpus must be a whole number", "gpus")
        return self

    def demand(self) -> dict[str, float]:
        """Return the resources above 0 by Ray's names."""
        every = {"GPU": self.gpus, "CPU": self.cpus, **self.resources}
        return {name: amount for name, amount in every.items() if amount}

    def options(self) -> dict[str, Any]:
        """Return the arguments of Ray's `options`."""
        return {"num_gpus": self.gpus, "num_cpus": self.cpus, "resources": self.resources or None}


class Replicas(Placement):
    """Replicas of a backend, and the resources of each."""

    replicas: int = Field(1, ge=1, le=10_000)
    """Number of replicas, each with its own weights. Each request goes to the least busy replica."""


class Ray(ExecutorConfig):
    """Models run on a Ray cluster: actors hold the weights and generate, and each finetuning is a task."""

    shares_runs: ClassVar[bool] = True
    kind: Literal["ray"] = "ray"
    address: str = Field("local", pattern=r"^(local|auto|[^/]+:\d+)$")
    """`local` starts Ray on this machine for this run. `auto` joins this machine's cluster, HOST:PORT another one."""
    generate: Replicas = Replicas()
    """Replicas of each backend."""
    backends: dict[Name, Replicas] = Field(default_factory=dict)
    """Replicas of single backends, by their name in this scenario. They override `generate`."""
    train: Placement = Placement()
    """Resources of each finetuning; with `train.parallel`, of all its processes together."""
    trainings: int = Field(8, ge=1)
    """Maximum number of concurrent finetunings. They wait for free resources of the cluster."""
    runs: int = Field(4, ge=1)
    """Maximum number of concurrent runs of a sweep."""
    retries: int = Field(5, ge=0)
    """Maximum number of consecutive replacements of a worker that died."""

    @property
    def side_by_side(self) -> int:
        """Return the maximum number of concurrent finetunings."""
        return self.trainings

    def open(self) -> RayExecutor:
        """Return the executor, not connected yet. Raises `MissingExtraError` without Ray."""
        if importlib.util.find_spec("ray") is None:
            raise MissingExtraError("The ray executor", "ray", "ray")
        return RayExecutor(self)

    def place(self, name: str) -> Replicas:
        """Return the replicas of this backend."""
        return self.backends.get(name, self.generate)


class RayExecutor(Executor):
    """The executor of a joined cluster, or of a cluster of its own. It leaves a joined cluster unchanged."""

    def __init__(self, config: Ray) -> None:
        self.config = config
        self._connection = ClusterConnection(config.address)
        self._yields = False  # whether replicas are closed before a finetuning
        self._pools: list[tuple[BackendConfig, Replicas, Pool]] = []

    async def __aenter__(self) -> Self:
        self._connection.join()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._connection.leave()

    def check(self, needs: Needs) -> None:
        """Raise `InputError` if the cluster lacks resources for the run, whether or not these are free now."""
        if unknown := sorted(set(self.config.backends) - set(needs.backends)):
            raise InputError(
                f"executor.backends names {unknown[0]!r}, but the scenario uses no backend of this name.",
                f"Use one of: {', '.join(needs.backends)}.",
            )
        if needs.trains and needs.parallel and 0 < self.config.train.gpus < needs.parallel.processes:
            raise InputError(
                f"train.parallel needs {needs.parallel.processes} processes with one GPU each, but executor.train.gpus "
                f"is {self.config.train.gpus:g}.",
                f"Set executor.train.gpus: {needs.parallel.processes}.",
            )
        for name, config in needs.backends.items():
            if is_from_file(type(config)):
                raise InputError(
                    f"The backend {name!r} comes from a plugin file, which the workers of a Ray cluster do not have.",
                    "Install the backend as a package on every machine, or take out `executor`.",
                )
        machines = read_machines()
        places = {name: self.config.place(name) for name, config in needs.backends.items() if not config.asked_person}
        for name, place in places.items():
            check_one(f"a replica of the backend {name!r}", place.demand(), machines)
        if needs.trains:
            check_one("a finetuning", self.config.train.demand(), machines)
        generating = sum_demands([(place.demand(), place.replicas) for place in places.values()])
        check_all(generating, machines)
        training = self.config.train.demand() if needs.trains else {}
        self._yields = bool(find_shortage(sum_demands([(generating, 1), (training, 1)]), machines))

    def backend(self, name: str, config: BackendConfig) -> Backend:
        """Return the backend on its replicas; a person is asked in this process.

        Equal backends of several runs share their replicas.
        """
        if config.asked_person:
            return config.open()
        from society.executors.pool import Pool
        from society.executors.remote import RemoteBackend

        place = self.config.place(name)
        for other, where, pool in self._pools:
            if (other, where) == (config, place):
                return RemoteBackend(pool, self._trainer(config, pool))
        pool = Pool(self._starter(config, place), place.replicas, self.config.retries)
        self._pools.append((config, place, pool))
        return RemoteBackend(pool, self._trainer(config, pool))

    def _starter(self, config: BackendConfig, place: Replicas) -> Callable[[], Any]:
        import ray

        from society.executors.replica import Replica

        options = {**place.options(), "scheduling_strategy": "SPREAD", "max_concurrency": CALLS, "max_restarts": 0}
        actor: Any = ray.remote(Replica)

        def start() -> Any:
            return actor.options(**options).remote(config)

        return start

    def _trainer(self, config: BackendConfig, pool: Pool) -> RemoteTrainer:
        import ray

        from society.executors.finetune import RemoteTrainer, finetune

        options = {
            **self.config.train.options(),
            "max_retries": 0,
            "num_returns": "streaming",
            "scheduling_strategy": "SPREAD",
            "_generator_backpressure_num_objects": 16,
        }
        task: Any = ray.remote(finetune)

        def launch(job: FinetuneJob) -> Any:
            return task.options(**options).remote(job)

        async def make_room() -> None:
            if self._yields:
                await pool.close()

        return RemoteTrainer(config, launch, self.config.retries, make_room, pool.add_process)

    def count_runs(self, needs: Needs) -> int:
        """Return `runs`, or 1 if finetunings need the resources of the replicas."""
        return 1 if needs.trains and self._yields else self.config.runs


Machine = Mapping[str, float]
"""Resources of a machine by Ray's names."""


def read_machines() -> list[Machine]:
    """Return the resources of the cluster's live machines."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def sum_demands(demands: list[tuple[Mapping[str, float], int]]) -> dict[str, float]:
    """Return the sum of the demands, each multiplied by its number."""
    names = {name for demand, _ in demands for name in demand}
    return {name: sum(demand.get(name, 0) * times for demand, times in demands) for name in sorted(names)}


def find_shortage(demand: Mapping[str, float], machines: list[Machine]) -> dict[str, float]:
    """Return the resources of which all machines together have less than demanded, with the existing amounts."""
    existing = {name: sum(machine.get(name, 0) for machine in machines) for name in demand}
    return {name: existing[name] for name, amount in demand.items() if existing[name] < amount}


def check_one(what: str, demand: Mapping[str, float], machines: list[Machine]) -> None:
    """Raise `InputError` unless a single machine meets the demand."""
    if any(not find_shortage(demand, [machine]) for machine in machines):
        return
    raise InputError(
        f"The executor needs {_words(demand)} for {what}, but no machine of the Ray cluster has that much: "
        f"{_machines(machines)}.",
        "Lower executor.generate, executor.backends or executor.train, or add a larger machine "
        "(`ray start --address=HEAD --num-gpus=N`).",
    )


def check_all(demand: Mapping[str, float], machines: list[Machine]) -> None:
    """Raise `InputError` unless the machines together meet the demand of all replicas."""
    short = find_shortage(demand, machines)
    if short:
        raise InputError(
            f"All replicas together need {_words(demand)}, but the Ray cluster has {_words(short, True)}: "
            f"{_machines(machines)}.",
            "Lower executor.generate.replicas or their resources, or add machines "
            "(`ray start --address=HEAD --num-gpus=N`).",
        )


def _words(amounts: Mapping[str, float], every: bool = False) -> str:
    return ", ".join(f"{amount:g} {name}" for name, amount in amounts.items() if amount or every) or "nothing"


def _machines(machines: list[Machine]) -> str:
    shown = [_words({"CPU": m.get("CPU", 0), "GPU": m.get("GPU", 0)}, True) for m in machines]
    return f"{len(machines)} alive, with " + "; ".join(dict.fromkeys(shown))
