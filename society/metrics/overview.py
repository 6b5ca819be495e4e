"""The summary of a run that people read first: by `society run`, by `Run.summary()`, and as JSON.

read_overview    reads the numbers of a run from its folder
Overview         these numbers as rows, as text and as plain data
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap
from typing import Any

from society.core.hidden_chars import reveal
from society.core.plain import count, dollars, name_path, to_plain
from society.core.types import Usage
from society.metrics.compared_runs import describe_unfinished
from society.metrics.compute import write_tokens
from society.metrics.dependence import describe_dependence
from society.metrics.flips import describe_flips
from society.metrics.iterations import IterationScore, find_guarded, run_iterations
from society.metrics.lost import describe_lost
from society.metrics.people import describe_people
from society.metrics.proportion import Proportion
from society.metrics.reported import Reported, report_metrics
from society.metrics.summary import Summary, describe_ends, describe_lone, summarize
from society.runs.files import count_forgotten
from society.runs.locking import is_running
from society.runs.records import by_iteration, by_question, load_records
from society.runs.run import Run
from society.runs.state import Session
from society.scenario.expand import expand

Rows = list[tuple[str, str]]
"""Lines of the summary: a label and a text each."""
_TRAINING = (
    "iteration",
    "labels",
    "unlabelled",
    "reasons",
    "learner_labels",
    "signals",
    "alarm",
    "examples",
    "repeated",
    "left_out",
    "rows_right",
    "trained_tokens",
    "trained_seconds",
    "training_turns",
    "training_usage",
)
"""Fields of `IterationScore` that the JSON of a finetuning has."""


@dataclass(frozen=True)
class Overview:
    """The summary of each evaluated iteration of a run, by its number, and what each iteration trained.

    `several` says whether more than one agent votes. `questions` is the number of questions of the last iteration, and
    `metrics` are its metrics. `summaries` is empty before the first debate ends. `unfinished` is "" for a finished run,
    else the part that is finished, such as "6 of 40 debates". `running`: a process works on it.
    `session` is its last session, if its version stored any.
    """

    name: str
    folder: Path
    summaries: Mapping[int, Summary]
    iterations: Sequence[IterationScore]
    several: bool
    questions: int = 0
    metrics: Sequence[Reported] = ()
    unfinished: str = ""
    running: bool = False
    session: Session | None = None
    forgotten: int = 0
    """Number of questions that `society forget` deleted."""
    guarded: tuple[int, int] | None = None
    """The iteration in which the guard ended the training, and that whose weights stayed."""
    dependent: str = ""
    """Description of debates that build on each other."""
    reused: int = 0
    """Number of turns that were taken from other runs."""

    @property
    def last(self) -> Summary | None:
        """The summary of the last evaluated iteration."""
        return self.summaries[max(self.summaries)] if self.summaries else None

    @property
    def title(self) -> str:
        """The line above the rows."""
        if self.last is None:
            return f"{self.name}: no debate has ended"
        asked = count(self.questions, "question")
        done = f"{asked} debated"
        if self.last.debates > self.questions:
            done = f"{count(self.last.debates, 'debate')} on {asked}"
        if self.unfinished:
            done = f"{'running' if self.running else 'unfinished'}, {self.unfinished} finished"
        return f"{self.name}: {done}, {_describe_truth(self.last)}"

    def rows(self, seconds: float | None = None, resumed: bool = False) -> Rows:
        """Return the rows. `seconds` is the time of the call that ran them; `resumed`: earlier calls ran a part."""
        s = self.last
        if s is None:
            return [*self._unfinished_rows(), ("stored in", name_path(self.folder))]
        rows = [
            *_accuracy_rows(s),
            *s.verdicts.rows(),
            *((metric.kind.replace("_", " "), metric.sentence) for metric in self.metrics),
            *_lost_rows(s, self.several),
            *_cost_rows(s, seconds, resumed, bool(self.iterations)),
        ]
        if len(self._evaluated) > 1 and s.after.n:
            rows += [(self._name_finetunings(i), str(summary.after)) for i, summary in self._evaluated.items()]
        if self.guarded:
            at, kept = self.guarded
            rows.append(("guard", f"ended the training in iteration {at}; the weights of iteration {kept} stayed"))
        rows += [*_training_rows(self.iterations), *_whole_rows(self.summaries, self.iterations)]
        if self.session is not None and self.session.dollars:
            rows.append(("price", f"{dollars(float(self.session.dollars))} for all turns of the run"))
        rows += self._unfinished_rows()
        if self.reused:
            rows.append(("reused", f"{count(self.reused, 'turn')} taken from other runs"))
        if self.dependent:
            rows.append(("not independent", self.dependent))
        if self.forgotten:
            rows.append(("deleted", f"{count(self.forgotten, 'question')}, which no number above includes"))
        return [*rows, ("stored in", name_path(self.folder))]

    def _name_finetunings(self, iteration: int) -> str:
        """Return the label of an evaluated iteration. After the guard ended the training, nothing was finetuned."""
        if self.guarded is not None and iteration > self.guarded[0]:
            return "after the guard"
        rows = sum(sum(score.examples.values()) for score in self.iterations if score.iteration < iteration)
        if iteration and not rows:
            return f"after {count(iteration, 'iteration')} without rows"
        return f"after {count(iteration, 'finetuning')}"

    @property
    def _evaluated(self) -> dict[int, Summary]:
        """The summaries by iteration, with one of those after the guard ended the training: the society is the same."""
        last, ended = max(self.summaries, default=0), self.guarded[0] if self.guarded else None
        return {i: s for i, s in self.summaries.items() if ended is None or i <= ended or i == last}

    def _unfinished_rows(self) -> Rows:
        """Return how to finish a run that no process works on."""
        if not self.unfinished or self.running:
            return []
        state = "" if self.session is None or self.session.state.is_live else f"; {self.session.state}"
        reason = f": {self.session.reason}" if state and self.session and self.session.reason else ""
        return [
            ("unfinished", f"{self.unfinished} finished{state}{reason}; continue with --resume (Python: resume=True)")
        ]

    def text(self, rows: Rows | None = None, width: int = 10_000) -> str:
        """Return title and rows as lines of text, wrapped at `width` characters, with hidden characters shown."""
        lines = [reveal(self.title)]
        for label, text in self.rows() if rows is None else rows:
            head = f"  {label:<21} "
            indent = " " * len(head)
            lines += wrap(
                reveal(head + text), width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
            )
        return "\n".join(lines)

    def plain(self, seconds: float, resumed: bool) -> dict[str, Any]:
        """Return the last iteration's summary as JSON data. A finetuning adds accuracy and cost by iteration."""
        data = (to_plain(self.last) or {}) | {"run": str(self.folder), "seconds": round(seconds, 3), "resumed": resumed}
        if len(self._evaluated) > 1:
            data["iterations"] = [to_plain(summary.after) for summary in self._evaluated.values()]
            data["evaluated"] = list(self._evaluated)
        if self.session is not None:
            unfinished = f"{self.unfinished} finished" if self.unfinished else ""
            data |= {"state": self.session.state.value, "reason": self.session.reason, "unfinished": unfinished}
            data["dollars"] = float(self.session.dollars or 0)
        if self.metrics:
            data["metrics"] = {metric.kind: [to_plain(one) for one in metric.estimates] for metric in self.metrics}
        if self.iterations:
            data["training"] = [{f: to_plain(getattr(score, f)) for f in _TRAINING} for score in self.iterations]
        return dict(data)


