"""Everything that a report shows of one run or several, as one structure that JSON can hold."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from society.core.errors import InputError
from society.metrics.budget import BudgetVerdict, weigh_against
from society.metrics.comparison import Comparison, compare, count_expected, name_runs
from society.metrics.iterations import IterationScore, score_iterations
from society.metrics.measure import read_diversity
from society.metrics.summary import summarize
from society.metrics.tradeoff import Point
from society.report.figures import list_figures, scatter_figure
from society.report.graphs import describe_phases
from society.report.rows import CHUNK, TAGS, Json, RowMaker, list_stages, prompt_texts, reply_texts
from society.report.verdict import count, find_trouble, judge, weigh_cost, weigh_training
from society.runs.files import read_json
from society.runs.folder import is_running
from society.runs.records import DebateRecord, by_iteration, load_records, sameness
from society.runs.run import Run
from society.scenario.expand import Society, expand

MOST_PAIRS = 6
"""Maximum number of pairs whose compute is compared in sentences."""


@dataclass(frozen=True)
class RunData:
    """One run as the page needs it. `debates` are in the page's order, those in `pending` (iteration, item, sample)
    are not decided yet; `rows` are the debates' rows, in the same order."""

    name: str
    society: Society
    meta: Mapping[str, str]
    debates: Sequence[DebateRecord]
    rows: Sequence[Json]
    progress: Json = field(default_factory=dict)
    said: Json | None = None  # what the debates say, where it is known already (see `conclude`)
    iterations: Sequence[IterationScore] = ()  # with what was learned; made of the debates alone where not given
    measured: Sequence[Mapping[str, Any]] = ()  # diversity that models were asked for, one for each iteration
    expected: int | None = None  # how many debates an iteration should have, where that is known
    turns: int | None = None  # how many turns the store has, where that is known
    running: bool = False  # whether a process is working on the run now

    @property
    def finished(self) -> list[DebateRecord]:
        """The debates that are decided."""
        pending = 1 << TAGS.index("pending")
        return [d for d, row in zip(self.debates, self.rows, strict=True) if not row["tags"] & pending]


def read_runs(runs: Sequence[Run]) -> list[RunData]:
    """Every finished debate of these runs. Raises `InputError` for a run that has none yet, or is given twice."""
    return [_read(run, name) for run, name in zip(runs, name_runs(runs), strict=True)]


def _read(run: Run, name: str) -> RunData:
    society = expand(run.scenario)
    records = load_records(run)
    if not records:
        raise InputError(f"{run.folder} has no finished debate yet.", "Let it run on, or watch it: society view.")
    maker = RowMaker(society, sameness(society))
    return RunData(
        name, society, run.meta(), records, [maker.row(record) for record in records],
        iterations=score_iterations(
            society, records, load_records(run, split="training"), run.adapters(), run.examples()
        ),
        measured=read_diversity(run), expected=count_expected(run), turns=run.count_turns(),
        running=is_running(run.folder),
    )  # fmt: skip


def build_index(data: Sequence[RunData], runs: Sequence[Run] = ()) -> Json:
    """What the page needs at once. With several `runs`, their comparison too."""
    compared = _comparison(compare(runs)) if len(runs) > 1 else None
    title = " and ".join(run.name for run in data) if len(data) < 4 else f"{len(data)} runs"
    found = {"title": title, "tags": TAGS, "chunk": CHUNK, "runs": [_describe(run, data) for run in data],
             "comparison": compared}  # fmt: skip
    return _jsonable(found)  # type: ignore[no-any-return]  # a dict becomes a dict


def _describe(run: RunData, others: Sequence[RunData]) -> Json:
    scenario = run.society.scenario
    return {
        "name": run.name, "scenario": scenario.name, "source": scenario.source, "description": scenario.description,
        "facts": _facts(run), "agents": list(run.society.agents), "voters": run.society.voters,
        "stages": list_stages(run.society), "phases": describe_phases(run.society),
        **(conclude(run, others) if run.said is None else run.said), "debates": run.rows, "progress": run.progress,
    }  # fmt: skip


def conclude(run: RunData, others: Sequence[RunData] = ()) -> Json:
    """What the finished debates say; nothing while there are none."""
    finished = run.finished
    if not finished:
        return {"findings": [], "figures": []}
    latest = _latest(run)
    summary, budget = summarize(run.society, latest), _weigh(run, others)
    iterations = run.iterations or score_iterations(run.society, finished)
    return {
        "findings": [
            *find_trouble(run.society, latest, run.expected, run.running),
            *judge(run.society, latest, summary, budget, weigh_training(finished)),
            *weigh_cost(iterations, run.turns),
        ],
        "figures": list_figures(run.society, latest, summary, budget, iterations, run.measured),
    }


