"""One training row."""

from __future__ import annotations

from dataclasses import dataclass

from society.core.types.generation import DEFAULT_THINKING, ChatMessage, FinishReason, TemplateArgs, Thinking
from society.core.types.turns import TurnId


@dataclass(frozen=True, slots=True)
class Example:
    """One training row: `messages` exactly as in inference, then the assistant message that is learned.

    Only the last message is learned; earlier assistant turns are context. `source` is the turn of the row and `rule`
    the selection rule that took it, so a row can be traced to the transcript.

    `tokens` are the drawn token ids of that last message in the vocabulary of the model that learns them: they are
    learned exactly as they are, and no end of the turn is added. Where they are None, the text of the message is
    tokenized, and the end of the turn is learned only if `finish_reason` is "stop".

    `thought` precedes the text of the last message in the reply. Its tokens, the first `thought_tokens` of `tokens`,
    are learned if `learn_thought`. `thinking` and `template_args` shaped the prompt. `weight` is a factor of the row's
    loss. `part` counts the replies of a turn with calls of tools from 0: each is a row, and the results are
    part of the chat before the next. A reply that is not `desired` is one to make less likely.
    """

    messages: tuple[ChatMessage, ...]
    source: TurnId
    rule: str
    tokens: tuple[int, ...] | None = None
    finish_reason: FinishReason = "stop"
    thought: str = ""
    thought_tokens: int = 0
    learn_thought: bool = True
    thinking: Thinking = DEFAULT_THINKING
    template_args: TemplateArgs = ()
    weight: float = 1.0
    part: int = 0
    desired: bool = True
