"""Findings of a run in words: the effect of debating, answers lost, costs, fairness and statistical power."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from society.core.plain import count
from society.core.types import Usage
from society.metrics.accuracy import score_questions
from society.metrics.budget import BudgetVerdict
from society.metrics.compute import write_tokens
from society.metrics.flips import describe_flips
from society.metrics.iterations import IterationScore
from society.metrics.people import describe_people
from society.metrics.statistics import Difference, compare_outcomes, questions_needed
from society.metrics.summary import (
    Summary,
    count_agent_flips,
    describe_ends,
    describe_lone,
)
from society.metrics.tradeoff import first_answers, vote_chances
from society.metrics.verdicts import count_debating_tokens, judge_verdicts
from society.runs.records import (
    DebateRecord,
    by_iteration,
    by_question,
    sameness,
    vote_is_right,
    with_truth,
)
from society.scenario.expand import Society

PLANNED_DIFFERENCE = 0.05
"""Difference in accuracy to plan for if the observed difference is 0."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A question about a run, a short answer, and the evidence in a sentence or two."""

    question: str
    answer: str
    detail: str


@dataclass(frozen=True, slots=True)
class Change:
    """The effect of debating. `what` names the baseline, `before` is the accuracy of the baseline in [0, 1]."""

    what: str
    before: float
    difference: Difference


def judge(
    society: Society,
    records: Sequence[DebateRecord],
    summary: Summary,
    budget: BudgetVerdict,
    trained: Difference | None = None,
    opinions: Sequence[Mapping[str, str]] = (),
    guarded: tuple[int, int] | None = None,
) -> list[dict[str, Any]]:
    """Return the findings of a run's last iteration as JSON. `trained` is the effect of training, if any.

    `opinions` are the findings of the run's metrics. They come first where nothing is right or wrong. `guarded` has the
    iteration in which the guard ended the training, and that whose weights stayed.

    What is right or wrong is judged on the questions with a true answer.
    """
    found = [_cost(society, records, summary)]
    if summary.after.n:
        known = with_truth(records)
        change, activity = weigh_change(society, known), name_activity(society, known)
        found.insert(0, _helped(society, summary, change, activity))
        if change is not None:
            found.insert(1, _hurt(society, known, change.difference, activity))
            found += [_fair(budget), _enough(change.difference, activity)]
    told = [Finding(**metric) for metric in opinions]
    found = [*found, *told] if summary.scored else [*told, *found]
    if summary.scored < summary.debates:
        found.insert(0, _unscored(summary))
    if len(society.voters) > 1 and summary.debates > summary.undecided and summary.after.n:
        found.append(_rests(summary))
    if trained is not None:
        found.insert(0, _finetuned(trained, guarded))
    if summary.ended_early:
        detail = f"Of {count(summary.turns, 'turn')}: {describe_ends(summary)}"
        found.insert(0, Finding("Did every reply end as it should?", "No", detail))
    short, verdicts = judge_verdicts(summary.verdicts)
    if short:
        found.append(Finding("Can the verdicts be relied on?", short, verdicts))
    if summary.unmatched:
        found.insert(0, Finding("Do replies match the form of the true answers?", "Mostly not", summary.unmatched))
    return [asdict(finding) for finding in found]


def _unscored(summary: Summary) -> Finding:
    question = "Are there true answers?"
    if not summary.scored:
        return Finding(question, "No", "No question has a true answer, so nothing is right or wrong here.")
    detail = f"{summary.scored:,} of {count(summary.debates, 'debate')}. All that is right or wrong is of these."
    return Finding(question, "To some questions", detail)


def weigh_training(records: Sequence[DebateRecord]) -> Difference | None:
    """Compare the decisions of the last iteration with those of the first, paired by question.

    Return None for a single iteration, or if the two have no question in common.
    """
    iterations = list(by_iteration(records).values())
    first, last = iterations[0], iterations[-1]
    before, after = score_questions(first), score_questions(last)
    return compare_outcomes(before, after) if last is not first and before.keys() & after.keys() else None


