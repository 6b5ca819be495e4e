"""`society show --training-row`: a training row token by token, and the turn that it comes from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from society.cli.options import offline
from society.core.errors import InputError, SocietyError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from society.core.types import Example, Turn
    from society.runs.run import Run
    from society.store.rows import AdapterRow

OPEN, CLOSE = "⟦", "⟧"
"""Brackets around trained text where the terminal has no colours."""
SHADES = {False: ("grey50", "grey62"), True: ("bold black on green", "bold black on bright_green")}
"""Two colours for neighbouring tokens, of context (False) and of trained text (True)."""
LISTED = 6
"""Maximum number of finetunings that an error lists."""
Pieces = Iterable[tuple[str, bool]]


@dataclass
class Rows:
    """The training rows of a run, or of one learner, agent or iteration."""

    run: Run
    console: Console
    learner: str | None = None
    agent: str | None = None
    iteration: int | None = None
    allow: Sequence[Path] = ()

    def show(self, number: int) -> None:
        """Print the row with this number, counted from 1; with 0, a list of the finetunings.

        Raises `InputError` if there is no such row.
        """
        trainings = [row for row in self.run.adapters() if self._fits(row)]
        if not trainings:
            raise self._missing()
        self._row(number) if number else self._list(trainings)

    def _missing(self) -> InputError:
        """Return the error for a run without such a finetuning."""
        given = {"--learner": self.learner, "--agent": self.agent, "--iteration": self.iteration}
        options = [name for name, value in given.items() if value is not None]
        known = [f"{row.learner} of {row.agent}, iteration {row.iteration}" for row in self.run.adapters()]
        if not known:
            return InputError(
                f"The run in {self.run.folder} has no training rows.", "Name a run that has trained (`train`)."
            )
        listed = "; ".join(known[:LISTED]) + ("; ..." if len(known) > LISTED else "")
        return InputError(
            f"The run has no such training row. It has those of {listed}.",
            f"Correct or leave out {' and '.join(options)}.",
        )

    def _fits(self, row: AdapterRow) -> bool:
        wanted = ((self.learner, row.learner), (self.agent, row.agent), (self.iteration, row.iteration))
        return all(one in (None, other) for one, other in wanted)

    def _list(self, trainings: list[AdapterRow]) -> None:
        from rich.table import Table

        titles = ("iteration", "learner", "agent", "rows", "left out", "loss", "seconds")
        lines: list[list[str]] = []
        guessed = self._count_retokenized()
        for row in trainings:
            loss = _describe_loss(row)
            again = guessed[row.iteration, row.learner, row.agent]
            rows = f"{row.examples} ({again} from text)" if again else row.examples
            cells = (row.iteration, row.learner, row.agent, rows, _counts(row.left_out), loss, row.seconds)
            lines.append([f"{cell:.1f}" if isinstance(cell, float) else str(cell) for cell in cells])
        table = Table(box=None, pad_edge=False)
        for title, width in zip(titles, fit_widths([titles, *lines], self.console.width), strict=True):
            table.add_column(title, overflow="fold", width=width)
        for line in lines:
            table.add_row(*line)
        self.console.print(table)
        if guessed.total():
            self.console.print(_FROM_TEXT, style="dim", soft_wrap=True)
        self.console.print(f"\nTo read a row: society show {self.run.folder} --training-row 1", style="dim")

    def _count_retokenized(self) -> Counter[tuple[int, str, str]]:
        """Return how many rows lack their drawn tokens, by iteration, learner and agent."""
        from society.training.export import training_examples

        found = training_examples(self.run)
        guessed = (adapter for adapter, row, example in found if example.tokens is None and not row.left_out)
        return Counter((adapter.iteration, adapter.learner, adapter.agent) for adapter in guessed)

    def _row(self, number: int) -> None:
        from society.training.export import training_examples

        rows = [found for found in training_examples(self.run) if self._fits(found[0])]
        if not rows:
            raise InputError(
                "These finetunings have no training rows.",
                "List the finetunings with --training-row, without a number.",
            )
        if number > len(rows):
            raise InputError(f"There is no training row {number}.", f"Give a number from 1 to {len(rows)}.")
        adapter, row, example = rows[number - 1]
        turn = next(turn for turn in self.run.turns() if turn.id == example.source)
        for label, text in _origin(adapter, example, turn):
            self.console.print(f"{label:<9}{text}", soft_wrap=True)
        if row.left_out:
            self.console.print(f"{'trained':<9}no: {row.left_out}", soft_wrap=True)
        pieces = self._tokens(adapter, example)
        if pieces is not None:
            pieces = [(piece, is_trained and not row.left_out) for piece, is_trained in pieces]
            trained = sum(is_trained for _, is_trained in pieces)
            nothing = "No token was trained.\n" if row.left_out else _NOTHING
            self.console.print(f"{'tokens':<9}{len(pieces)}, of which {trained} are trained\n" if trained else nothing)
        self.console.print(self._text(show_chat(example) if pieces is None else pieces), soft_wrap=True)

    def _tokens(self, adapter: AdapterRow, example: Example) -> list[tuple[str, bool]] | None:
        """Return the row in the trainer's tokens; None if the backend or the model does not give them."""
        try:
            with offline():
                return self._render(adapter, example)
        except SocietyError as error:
            self.console.print(f"The tokens are not shown. {error.cause}\n{error.remedy}\n", style="dim")
            return None

    def _render(self, adapter: AdapterRow, example: Example) -> list[tuple[str, bool]] | None:
        """Return the tokens of the row, by the tokenizer of the trained model."""
        from society.scenario.expand import expand
        from society.training.learners import backend_of, learners

        society = expand(self.run.open_scenario(self.allow))
        spec = society.scenario.train
        assert spec is not None  # it has been trained
        learner = next(x for x in learners(society, spec) if (x.name, x.agent) == (adapter.learner, adapter.agent))
        exporter = society.scenario.backends[backend_of(society, learner)].exporter()
        return exporter.render(example, spec.settings) if exporter else None

    def _text(self, pieces: Pieces) -> Text:
        """Return the row with trained text in colour, neighbouring tokens in two shades; or in brackets."""
        from rich.text import Text

        text = Text()
        for trained, group in groupby(pieces, key=lambda piece: piece[1]):
            plain = trained and not self.console.color_system
            text.append(OPEN if plain else "")
            for i, (piece, _) in enumerate(group):
                text.append(piece, style=SHADES[trained][i % 2])
            text.append(CLOSE if plain else "")
        return text


