"""Opens the backends of a run on the scenario's executor, with the adapters that its agents name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from society.components.faults import faults_of
from society.core.errors import DISTRIBUTION, BackendError, InputError, UnavailableError
from society.core.pip_command import pip
from society.core.types import ChatMessage, GenerateRequest, ToolSpec
from society.executors.base import Executor, Needs

if TYPE_CHECKING:
    from backends.base import Backend, BackendConfig
    from backends.price import Price
    from society.core.component import Component
    from society.scenario.binding import AgentPlan
    from society.scenario.expand import Society

Opened = TypeVar("Opened")
Wait = Callable[[str, UnavailableError | None], Awaitable[None]]
"""Waits before the next attempt to reach the server of a backend, given its name and the error of the last attempt.

Called with None after an attempt that reached it. Raises an error to stop."""


@asynccontextmanager
async def open_backends(
    society: Society,
    executor: Executor | None = None,
    wait: Wait | None = None,
) -> AsyncIterator[tuple[dict[str, Backend], dict[str, str]]]:
    """Yield the loaded backends of the society by name, and the content hash of each adapter by its path.

    The scenario's executor opens them, unless an open `executor` is given. Without `wait`, a server that is not there
    is an error.
    """
    plans = [plan for phase in society.phases for plan in phase.agents.values()]
    async with AsyncExitStack() as stack:
        if executor is None:
            with faults_of(society.scenario.executor, "open"):
                executor = await _enter(stack, society.scenario.executor.open(), society.scenario.executor)
        check_adapters(society)
        needs = find_needs(society)
        with faults_of(society.scenario.executor, "check"):
            executor.check(needs)
        for plan in society.thinkers:
            check_thinking(society, plan)
        backends: dict[str, Backend] = {}
        for name, config in needs.backends.items():
            backends[name] = await _reach(name, partial(_open, stack, executor, name, config), wait)
        hashes: dict[str, str] = {}
        for name, path in sorted({(plan.backend, plan.adapter) for plan in plans if plan.adapter}):
            hashes[path] = await _reach(name, partial(_load_adapter, name, backends[name], path), wait)
        for name, backend in backends.items():
            await _reach(name, partial(_check, backend, name, needs.backends[name], society), wait)
        yield backends, hashes


async def _reach(name: str, ask: Callable[[], Awaitable[Opened]], wait: Wait | None) -> Opened:
    """Return what `ask` returns of a backend, asked again after each `wait` for a server that is gone."""
    while True:
        try:
            found = await ask()
        except UnavailableError as error:
            if wait is None:
                raise
            await wait(name, error)
            continue
        if wait is not None:
            await wait(name, None)
        return found


async def _open(stack: AsyncExitStack, executor: Executor, name: str, config: BackendConfig) -> Backend:
    place = f"as the backend {name!r}"
    with faults_of(config, "open", place):
        return await _enter(stack, executor.backend(name, config), config, place)


async def _load_adapter(name: str, backend: Backend, path: str) -> str:
    """Load an adapter, and return its content hash."""
    if backend.adapters is None:
        raise BackendError(f"The backend {name!r} cannot load adapters.", "Use llama_cpp or hf for this agent.")
    adapter = backend.adapters.identify(Path(path))
    await backend.adapters.load(adapter)
    return adapter.hash


async def _check(backend: Backend, name: str, config: BackendConfig, society: Society) -> None:
    with faults_of(config, "check", f"as the backend {name!r}"):
        await backend.check(find_requests(society, name))


def check_here(society: Society) -> None:
    """Raise `InputError` if this process lacks what a backend in use needs. Called before any other work."""
    for name, config in find_needs(society).backends.items():
        with faults_of(config, "check_here", f"of the backend {name!r}"):
            config.check_here()


def find_prices(society: Society) -> Mapping[str, Price | None]:
    """Return the price of each backend that the society uses, by name; None for one that is not known.

    Raises `InputError` if `limits.dollars` is set and a price is not known.
    """
    names = sorted({plan.backend for plan in society.plans.values()})
    prices: dict[str, Price | None] = {}
    for name in names:
        config = society.scenario.backends[name]
        with faults_of(config, "find_price", f"of the backend {name!r}"):
            prices[name] = config.find_price()
    unknown = [name for name, price in prices.items() if price is None]
    if unknown and society.scenario.limits.dollars is not None:
        install = pip(f"install '{DISTRIBUTION}[prices]'")
        raise InputError(
            f"`limits.dollars` is set, but the price of the backend {unknown[0]!r} is not known.",
            f"Set backends.{unknown[0]}.price={{prompt: DOLLARS, generated: DOLLARS}}, in dollars per million tokens "
            f"(0 for a server of your own). {install} brings the prices of hosted models.",
        )
    return prices


def check_thinking(society: Society, agent: AgentPlan) -> None:
    """Raise `InputError` if the model of this agent's backend cannot think as the agent shall. Nothing is loaded."""
    config = society.scenario.backends[agent.backend]
    with faults_of(config, "check_thinking", f"of the backend {agent.backend!r}"):
        config.check_thinking(agent.thinking, agent.template_args, agent.sampling.max_tokens)


def check_adapters(society: Society) -> None:
    """Raise `InputError` or `BackendError` for an adapter that its backend cannot use. No weights are read."""
    plans = (plan for phase in society.phases for plan in phase.agents.values())
    for name, path in sorted({(plan.backend, plan.adapter) for plan in plans if plan.adapter}):
        config = society.scenario.backends[name]
        with faults_of(config, "check_adapter", f"of the backend {name!r}"):
            config.check_adapter(Path(path))


async def _enter(
    stack: AsyncExitStack, manager: AbstractAsyncContextManager[Opened], component: Component, place: str = ""
) -> Opened:
    """Enter an executor or a backend. An exception of its closing becomes a `ComponentError` that names `component`."""
    opened = await manager.__aenter__()

    async def close(*error: Any) -> None:
        with faults_of(component, "__aexit__", place):
            await manager.__aexit__(*error)

    stack.push_async_exit(close)
    return opened


def find_requests(society: Society, backend: str) -> list[GenerateRequest]:
    """Return a request, with a placeholder as its chat, for each combination of options of the backend's agents."""
    chat = (ChatMessage("user", "Hello."),)
    found: dict[GenerateRequest, None] = {}
    for phase in society.phases:
        for name, plan in phase.agents.items():
            if plan.backend == backend:
                moderates = phase.spec.schedule == "moderated" and name == phase.spec.moderator
                choices = phase.speakers if moderates else plan.role.choices
                thinking, variables = plan.thinking, plan.template_args
                request = GenerateRequest(chat, plan.sampling, 1, None, choices, thinking, variables)
                found[replace(request, tools=_offered(society, plan))] = None
    return list(found)


def _offered(society: Society, plan: AgentPlan) -> tuple[ToolSpec, ...]:
    """Return the tools that the agent's model may be offered in its own format."""
    if plan.toolbox is None or plan.toolbox.use.format == "text" or society.scenario.train is not None:
        return ()
    return plan.toolbox.specs


def find_needs(society: Society) -> Needs:
    """Return what the society needs of an executor."""
    names = dict.fromkeys(plan.backend for phase in society.phases for plan in phase.agents.values())
    train = society.scenario.train
    used = {name: society.scenario.backends[name] for name in names}
    if train is None:
        return Needs(used)
    from society.training.learners import backend_of, learners

    trained = {backend_of(society, learner): train.settings for learner in learners(society, train)}
    return Needs(used, True, train.parallel, trained)