def weigh_change(society: Society, records: Sequence[DebateRecord]) -> Change | None:
    """Compare the decisions with a majority vote over the answers before debating, paired by question.

    These answers are the voters' first answers. If no voter spoke twice, for example because a judge decides, they are
    the answers of agents that had read no other. Return None if no agent read another.
    """
    after = score_questions(records)
    if any(len(record.of(agent)) > 1 for record in records for agent in record.candidates(society)):
        same, over = sameness(society), "the first answers"
        before = {
            q: [float(vote_is_right(society, r, r.opening(society), same)) for r in group]
            for q, group in by_question(records).items()
        }
    else:
        most = min(map(len, first_answers(records).values()))
        if not most or not any(turn.reads for record in records for turn in record.turns):
            return None
        over = count(most, "independent first answer")
        before = {q: [chance] for q, chance in vote_chances(society, records, most).items()}
    share = sum(sum(values) / len(values) for values in before.values()) / len(before)
    return Change(f"A vote over {over}", share, compare_outcomes(before, after))


def weigh_cost(iterations: Sequence[IterationScore], turns: int | None = None) -> list[dict[str, Any]]:
    """Return the finding on the cost of training as JSON; none without training. `turns` are those of the whole run."""
    usage = sum((score.training_usage for score in iterations), Usage())
    tokens, debated = (
        sum(getattr(score, name) for score in iterations) for name in ("trained_tokens", "training_turns")
    )
    if not tokens and not debated:
        return []
    rows = sum(sum(score.examples.values()) for score in iterations)
    seconds = sum(score.trained_seconds for score in iterations)
    detail = (
        f"Finetuning on {count(rows, 'row')} took {seconds:,.1f} s. The training debates took "
        f"{count(debated, 'turn')} and {usage.seconds:,.1f} s, with "
        f"{write_tokens(usage.generated_tokens, usage.estimated)} tokens generated and "
        f"{write_tokens(usage.prompt_tokens, usage.estimated)} prompt tokens."
    )
    if turns is not None:
        detail += f" The run has {count(turns, 'turn')} in total, with evaluations."
    return [asdict(Finding("What did training cost?", f"{tokens:,} tokens trained on", detail))]


def _finetuned(trained: Difference, guarded: tuple[int, int] | None) -> Finding:
    detail = (
        f"The society's accuracy changed by {trained.points} from the first iteration to the last; {trained.chance}."
    )
    if alone := trained.only_first + trained.only_second:
        detail += f" {count(alone, 'question')} that only one of these iterations has are left out."
    if guarded is not None:
        detail += " The guard ended the training in iteration {}; the last society has the weights of iteration {}."
        detail = detail.format(*guarded)
    return Finding("Did finetuning help?", _verdict(trained, "No, it harmed"), detail)


def _verdict(change: Difference, no: str) -> str:
    if change.low > 0:
        return "Yes"
    return no if change.high < 0 else "Not clearly"


def name_activity(society: Society, records: Sequence[DebateRecord]) -> str:
    """Return "debating", or "answering again" if no agent read another."""
    others = any(source.agent != turn.id.agent for record in records for turn in record.turns for source in turn.reads)
    return "debating" if others else "answering again"


def _helped(society: Society, summary: Summary, change: Change | None, activity: str) -> Finding:
    question, after = f"Did {activity} help?", f"{summary.after.share:.1%}"
    if change is None and len(society.voters) == 1:
        low, high = summary.after.low, summary.after.high
        detail = f"One agent answers once, so there is no debate. 95% interval {low:.1%} to {high:.1%}."
        return Finding("How often is it right?", after, detail)
    if change is None:
        detail = f"No agent read another. The society is right on {after} of the questions"
        return Finding(question, "There was no debate", f"{detail}, a single agent on {summary.alone.share:.1%}.")
    what = "The first answer" if len(society.voters) == 1 and activity != "debating" else change.what
    detail = (
        f"{what} is right on {change.before:.1%} of the questions, the society after {activity} on {after}: "
        f"{change.difference.points}; {change.difference.chance}."
    )
    if summary.flips.total:
        detail += f" Votes that changed: {describe_flips(summary.moved, 'undecided')}."
    return Finding(question, _verdict(change.difference, "No, it harmed"), detail)


