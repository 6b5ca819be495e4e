"""`society show`: the debates of a run, readable in the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from society.cli.options import allow_option, run_argument
from society.core.plain import list_some, shorten

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from society.core.types import Turn, TurnId
    from society.runs.names import Names
    from society.runs.records import DebateRecord

LONGEST = 200_000
"""Maximum number of characters of a reply or message that is shown: wrapping more takes seconds."""

LONGEST_MEMORY = 200
"""Maximum number of characters of a memory that is shown; the prompt and its own debate have the whole text."""

WIDE = 60
"""Minimum number of characters of a line for two spaces between the columns of the list."""


def _read_row(text: str | None) -> int | None:
    """Return the number of a training row; 0 for the option without a number, None without the option."""
    if not text:
        return None if text is None else 0
    if not text.isdecimal() or int(text) < 1:
        raise click.BadParameter(f"{text!r} is not a number from 1. Without a number, the finetunings are listed.")
    return int(text)


@click.command("show")
@run_argument
@click.option("--item", metavar="ID", help="Show the debate on the item with this id.")
@click.option("--number", type=click.IntRange(min=1), metavar="N", help="Show the debate with this number in the list.")
@click.option("--prompts", is_flag=True, help="Also show the prompt of each turn.")
@click.option("--thoughts", is_flag=True, help="Also show what a reasoning model thought before each text.")
@click.option(
    "--training-row",
    "row",
    is_flag=False,
    flag_value="",
    callback=lambda _context, _option, text: _read_row(text),
    metavar="[K]",
    help="Show training row K, from 1. Without K, list the finetunings.",
)
@click.option("--learner", metavar="NAME", help="Count only the training rows of this learner.")
@click.option("--agent", metavar="NAME", help="Count only the training rows of this agent.")
@click.option(
    "--iteration", metavar="N", type=click.IntRange(min=0), help="Count only the training rows of this iteration."
)
@allow_option
def command(
    run: Path,
    item: str | None,
    number: int | None,
    prompts: bool,
    thoughts: bool,
    row: int | None,
    learner: str | None,
    agent: str | None,
    iteration: int | None,
    allow: tuple[Path, ...],
) -> None:
    """List the debates of RUN, or show a debate or a training row.

    \b
    society show runs/mine
    society show runs/mine --number 3 --prompts
    """
    from society.cli.debates import find_debate
    from society.cli.rows import Rows
    from society.core.terminal import Terminal
    from society.runs.files import read_json
    from society.runs.names import Names
    from society.runs.records import load_record, load_records, load_unfinished
    from society.runs.run import Run
    from society.scenario.expand import expand

    console = Terminal()
    if row is not None:
        Rows(Run(run), console, learner, agent, iteration, allow).show(row)
        return
    names = Names(expand(Run(run).scenario))
    if item is None and number is None:
        from society.metrics.compared_runs import describe_unfinished

        records = load_records(Run(run))
        _list(console, names, [*records, *load_unfinished(Run(run))], run)
        last = max((record.result.iteration for record in records), default=0)
        done = sum(record.result.iteration == last for record in records)
        if part := describe_unfinished(Run(run), last, done):
            console.print(f"Unfinished: {part} have ended.", style="dim")
        if commits := read_json(Run(run).meta(), "commits"):
            places = ", ".join(f"{place} at {commit}" for place, commit in commits.items())
            console.print(f"From the hub: {places}", style="dim", soft_wrap=True)
        return
    debates = Run(run).debates()
    ids, unfinished = [name for _, name, _ in debates], []
    if (number or 0) > len(debates) or (item is not None and item not in ids):
        unfinished = load_unfinished(Run(run))
    found, note = find_debate([*ids, *(record.result.item for record in unfinished)], item, number)
    if note:
        console.print(note, style="dim", soft_wrap=True)
    record = load_record(Run(run), debates[found]) if found < len(debates) else unfinished[found - len(debates)]
    _debate(console, names, record, Run(run).recalled(record.turns), prompts, thoughts)


def _list(console: Console, names: Names, records: list[DebateRecord], run: Path) -> None:
    from rich.table import Table
    from rich.text import Text

    gap = 2 if console.width >= WIDE else 1
    table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0))
    for title in ("#", "", "question", "answers, first to last", "decision", "true answer"):
        longest = max(map(len, title.split()), default=1)
        table.add_column(title, overflow="fold", min_width=longest)
    for number, record in enumerate(records, 1):
        result = record.result
        decision = names.decision(record) or f"({names.reason(record)})"
        question, gold = (
            Text(shorten(result.question, 60)),
            Text(shorten(names.answer(result.question, result.gold), 30)),
        )
        table.add_row(str(number), _mark(record), question, _trails(record), Text(shorten(decision, 60)), gold)
    console.print(table)
    if records:
        console.print(f"\nTo read a debate: society show {run} --number 1, or --item with an id", style="dim")


def _trails(record: DebateRecord) -> Text:
    """Return the changing answers of each agent, coloured by whether they are right."""
    from rich.text import Text

    trails = Text()
    for agent in dict.fromkeys(turn.id.agent for turn in record.turns if "/" not in turn.id.agent):
        if len(trails):
            trails.append(" · ", style="dim")
        changes: list[Turn] = []
        for turn in record.of(agent):
            if not changes or turn.answer != changes[-1].answer:
                changes.append(turn)
        for i, turn in enumerate(changes):
            trails.append(" → " if i else "", style="dim")
            trails.append(shorten(turn.answer or "?", 24), style=_colour(record, turn))
    return trails


def _debate(
    console: Console,
    names: Names,
    record: DebateRecord,
    memories: Mapping[TurnId, Turn],
    prompts: bool,
    thoughts: bool,
) -> None:
    """Print a debate. `memories` has the turns of earlier questions that its agents remembered."""
    from rich.padding import Padding
    from rich.rule import Rule
    from rich.text import Text

    console.print(Text(record.result.question, style="bold"))
    place: tuple[str, int] | None = None
    before: dict[str, Turn] = {}
    for turn in record.turns:
        if (turn.id.phase, turn.id.round) != place:
            place = (turn.id.phase, turn.id.round)
            console.print(Rule(f"{place[0]}, round {place[1]}", style="dim"))
        _turn(console, names, record, turn, before.get(turn.id.agent))
        for part in (*_remembered(turn, memories), *_details(turn, prompts, thoughts), *_calls(turn)):
            console.print(Padding(Text(_cut(part), style="dim"), (0, 0, 0, 4)))
        _text(console, turn)
        before[turn.id.agent] = turn
    decision = record.result.decision
    reason = names.reason(record)
    answer = names.decision(record) or (f"no answer ({reason})" if decision.single else reason)
    console.print(Rule(style="dim"))
    support = f"   {names.support(record)}" if decision.answer is not None else ""
    facts = f"{support}   true answer: {names.answer(record.result.question, record.result.gold) or 'not known'}"
    console.print(Text.assemble("decided  ", (answer, "bold"), " ", _mark(record), facts))
    for text, given in record.result.judgements.items():
        if given.note:
            named = shorten(names.answer(record.result.question, text), 60)
            console.print(Text(f"verdict  {named}: {given.note}", style="dim"))


def _turn(console: Console, names: Names, record: DebateRecord, turn: Turn, before: Turn | None) -> None:
    """Print the head of a turn: agent, answer, and whom it read."""
    from rich.text import Text

    persona = names.personas.get(turn.id.agent, "")
    head = Text.assemble((turn.id.agent, "bold"), (f" ({persona})" if persona else "", "dim"), "  ")
    if turn.status == "failed":
        head.append(f"failed: {turn.error}", style="red")
    else:
        helps = record.helps(turn)
        answer = _help(turn) if helps else names.answer(record.result.question, turn.answer or "no readable answer")
        head.append(answer, style="dim" if helps else _colour(record, turn))
        head.append(f"   {turn.error}" if turn.error else "", style="red")
        head.append("" if helps else _flip(names, record, before, turn), style="yellow")
    if turn.reads:
        head.append(f"   read {list_some([source.agent for source in turn.reads])}", style="dim")
    console.print(head)


def _help(turn: Turn) -> str:
    """Return what a turn without an answer does."""
    from society.scenario.expand import is_memory

    if not is_memory(turn.id.agent):
        return "helps"
    if turn.id.agent.endswith("/importance"):
        return "rates a memory"
    return "remembers" if turn.is_shown else "keeps nothing"


def _remembered(turn: Turn, memories: Mapping[TurnId, Turn]) -> Iterator[str]:
    """Yield each memory that the turn's prompt showed: its question, its author, its text."""
    for past in turn.recalls:
        text = memories[past].text if past in memories else "(not stored)"
        sample = f", sample {past.sample + 1}" if past.sample != turn.id.sample else ""
        yield f"remembered {past.item}{sample}, {past.agent}: {shorten(text, LONGEST_MEMORY)}"


