"""A judge: an agent of the scenario whose role is the rubric, and whose replies say whether answers are right.

Pairwise comparisons with swapped positions follow MT-Bench (Zheng et al., 2023, arXiv 2306.05685): an answer wins if it
is preferred in both orders, and two different preferences are a tie.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import ClassVar, Literal

from society.answers.format import AnswerFormat
from society.components.facts import Reasons
from society.core.component import AgentName
from society.core.concurrency import gather
from society.core.errors import InputError
from society.core.types import Item, Judgement, Turn
from society.scoring.base import AnswerRule, Court, find_field

ALONE: tuple[str, ...] = ("right", "wrong")
PAIR: tuple[str, ...] = ("first", "second", "tie")
_MARKUP = r"(?:[\W_]|\\[a-z]{1,20}\{){0,12}"
"""Signs around a verdict: Markdown, quotation marks, commands of LaTeX such as `\\boxed{`."""


def _pattern(words: Sequence[str], label: str) -> re.Pattern[str]:
    """Return a pattern of a verdict after a label, alone among its alternatives: not "RIGHT or WRONG"."""
    word = "|".join(words)
    other = rf"[^\w.!?\n]{{0,8}}(?:(?:or|and|vs)\b[^\w\n]{{0,8}})?(?:{word})\b"
    return re.compile(rf"{label}{_MARKUP}({word})\b(?!{other})", re.IGNORECASE)


_LABELLED = {words: _pattern(words, r"\bverdict\b") for words in (ALONE, PAIR)}
_BARE = {words: _pattern(words, "") for words in (ALONE, PAIR)}
_LABEL = re.compile(rf"\bverdict\b(?=[\W_]{{0,3}}:|{_MARKUP}(?:{'|'.join((*ALONE, *PAIR))})\b)", re.IGNORECASE)
UNREADABLE, FAILED, DISAGREE = "no readable verdict", "the judge's turn failed", "the two orders disagree"
"""Notes on judgements."""


class Judged(AnswerRule):
    """An agent of the scenario grades each distinct answer after the debate.

    The prompt of its role is the rubric; the variable `judged` has the answer. Its reply ends with "Verdict: RIGHT" or
    "Verdict: WRONG". A reply that is one of these words alone is a verdict, too: the role may have `choices`. Without a
    readable verdict an answer counts as wrong, and the run reports it. Where the question has a true answer, the run
    reports how often the judge agrees with the comparison by `equal`.
    """

    kind: Literal["judge"] = "judge"
    agent: AgentName
    """Agent that grades. It has no other turns."""
    pairwise: bool = False
    """Compare each answer with another one, in both orders. The reply ends with "Verdict: FIRST", "Verdict: SECOND" or
    "Verdict: TIE". An answer is right if it wins in both orders; a tie has the score 0.5."""
    against: str = ""
    """Field of the row with the other answer of a pair. By default the true answer."""

    deferred: ClassVar[bool] = True

    def idle(self) -> Reasons:
        if self.against and not self.pairwise:
            return {"against": "has no effect without `pairwise: true`; set it, or remove `against`"}
        return {}

    def helpers(self) -> tuple[str, ...]:
        return (self.agent,)

    def scores(self, item: Item) -> bool:
        return True

    def has_form(self, answer: str, item: Item, form: AnswerFormat) -> bool:
        return True

    def check(self, item: Item) -> None:
        if self.pairwise and not self._other(item):
            field = f"an empty field {self.against!r}" if self.against else "no true answer"
            raise InputError(
                f"The question {item.id!r} has {field}, so the judge has nothing to compare answers with.",
                "Set `task.answer.against` to a field with another answer, or remove `pairwise`.",
                ("against",) if self.against else ("pairwise",),
            )

    def _other(self, item: Item) -> str:
        return str(find_field(item, self.against, "against") or "") if self.against else item.gold

    @property
    def verdicts(self) -> tuple[str, ...]:
        return PAIR if self.pairwise else ALONE

    def read(self, text: str) -> str | None:
        """Return the last verdict of a reply in lower case, or None."""
        words = self.verdicts
        alone = _BARE[words].match(text.strip())
        if alone and not re.search(r"[^\W_]", text.strip()[alone.end() :]):
            return alone[1].lower()
        labels = [*_LABEL.finditer(text)]
        found = _LABELLED[words].match(text, labels[-1].start()) if labels else None
        return found[1].lower() if found else None

    async def judge(
        self, answers: Sequence[str], item: Item, correct: Callable[[str], bool], court: Court
    ) -> dict[str, Judgement]:
        weigh = self._compare if self.pairwise else self._grade
        given = await gather(weigh(f"answer-{i}", answer, item, court) for i, answer in enumerate(answers, 1))
        found = dict(zip(answers, given, strict=True))
        if self.pairwise or not item.gold:
            return found
        return {answer: _with_exact(given, correct(answer)) for answer, given in found.items()}

    async def _grade(self, about: str, answer: str, item: Item, court: Court) -> Judgement:
        turn = await court.ask(self.agent, about, {"answer": answer, "gold": item.gold})
        if fault := _fault(turn):
            return Judgement(False, None, undecided=True, note=fault)
        return Judgement(turn.answer == "right")

    async def _compare(self, about: str, answer: str, item: Item, court: Court) -> Judgement:
        async def wins(about: str, first: str, second: str, won: str) -> float | str:
            turn = await court.ask(self.agent, about, {"first": first, "second": second, "gold": item.gold})
            return _fault(turn) or (0.5 if turn.answer == "tie" else float(turn.answer == won))

        other = self._other(item)
        orders = (wins(f"{about}-first", answer, other, "first"), wins(f"{about}-second", other, answer, "second"))
        results = await gather(orders)
        if faults := [result for result in results if isinstance(result, str)]:
            return Judgement(False, None, undecided=True, note=faults[0])
        if results[0] != results[1]:
            return Judgement(False, 0.5, note=DISAGREE)
        return Judgement(results[0] == 1, float(results[0]))


def _fault(turn: Turn) -> str:
    """Return why a judge's turn has no verdict, or ""."""
    if turn.status == "failed":
        return FAILED
    return UNREADABLE if turn.answer is None else ""


def _with_exact(given: Judgement, exact: bool) -> Judgement:
    return Judgement(given.right, given.score, exact, given.undecided, given.note)
