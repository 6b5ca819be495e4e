"""The plain types that all parts of the program share. Nothing here imports anything heavy.

generation    one reply of a model: what a backend is asked, and what it returns
turns         one turn of a debate
decisions     the inputs and results of rules that stop, control and decide a debate
rows          one training row
"""

from __future__ import annotations

from society.core.types.decisions import Ballot, Decision, Judgement, Past, RoundState, Same, Vote
from society.core.types.generation import (
    DEFAULT_THINKING,
    UNUSUAL_ENDS,
    Adapter,
    CallStatus,
    ChatMessage,
    ChatRole,
    FinishReason,
    GenerateOutput,
    GenerateRequest,
    LogProbability,
    Sampling,
    TemplateArgs,
    TemplateValue,
    Thinking,
    ToolCall,
    ToolSpec,
    Usage,
    with_seconds,
    with_usage,
)
from society.core.types.rows import Example
from society.core.types.turns import DEFAULT_TAKEN, Item, Message, Share, Turn, TurnId, TurnStatus, explain_end

__all__ = [
    "DEFAULT_TAKEN",
    "DEFAULT_THINKING",
    "UNUSUAL_ENDS",
    "Adapter",
    "Ballot",
    "CallStatus",
    "ChatMessage",
    "ChatRole",
    "Decision",
    "Example",
    "FinishReason",
    "GenerateOutput",
    "GenerateRequest",
    "Item",
    "Judgement",
    "LogProbability",
    "Message",
    "Past",
    "RoundState",
    "Same",
    "Sampling",
    "Share",
    "TemplateArgs",
    "TemplateValue",
    "Thinking",
    "ToolCall",
    "ToolSpec",
    "Turn",
    "TurnId",
    "TurnStatus",
    "Usage",
    "Vote",
    "explain_end",
    "with_seconds",
    "with_usage",
]
