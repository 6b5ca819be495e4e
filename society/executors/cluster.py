"""The scenario's words for a Ray cluster, and the executor that uses one.

Generation goes to actors that hold the weights, each finetuning is a task; the engine and the store stay here, so a
worker or a machine that dies takes nothing with it that was said.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from backends.base import Backend, BackendConfig
from society.components.plugin_files import is_from_file
from society.core.component import Component
from society.core.errors import InputError, MissingExtraError
from society.executors.base import Executor, ExecutorConfig, Needs
from society.executors.cluster_connection import Membership
from society.executors.finetune import Order, RemoteTrainer, finetune
from society.executors.pool import Pool
from society.executors.remote import RemoteBackend
from society.executors.replica import Replica

CALLS = 64
"""Calls to a replica at the same time, each of which may carry many requests."""
Name = Annotated[str, Field(min_length=1)]


class Placement(Component):
    """What each worker takes of a machine."""

    gpus: float = Field(0, ge=0)
    """GPUs of one worker. Below 1, several share one; above, whole ones."""
    cpus: float = Field(1, ge=0)
    """Processor cores of one worker."""
    resources: dict[Name, float] = Field(default_factory=dict)
    """Other resources, as the cluster's machines were started with: `{big: 1}`."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.gpus > 1 and self.gpus != int(self.gpus):
            raise ValueError("above 1, gpus must be whole")
        return self

    def demand(self) -> dict[str, float]:
        """In Ray's names, what is not 0."""
        every = {"GPU": self.gpus, "CPU": self.cpus, **self.resources}
        return {name: amount for name, amount in every.items() if amount}

    def options(self) -> dict[str, Any]:
        """For Ray's `options`."""
        return {"num_gpus": self.gpus, "num_cpus": self.cpus, "resources": self.resources or None}


class Replicas(Placement):
    """Where a backend generates: so many copies of it, and what each takes."""

    replicas: int = Field(1, ge=1, le=10_000)
    """Copies of the weights; requests go to the least busy."""


class Ray(ExecutorConfig):
    """Models run on a Ray cluster: generation in actors that hold the weights, each finetuning as a task."""

    shares_runs: ClassVar[bool] = True
    kind: Literal["ray"] = "ray"
    address: str = Field("local", pattern=r"^(local|auto|[^/]+:\d+)$")
    """`local` starts Ray on this machine, for this run; `auto` joins the cluster that this machine is part of;
    HOST:PORT another."""
    generate: Replicas = Replicas()
    """Copies of each backend."""
    backends: dict[Name, Replicas] = Field(default_factory=dict)
    """By a backend's name in this scenario: other copies of it than `generate` says."""
    train: Placement = Placement()
    """What each finetuning takes; with `train.parallel`, all its processes together."""
    trainings: int = Field(8, ge=1)
    """Most finetunings at the same time; those that the cluster has no room for wait."""
    runs: int = Field(4, ge=1)
    """Most runs of a sweep at the same time."""
    retries: int = Field(5, ge=0)
    """How often in a row a worker that died is replaced."""

    @property
    def side_by_side(self) -> int:
        """Most finetunings at the same time."""
        return self.trainings

    def open(self) -> RayExecutor:
        """The executor, not yet connected. Raises `MissingExtraError` without Ray."""
        if importlib.util.find_spec("ray") is None:
            raise MissingExtraError("The ray executor", "ray", "ray")
        return RayExecutor(self)

    def place(self, name: str) -> Replicas:
        """The copies of this backend."""
        return self.backends.get(name, self.generate)


