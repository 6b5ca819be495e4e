"""From an agent's place in a debate to the chat that its model is given."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from society.answers import group
from society.core.templating.prompts import render
from society.core.types import ChatMessage, Item, Same, Turn, TurnId
from society.scenario.expand import AgentPlan, PhasePlan
from society.simulation.reading import Delivery

CANDIDATE_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""Letters by which a template may name the candidates, in their order."""


def variables(
    turn: TurnId, agent: AgentPlan, phase: PhasePlan, item: Item, instruction: str, delivery: Delivery, **more: Any
) -> dict[str, Any]:
    """What a template may use; docs/reference/scenarios.md describes each. `more` has summary, own and candidates."""
    return {
        "question": item.question,
        "choices": item.choices,
        "instruction": instruction,
        "item_id": item.id,
        "name": agent.name,
        "role": agent.role_name,
        "persona": agent.persona,
        "phase": phase.name,
        "round": turn.round,
        "rounds": phase.spec.rounds,
        "agents": phase.speakers,
        "heard": delivery.messages,
        **more,
    }


def build_chat(agent: AgentPlan, values: dict[str, Any], earlier: Iterable[Turn]) -> tuple[ChatMessage, ...]:
    """System message, the agent's own earlier turns as far as it remembers them, and what it is asked now."""
    spoken = [turn for turn in earlier if turn.status == "ok"]
    if agent.role.memory is not None:
        spoken = spoken[len(spoken) - agent.role.memory :] if agent.role.memory < len(spoken) else spoken
    chat = [ChatMessage("system", render(agent.role.system, values))] if agent.role.system else []
    for turn in spoken:
        chat += [turn.messages[-1], ChatMessage("assistant", turn.text)]
    return (*chat, ChatMessage("user", render(agent.role.prompt, values)))


def candidates(turns: Sequence[Turn | None], same: Same) -> tuple[str, ...]:
    """The distinct answers among these turns, in the order first given."""
    answers = [turn.answer for turn in turns if turn is not None and turn.answer is not None]
    return tuple(answers[members[0]] for members in group(answers, same))


def lettered(answers: Sequence[str]) -> list[dict[str, str]]:
    """Candidates as templates see them: a letter and an answer each (26 at most)."""
    return [{"letter": letter, "answer": answer} for letter, answer in zip(CANDIDATE_LETTERS, answers, strict=False)]
