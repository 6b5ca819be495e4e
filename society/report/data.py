"""The data of a report on one or several runs, in the structure that the page reads as JSON."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

from society.core.errors import InputError
from society.core.plain import count, list_names, to_plain
from society.metrics.budget import BudgetVerdict, weigh_against
from society.metrics.compared_runs import count_expected, has_other_models, name_runs
from society.metrics.comparison import compare
from society.metrics.iterations import IterationScore, find_guarded, score_iterations
from society.metrics.measure import read_diversity
from society.metrics.reported import report_metrics
from society.metrics.run_labels import label_runs
from society.metrics.summary import summarize
from society.metrics.winner import find_winner
from society.pictures.comparison_figures import comparison_figures
from society.pictures.figures import to_json
from society.pictures.metric_figures import describe_metrics, metric_figures
from society.pictures.phases import describe_phase
from society.pictures.run_figures import list_figures
from society.report.glossary import GLOSSARY
from society.report.rows import (
    CHUNK,
    TAGS,
    TURN,
    Json,
    RowMaker,
    call_texts,
    list_stages,
    prompt_texts,
    reply_texts,
    thought_texts,
)
from society.report.trouble import find_trouble
from society.report.verdict import judge, weigh_cost, weigh_training
from society.runs.files import read_json
from society.runs.locking import is_running
from society.runs.names import Names
from society.runs.records import DebateRecord, by_iteration, load_records, sameness
from society.runs.run import Run
from society.runs.state import Session, read_sessions
from society.scenario.expand import PhasePlan, Society, expand

if TYPE_CHECKING:
    import networkx as nx

MAX_EDGES = 2000
"""Maximum number of edges. The page draws only the edges over which agents read each other in a denser graph."""
MAX_SPEAKERS = 1000
"""Maximum number of speakers whose graph is built: memory grows with its square."""


@dataclass(frozen=True)
class RunData:
    """One run as the page needs it. `debates` are in the page's order, and `rows` are their rows in the same order.

    `name` is the label among the runs of the page, and `folder` the folder's name.

    `conclusions` is the result of `conclude` if known. `iterations` include what was trained; they are
    computed from the debates alone if empty. `measured` is the diversity measured with models, by iteration. `expected`
    is the number of debates of an iteration and `turns` the number of stored turns, if known. `running`: whether a
    process works on the run.
    """

    name: str
    society: Society
    meta: Mapping[str, str]
    debates: Sequence[DebateRecord]
    rows: Sequence[Json]
    progress: Json = field(default_factory=dict)
    conclusions: Json | None = None
    iterations: Sequence[IterationScore] = ()
    measured: Sequence[Mapping[str, Any]] = ()
    expected: int | None = None
    turns: int | None = None
    running: bool = False
    folder: str = ""

    @property
    def finished(self) -> list[DebateRecord]:
        """Return the decided debates."""
        pending = 1 << TAGS.index("pending")
        return [d for d, row in zip(self.debates, self.rows, strict=True) if not row["tags"] & pending]


def read_runs(runs: Sequence[Run]) -> list[RunData]:
    """Return the finished debates of these runs. Raises `InputError` for a run that has none or is given twice."""
    return [_read(run, name) for run, name in zip(runs, label_runs(name_runs(runs)), strict=True)]


def _read(run: Run, name: str) -> RunData:
    society = expand(run.scenario)
    records = load_records(run)
    if not records:
        remedy = "Continue it with --resume (Python: resume=True), or read its turns with `society show`."
        if is_running(run.folder):
            remedy = "Wait, or watch the run with `society view`."
        raise InputError(f"{run.folder} has no finished debate yet.", remedy)
    maker = RowMaker(society, sameness(society))
    training = load_records(run, split="training")
    return RunData(
        name,
        society,
        run.meta(),
        records,
        [maker.row(record) for record in records],
        iterations=score_iterations(society, records, training, run.adapters(), run.examples()),
        measured=read_diversity(run),
        expected=count_expected(run),
        turns=run.count_turns(),
        running=bool(is_running(run.folder)),
        folder=run.folder.resolve().name,
    )


def build_index(data: Sequence[RunData], runs: Sequence[Run] = ()) -> Json:
    """Return the data that the page needs at once; with several `runs`, also their comparison."""
    compared = None
    if len(runs) > 1:
        found = compare(runs, [run.name for run in data])
        compared = {
            "winner": asdict(find_winner(found)),
            "notes": found.notes,
            "figures": [to_json(figure) for figure in comparison_figures(found)],
        }
    title = list_names([run.name for run in data], "run")
    if len(data) > 1 and len({run.society.scenario.name for run in data}) == 1:
        title = f"{data[0].society.scenario.name}: {title}"
    described = [_describe(run, data) for run in data]
    index = {
        "title": title,
        "tags": TAGS,
        "turn": TURN,
        "chunk": CHUNK,
        "glossary": GLOSSARY,
        "runs": described,
        "comparison": compared,
    }
    return cast(Json, to_plain(index, digits=6))


def _describe(run: RunData, others: Sequence[RunData]) -> Json:
    scenario = run.society.scenario
    conclusions = conclude(run, others) if run.conclusions is None else run.conclusions
    return conclusions | {
        "name": run.name,
        "folder": run.folder or run.name,
        "scenario": scenario.name,
        "source": scenario.source,
        "description": scenario.description,
        "facts": _list_facts(run),
        "agents": list(run.society.agents),
        "personas": Names(run.society).personas,
        "stages": list_stages(run.society),
        "phases": [_describe_phase(run.society, phase) for phase in run.society.phases],
        "debates": run.rows,
        "progress": run.progress,
    }


def _describe_phase(society: Society, phase: PhasePlan) -> Json:
    """Return the phase's graph.

    It has no edges if there are more than `MAX_EDGES`, if the graph cannot be built, or if it is drawn for each
    question or sample. The page adds the edges over which agents read each other in a debate.
    """
    graph: nx.DiGraph[str] | None = None
    if len(phase.speakers) <= MAX_SPEAKERS:
        with suppress(InputError):  # the run kept no copy of a graph file
            graph = phase.graph()
    if graph is None:
        import networkx as nx

        graph = nx.DiGraph()
        graph.add_nodes_from(phase.speakers)
    described = describe_phase(society, phase, graph)
    if graph.number_of_edges() > MAX_EDGES or phase.occasions:
        described = replace(described, edges=[])
    return asdict(described) | {"name": phase.name}


def conclude(run: RunData, others: Sequence[RunData] = ()) -> Json:
    """Return findings and figures of the finished debates; both are empty if there are none."""
    finished = run.finished
    if not finished:
        return {"findings": [], "figures": []}
    latest = _latest(run)
    summary, budget = summarize(run.society, latest), _weigh(run, others)
    iterations = run.iterations or score_iterations(run.society, finished)
    metrics = report_metrics(run.society, latest)
    guarded = find_guarded(run.society.scenario, iterations)
    figures = list_figures(run.society, latest, summary, budget, iterations, run.measured)
    place = 1 if summary.scored else 0  # the headline comes first where there is one
    figures[place:place] = metric_figures(metrics)
    return {
        "findings": [
            *find_trouble(run.society, latest, run.expected, run.running),
            *judge(run.society, latest, summary, budget, weigh_training(finished), describe_metrics(metrics), guarded),
            *weigh_cost(iterations, run.turns),
        ],
        "figures": [to_json(figure) for figure in figures],
    }


def _latest(run: RunData) -> list[DebateRecord]:
    return list(by_iteration(run.finished).values())[-1]


def _weigh(run: RunData, others: Sequence[RunData]) -> BudgetVerdict:
    """Compare debating with voting at equal tokens.

    If the run has too few votes, they are those of another run with no other models.
    """
    fitting = (other for other in others if other is not run and not has_other_models(other.meta, run.meta))
    return weigh_against(run.society, _latest(run), ((other.name, _latest(other)) for other in fitting))


def _list_facts(run: RunData) -> list[tuple[str, str]]:
    """Return the parts of the run as (label, text)."""
    scenario = run.society.scenario
    shape = [f"{p.name}: {p.family}, {count(p.spec.rounds, 'round')}" for p in run.society.phases]
    versions = read_json(run.meta, "versions")
    return [
        ("task", _kind(scenario.task)),
        ("agents", f"{len(run.society.agents)}"),
        ("phases", "; ".join(shape)),
        ("decision", _kind(scenario.decision)),
        ("seed", str(scenario.seed)),
        ("models", ", ".join(f"{name} ({_kind(backend)})" for name, backend in scenario.backends.items())),
        *_list_known("commits", read_json(run.meta, "commits")),
        *_list_known("licences", read_json(run.meta, "licences")),
        ("made with", ", ".join(f"{name} {version}" for name, version in versions.items())),
        *_list_calls(read_sessions(run.meta)),
    ]


def _list_calls(sessions: Sequence[Session]) -> Iterator[tuple[str, str]]:
    """Yield the packages with other versions in later calls, and the processes elsewhere, each once."""
    facts = [fact for one in sessions for fact in (("later with", one.versions), ("workers", one.workers)) if fact[1]]
    yield from dict.fromkeys(facts)


def _list_known(fact: str, known: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return what is known of places of the scenario, such as licences, as one fact; none if nothing is known."""
    return [(fact, ", ".join(f"{place}: {name}" for place, name in known.items()))] if known else []


def _kind(component: object) -> str:
    """Return the component's `kind` in YAML."""
    return str(getattr(component, "kind", ""))


def build_chunk(run: RunData, kind: str, number: int) -> list[Any]:
    """Return a chunk of texts of a run: `kind` is one of `page.KINDS`, `number` counts from 0."""
    read: Mapping[str, Callable[[Sequence[DebateRecord]], Sequence[Any]]] = {
        "replies": reply_texts,
        "thoughts": thought_texts,
        "calls": call_texts,
        "prompts": prompt_texts,
    }
    return list(read[kind](run.debates[number * CHUNK : (number + 1) * CHUNK]))


def count_chunks(run: RunData) -> int:
    """Return the number of chunks of each kind."""
    return math.ceil(len(run.debates) / CHUNK)