def _hurt(society: Society, records: Sequence[DebateRecord], change: Difference, activity: str) -> Finding:
    question = "What was lost?"
    flips = count_agent_flips(society, records)
    hurt = {agent: moved.lost for agent, moved in flips.items() if moved.lost}
    if not hurt and not change.lost:
        return Finding(question, "Nothing", "No question and no agent went from right to wrong.")
    detail = f"{activity.capitalize()} did better on {count(change.gained, 'question')} and worse on {change.lost}."
    if hurt:
        worst = max(hurt, key=lambda agent: hurt[agent])
        moved = flips[worst]
        unread = f", {moved.right_to_unread:,} made unreadable" if moved.right_to_unread else ""
        most = f" Of {count(len(flips), 'agent')}, {worst} lost most:" if len(flips) > 1 else ""
        detail += f"{most} {count(moved.right_to_wrong, 'right answer')} made wrong{unread}, {moved.gained:,} gained."
    answers = f"No question, {count(sum(hurt.values()), 'answer')}"
    return Finding(question, count(change.lost, "question") if change.lost else answers, detail)


def _rests(summary: Summary) -> Finding:
    """Return how many decisions rest on one vote among abstentions, and the accuracy without these decisions."""
    question = "Does any decision rest on one vote?"
    if not summary.lone:
        return Finding(question, "No", "No decision rests on a single vote.")
    without = (summary.after.successes - summary.lone_right) / summary.after.n
    detail = (
        f"A single vote decided {describe_lone(summary)}. With such decisions counted as undecided "
        f"(decision.quorum: 2), the society is right on {without:.1%} instead of {summary.after.share:.1%}."
    )
    return Finding(question, f"{summary.lone:,} of {summary.debates - summary.undecided:,}", detail)


def _cost(society: Society, records: Sequence[DebateRecord], summary: Summary) -> Finding:
    used = summary.usage
    each = used.generated_tokens / len(records)
    first = [turn.usage.generated_tokens for pool in first_answers(records).values() for _, turn in pool]
    turns = [turn for record in records for turn in record.turns]
    times = count_debating_tokens(society, turns) / sum(first) if sum(first) else 0.0
    last = "The last evaluation took " if records[0].result.iteration else ""
    thought = f" ({used.thought_tokens:,} of them in thoughts)" if used.thought_tokens else ""
    generated = f"{used.generated_tokens:,} tokens generated{thought}"
    detail = f"{last}{count(summary.turns, 'turn')}{used.described_calls}, {generated} and {used.prompt_tokens:,} "
    detail += (
        f"prompt tokens; the backend was busy for {used.seconds:,.0f} s." if used.seconds >= 1 else "prompt tokens."
    )
    if people := describe_people(summary.people, used):
        detail += f" People took {people}."
    if used.estimated:
        detail += " A server counted no tokens, so these numbers are estimates."
    if times > 1:
        detail += f" The debates generate {times:.1f} times as many tokens as their first answers alone."
    unit = "debate" if len(records) > len(by_question(records)) else "question"
    return Finding("What did it cost?", f"{each:,.0f} tokens per {unit}", detail)


def _fair(verdict: BudgetVerdict) -> Finding:
    answer = "Unknown" if verdict.difference is None else _verdict(verdict.difference, "No")
    return Finding("Better than voting at equal tokens?", answer, verdict.sentence)


def _enough(change: Difference, activity: str) -> Finding:
    question = "Could more questions change the result?"
    if change.low > 0 or change.high < 0:
        detail = f"With {change.questions:,} questions, the interval excludes zero. More questions would narrow it."
        return Finding(question, "Unlikely", detail)
    if not change.discordance:
        asked = count(change.questions, "question")
        detail = (
            f"{activity.capitalize()} changed the correctness of none of {asked}. More questions may show an effect."
        )
        return Finding(question, "Possibly", detail)
    sought = abs(change.value) or PLANNED_DIFFERENCE
    needed = questions_needed(sought, change.discordance)
    number = "more than ten million" if needed is None else f"about {needed:,}"
    size = "the observed difference" if change.value else "a difference"
    detail = (
        f"To find {size} of {100 * sought:.1f} points in 80 of 100 repetitions takes {number} questions. "
        f"This run has {change.questions:,}."
    )
    return Finding(question, "Possibly", detail)
