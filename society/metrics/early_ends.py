"""Replies that ended early: their notes, and the settings that prevent them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from society.core.types import Turn, explain_end
from society.scenario.binding import AgentPlan
from society.scenario.expand import Society


def count_ends(turns: Sequence[Turn]) -> dict[str, int]:
    """Count the replies that ended early by their notes, the most frequent first."""
    return dict(Counter(map(explain_end, _find_early(turns))).most_common())


def find_remedies(society: Society, turns: Sequence[Turn]) -> tuple[str, ...]:
    """Return the remedies for the replies that ended early, without repeats, the most frequent first."""
    remedies = Counter(_find_remedy(society, turn) for turn in _find_early(turns))
    return tuple(remedy for remedy, _ in remedies.most_common())


def _find_early(turns: Sequence[Turn]) -> list[Turn]:
    return [turn for turn in turns if turn.status == "ok" and explain_end(turn)]


def _find_remedy(society: Society, turn: Turn) -> str:
    """Return what prevents such an end, as far as the agent's settings and its backend allow."""
    if turn.usage.defaults:
        return "Give the person more time with `time_limit` of the backend."
    if turn.calls and turn.calls[-1].status == "refused" and turn.calls[-1].result.startswith("the limit"):
        return "Raise tool_use.calls or tool_use.tokens of the role, or change the prompt."
    plan = society.plans.get((turn.id.phase, turn.id.agent.split("/")[0]))
    limit = _limit_thoughts(society, plan) if turn.thought or turn.usage.thought_tokens else ""
    other = f", or {limit}" if limit else ""
    match turn.finish_reason:
        case "length":
            return f"Raise sampling.max_tokens{other}."
        case "context":
            return f"Raise the context of the backend{other}."
        case "filter":
            return "Change the prompt, or the server whose filter it is."
        case "tools":
            return "Say in the prompt that there are no tools."
        case "stop_text":
            return "Remove the stop text that comes first from sampling.stop."
        case "stop":
            return f"Change the prompt or the model{other}."


def _limit_thoughts(society: Society, plan: AgentPlan | None) -> str:
    """Return how thoughts are made shorter: "" where the backend has no budget of thoughts."""
    if plan is None:
        return ""
    if plan.thinking.budget:
        return "lower thinking.budget"
    config = society.scenario.backends[plan.backend]
    if plan.thinking.budget == 0 or "budget" not in config.thinking_options:
        return ""
    return "limit thoughts with thinking.budget if the model's backend can"
