"""Promises of every executor, as tests that outside authors run on theirs.

Subclass `ExecutorContract` and give it a fixture `executor` with your `ExecutorConfig`.
"""

from __future__ import annotations

import asyncio

from backends.scripted import Scripted
from backends.scripted.rules import Rule
from society.core.types import ChatMessage, GenerateOutput, GenerateRequest, Sampling
from society.executors.base import ExecutorConfig, Needs

REQUESTS = tuple(
    GenerateRequest((ChatMessage("user", f"What is {i} + {i}?"),), Sampling(max_tokens=8), seed=i) for i in range(20)
)


class ExecutorContract:
    """Tests with a fixture `executor`."""

    def test_replies_are_those_of_the_backend(self, executor: ExecutorConfig) -> None:
        """The executor changes where a backend runs, never its replies or its hash."""
        config = Scripted(rules=[Rule(choose=["It is one.", "It is two.", "It is three."])])

        async def here() -> tuple[str, list[str]]:
            async with config.open() as backend:
                return backend.model_hash, [(await backend.generate(request)).text for request in REQUESTS]

        async def there() -> tuple[str, list[str]]:
            async with executor.open() as place:
                place.check(Needs({"local": config}))
                async with place.backend("local", config) as backend:
                    outputs: list[GenerateOutput] = await asyncio.gather(*map(backend.generate, REQUESTS))
                    return backend.model_hash, [output.text for output in outputs]

        assert asyncio.run(there()) == asyncio.run(here())

    def test_it_allows_runs_and_finetunings(self, executor: ExecutorConfig) -> None:
        """At least one finetuning and one run may be under way."""

        async def count() -> int:
            async with executor.open() as place:
                place.check(Needs({"local": Scripted()}))
                return place.count_runs(Needs({"local": Scripted()}))

        assert asyncio.run(count()) >= 1
        assert executor.side_by_side >= 1

    def test_it_is_plain_data(self, executor: ExecutorConfig) -> None:
        """A run stores its scenario, so a component that is written must be read back equal."""
        assert type(executor).model_validate_json(executor.model_dump_json(exclude_unset=True)) == executor