def _details(turn: Turn, prompts: bool, thoughts: bool) -> Iterator[str]:
    """Yield the prompt of a turn and its thought as far as they are shown; a folded thought as one line."""
    if prompts:
        yield from (f"{message.role}: {message.content}" for message in turn.messages)
    if turn.thought:
        tokens = f"{turn.usage.thought_tokens:,} tokens" if turn.usage.thought_tokens else "of unknown length"
        yield f"thought: {turn.thought}" if thoughts else f"(a thought, {tokens}: --thoughts shows it)"


def _calls(turn: Turn) -> Iterator[str]:
    """Yield the calls of tools before the text of a turn: the reply that makes each, and its result."""
    for call in turn.calls:
        if call.reply is not None:
            yield call.reply.text
        status = "" if call.status == "ok" else f" ({call.status})"
        yield f"{call.tool}{status}: {call.result}"


def _text(console: Console, turn: Turn) -> None:
    from rich.padding import Padding
    from rich.text import Text

    body = Text(_cut(turn.text))
    if turn.answer:
        body.highlight_words([turn.answer], style="underline", case_sensitive=False)
    console.print(Padding(body, (0, 0, 1, 2)))


def _cut(text: str) -> str:
    """Return a text, or its beginning with the number of the characters that are left out."""
    more = len(text) - LONGEST
    return text if more <= 0 else f"{text[:LONGEST]}\n... and {more:,} more characters, which `society export` writes"


def _flip(names: Names, record: DebateRecord, before: Turn | None, after: Turn) -> str:
    """Return how the answer changed since the agent's last turn, unreadable answers included; "" if it did not."""
    if before is None or before.answer == after.answer:
        return ""
    was = "" if before.answer is None else f" (was {names.answer(record.result.question, before.answer)})"
    if not record.scored:
        return f"   changed{was}"
    return f"   {_verdict(record, before)} → {_verdict(record, after)}{was}"


def _verdict(record: DebateRecord, turn: Turn) -> str:
    if turn.answer is None:
        return "unreadable"
    if not record.scored:
        return "readable"
    return "right" if record.right(turn) else "wrong"


def _colour(record: DebateRecord, turn: Turn) -> str:
    return {"unreadable": "dim", "readable": "", "right": "green", "wrong": "red"}[_verdict(record, turn)]


def _mark(record: DebateRecord) -> Text:
    """Return whether the decision is right; nothing where nothing can be right."""
    from rich.text import Text

    correct = record.result.correct
    if not record.scored or not record.result.decision.single:
        return Text("")
    return Text("✓", style="green") if correct else Text("✗", style="red")
