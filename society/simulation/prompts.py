"""Builds the chat that a model receives from the state of a debate."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, Literal

from society.answers import group
from society.components.tools.toolbox import Toolbox
from society.core.plain import count
from society.core.templating.prompts import TemplateError, find_variables, render
from society.core.types import ChatMessage, Item, Same, Turn, TurnId
from society.scenario.binding import AgentPlan
from society.scenario.expand import PhasePlan
from society.scenario.models.scenario import RoleSpec
from society.simulation.reading import Delivery

CANDIDATE_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""Letters by which a template may name the candidates, in their order."""


def variables(
    turn: TurnId, agent: AgentPlan, phase: PhasePlan, item: Item, instruction: str, delivery: Delivery, **more: Any
) -> dict[str, Any]:
    """Return the variables of templates (docs/reference/scenarios.md). `more`: summary, own, candidates and others."""
    return {
        "question": item.question,
        "choices": item.choices,
        "instruction": instruction,
        "item_id": item.id,
        "name": agent.name,
        "role": agent.role_name,
        "persona": agent.persona,
        "vars": agent.vars,
        "item": item.fields,
        "phase": phase.name,
        "round": turn.round,
        "rounds": phase.rounds,
        "agents": phase.speakers,
        "heard": delivery.messages,
        "judged": {},
        "tools": "" if agent.toolbox is None else agent.toolbox.instructions,
        "outcome": {},
        **more,
    }


@lru_cache(maxsize=1024)
def shows(role: RoleSpec, variable: str) -> bool:
    """Return whether a template of the role uses a variable."""
    return any(variable in find_variables(source) for source in (role.system, role.prompt) if source)


def build_chat(
    agent: AgentPlan, values: dict[str, Any], earlier: Iterable[Turn], native: bool = False
) -> tuple[ChatMessage, ...]:
    """Return the chat of a turn: system message, the agent's remembered earlier turns, and the current prompt.

    `native`: the model is offered the agent's tools in its own format, so the chat has no instructions on them.
    """
    remembered = [turn for turn in earlier if turn.is_shown]
    if agent.memory.turns is not None:
        remembered = remembered[max(len(remembered) - agent.memory.turns, 0) :]
    chat = [ChatMessage("system", _render(agent, "system", values))] if agent.role.system else []
    if agent.toolbox is not None:
        chat = _with_tools(agent, agent.toolbox, chat, native)
    for turn in remembered:
        chat += [turn.messages[-1], ChatMessage("assistant", turn.text)]
    return (*chat, ChatMessage("user", _render(agent, "prompt", values)))


def _with_tools(agent: AgentPlan, box: Toolbox, chat: Sequence[ChatMessage], native: bool) -> list[ChatMessage]:
    """Return the beginning of a chat with the instructions on tools, unless they are elsewhere, and the examples."""
    if not native and not shows(agent.role, "tools"):
        system = [message.content for message in chat]
        chat = [ChatMessage("system", "\n\n".join([*system, box.instructions]))]
    return [*chat, *box.example_chat(native)]


def _render(agent: AgentPlan, field: Literal["system", "prompt"], values: dict[str, Any]) -> str:
    """Return the rendered template of the agent's role. Its errors name the template and the turn."""
    templates = {"system": agent.role.system or "", "prompt": agent.role.prompt}
    try:
        return render(templates[field], values)
    except TemplateError as error:
        turn = f"phase {values['phase']!r}, round {values['round']}, question {values['item_id']!r}"
        place = f"roles.{agent.role_name}.{field}, for the agent {agent.name!r} in {turn}"
        placed = TemplateError(f"{place}: {error.cause} {_describe(values)}", error.remedy)
        placed.field, placed.line = ("roles", agent.role_name, field), error.line
        raise placed from error


def _describe(values: dict[str, Any]) -> str:
    """Return what the variables that change from turn to turn held, for errors."""
    heard, own = values["heard"], values["own"]
    unread = sum(message.answer is None for message in heard)
    without = f" ({unread} without an answer)" if unread else ""
    summary = f"{len(values['summary'])} characters" if values["summary"] else "empty"
    return (
        f"There `heard` had {count(len(heard), 'message')}{without}, `own` {count(len(own), 'turn')}, `candidates` "
        f"{count(len(values['candidates']), 'answer')}, and `summary` was {summary}."
    )


def candidates(turns: Sequence[Turn | None], same: Same) -> tuple[str, ...]:
    """Return the distinct answers among these turns, in the order first given."""
    answers = [turn.answer for turn in turns if turn is not None and turn.answer is not None]
    return tuple(answers[members[0]] for members in group(answers, same))


def with_letters(answers: Sequence[str]) -> list[dict[str, str]]:
    """Return candidates for templates: a letter and an answer each, at most 26."""
    return [{"letter": letter, "answer": answer} for letter, answer in zip(CANDIDATE_LETTERS, answers, strict=False)]
