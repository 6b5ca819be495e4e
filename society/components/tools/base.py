"""The base class of tools, the session of a call, and the bounds of a turn that uses tools."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from society.core.component import Component
from society.core.errors import SocietyError

if TYPE_CHECKING:
    from society.sandbox import RunCode

Scope = Literal["call", "turn", "agent"]
ToolName = Annotated[str, Field(pattern="^[A-Za-z][A-Za-z0-9_-]{0,63}$")]


class ToolError(SocietyError):
    """A call that gives no result. The agent is shown the message as the result, and the call counts as failed."""


@dataclass(frozen=True, slots=True)
class ToolSession:
    """The surroundings of a call.

    `earlier` are the texts of the calls before it that succeeded, in the scope that the tool keeps: those of the turn,
    or of all turns of the agent in the debate. `seed` is that of the turn. `run_code` runs programs in the sandbox.
    """

    earlier: tuple[str, ...]
    seed: int
    run_code: RunCode


class Tool(Component, ABC):
    """An entry of `tools:`. An agent gives it one text and is shown the text that it returns.

    Every call is stored with its result, and a resumed run takes the result from there. So `call` should depend on
    nothing but its arguments and the tool's fields. Subclasses add `kind` and fields.
    """

    name: ToolName | None = None
    """Name by which agents call the tool. By default its kind."""
    description: str | None = None
    """Description of the tool for agents, in place of its usual one."""

    about: ClassVar[str]
    """Usual description for agents: what the tool does, and what it takes, in one or two sentences."""
    example: ClassVar[str]
    """A text that the tool takes."""
    takes: ClassVar[str] = "input"
    """Name of the text in a model's own format of calls."""

    @property
    def label(self) -> str:
        """The name by which agents call the tool."""
        return self.name or str(getattr(self, "kind", ""))

    @property
    def explanation(self) -> str:
        """The description for agents."""
        return self.about if self.description is None else self.description

    @property
    def keeps(self) -> Scope:
        """How long the tool remembers calls. `call`: a call knows nothing of earlier ones."""
        return "call"

    @abstractmethod
    async def call(self, given: str, session: ToolSession) -> str:
        """Return the result for the text of a call. Raises `ToolError` for a text that the tool cannot use."""

    def require(self) -> None:
        """Raise `InputError` where the tool cannot work here: a library, the sandbox or documents are missing.

        Called before the first turn, so it may load what the tool needs.
        """

    def identity(self) -> str:
        """Return a hash of what shapes results beside the fields, such as the contents of documents."""
        return ""


class ToolExample(Component):
    """A worked example of a call, which the agent's chat shows as an earlier exchange."""

    question: str
    """Message of the user."""
    tool: str
    """Name of the tool that the agent calls."""
    give: str
    """Text that the agent gives the tool."""
    result: str
    """Result of the call. The tool is not called for it."""
    answer: str
    """Reply of the agent after the result."""


class ToolUse(Component):
    """The bounds of a turn in which an agent uses tools."""

    calls: int = Field(4, ge=1, le=100)
    """Maximum number of calls in a turn. The last result says that none is left; a further call is refused."""
    tokens: int | None = Field(None, ge=1, le=10_000_000)
    """Maximum number of tokens that an agent generates in a turn, over all its replies. `max_tokens` of `sampling`
    limits each reply. Unlimited by default."""
    result: int = Field(2000, ge=50, le=1_000_000)
    """Maximum number of characters of a result that the agent is shown. The middle of a longer one is left out."""
    format: Literal["auto", "text"] = "auto"
    """Form of calls. `auto`: the model's own, if its chat template or server has one, else plain text. A prompt that
    shows `tools`, and a scenario that trains, have plain text."""
    examples: tuple[ToolExample, ...] = Field((), max_length=20)
    """Worked examples of calls, which come before the agent's first turn in its chat. Small models need two or three:
    they copy the form of a call, and do not follow its description."""
