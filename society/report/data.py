"""Everything that a report shows of one run or several, as one structure that JSON can hold."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from society.core.errors import InputError
from society.metrics.budget import BudgetVerdict, weigh_against
from society.metrics.comparison import compare, count_expected, name_runs
from society.metrics.iterations import IterationScore, score_iterations
from society.metrics.measure import read_diversity
from society.metrics.summary import summarize
from society.pictures.comparison_figures import comparison_figures
from society.pictures.figures import to_json
from society.pictures.phases import describe_phase
from society.pictures.run_figures import list_figures
from society.report.rows import CHUNK, TAGS, Json, RowMaker, list_stages, prompt_texts, reply_texts
from society.report.verdict import count, find_trouble, judge, weigh_cost, weigh_training
from society.runs.files import read_json
from society.runs.folder import is_running
from society.runs.records import DebateRecord, by_iteration, load_records, sameness
from society.runs.run import Run
from society.scenario.expand import PhasePlan, Society, expand

if TYPE_CHECKING:
    import networkx as nx

MAX_EDGES = 2000
"""Maximum number of edges. The page draws only the edges over which agents read each other in a denser graph."""
MAX_SPEAKERS = 1000
"""Maximum number of speakers whose graph is built: memory grows with its square."""


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
    compared = None
    if len(runs) > 1:
        found = compare(runs)
        compared = {"notes": found.notes, "figures": [to_json(figure) for figure in comparison_figures(found)]}
    title = " and ".join(run.name for run in data) if len(data) < 4 else f"{len(data)} runs"
    described = [_describe(run, data) for run in data]
    index = {"title": title, "tags": TAGS, "chunk": CHUNK, "runs": described, "comparison": compared}
    return _jsonable(index)  # type: ignore[no-any-return]  # a dict becomes a dict


def _describe(run: RunData, others: Sequence[RunData]) -> Json:
    scenario = run.society.scenario
    return {
        "name": run.name, "scenario": scenario.name, "source": scenario.source, "description": scenario.description,
        "facts": _facts(run), "agents": list(run.society.agents), "voters": run.society.voters,
        "stages": list_stages(run.society), "phases": [_describe_phase(run.society, p) for p in run.society.phases],
        **(conclude(run, others) if run.said is None else run.said), "debates": run.rows, "progress": run.progress,
    }  # fmt: skip


def _describe_phase(society: Society, phase: PhasePlan) -> Json:
    """Return the phase's graph. Without edges if there are more than `MAX_EDGES`, or if the graph cannot be built."""
    graph: nx.DiGraph[str] | None = None
    if len(phase.speakers) <= MAX_SPEAKERS:
        with suppress(InputError):  # the run kept no copy of a graph file
            graph = phase.graph()
    if graph is None:
        import networkx as nx

        graph = nx.DiGraph()
        graph.add_nodes_from(phase.speakers)
    described = describe_phase(society, phase, graph)
    if graph.number_of_edges() > MAX_EDGES:
        described = replace(described, edges=[])
    return asdict(described) | {"name": phase.name}


def conclude(run: RunData, others: Sequence[RunData] = ()) -> Json:
    """What the finished debates say; nothing while there are none."""
    finished = run.finished
    if not finished:
        return {"findings": [], "figures": []}
    latest = _latest(run)
    summary, budget = summarize(run.society, latest), _weigh(run, others)
    iterations = run.iterations or score_iterations(run.society, finished)
    figures = list_figures(run.society, latest, summary, budget, iterations, run.measured)
    return {
        "findings": [
            *find_trouble(run.society, latest, run.expected, run.running),
            *judge(run.society, latest, summary, budget, weigh_training(finished)),
            *weigh_cost(iterations, run.turns),
        ],
        "figures": [to_json(figure) for figure in figures],
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
