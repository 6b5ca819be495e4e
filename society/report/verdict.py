"""What a run says, in words: did debating help, whom did it hurt, what did it cost, would more questions tell more?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from society.core.types import Usage
from society.metrics.budget import BudgetVerdict
from society.metrics.flips import describe_flips
from society.metrics.iterations import IterationScore
from society.metrics.statistics import Difference, compare_outcomes, questions_needed
from society.metrics.summary import Summary, count_agent_flips, describe_lone, is_unclear
from society.metrics.tradeoff import first_answers, vote_chances
from society.runs.records import DebateRecord, by_iteration, by_question, sameness, vote_is_right
from society.scenario.expand import Society

POINTS = 0.05
"""The difference to plan for where none was seen."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A question that a reader asks, the answer in a word or two, and the evidence in a sentence."""

    question: str
    answer: str
    detail: str


@dataclass(frozen=True, slots=True)
class Change:
    """What debating changed: `before` is the accuracy of what it is compared with, in [0, 1]."""

    what: str
    before: float
    difference: Difference


def judge(
    society: Society,
    records: Sequence[DebateRecord],
    summary: Summary,
    budget: BudgetVerdict,
    trained: Difference | None = None,
) -> list[dict[str, Any]]:
    """The findings of one run's last iteration, as JSON; `trained` is what training changed, if there was any."""
    change, deed = weigh_change(society, records), name_deed(society, records)
    found = [_helped(society, summary, change, deed), _cost(records, summary)]
    if change is not None:
        found.insert(1, _hurt(society, records, change.difference, deed))
        found += [_fair(budget), _enough(change.difference, deed)]
    if len(society.voters) > 1 and summary.debates > summary.undecided:
        found.append(_rests(summary))
    if trained is not None:
        found.insert(0, _finetuned(trained))
    if summary.unmatched:
        found.insert(0, Finding("Can the replies be matched with the true answers?", "Mostly not", summary.unmatched))
    return [asdict(finding) for finding in found]


def weigh_training(records: Sequence[DebateRecord]) -> Difference | None:
    """The decisions of the last iteration against those of the first, paired by question; None with one iteration.

    None, too, where the two have no question in common.
    """
    iterations = list(by_iteration(records).values())
    first, last = iterations[0], iterations[-1]
    before, after = (
        {q: [float(r.result.correct) for r in group] for q, group in by_question(side).items()}
        for side in (first, last)
    )
    return compare_outcomes(before, after) if last is not first and before.keys() & after.keys() else None


def weigh_change(society: Society, records: Sequence[DebateRecord]) -> Change | None:
    """The decisions against a majority vote over the answers before debating, in the same debates, by question.

    These are the voters' first answers. Where no voter spoke twice (a judge decides, say), they are the first answers
    of those who had read nobody; None where nobody read anybody.
    """
    groups = by_question(records)
    after = {q: [float(r.result.correct) for r in group] for q, group in groups.items()}
    if any(len(record.of(agent)) > 1 for record in records for agent in society.voters):
        same, who = sameness(society), "the first answers"
        before = {
            q: [float(vote_is_right(society, r, r.first(society.voters), same)) for r in group]
            for q, group in groups.items()
        }
    else:
        most = min(map(len, first_answers(records).values()))
        if not most or not any(turn.reads for record in records for turn in record.turns):
            return None
        who = f"{count(most, 'independent first answer')}"
        before = {q: [chance] for q, chance in vote_chances(society, records, most).items()}
    share = sum(sum(values) / len(values) for values in before.values()) / len(before)
    return Change(f"A vote over {who}", share, compare_outcomes(before, after))


def weigh_cost(iterations: Sequence[IterationScore], turns: int | None = None) -> list[dict[str, Any]]:
    """Return the finding on what training cost, as JSON, if anything was trained; `turns`: those of the whole run."""
    usage = sum((score.training_usage for score in iterations), Usage())
    tokens, debated = (
        sum(getattr(score, name) for score in iterations) for name in ("trained_tokens", "training_turns")
    )
    if not tokens and not debated:
        return []
    rows = sum(sum(score.examples.values()) for score in iterations)
    seconds = sum(score.trained_seconds for score in iterations)
    detail = (
        f"{rows:,} rows were learned in {seconds:,.1f} s of finetuning. The training debates took {debated:,} turns, "
        f"{usage.generated_tokens:,} tokens generated and {usage.prompt_tokens:,} read, in {usage.seconds:,.1f} s."
    )
    if turns is not None:
        detail += f" The whole run, evaluations included, has {turns:,} turns."
    return [asdict(Finding("What did training cost?", f"{tokens:,} tokens trained on", detail))]