_FROM_TEXT = (
    "\nFrom text: the reply was tokenized from its text, because the trained model does not have the drawn tokens, "
    "or because they were drawn after a prompt with other thinking settings. "
    "The tokens may differ from those drawn."
)
_RETOKENIZED = "tokenized from its text; the tokens may differ from those drawn"
_NOTHING = "No token was trained: the row is longer than train.settings.max_length.\n"


def fit_widths(lines: Sequence[Sequence[str]], room: int) -> list[int | None]:
    """Return the widths of columns, with two spaces between them, so that lines break between words if possible.

    `room`: characters of a line. Returns None for each column where the longest words of all columns do not fit.
    """
    columns = [*zip(*lines, strict=True)]
    widths = [max(map(len, column)) for column in columns]
    least = [max((len(word) for cell in column for word in cell.split()), default=0) for column in columns]
    room -= 2 * (len(columns) - 1)
    if sum(least) > room:
        return [None] * len(columns)
    while sum(widths) > room:
        widest = max(range(len(widths)), key=lambda i: (widths[i] > least[i], widths[i]))
        widths[widest] -= 1
    return [*widths]


def show_chat(example: Example) -> Pieces:
    """Return the row as a chat, one piece per message. The last message is trained, and the thought before it."""
    *context, reply = [(f"{m.role}: {m.content}\n", False) for m in example.messages]
    thought = [(f"thought: {example.thought}\n", example.learn_thought)] if example.thought else []
    return [*context, *thought, (reply[0], True)]


def _origin(adapter: AdapterRow, example: Example, turn: Turn) -> list[tuple[str, str]]:
    s = example.source
    sample = f", sample {s.sample}" if s.sample else ""
    who = "all agents" if adapter.agent == "*" else adapter.agent
    part = f", reply {example.part + 1}" if turn.calls else ""
    return [
        ("source", f"iteration {s.iteration}, {s.item}{sample}, {s.phase}, round {s.round}, {s.agent}{part}"),
        ("model", f"adapter {turn.adapter}" if turn.adapter else "the base model"),
        (
            "reply",
            "tokens as drawn" if example.tokens is not None else _RETOKENIZED,
        ),
        *_describe_thought(example),
        ("rule", example.rule if example.desired else f"{example.rule}: the reply is made less likely"),
        *([("weight", f"{example.weight:.3g}")] if example.weight != 1 else []),
        ("learner", f"{adapter.learner} of {who}: adapter {adapter.hash}"),
        ("rows", f"{adapter.examples} trained; left out: {_counts(adapter.left_out) or 'none'}"),
    ]


def _describe_thought(example: Example) -> list[tuple[str, str]]:
    """Return whether the thought of a row is trained; nothing for a row without one."""
    if not example.thought:
        return []
    return [("thought", "trained, with the text" if example.learn_thought else "not trained: the text follows it")]


def _describe_loss(row: AdapterRow) -> str:
    """Return the first and the last loss of a finetuning, or why there is none."""
    if row.back_to is not None:
        return f"guard: weights of iteration {row.back_to}"
    return f"{row.losses[0]:.3f} → {row.losses[-1]:.3f}" if row.losses else "not trained"


def _counts(left_out: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in left_out.items() if count)
