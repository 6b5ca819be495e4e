"""Checks of prompts: their variables, and those of two debates rendered with the models' chat templates."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backends.base import CheckChat
from society.core.errors import SocietyError, TurnError
from society.core.problems import make_problem
from society.core.templating.prompts import TemplateError
from society.core.types import ChatMessage, Item
from society.planning.chats import find_check
from society.planning.preflight.findings import Findings
from society.scenario.checks.effects.flow import follow
from society.scenario.checks.expected import awaiting_rules, check_expected
from society.scenario.checks.prompts.report import check_prompts, depend_on_items
from society.scenario.checks.templates import line_of
from society.scenario.expand import Society
from society.scenario.questions import Items
from society.scenario.reading.tree import find_node, write_path

if TYPE_CHECKING:
    from society.planning.dry_run import PlannedTurn


@dataclass(frozen=True)
class PromptChecks:
    """Checks of the prompts, by the questions that they are about."""

    society: Society
    findings: Findings

    def check(self, items: Items) -> None:
        """Add the problems of variables, then those of rendered prompts."""
        try:
            self._check_variables(items.every)
        except SocietyError as error:
            self.findings.add_error((), error)
        self._check_prompts(items)

    def _check_prompts(self, items: Items) -> None:
        """Render the prompts of two debates, with the models' chat templates, too; of a large society, those of a part.

        In the first one, replies have one word each. In the second one, some are empty or unreadable.
        """
        from society.planning.dry_run import dry_run

        said: dict[str, list[str]] = {}
        checks = self._find_checks(said)
        words: list[int] = []

        def count_words(messages: Sequence[ChatMessage], *_: object) -> int:
            words.append(sum(len(message.content.split()) for message in messages))
            return _overestimate(messages)

        counts = dict.fromkeys(self.society.scenario.backends, count_words)
        try:
            for poor in (False, True):
                dry_run(self.society, items.evaluation[0], counts, checks, poor, part=True)
            self._check_lengths(items, min(filter(None, words), default=0))  # an empty prompt measures the counter
            if not self.findings.failed:
                self._check_contexts(items)
        except TemplateError as error:
            self._add_template_error(error)
        except TurnError as error:
            self.findings.add_error(("roles", error.role), error)
        except SocietyError as error:
            self.findings.add_error((), error)
        for name, sentences in said.items():
            for sentence in dict.fromkeys(sentences):
                self.findings.add(("backends", name, "model"), sentence, level="warning")

    def _check_contexts(self, items: Items) -> None:
        """Check that the longest prompts of a debate fit the contexts that the scenario sets, beside their replies.

        The model's tokenizer counts. Without it, words do, of which a token has at most one.
        """
        from society.planning.demand import longest, open_counters
        from society.planning.dry_run import dry_run

        backends = {name: self.society.scenario.backends[name] for name in self.society.used_backends}
        stated = {name for name, config in backends.items() if config.stated_context is not None and not config.missing}
        if not stated:
            return
        with ExitStack() as stack:
            counts = open_counters(stack, self.society, _count_words)
            question = longest(items.every, counts[min(stated)])
            turns = dry_run(self.society, question, counts, part=True)
            exact = {name for name, count in counts.items() if count is not _count_words}
        for name in sorted(stated):
            turn = max((turn for turn in turns if turn.backend == name), key=_measure, default=None)
            context = backends[name].context_tokens()
            if turn is not None and context is not None and _measure(turn) > context:
                least = "" if name in exact else "at least "
                message = (
                    f"is too small: it holds {context:,} tokens, and {turn.agent} in the phase {turn.phase}, round "
                    f"{turn.round}, may need {least}{_measure(turn):,} ({turn.prompt:,} and a reply of "
                    f"{turn.answer:,}), which ends the run; raise it, or lower `sampling.max_tokens`, `edges.window` "
                    "or the role's memory"
                )
                self.findings.add(("backends", name, "context"), message, level="warning")

    def _check_lengths(self, items: Items, words: int) -> None:
        """Check that training rows can be as long as a prompt, of which the shortest has this many `words`."""
        train = self.society.scenario.train
        if train is None or train.settings.too_long != "drop":
            return
        sizes = [len(item.question.split()) for item in items.every]
        least = words - sizes[0] + min(sizes)
        if train.settings.max_length <= least:
            message = f"leaves out every training row: each prompt has at least {least} words; raise it"
            self.findings.add(("train", "settings", "max_length"), message, level="warning")

    def _check_variables(self, items: Sequence[Item]) -> None:
        """Check the values of variables in prompts that depend on the questions. The others were checked before."""
        scenario = self.society.scenario
        asked = depend_on_items(scenario)
        if not asked and not any(True for _ in awaiting_rules(scenario)):
            return
        known = {(problem.path, problem.line, problem.column) for problem in self.findings.known}
        flow = follow(scenario)
        found = [
            *(check_prompts(flow, self.findings.root, items) if asked else ()),
            *check_expected(flow, self.findings.root, items),
        ]
        self.findings.problems += [one for one in found if (one.path, one.line, one.column) not in known]

    def _find_checks(self, said: dict[str, list[str]]) -> dict[str, CheckChat]:
        """Return the checks of chats, by backend. Each change of a chat adds a sentence to the backend's in `said`."""
        if self.findings.failed:
            return {}
        checks: dict[str, CheckChat] = {}
        for name in self.society.used_backends:
            try:
                check = find_check(self.society, name, said.setdefault(name, []).append)
            except SocietyError as error:
                self.findings.add_error(("backends", name), error)
            else:
                checks |= {} if check is None else {name: check}
        return checks

    def _add_template_error(self, error: TemplateError) -> None:
        """Add an error of a template at its line."""
        node = find_node(self.findings.root, error.field)
        place = line_of(node, error.line) if error.line else node.place
        cause = error.cause.removeprefix(f"{'.'.join(error.field)}, ")
        if any(
            one.level == "error" and (one.file, one.line) == (place.file, place.line) for one in self.findings.problems
        ):
            return  # the check of variables has found the reason
        self.findings.problems.append(
            make_problem(place, write_path(self.findings.root, error.field), f"{cause} {error.remedy}")
        )


def _measure(turn: PlannedTurn) -> int:
    """Return the maximum number of tokens of a turn."""
    return turn.prompt + turn.answer


def _count_words(messages: Sequence[ChatMessage], *_: object) -> int:
    return sum(len(message.content.split()) for message in messages)


def _overestimate(messages: Sequence[ChatMessage], *_: object) -> int:
    """Return an upper bound for the tokens of a prompt, so high that a reply of any length has one word."""
    return sum(1_000_000 * len(message.content) for message in messages)