def _finetuned(trained: Difference) -> Finding:
    detail = (
        f"The society's accuracy changed by {points(trained)} from the first iteration to the last, "
        f"p = {trained.p:.2g} ({trained.test})."
    )
    if alone := trained.only_first + trained.only_second:
        detail += f" {count(alone, 'question')} of one of these iterations alone are left out."
    return Finding("Did finetuning help?", _verdict(trained, "No, it harmed"), detail)


def _verdict(change: Difference, no: str) -> str:
    return "Yes" if change.low > 0 else no if change.high < 0 else "Not clearly"


def name_deed(society: Society, records: Sequence[DebateRecord]) -> str:
    """What is judged: "debating", or "answering again" where nobody read another agent."""
    others = any(source.agent != turn.id.agent for record in records for turn in record.turns for source in turn.reads)
    return "debating" if others else "answering again"


def _helped(society: Society, summary: Summary, change: Change | None, deed: str) -> Finding:
    ask, after = f"Did {deed} help?", f"{summary.after.share:.1%}"
    if change is None and len(society.voters) == 1:
        low, high = summary.after.low, summary.after.high
        detail = f"One agent answers once; there is no debate to judge. 95% interval {low:.1%} to {high:.1%}."
        return Finding("How often is it right?", after, detail)
    if change is None:
        detail = f"Nobody read anybody, so there was no debate. The society is right on {after} of the questions"
        return Finding(ask, "There was none", f"{detail}, a single agent on {summary.alone.share:.1%}.")
    what = "The first answer" if len(society.voters) == 1 and deed != "debating" else change.what
    detail = (
        f"{what} is right on {change.before:.1%} of the questions, the society after {deed} on {after}: "
        f"{points(change.difference)}, p = {change.difference.p:.2g} ({change.difference.test})."
    )
    if summary.flips.total:
        detail += f" Votes that changed: {describe_flips(summary.moved, 'undecided')}."
    return Finding(ask, _verdict(change.difference, "No, it harmed"), detail)


def points(change: Difference) -> str:
    """The difference with its interval, in points."""
    return f"{100 * change.value:+.1f} points (95% interval {100 * change.low:+.1f} to {100 * change.high:+.1f})"


def _hurt(society: Society, records: Sequence[DebateRecord], change: Difference, deed: str) -> Finding:
    ask = "Whom did it hurt?"
    flips = count_agent_flips(society, records)
    hurt = {agent: moved.lost for agent, moved in flips.items() if moved.lost}
    if not hurt and not change.lost:
        return Finding(ask, "Nobody", "No question and no agent went from right to wrong.")
    detail = f"{deed.capitalize()} did better on {count(change.gained, 'question')} and worse on {change.lost}."
    if hurt:
        worst = max(hurt, key=lambda agent: hurt[agent])
        moved = flips[worst]
        unread = f", {moved.right_to_unread:,} made unreadable" if moved.right_to_unread else ""
        most = f" Of {count(len(flips), 'agent')}, {worst} lost most:" if len(flips) > 1 else ""
        detail += f"{most} {count(moved.right_to_wrong, 'right answer')} given up{unread}, {moved.gained:,} gained."
    answers = f"No question, {count(sum(hurt.values()), 'answer')}"
    return Finding(ask, count(change.lost, "question") if change.lost else answers, detail)


def _rests(summary: Summary) -> Finding:
    """Whether decisions rest on one vote among abstentions, and what they are worth without these."""
    ask = "Does any decision rest on one vote?"
    if not summary.lone:
        return Finding(ask, "No", "No decision rests on the vote of one voter alone.")
    without = (summary.after.successes - summary.lone_right) / summary.after.n
    detail = (
        f"One voter alone stands behind {describe_lone(summary)}. With such decisions counted as undecided "
        f"(decision.quorum: 2) the society is right on {without:.1%} instead of {summary.after.share:.1%}."
    )
    return Finding(ask, f"{summary.lone:,} of {summary.debates - summary.undecided:,}", detail)