def read_overview(run: Run) -> Overview:
    """Return the current numbers of a run. Raises `RunFolderError` for a folder without a run."""
    scenario = run.scenario
    society = expand(scenario)
    records = load_records(run)
    found = by_iteration(records)
    last = found[max(found)] if found else []
    summaries = {iteration: summarize(society, records) for iteration, records in found.items()}
    iterations = run_iterations(run, records) if scenario.train is not None else []
    unfinished = describe_unfinished(run, max(found, default=0), len(last))
    running = bool(unfinished and is_running(run.folder))
    deleted = count_forgotten(run.meta())
    questions, metrics = len(by_question(last)), report_metrics(society, last)
    several, session = len(society.voters) > 1, next(reversed(run.sessions()), None)
    rest = (questions, metrics, unfinished, running, session, deleted, find_guarded(scenario, iterations))
    more = (describe_dependence(society), run.count_reused())
    return Overview(scenario.name, run.folder, summaries, iterations, several, *rest, *more)


def _describe_truth(s: Summary) -> str:
    """Return what the rows are about: accuracy, that of some questions, or no true answers."""
    if not s.scored:
        return "no true answers"
    some = f" on the {s.scored:,} with a true answer" if s.scored < s.debates else ""
    return f"accuracy with 95% confidence interval{some}"


def _accuracy_rows(s: Summary) -> Rows:
    """Return the accuracy of single agents and of the society, and the answers that debating changed."""
    if not s.scored:
        return []
    rows = [("one agent alone", str(s.alone))]
    if s.flips.total:
        rows += [("one agent at the end", str(s.last)), ("answers that changed", describe_flips(s.flips))]
    if not s.after.n:
        return [*rows, ("society's answer", "none: the decision rule gives no single answer")]
    if not s.flips.total:
        return [*rows, ("society's answer", str(s.after))]
    return [
        *rows,
        ("vote before debating", str(s.before)),
        ("vote of all turns" if s.last_vote else "vote after debating", str(s.after)),
        *([("vote of last answers", str(s.last_vote))] if s.last_vote else []),
        ("votes that changed", describe_flips(s.moved, "undecided")),
    ]