class RayExecutor(Executor):
    """Joined to a Ray cluster, or to one of its own; leaves what it found as it was."""

    def __init__(self, config: Ray) -> None:
        self.config = config
        self._membership = Membership(config.address)
        self._yields = False  # replicas make room for finetunings
        self._pools: list[tuple[BackendConfig, Replicas, Pool]] = []

    async def __aenter__(self) -> Self:
        self._membership.join()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._membership.leave()

    def check(self, needs: Needs) -> None:
        """Raise `InputError` when the cluster does not have what the run asks for, whatever else it is doing."""
        if unknown := sorted(set(self.config.backends) - set(needs.backends)):
            raise InputError(
                f"executor.backends names {unknown[0]!r}, which is no backend that this scenario uses.",
                f"It uses {', '.join(needs.backends)}.",
            )
        if needs.trains and needs.parallel and 0 < self.config.train.gpus < needs.parallel.processes:
            raise InputError(
                f"train.parallel asks for {needs.parallel.processes} processes, one GPU each, but executor.train.gpus "
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
        places = {name: self.config.place(name) for name in needs.backends}
        for name, place in places.items():
            check_one(f"a replica of the backend {name!r}", place.demand(), machines)
        if needs.trains:
            check_one("a finetuning", self.config.train.demand(), machines)
        generating = total([(place.demand(), place.replicas) for place in places.values()])
        check_all(generating, machines)
        training = self.config.train.demand() if needs.trains else {}
        self._yields = bool(lacking(total([(generating, 1), (training, 1)]), machines))

    def backend(self, name: str, config: BackendConfig) -> Backend:
        """The backend in its replicas, those of an equal one if another run has it."""
        place = self.config.place(name)
        for other, where, pool in self._pools:
            if (other, where) == (config, place):
                return RemoteBackend(pool, self._trainer(config, pool))
        pool = Pool(self._starter(config, place), place.replicas, self.config.retries)
        self._pools.append((config, place, pool))
        return RemoteBackend(pool, self._trainer(config, pool))

    def _starter(self, config: BackendConfig, place: Replicas) -> Callable[[], Any]:
        import ray

        options = {**place.options(), "scheduling_strategy": "SPREAD", "max_concurrency": CALLS, "max_restarts": 0}
        actor: Any = ray.remote(Replica)

        def start() -> Any:
            return actor.options(**options).remote(config)

        return start

    def _trainer(self, config: BackendConfig, pool: Pool) -> RemoteTrainer:
        import ray

        options = {**self.config.train.options(), "max_retries": 0, "num_returns": "streaming",
                   "scheduling_strategy": "SPREAD", "_generator_backpressure_num_objects": 16}  # fmt: skip
        task: Any = ray.remote(finetune)

        def launch(order: Order) -> Any:
            return task.options(**options).remote(order)

        async def make_room() -> None:
            if self._yields:
                await pool.close()

        return RemoteTrainer(config, launch, self.config.retries, make_room)

    def count_runs(self, needs: Needs) -> int:
        """As many as the scenario says; one, where replicas must make room for finetunings."""
        return 1 if needs.trains and self._yields else self.config.runs


Machine = Mapping[str, float]
"""What a machine has, by Ray's names of resources."""


def read_machines() -> list[Machine]:
    """The machines of the cluster that are alive."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def total(demands: list[tuple[Mapping[str, float], int]]) -> dict[str, float]:
    """The sum of demands, each so many times."""
    names = {name for demand, _ in demands for name in demand}
    return {name: sum(demand.get(name, 0) * times for demand, times in demands) for name in sorted(names)}


def lacking(demand: Mapping[str, float], machines: list[Machine]) -> dict[str, float]:
    """Of what the machines together have less than that, and how much they have."""
    there = {name: sum(machine.get(name, 0) for machine in machines) for name in demand}
    return {name: there[name] for name, amount in demand.items() if there[name] < amount}


def check_one(what: str, demand: Mapping[str, float], machines: list[Machine]) -> None:
    """Raise `InputError` unless one of the machines is large enough."""
    if any(not lacking(demand, [machine]) for machine in machines):
        return
    raise InputError(
        f"The executor asks for {_words(demand)} for {what}, but no machine of the Ray cluster has that: "
        f"{_machines(machines)}.",
        "Ask for less (executor.generate, executor.backends, executor.train), or join a machine that has it "
        "(`ray start --address=HEAD --num-gpus=N`).",
    )


def check_all(demand: Mapping[str, float], machines: list[Machine]) -> None:
    """Raise `InputError` unless the machines together have room for all replicas."""
    short = lacking(demand, machines)
    if short:
        raise InputError(
            f"The executor's replicas need {_words(demand)} in all, but the Ray cluster has {_words(short, True)}: "
            f"{_machines(machines)}.",
            "Lower executor.generate.replicas or what each takes, or join more machines "
            "(`ray start --address=HEAD --num-gpus=N`).",
        )


def _words(amounts: Mapping[str, float], every: bool = False) -> str:
    return ", ".join(f"{amount:g} {name}" for name, amount in amounts.items() if amount or every) or "nothing"


def _machines(machines: list[Machine]) -> str:
    shown = [_words({"CPU": m.get("CPU", 0), "GPU": m.get("GPU", 0)}, True) for m in machines]
    return f"{len(machines)} alive, with " + "; ".join(dict.fromkeys(shown))
