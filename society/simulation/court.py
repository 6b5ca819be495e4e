"""The judgement of answers after a debate, with the means that a kind of answer may use: an agent, and the sandbox."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from society.components.faults import faults_of
from society.core.types import Judgement, Turn

if TYPE_CHECKING:
    from society.sandbox import Limits, Outcome, RunCode
    from society.simulation.turns import Turns


@dataclass(frozen=True, slots=True)
class DebateCourt:
    """The means after one debate. See `society.scoring.base.Court`."""

    turns: Turns
    run_code: RunCode

    async def ask(self, agent: str, about: str, judged: Mapping[str, Any]) -> Turn:
        """Return a turn of the agent, which is stored and counted like every turn."""
        return await self.turns.judge(agent, about, judged, self.turns.task.answer.read)

    async def run(self, files: Mapping[str, str], limits: Limits, stdin: str) -> Outcome:
        """Return the end of a program."""
        return await self.run_code(files, limits, stdin)

    async def judge(self, answers: Sequence[str]) -> dict[str, Judgement]:
        """Return a judgement on each of these distinct answers. Raises `ComponentError` if the task's code fails."""
        task, item = self.turns.task, self.turns.item
        with faults_of(task, "judge", f"on the question {item.id!r}"):
            return await task.judge(answers, item, self)
