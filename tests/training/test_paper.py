"""The paper's method, baselines and ablations as shipped: who learns from whose turns, by which rule, as what."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from society.runs.records import DebateRecord, load_records
from society.runs.run import Run
from society.scenario import check_scenario, load_scenario
from society.session import run
from society.store.rows import SHARED
from tests.backends.hf.tiny import make_model, one_thread

FOLDER = Path(__file__).parents[2] / "scenarios" / "paper"
FILES = sorted(FOLDER.glob("*.yaml"))
THREE = ("agent-1", "agent-2", "agent-3")
FIVE = (*THREE, "agent-4", "agent-5")
CRITIC = {"corrected", "stayed right"}


class Learns(NamedTuple):
    """Expected settings of a learner: the phase whose turns it learns, the selection rules, and its adapters (an
    agent's or SHARED) with their agents and phases. `everyone`: it learns from the turns of all agents."""

    phase: str
    rules: set[str]
    adapters: tuple[str, ...] = THREE
    speakers: tuple[str, ...] = THREE
    phases: tuple[str, ...] = ()
    everyone: bool = False


GENERATOR = Learns("propose", {"agrees"})
METHOD = {"generator": GENERATOR, "critic": Learns("debate", CRITIC)}
POOLED = {"adapters": (SHARED,), "everyone": True}


def chain(**phases: str) -> dict[str, Learns]:
    return {name: Learns(phase, {"success"}, (name,), (name,)) for name, phase in phases.items()}


EXPECTED: dict[str, dict[str, Learns]] = {
    "multiagent": METHOD,
    "laptop": METHOD,
    "all_turns": {
        "generator": Learns("propose", {"agrees, margin"}),
        "critic": Learns("debate", {f"margin, {rule}" for rule in CRITIC}),
    },
    "without_summary": METHOD,
    "without_critic": {"generator": GENERATOR},
    "without_debate": {"generator": GENERATOR},
    "five_agents": {name: learns._replace(adapters=FIVE, speakers=FIVE) for name, learns in METHOD.items()},
    "cooperative": {name: learns._replace(everyone=True) for name, learns in METHOD.items()},
    "union": {name: learns._replace(**POOLED) for name, learns in METHOD.items()},
    "single_agent": {"everyone": Learns("debate", {"agrees"}, (SHARED,), THREE, ("propose", "debate"), True)},
    "majority_ft": {"generator": GENERATOR._replace(**POOLED)},
    "star": {"generator": GENERATOR._replace(adapters=("agent",), speakers=("agent",))},
    "malt": chain(generator="generate", verifier="verify", refiner="refine"),
    "sirius": chain(analyst="analyse", solver="solve"),
}
OTHER_LABELS = {"star": "gold", "malt": "gold", "sirius": "gold", "all_turns": "vote"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_loads_without_complaint_is_short_and_names_its_source(path: Path) -> None:
    assert check_scenario(path) == []
    assert len(path.read_text().splitlines()) < 60
    scenario = load_scenario(path)
    assert scenario.name == path.stem
    assert "arXiv" in scenario.source


def test_every_scenario_that_trains_is_known_here() -> None:
    training = {path.stem for path in FILES if load_scenario(path).train is not None}
    assert training == set(EXPECTED)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_labels_and_starts(name: str) -> None:
    spec = load_scenario(FOLDER / f"{name}.yaml").train
    assert spec is not None
    assert getattr(spec.label, "kind", "") == OTHER_LABELS.get(name, "consensus")
    assert spec.start == ("base" if name == "star" else "previous")


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Run]]:
    """Yield a function that runs one iteration of a shipped scenario on a small model that answers red or green."""
    folder = tmp_path_factory.mktemp("paper")
    lines = [{"question": f"the {word} is", "answer": ["red", "green"][i % 2]} for i, word in enumerate("abcdefgh")]
    (folder / "colours.jsonl").write_text("\n".join(map(json.dumps, lines)))
    task = {"kind": "jsonl", "path": str(folder / "colours.jsonl"), "limit": 2, "answer": {"extract": ["text"]}}
    backend = {"kind": "hf", "device": "cpu", "dtype": "float32"}
    settings = {"batch_size": 4, "accumulation": 1, "epochs": 1, "max_length": 2048}

    def play(name: str) -> Run:
        roles = load_scenario(FOLDER / f"{name}.yaml").roles
        method = load_scenario(FOLDER / f"{name}.yaml").train.settings.method
        values = {
            "task": task,
            "backends.local": backend,
            "train.iterations": 1,
            "train.questions": 4,
            "train.settings": settings | {"method": method},
        } | {f"roles.{role}.choices": ["red", "green"] for role in roles}
        overrides = [f"{key}={json.dumps(value)}" for key, value in values.items()]
        return run(load_scenario(FOLDER / f"{name}.yaml", overrides, [folder]), folder / name)

    with one_thread():
        backend["model"] = str(make_model(folder / "tiny", max_position_embeddings=2048))
        yield play


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_who_learns_from_whose_turns_and_speaks_with_it(train: Callable[[str], Run], name: str) -> None:
    done, expected = train(name), EXPECTED[name]
    rows = {(row.learner, row.agent): row for row in done.adapters()}
    assert set(rows) == {(learner, agent) for learner, learns in expected.items() for agent in learns.adapters}
    hashes = [row.hash for row in rows.values() if row.hash]
    assert len(hashes) == 1 or len(set(hashes)) > 1  # equal rows make equal weights, other rows others
    for example in done.examples():
        learns = expected[example.learner]
        assert example.source.phase == learns.phase
        assert example.rule in learns.rules
        assert example.source.agent in (learns.speakers if learns.everyone else [example.agent])
    for turn in done.turns("iteration = 1"):
        i = turn.id
        learner = next((n for n, x in expected.items() if i.phase in (x.phases or [x.phase])), None)
        if learner is None or i.agent not in expected[learner].speakers:
            assert turn.adapter is None  # summarizers, and critics that never learn, speak with the base
        else:
            own = i.agent if i.agent in expected[learner].adapters else SHARED
            assert turn.adapter == rows[learner, own].hash
    if expected[next(iter(expected))].everyone:
        taught = {(example.learner, example.agent, example.source.agent) for example in done.examples()}
        assert len(taught) > len(rows)  # somebody learns from somebody else


