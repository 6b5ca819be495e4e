"""People for tests: askers that type what a test tells them to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from backends.human import Asker, Question

Reply = Callable[[Question], str]


class Typist(Asker):
    """Types replies, one for each question; the last one again and again. None: nothing is ever typed."""

    def __init__(self, *replies: str | Reply | None) -> None:
        super().__init__()
        self.replies = replies
        self.asked: list[Question] = []
        self.open: list[str] = []
        """People whose question is open."""
        self.most = 0
        """Maximum number of questions that were open at the same time."""

    async def ask(self, question: Question) -> str:
        reply = self.replies[min(len(self.asked), len(self.replies) - 1)]
        self.asked.append(question)
        self.open.append(question.person)
        assert len(set(self.open)) == len(self.open), "a person has two questions"
        self.most = max(self.most, len(self.open))
        try:
            await asyncio.sleep(0)
            if reply is None:
                await asyncio.Event().wait()
            return reply(question) if callable(reply) else str(reply)
        finally:
            self.open.remove(question.person)


def texts(questions: Sequence[Question]) -> list[str]:
    """Return the last message of each question."""
    return [question.messages[-1].content for question in questions]
