"""The check of options on a remote backend: a replica's refusal is the run's error."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from backends.contract_tools import ask
from backends.openai import OpenAI
from society.core.errors import InputError, SocietyError
from society.executors.remote import RemoteBackend
from society.executors.replica import Replica
from tests.backends.openai.fakes import FakeGateway


class OneReplica:
    """A pool of one replica in this process."""

    def __init__(self, replica: Replica) -> None:
        self.replica, self.processes = replica, ()

    async def ask(self, method: str, *arguments: Any) -> Any:
        answer = await getattr(self.replica, method)(*arguments)
        if isinstance(answer, SocietyError):
            raise answer
        return answer


def test_an_option_that_a_replica_refuses_is_an_error_before_the_first_turn() -> None:
    async def check(url: str) -> None:
        replica = Replica(OpenAI(url=url))
        assert not isinstance(await replica.open(""), SocietyError)
        remote = RemoteBackend(OneReplica(replica), None)  # type: ignore[arg-type]
        try:
            await remote.check([ask("What?")])
            with pytest.raises(InputError, match=r"sampling\.min_p"):
                await remote.check([ask("What?", min_p=0.2)])
        finally:
            await replica.close()

    with FakeGateway() as server:
        asyncio.run(check(server.url))