@pytest.fixture
def debate(tmp_path: Path) -> Callable[..., list[DebateRecord]]:
    """Return a function that runs a shipped scenario without training, with scripted agents that disagree."""

    def play(name: str) -> list[DebateRecord]:
        rules = [{"average": {"numbers": "(?!)", "say": "I say {answer}."}}]
        settings = [
            "task={kind: arithmetic, form: a+b, limit: 2}",
            f"backends.local={json.dumps({'kind': 'scripted', 'rules': rules})}",
            "train=null",
        ]
        return load_records(run(load_scenario(FOLDER / f"{name}.yaml", settings), tmp_path / name))

    return play


def reads(records: list[DebateRecord]) -> set[tuple[str, tuple[str, ...]]]:
    """Who speaks in which phase, and whom each has read."""
    return {(f"{t.id.phase} {t.id.agent}", tuple(s.agent for s in t.reads)) for r in records for t in r.turns}


ALONE = {(f"propose {agent}", ()) for agent in THREE}


def others(agent: str, among: tuple[str, ...] = THREE) -> tuple[str, ...]:
    return tuple(other for other in among if other != agent)


def test_base_and_majority_answer_alone(debate: Callable[..., list[DebateRecord]]) -> None:
    assert reads(debate("base")) == {("propose agent", ())}
    for name in ("majority", "majority_ft", "without_debate"):
        assert reads(debate(name)) == ALONE


def test_the_debate_reads_summaries_of_the_others_first_answers(debate: Callable[..., list[DebateRecord]]) -> None:
    records = debate("debate")
    for record in records:
        said = {turn.id.agent: turn.text for turn in record.turns if turn.id.phase == "propose"}
        told = {turn.id.agent: turn for turn in record.turns}
        for agent in THREE:
            asked = told[f"summarizer/{agent}"].messages[-1].content
            assert all((said[other] in asked) == (other != agent) for other in THREE)
            chat = told[agent].messages
            assert [m.content for m in chat if m.role == "assistant"] == [said[agent]]
            assert told[f"summarizer/{agent}"].text in chat[-1].content
            assert not any(said[other] in chat[-1].content for other in others(agent))


def test_without_summary_the_others_are_read_in_full(debate: Callable[..., list[DebateRecord]]) -> None:
    assert reads(debate("without_summary")) == ALONE | {(f"debate {agent}", others(agent)) for agent in THREE}


def test_five_agents_each_read_four(debate: Callable[..., list[DebateRecord]]) -> None:
    found = reads(debate("five_agents"))
    assert {pair for pair in found if "summarizer" in pair[0]} == {
        (f"debate summarizer/{agent}", others(agent, FIVE)) for agent in FIVE
    }


def test_agents_are_told_who_they_are(debate: Callable[..., list[DebateRecord]]) -> None:
    for record in debate("agent_ids"):
        for turn in record.turns:
            if turn.id.agent in THREE:
                assert turn.messages[0].role == "system"
                assert turn.id.agent in turn.messages[0].content


def test_agents_have_temperatures_of_their_own() -> None:
    from society.scenario.expand import expand

    society = expand(load_scenario(FOLDER / "temperatures.yaml"))
    for phase in society.phases:
        assert [phase.agents[name].sampling.temperature for name in phase.speakers] == [0.5, 1.0, 1.5]


def test_role_chains_read_what_came_before(debate: Callable[..., list[DebateRecord]]) -> None:
    assert reads(debate("malt")) == {
        ("generate generator", ()),
        ("verify verifier", ("generator",)),
        ("refine refiner", ("generator", "verifier")),
    }
    assert reads(debate("sirius")) == {("analyse analyst", ()), ("solve solver", ("analyst",))}