def _lost_rows(s: Summary, several: bool) -> Rows:
    """Return the decisions that rest on one vote, and what counts as wrong or could not be read."""
    rows = [("rest on one vote", describe_lone(s))] if several and s.decided else []
    rows += [("counted as wrong", describe_lost(s.wrong))] if s.scored else []
    rows += [("without an answer", _describe_unscored(s))] if s.scored < s.debates else []
    if s.split_right:
        rows.append(
            ("right votes apart", f"{count(s.split_right, 'debate')} with right answers that count as different votes")
        )
    if s.ended_early:
        rows.append(("replies ended early", describe_ends(s)))
    if s.error:
        rows.append(("turns failed by", s.error))
    if s.ballots:
        rows.append(("ballots count as", s.ballots))
    if s.unmatched:
        rows.append(("cannot be matched", s.unmatched))
    if s.ties_broken:
        rows.append(("ties broken", f"{s.ties_broken:,} decisions"))
    if s.given_up:
        rows.append(
            ("not searched", f"{count(s.given_up, 'reply')}: a pattern, or comparing their answers, takes too long")
        )
    if s.unclear:
        rows.append(
            (
                "choice unclear",
                f"{count(s.unclear, 'reply')} with no agent's name, or too many, where names were asked for",
            )
        )
    if s.unrated:
        rows.append(("importance unread", f"{count(s.unrated, 'reply')} without a number: each counts as 1"))
    return rows


def _describe_unscored(s: Summary) -> str:
    """Return the missing answers to questions without a true answer."""
    some = f", on the {s.unscored.debates:,} without a true answer" if s.scored else ""
    return describe_lost(s.unscored) + some


def _cost_rows(s: Summary, seconds: float | None, resumed: bool, trained: bool) -> Rows:
    """Return the tokens and the time. `seconds` is the time of this call, which is not that of a resumed run."""
    used = s.usage
    cached = f" ({used.cached_tokens:,} of them cached)" if used.cached_tokens else ""
    thought = f" ({used.thought_tokens:,} of them in thoughts)" if used.thought_tokens else ""
    tokens = f"{used.generated_tokens:,} tokens generated{thought}, {used.prompt_tokens:,} prompt tokens{cached}"
    if used.estimated:
        tokens += "; estimates, as a server counted no tokens"
    tokens += used.described_calls
    call = "this call" if resumed else "the whole run"
    took = "" if seconds is None else f"; {call} took {seconds:.1f} s"
    return [
        ("last evaluation" if trained else "cost", f"{count(s.turns, 'turn')}, {tokens}"),
        *([("people", people)] if (people := describe_people(s.people, used)) else []),
        ("time", f"the backend worked {used.seconds:.1f} s{took}"),
    ]


def _training_rows(iterations: Sequence[IterationScore]) -> Rows:
    """Return the labels, training rows and cost of a finetuning."""
    if not iterations:
        return []
    learned = sum(sum(score.examples.values()) for score in iterations)
    tokens = sum(score.trained_tokens for score in iterations)
    seconds = sum(score.trained_seconds for score in iterations)
    turns = sum(score.training_turns for score in iterations)
    usage = sum((score.training_usage for score in iterations), Usage())
    generated, read = (write_tokens(n, usage.estimated) for n in (usage.generated_tokens, usage.prompt_tokens))
    return [
        *_label_rows(iterations),
        ("finetuning", f"{count(learned, 'row')}, {tokens:,} tokens trained on, {seconds:,.1f} s"),
        ("training debates", f"{count(turns, 'turn')}, {generated} tokens generated, {read} prompt tokens"),
    ]


def _label_rows(iterations: Sequence[IterationScore]) -> Rows:
    """Return the labels of the training, or those of each learner if a learner has labels of its own."""
    learners = dict.fromkeys(name for score in iterations for name in score.learner_labels)
    if not learners:
        without = sum(score.unlabelled for score in iterations)
        share = _describe_labels([(score.labels, score.unscored_labels) for score in iterations])
        return [("labels", f"{share}; {without:,} training debates without a label")]
    rows = []
    for name in learners:
        found = [score.learner_labels[name] for score in iterations if name in score.learner_labels]
        share = _describe_labels([(score.right, score.unscored) for score in found])
        rows.append((f"labels of {name}", f"{share}; {sum(score.missing for score in found):,} times without a label"))
    return rows


def _describe_labels(found: Sequence[tuple[Proportion, int]]) -> str:
    """Return how many labels there are and how many are right. `found`: those with and without a known verdict."""
    known, right = sum(share.n for share, _ in found), sum(share.successes for share, _ in found)
    labels = known + sum(unscored for _, unscored in found)
    return f"{labels:,}, of which " + (
        f"{right:,} right" if known == labels else f"{right:,} of {known:,} with a known verdict right"
    )


def _whole_rows(summaries: Mapping[int, Summary], iterations: Sequence[IterationScore]) -> Rows:
    """Return the turns and tokens of a finetuning with all its evaluations; nothing without training."""
    if not iterations:
        return []
    turns = sum(s.turns for s in summaries.values()) + sum(score.training_turns for score in iterations)
    usage = sum((s.usage for s in summaries.values()), Usage())
    usage = sum((score.training_usage for score in iterations), usage)
    generated, read = (write_tokens(n, usage.estimated) for n in (usage.generated_tokens, usage.prompt_tokens))
    text = f"{count(turns, 'turn')} with all evaluations, {generated} tokens generated, {read} prompt tokens"
    return [("the whole run", text)]