def _cost(records: Sequence[DebateRecord], summary: Summary) -> Finding:
    used = summary.usage
    each = used.generated_tokens / len(records)
    first = [turn.usage.generated_tokens for pool in first_answers(records).values() for _, turn in pool]
    times = used.generated_tokens / sum(first) if sum(first) else 0.0
    last = "" if not records[0].result.iteration else "The last evaluation took "
    detail = (
        f"{last}{summary.turns:,} turns, {used.generated_tokens:,} tokens generated and {used.prompt_tokens:,} read"
    )
    detail += f"; the backend was at work for {used.seconds:,.0f} s." if used.seconds >= 1 else "."
    if times > 1:
        detail += f" That is {times:.1f} times the tokens of the first answers alone."
    return Finding("What did it cost?", f"{each:,.0f} tokens a question", detail)


def _fair(verdict: BudgetVerdict) -> Finding:
    answer = "It cannot be said" if verdict.difference is None else _verdict(verdict.difference, "No")
    return Finding("Better than voting for as many tokens?", answer, verdict.sentence)


def _enough(change: Difference, deed: str) -> Finding:
    ask = "Would more questions change the verdict?"
    if change.low > 0 or change.high < 0:
        detail = (
            f"With {change.questions:,} questions the interval leaves out zero; more would narrow it, and are unlikely "
            f"to turn it round."
        )
        return Finding(ask, "Hardly", detail)
    if not change.discordance:
        asked = count(change.questions, "question")
        detail = f"{deed.capitalize()} changed no verdict on {asked}; more would have to show one."
        return Finding(ask, "They could", detail)
    sought = abs(change.value) or POINTS
    needed = questions_needed(sought, change.discordance)
    size = "the difference seen" if change.value else "a difference"
    detail = f"Were {size} of {100 * sought:.1f} points real, it would take "
    detail += "more than ten million" if needed is None else f"about {needed:,}"
    detail += f" questions to show it four times in five (McNemar, 5%); this run has {change.questions:,}."
    return Finding(ask, "They could", detail)


def count(number: int, noun: str) -> str:
    """`1 question`, `2 questions`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def find_trouble(
    society: Society, records: Sequence[DebateRecord], expected: int | None, running: bool = False
) -> list[dict[str, Any]]:
    """What to know before believing the rest, of the last iteration so far: debates or iterations that are missing,
    turns that failed or could not be looked through. Empty if all is well."""
    reached, wanted = records[0].result.iteration, society.scenario.train.iterations if society.scenario.train else 0
    turns = [turn for record in records for turn in record.turns]
    failed = [turn for turn in turns if turn.status == "failed"]
    unclear = [turn for turn in turns if is_unclear(turn)]
    given_up = [turn for turn in turns if turn.status == "ok" and turn.error and turn not in unclear]
    missing = expected is not None and len(records) < expected
    found = []
    if missing or reached < wanted:
        done = f"{len(records):,} of {count(expected or len(records), 'debate')}"
        where = f"in iteration {reached} of {wanted}, with {done} of it" if wanted else f"at {done}"
        detail = f"It stands {where}, and what is said here is of these. "
        detail += "A process is working on it now." if running else "Go on with: society run --resume."
        found.append(Finding("Is the run finished?", "It is running" if running else "No", detail))
    if failed:
        detail = f"{len(failed):,} of {count(len(turns), 'turn')} failed, and count as wrong. "
        detail += f"The first said: {_shorten(failed[0].error)}"
        found.append(Finding("Did every turn succeed?", "No", detail))
    if given_up:
        detail = f"In {len(given_up):,} of {count(len(turns), 'turn')} not. {_shorten(given_up[0].error)}"
        found.append(Finding("Could every reply be looked through?", "No", detail))
    if unclear:
        detail = f"In {count(len(unclear), 'turn')} not; then agents took turns. {_shorten(unclear[0].error)}"
        found.append(Finding("Did the moderator always name one speaker?", "No", detail))
    return [asdict(finding) for finding in found]


def _shorten(text: str, most: int = 160) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"
