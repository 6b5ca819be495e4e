"""Memory beyond a debate: what agents keep of finished questions, the order of these questions, and simulated time.

MemorySpec     what an agent keeps and recalls; each level overrides fields of the level above
RecallSpec     which memories a prompt shows
ReflectSpec    when an agent writes a reflection on its memories
SequenceSpec   the order of questions that build on earlier ones
ClockSpec      the simulated time of each question
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Literal, Self, get_args

from pydantic import AfterValidator, Field, model_validator

from society.core.component import Component, NamesRole
from society.core.errors import FieldError

Feedback = Literal["none", "decision", "verdict", "gold"]
FEEDBACK: tuple[Feedback, ...] = get_args(Feedback)
"""Values of `feedback`. Each gives the facts of those before it, and one more."""
OptionalRole = Annotated[str | None, NamesRole()]
"""The name of a role, or None."""
TIME_OF_DAY = Annotated[str, Field(pattern="^([01][0-9]|2[0-3]):[0-5][0-9]$")]
LONGEST_STEP = 60 * 24 * 366
"""Maximum minutes from a question to the next one: a year."""


class RecallSpec(Component):
    """Selection of the memories that a prompt shows as `memories`.

    The score of a memory is the weighted sum of its relevance, recency and importance, each scaled to [0, 1] over all
    memories. The memories with the highest scores are shown, the oldest first. After Park et al. 2023 (arXiv
    2304.03442).
    """

    most: int = Field(5, ge=1, le=1000)
    """Maximum number of memories that a prompt shows."""
    relevance: float = Field(1.0, ge=0, le=1000)
    """Weight of the similarity of the memory and the query."""
    recency: float = Field(0.0, ge=0, le=1000)
    """Weight of the recency: `decay` to the power of the memory's age."""
    importance: float = Field(0.0, ge=0, le=1000)
    """Weight of the importance from 1 to 10, as the role `rate` gave it."""
    by: Literal["words", "meaning"] = "words"
    """Measure of relevance. `words`: BM25. `meaning`: cosine similarity of a sentence encoder, of the extra
    `encoder`."""
    query: Literal["question", "heard"] = "question"
    """Text that a relevant memory resembles: the question, or the question and the messages to the agent."""
    same: bool = False
    """Recall memories of the same question only: of its earlier samples."""
    decay: float = Field(0.995, gt=0, lt=1)
    """Factor of the recency for each simulated hour, or without `clock` for each question."""
    since: Literal["written", "recalled"] = "written"
    """Begin of a memory's age: when it was written, or the last question in which a prompt showed it."""
    window: int | None = Field(None, ge=1)
    """Number of the latest memories that can be recalled. By default all."""

    @model_validator(mode="after")
    def _weighs(self) -> Self:
        if not self.relevance + self.recency + self.importance:
            message = "all weights are 0, so no memory is better than another; set `recency: 1` for the latest"
            raise FieldError(message, "relevance", "recency", "importance")
        return self


class ReflectSpec(Component):
    """A reflection: a turn in which an agent draws conclusions from its memories. It becomes a memory, too."""

    role: Annotated[str, NamesRole()]
    """Role whose prompt asks for the reflection. In it, `memories` has the latest memories."""
    every: int | None = Field(None, ge=1)
    """Number of questions from a reflection of an agent to its next one."""
    threshold: float | None = Field(None, gt=0, le=1_000_000)
    """Sum of the importance of new memories after which an agent reflects. Their role is `rate`."""
    reads: int = Field(20, ge=1, le=1000)
    """Maximum number of the latest memories that a reflection is shown."""

    @model_validator(mode="after")
    def _happens(self) -> Self:
        if self.every is None and self.threshold is None:
            raise ValueError("never happens: set `every`, a number of questions, or `threshold`")
        return self


