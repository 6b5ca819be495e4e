"""Names that people read on pages and in the terminal: agents with personas, letters with their options, questions.

Stores, tables and JSON keep agents, letters and ids alone, by which their rows are joined.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from society.answers.choice import OPTION_LETTERS
from society.core.plain import shorten

if TYPE_CHECKING:
    from society.runs.records import DebateRecord
    from society.scenario.expand import Society

_SHARE = re.compile(rf"(?:(?<=^)|(?<=, ))[{OPTION_LETTERS}](?= \(\d+%\))")
"""A letter in the reason of a decision by distribution: `A (60%), B (40%)`."""
LONGEST_PERSONA, LONGEST_OPTION, LONGEST_QUESTION = 40, 100, 60
"""Maximum number of characters of a persona, of an option and of a question in a name."""


@dataclass(frozen=True)
class Names:
    """The names of a society's agents and answers."""

    society: Society

    @cached_property
    def personas(self) -> dict[str, str]:
        """The short persona of each agent that has one, and the person who plays it."""
        agents, people = self.society.agents.items(), self.society.people
        named = {name: [shorten(name_persona(plan.persona), LONGEST_PERSONA)] for name, plan in agents}
        for name, person in people.items():
            named.setdefault(name, []).append(f"a person: {person}")
        return {name: ", ".join(filter(None, parts)) for name, parts in named.items() if any(parts)}

    def agent(self, name: str) -> str:
        """Return an agent with its persona: `citizen-3 (Ada)`. Both agents of an edge, `a → b`, get theirs."""
        if " → " in name:
            return " → ".join(map(self.agent, name.split(" → ")))
        persona = self.personas.get(name)
        return f"{name} ({persona})" if persona else name

    def answer(self, question: str, answer: str) -> str:
        """Return an answer; the letter of an option with the option: `B. it depends`."""
        option = self._options(question).get(answer)
        return answer if option is None else name_option(answer, option)

    def decision(self, record: DebateRecord) -> str:
        """Return the decided answer; "" without one."""
        answer = record.result.decision.answer
        return "" if answer is None else self.answer(record.result.question, answer)

    def reason(self, record: DebateRecord) -> str:
        """Return why there is no single answer; of a distribution, the shares of the answers."""
        reason, options = record.result.decision.reason, self._options(record.result.question)
        if record.result.decision.single or not options:
            return reason
        return _SHARE.sub(lambda found: self.answer(record.result.question, found.group()), reason)

    def support(self, record: DebateRecord) -> str:
        """Return in words how the votes led to the decided answer; "" without one."""
        decision = record.result.decision
        if decision.answer is None:
            return ""
        return self.society.scenario.decision.describe_support(decision, len(record.voters(self.society)))

    def _options(self, question: str) -> dict[str, str]:
        return list_options(question) if self.society.scenario.task.format.equal == "choice" else {}


def name_option(letter: str, option: str) -> str:
    """Return an option as all pages name it, after its letter."""
    return f"{letter}. {shorten(option, LONGEST_OPTION)}"


def name_persona(persona: object) -> str:
    """Return the name in a persona with fields, its field `name`; of another persona the text."""
    name = persona.get("name") if isinstance(persona, dict) else None
    return name if isinstance(name, str) and name else str(persona)


def name_question(question: str) -> str:
    """Return the first line of a question, cut if it is long. Options follow on lines of their own."""
    return shorten(question.strip().partition("\n")[0], LONGEST_QUESTION)


def list_options(question: str) -> dict[str, str]:
    """Return the options that a question lists at its end, by letter: lines such as `A. yes`."""
    found: dict[str, str] = {}
    for line in question.splitlines():
        letter, point, option = line.partition(". ")
        if point and letter == OPTION_LETTERS[0]:
            found = {letter: option}
        elif point and found and letter == OPTION_LETTERS[len(found) : len(found) + 1]:
            found[letter] = option
    return found