def _latest(run: RunData) -> list[DebateRecord]:
    return list(by_iteration(run.finished).values())[-1]


def _weigh(run: RunData, others: Sequence[RunData]) -> BudgetVerdict:
    """Debating against voting for as many tokens; where the run has too few votes, with those of another run."""
    return weigh_against(run.society, _latest(run), (_latest(other) for other in others if other is not run))


def _facts(run: RunData) -> list[tuple[str, str]]:
    """What the run is made of, as label and text."""
    scenario = run.society.scenario
    shape = [f"{p.name}: {_kind(p.spec.topology)}, {count(p.spec.rounds, 'round')}" for p in run.society.phases]
    versions = read_json(run.meta, "versions")
    return [
        ("task", _kind(scenario.task)), ("agents", f"{len(run.society.agents)}"), ("phases", "; ".join(shape)),
        ("decision", _kind(scenario.decision)), ("seed", str(scenario.seed)),
        ("models", ", ".join(f"{name} ({_kind(b)})" for name, b in scenario.backends.items())),
        ("made with", ", ".join(f"{name} {version}" for name, version in versions.items())),
    ]  # fmt: skip


def _kind(component: object) -> str:
    """The name that YAML knows it by."""
    return str(getattr(component, "kind", ""))


def _comparison(found: Comparison) -> Json:
    rows = [
        {"name": s.name, "value": s.accuracy.share, "low": s.accuracy.low, "high": s.accuracy.high, "n": s.accuracy.n}
        for s in found.runs
    ]
    return {"notes": found.notes, "figures": [
        {"kind": "forest", "id": "runs", "title": "Accuracy of each run", "rows": rows,
         "note": "Of the society's decisions, with 95% intervals."},
        _pairs(found),
        _compute(found),
        _run_costs(found),
    ]}  # fmt: skip


def _pairs(found: Comparison) -> Json:
    rows = [
        [
            f"{pair.second} against {pair.first}",
            f"{100 * d.value:+.1f}", f"{100 * d.low:+.1f} to {100 * d.high:+.1f}",
            f"{pair.p_holm:.2g}", d.gained, d.lost, d.questions,
        ]
        for pair in found.pairs for d in [pair.difference]
    ]  # fmt: skip
    sentences = " ".join(dict.fromkeys(pair.sentence for pair in found.pairs[:3]))
    return {
        "kind": "table", "id": "pairs", "title": "Question by question", "rows": rows,
        "columns": ["difference", "points", "95% interval", "p (Holm)", "better", "worse", "questions"],
        "note": f"Paired on the same questions; p by {found.pairs[0].difference.test}. {sentences}",
    }  # fmt: skip


def _compute(found: Comparison) -> Json:
    """What each run spent, and which pairs are matched in compute."""
    rows = [
        [s.name, s.iteration, s.compute.rows, *s.compute.counts.values(), round(s.compute.seconds, 1)]
        for s in found.runs
    ]
    told = " ".join(pair.compute.sentence for pair in found.pairs[:MOST_PAIRS] if pair.compute is not None)
    return {
        "kind": "table", "id": "compute", "title": "Compute", "rows": rows,
        "columns": ["run", "finetunings", "rows trained on", *found.runs[0].compute.counts, "seconds of finetuning"],
        "note": "Tokens generated and prompt tokens: of the training debates and of the debates that are compared. "
                f"Tokens trained on count every epoch. {told}",
    }  # fmt: skip


def _run_costs(found: Comparison) -> Json:
    points = [
        Point(s.name, "run", s.usage.generated_tokens / s.debates, s.accuracy.share, s.accuracy.low, s.accuracy.high)
        for s in found.runs
    ]
    figure = scatter_figure("What accuracy costs", points)
    return figure | {"id": "run-costs", "note": "One point a run. Filled: beaten by no other (the Pareto front)."}


def build_chunk(run: RunData, kind: str, number: int) -> list[Any]:
    """The `number`-th chunk of texts of a run, from 0: "replies" or "prompts"."""
    debates = run.debates[number * CHUNK : (number + 1) * CHUNK]
    return list(reply_texts(debates) if kind == "replies" else prompt_texts(debates))


def count_chunks(run: RunData) -> int:
    """How many chunks of each kind a run has."""
    return math.ceil(len(run.debates) / CHUNK)


def _jsonable(value: Any) -> Any:
    """Without NaN, which JSON has not: such a number is not known, so null; and shares to six digits."""
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(item) for item in value]
    return value