class MemorySpec(Component):
    """Memory of an agent beyond a debate. Agents with it debate one question after another (`sequence`).

    After each question, an agent keeps its last reply, or with `write` a note. A prompt with `memories` shows what it
    recalls. A field that is left out comes from the level above: the agent, its role, the scenario.
    """

    turns: int | None = Field(None, ge=0)
    """Maximum number of its own earlier turns of the debate that an agent keeps in its chat. By default it keeps all.
    `memory: 2` in a role is short for `memory: {turns: 2}`."""
    write: OptionalRole = None
    """Role whose prompt asks the agent for a note after a question. Its chat has the agent's turns, and `outcome` what
    it learns. Without a role, its last reply is the memory."""
    rate: OptionalRole = None
    """Role whose prompt asks the agent for the importance of a new memory, a number from 1 to 10."""
    feedback: Feedback = "none"
    """Facts that an agent learns after a question. `decision`: the society's answer. `verdict`: also whether its own
    last answer is right. `gold`: also the true answer."""
    scope: Literal["agent", "group", "society"] = "agent"
    """Authors of the memories that an agent recalls: itself, its group, or all agents."""
    recall: RecallSpec = RecallSpec()
    """Selection of the memories that a prompt shows."""
    reflect: ReflectSpec | None = None
    """Reflections on memories. By default there are none."""

    @property
    def lasts(self) -> bool:
        """Return whether anything is set that reaches beyond a debate."""
        return bool(self.model_fields_set - {"turns"})

    def over(self, below: MemorySpec) -> MemorySpec:
        """Return `below` with the fields that this level sets."""
        return below.model_copy(update={name: getattr(self, name) for name in self.model_fields_set})


def read_time(text: object) -> datetime:
    """Return a date and time. Raises `ValueError` for another text, or one with a time zone."""
    try:
        found = datetime.fromisoformat(str(text).strip())
    except ValueError:
        raise ValueError("is no date and time; write one such as 2023-02-13 08:00") from None
    if found.tzinfo is not None:
        raise ValueError("has a time zone; leave it out, as simulated time has none")
    return found


def _check_start(text: str) -> str:
    """Return the begin of simulated time. Raises `ValueError` unless it is a time of whole minutes, or ""."""
    if text and read_time(text).second:
        raise ValueError("has seconds, which no prompt shows; write hours and minutes")
    return text


class SequenceSpec(Component):
    """Order of questions that build on earlier ones, by `memory` or a `track_record` over questions.

    Questions in a sequence are debated one after another, in the order of the task. Sequences run beside each other,
    and nothing passes from one to another.
    """

    over: Literal["questions", "samples", "both"] = "questions"
    """Members of a sequence. `questions`: all questions, and each sample is a sequence. `samples`: the samples of one
    question, which are then trials. `both`: all questions, then again for each further sample."""
    streams: str | None = Field(None, min_length=1)
    """Field of the question's row whose value names its stream, such as a town or a user. Each stream is a sequence of
    its own. By default all questions belong to one."""


class ClockSpec(Component):
    """Simulated time. Each question has a time, which prompts show as `now`, and each memory has that of its question.

    The first question of a sequence is asked at `start`, or at the first of `times` at or after it. The others follow
    in the order of the task.
    """

    start: Annotated[str, AfterValidator(_check_start)] = ""
    """Begin of the simulated time, such as "2023-02-13 08:00"."""
    minutes: int | None = Field(None, ge=1, le=LONGEST_STEP)
    """Simulated minutes from a question to the next one."""
    times: tuple[TIME_OF_DAY, ...] = ()
    """Times at which the questions of a day are asked, in order, such as ["08:00", "12:00"]. The next day begins with
    the first of them."""
    field: str = ""
    """Field of the question's row with its date and time, in place of `start`."""

    @model_validator(mode="after")
    def _runs(self) -> Self:
        ways = [f"`{name}`" for name in ("minutes", "times", "field") if getattr(self, name)]
        if not ways:
            raise ValueError("needs one of `minutes`, `times` and `field`, which say when the next question is asked")
        if len(ways) > 1:
            message = f"has {' and '.join(ways)}, which exclude each other; keep one of them"
            raise FieldError(message, "minutes", "times", "field")
        if self.start and self.field:
            message = "has `start` and `field`, which exclude each other: rows have their own times; remove one"
            raise FieldError(message, "start", "field")
        if not self.start and not self.field:
            raise ValueError("needs `start`, a date and time such as 2023-02-13 08:00, or `field` in its place")
        if list(self.times) != sorted(set(self.times)):
            raise FieldError("`times` should be in the order of a day, each once", "times")
        return self

    def tell(self, place: int) -> datetime:
        """Return the time of the question at this place of its sequence, from 0. Not for times of a `field`."""
        start = read_time(self.start)
        if self.minutes is not None:
            return start + timedelta(minutes=self.minutes * place)
        first = sum(time < f"{start:%H:%M}" for time in self.times)
        days, index = divmod(first + place, len(self.times))
        hour, minute = map(int, self.times[index].split(":"))
        return (start + timedelta(days=days)).replace(hour=hour, minute=minute)
