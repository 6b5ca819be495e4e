"""The problems of prompts: comparisons that never or always hold, variables that are always empty, and faults."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from jinja2 import nodes

from society.components.facts import listing
from society.core.problems import Problem, find_near, make_problem, show
from society.core.templating.prompts import find_variables, parse_template
from society.core.types import Item
from society.scenario.checks.effects.flow import Flow
from society.scenario.checks.effects.prompts import find_use
from society.scenario.checks.prompts.log import Compared, Fault, Log, Used
from society.scenario.checks.prompts.places import PromptPlace, find_places
from society.scenario.checks.prompts.walk import Walk
from society.scenario.checks.templates import line_of
from society.scenario.models.scenario import Scenario
from society.scenario.reading.source import Node
from society.scenario.reading.tree import Steps, find_node, problem_at, write_path

MOST_PLACES = 20_000
"""Maximum number of places at which templates are walked through."""
MOST_STEPS = 3_000_000
"""Maximum number of nodes of a template times its places."""
SIMILAR = 0.8
"""Minimum similarity of a name to an existing one at which it is taken for a misspelling."""
EMPTY = {
    "heard": "no message arrives here; set `topology` or `reads` in the phase, or remove it",
    "own": "these agents have no earlier turn here; set `rounds: 2`, or remove it",
    "readers": "nobody reads these agents here; set `topology` in the phase, or remove it",
    "summary": "no edge shows one here; set `edges: {show: summary}` and a `summarizer` in the phase, or use `heard`",
    "sender": "its agents are on no edge here; set `on_edges` in the phase",
    "reader": "its agents are on no edge here; set `on_edges` in the phase",
    "persona": "none of its agents has one; set `persona`",
    "candidates": "nobody has answered before the phase; add an earlier phase with answers",
    "memories": "none of its agents has a memory beyond a debate; set `memory: {scope: agent}`",
    "outcome": "only roles of `memory` have it; name the role in `write`, `rate` or `reflect`",
    "now": "the scenario has no simulated time; set `clock`",
    "judged": "only a judge of `task.answer` has it; set `answer: {kind: judge}` in the task",
    "choices": "no question of the task has options; give the task `choices`, or remove it",
    "time": "the scenario has no simulated time; set `clock`",
    "tools": "its agents have no tools; set `tools` in the role",
}
"""Remedies for variables that are always empty, by variable."""
SUMMARIZED = "the edges here show a summary; use `summary`, or set `show: full` in `edges`"
"""Remedy for `heard` where only summaries arrive."""
NAMES = {"phase": "phase", "name": "agent", "role": "role", "sender": "agent", "reader": "agent"}
WORDS = {"eq": "==", "ne": "!=", "lt": "<", "lteq": "<=", "gt": ">", "gteq": ">=", "in": "in", "notin": "not in"}


def check_prompts(flow: Flow, root: Node, items: Sequence[Item] | None = None) -> list[Problem]:
    """Return the problems of all prompts. `items` are the questions, if they are known."""
    places: dict[str, list[PromptPlace]] = defaultdict(list)
    for number, place in enumerate(find_places(flow, items)):
        if number == MOST_PLACES:
            message = f"are used at more than {MOST_PLACES:,} different places, so their conditions are not checked"
            return [problem_at(root, ("roles",), message, key=True, level="warning")]
        places[place.role].append(place)
    templates: dict[str, _Template] = {}
    for role, own in places.items():
        for field in ("system", "prompt"):
            source = getattr(flow.scenario.roles[role], field)
            if source:
                found = templates.setdefault(source, _Template(flow, root, ("roles", role, field), []))
                found.places.extend(own)
    return [problem for source, template in templates.items() for problem in template.check(source)]


def depend_on_items(scenario: Scenario) -> bool:
    """Return whether a prompt uses variables whose values depend on the questions."""
    uses = [find_use(role) for role in scenario.roles.values()]
    letters = scenario.task.format.equal == "choice"
    return any(use.variables & {"item", "choices"} or (letters and use.shows("answer")) for use in uses)


@dataclass(frozen=True)
class _Template:
    """A template with all places of the roles that have it."""

    flow: Flow
    root: Node
    steps: Steps
    places: list[PromptPlace]

    def check(self, source: str) -> Iterator[Problem]:
        """Yield the problems of the template."""
        tree, log = parse_template(source), Log()
        if sum(1 for _ in tree.find_all(nodes.Node)) * len(self.places) > MOST_STEPS:
            yield self._problem(1, "", "is too long for its conditions to be checked at all its places", error=False)
            return
        try:
            for place in self.places:
                Walk(tree, place.variables, log)
        except RecursionError:
            yield self._problem(1, "", "is nested too deeply for its conditions to be checked", error=False)
            return
        yield from map(self._report, log.faults.values())
        for used in log.used.values():
            yield from self._check_used(used)
        for compared in log.compared.values():
            if len(compared.truth) == 1:
                yield from self._check_compared(compared)

    def _report(self, fault: Fault) -> Problem:
        details = {"allowed": fault.allowed, "suggestion": fault.suggestion}
        return self._problem(fault.line, fault.text, fault.message, fault.error, **details)

    def _problem(self, line: int, text: str, message: str, error: bool, **details: Any) -> Problem:
        node, path = find_node(self.root, self.steps), write_path(self.root, self.steps)
        level = "error" if error else "warning"
        return make_problem(line_of(node, line, text), path, message, level=level, **details)

    @property
    def _inherited(self) -> bool:
        """True if the template is from a file that the scenario extends: it may be written for other phases, too."""
        node = find_node(self.root, self.steps)
        written = node.written.place if node.written is not None else node.place
        return written.file != find_node(self.root, ("phases",)).place.file

    def _check_used(self, used: Used) -> Iterator[Problem]:
        if used.fault is not None:
            if used.empty and not self._inherited:
                yield self._report(used.fault)
            return
        if not used.empty or (used.variable not in EMPTY and not used.remedy) or self._inherited:
            return
        if used.variable == "heard" and self._shows_summary():
            return
        phases = dict.fromkeys(place.phase for place in self.places)
        if used.remedy:
            yield self._problem(
                used.node.lineno, used.variable, f"`{used.variable}` is empty here: {used.remedy}", False
            )
            return
        unheard = used.variable == "heard" and all(place.variables["heard"].empty for place in self.places)
        summarized = unheard and any(not place.variables["summary"].empty for place in self.places)
        if unheard and len(phases) == 1 and not summarized:
            yield self._unheard(next(iter(phases)))
            return
        why = SUMMARIZED if summarized else EMPTY[used.variable]
        message = f"uses `{used.variable}`, which is always empty: {why}"
        yield self._problem(used.node.lineno, used.variable, message, error=False)

    def _unheard(self, phase: str) -> Problem:
        """Return the problem of a phase in which no message arrives for a prompt that shows messages."""
        spec = next(spec for spec in self.flow.scenario.phases if spec.name == phase)
        index = self.flow.scenario.phases.index(spec)
        field = next((name for name in ("topology", "agents") if name in spec.model_fields_set), "")
        steps: Steps = ("phases", index, field) if field else ("phases", index)
        remedy = "set `topology` or `reads`"
        agents = dict.fromkeys(name for place in self.places for name in place.agents)
        ties = next(found for found in self.flow.phases if found.index == index).ties or ()
        if spec.edges.show == "nothing" and any(tie.reader in agents and tie.turns for tie in ties):
            steps, remedy = ("phases", index, "edges", "show"), "set `show: full`, or remove `heard`"
        message = f"no message arrives for {listing(agents, 2)}, whose prompt shows `heard`; {remedy}"
        return problem_at(self.root, steps, message, level="warning")

    def _shows_summary(self) -> bool:
        """Return whether the template is also for summaries, and one arrives in place of messages."""
        source = str(getattr(self.flow.scenario.roles[str(self.steps[1])], str(self.steps[2])))
        return "summary" in find_variables(source) and not all(p.variables["summary"].empty for p in self.places)

    def _check_compared(self, compared: Compared) -> Iterator[Problem]:
        (holds,) = compared.truth
        subject, stated = compared.subject, compared.literal
        if stated in ("", None) or isinstance(stated, bool):
            return
        name = subject.source
        known = subject.known or tuple(str(one) for one in compared.options if one is not None)
        exists = str(stated) in known
        if holds and not self._is_empty_condition(compared, exists):
            return
        near = "" if exists or not isinstance(stated, str) else find_near(stated, known)
        typo = bool(near) and name in NAMES and _is_misspelled(stated, near)
        if self._inherited and not typo:
            return
        always = "always" if holds else "never"
        message = f"{self._show(compared)} {always} holds: {self._explain(compared, exists)}"
        text = stated if isinstance(stated, str) else str(stated)
        yield self._problem(compared.node.lineno, text, message, typo, suggestion=near)

    def _is_empty_condition(self, compared: Compared, exists: bool) -> bool:
        """Return whether a comparison that always holds is likely a mistake.

        The last of several branches may hold wherever the others do not.
        """
        if compared.name in ("eq", "in", "contains", "startswith", "endswith"):
            elsewhere = {one for place in self.places for one in place.options(compared.subject.source)}
            return compared.other and not compared.listed and len(elsewhere) <= len(compared.options)
        return not exists or compared.subject.kind == "number"

    @staticmethod
    def _show(compared: Compared) -> str:
        """Return the comparison as text, as far as it is simple."""
        subject, literal = compared.written or "the value", show(compared.literal)
        if compared.name == "contains":
            return f"`{literal} in {subject}`"
        if compared.name in WORDS:
            return f"`{subject} {WORDS[compared.name]} {literal}`"
        return f"`{subject}.{compared.name}({literal})`"

    def _explain(self, compared: Compared, exists: bool) -> str:
        """Return why a comparison always or never holds, and what to do."""
        subject, stated = compared.subject, compared.literal
        options = [one for one in compared.options if one is not None]
        if subject.kind == "number" and isinstance(stated, str):
            return "it is a number; remove the quotation marks"
        if subject.kind == "text" and not isinstance(stated, str):
            return "it is a text; put the value in quotation marks"
        if subject.kind not in ("text", "number"):
            return f"it is {_ARTICLES.get(subject.kind, 'something else')}"
        if subject.source in ("round", "rounds") and options:
            return _explain_round(subject.source, min(options), max(options))
        if subject.high == 1 and subject.low == 0:
            return "it is a number from 0 to 1"
        if not exists and subject.source in NAMES:
            return (
                f"there is no {NAMES[subject.source]} {show(stated)}{self._hint(stated)}; here are {listing(options)}"
            )
        group = self.flow.society.members.get(str(stated), ())
        if group and subject.source == "sender" and not set(options) & set(self.flow.society.members):
            return "`anonymous` edges hide the names; remove `anonymous` in `edges`, or the comparison"
        if subject.source in NAMES and NAMES[subject.source] == "agent" and len(group) > 1:
            return f"{show(stated)} is a group, whose agents are {listing(group)}; name one, or compare `role`"
        if any(
            stated in place.variables[subject.source].choices
            for place in self.places
            if subject.source in place.variables
        ):
            return "another condition around it or before it excludes it; remove it"
        if not options:
            return "no place of the template has such a value"
        return f"where the template is used, it is {'one of ' * (len(options) > 1)}{listing(options)}"

    def _hint(self, stated: object) -> str:
        """Return what else has this name."""
        scenario = self.flow.scenario
        kinds = {
            "phase": [phase.name for phase in scenario.phases],
            "agent": list(self.flow.society.members),
            "role": list(scenario.roles),
        }
        other = next((noun for noun, names in kinds.items() if stated in names), "")
        return f", but a{'n' * (other == 'agent')} {other}" if other else ""


_ARTICLES = {
    "list": "a list; compare its length, or use `in`",
    "flag": "true or false",
    "record": "a record",
    "none": "None",
}


def _explain_round(name: str, low: int, high: int) -> str:
    if name == "rounds":
        return f"the phase has {high} rounds"
    if low == high:
        return f"the template is used in round {low} alone; set `rounds: 2` or more in the phase"
    return f"rounds count from {low} to {high}"


def _is_misspelled(given: str, near: str) -> bool:
    """Return whether a name is most likely a misspelling: similar, and not another number of the same series."""
    if given.lower() == near.lower():
        return True
    one, other = ("".join(c for c in name.lower() if not c.isdigit()) for name in (given, near))
    return one != other and SequenceMatcher(None, one, other).ratio() >= SIMILAR
