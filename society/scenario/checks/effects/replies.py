"""Checks of what replies are read for: confidences, verdicts of a judge, and answers that a stop text cuts off."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from jinja2 import nodes

from society.answers.format import ENDINGS
from society.components.facts import listing
from society.core.templating.prompts import parse_template
from society.scenario.binding import AgentPlan
from society.scenario.checks.effects.findings import Finding
from society.scenario.checks.effects.flow import Flow
from society.scenario.checks.effects.layers import find_setting
from society.scenario.checks.effects.prompts import find_use
from society.scenario.members import judges
from society.scenario.models.scenario import RoleSpec

ASKS = re.compile(r"confiden|certain|sure", re.IGNORECASE)
"""Matches the words beside which a stated confidence is read."""
KNOWN = frozenset(
    {
        "question",
        "choices",
        "judged",
        "name",
        "role",
        "persona",
        "vars",
        "phase",
        "round",
        "rounds",
        "agents",
        "item_id",
    }
)
"""Variables that cannot tell a judge which words its verdict has, unless the scenario writes them out."""
MARKS = {"boxed": r"\boxed{", "hash": "####", "tag": "<answer>", "choice": "The answer is ("}
"""Text in front of an answer, by the extractor whose instruction asks for it."""
SHORTEST_STOP = 4
"""Minimum length of a stop text that is looked for in `MARKS`: shorter ones may be meant."""


def check_replies(flow: Flow) -> Iterator[Finding]:
    """Yield prompts and stop texts by which replies cannot have what is read in them."""
    for name, role in flow.scenario.roles.items():
        plans = [plan for _, plan in flow.plans() if plan.role_name == name]
        if plans and role.confidence != "none":
            yield from _check_confidence(flow, name, role, plans)
    yield from _check_judges(flow)
    yield from _check_stops(flow)


def _check_confidence(flow: Flow, name: str, role: RoleSpec, plans: Sequence[AgentPlan]) -> Iterator[Finding]:
    """Yield confidences that no reply can have."""
    backends = {plan.backend: flow.scenario.backends[plan.backend] for plan in plans}
    asked = any(config.reads_instructions for config in backends.values())
    texts = [*_words(role, plans)] if asked else [*_words(role, plans), role.system or "", role.prompt]
    if role.confidence == "stated" and not ASKS.search("\n".join(texts)):
        message = "never asks for a confidence, which `confidence: stated` reads in replies; ask for one in the prompt"
        yield Finding(("roles", name, "prompt"), message)
    if role.confidence == "logprob" and not any(config.gives_logprobs for config in backends.values()):
        message = f"is never there: replies of the backend {listing(backends)} have no log-probabilities"
        yield Finding(("roles", name, "confidence"), f"{message}; set `confidence: stated`, or use another backend")


def _words(role: RoleSpec, plans: Sequence[AgentPlan]) -> Iterator[str]:
    """Yield the texts of a role's templates, and the values that they may show."""
    for tree in (parse_template(source) for source in (role.system, role.prompt) if source):
        yield from (str(data.data) for data in tree.find_all(nodes.TemplateData))
        yield from (str(constant.value) for constant in tree.find_all(nodes.Const) if constant.value != "confidence")
        # A field of a question or of a persona may ask for it; that of a message is what others have stated.
        yield from (field.attr for field in tree.find_all(nodes.Getattr) if field.attr != "confidence")
    for plan in {id(plan.vars): plan for plan in plans}.values():
        yield from map(str, plan.vars.values())
    yield from {str(plan.persona) for plan in plans}


def _check_judges(flow: Flow) -> Iterator[Finding]:
    """Yield prompts of judges that name none of the words by which their verdicts are read."""
    verdicts = flow.scenario.task.answer.verdicts
    for name in judges(flow.scenario) if verdicts else ():
        plans = [plan for _, plan in flow.plans(flow.society.members.get(name, ()))]
        for role_name, role in {plan.role_name: plan.role for plan in plans}.items():
            own = [plan for plan in plans if plan.role_name == role_name]
            told = any(plan.adapter or not flow.scenario.backends[plan.backend].reads_instructions for plan in own)
            if told or role.choices or not find_use(role).variables <= KNOWN:
                continue
            if not re.search(rf"\b(?:{'|'.join(verdicts)})\b", "\n".join(_words(role, own)), re.IGNORECASE):
                words = " or ".join(f'"Verdict: {word.upper()}"' for word in verdicts)
                message = f"never names the verdicts that are read in its replies; end it with: Write {words}"
                yield Finding(("roles", role_name, "prompt"), message)


def _check_stops(flow: Flow) -> Iterator[Finding]:
    """Yield stop texts that end each reply before its answer or its confidence."""
    task = flow.scenario.task
    ending = next((name for name in MARKS if ENDINGS[name] == task.instruction), "")
    for phase, plan in flow.plans():
        if not flow.scenario.backends[plan.backend].reads_instructions:
            continue
        asked = plan.name in flow.society.voters and "instruction" in find_use(plan.role).variables
        for stop in plan.sampling.stop:
            message = ""
            if asked and ending and len(stop) >= SHORTEST_STOP and stop in MARKS[ending]:
                message = f"ends a reply before its answer: `instruction` asks for {ENDINGS[ending]!r}; remove it"
            elif plan.role.confidence == "stated" and ASKS.search(stop):
                message = "ends a reply before its confidence, which `confidence: stated` reads; remove it"
            if message:
                yield Finding(find_setting(flow, phase, plan, "sampling", "stop"), message)
