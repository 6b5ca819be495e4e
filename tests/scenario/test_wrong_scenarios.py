"""Wrong scenarios of many kinds, one mistake each: `check` reports nearly all at their line, with a word that helps."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from society.core.problems import Problem
from society.planning.preflight import check

DEBATE = """\
version: 1
name: debate
task: {kind: file, path: rows.csv, question: text, gold: truth, limit: 4}
backends:
  small:
    kind: scripted
    rules:
      - {when: "Q1", say: "It is 4."}
      - choose: ["It is 5.", "Confidence: 80%"]
roles:
  solver:
    system: You are {{ name }}, agent {{ vars.number }}.
    prompt: |
      {{ question }}
      {% for m in heard %}
      {{ m.sender }} ({{ m.confidence }}): {{ m.text }}
      {% endfor %}
      {{ instruction }}
    memory: 1
    confidence: stated
  critic:
    prompt: "{{ question }} {% for m in heard %}{{ m.text }} {% endfor %}"
agents:
  solver: {count: 4, role: solver, vars: {number: 7}}
  critic: {role: critic}
phases:
  - name: debate
    agents: [solver]
    topology: {kind: k_regular, k: 2}
    rounds: 3
    edges: {window: 2, gate: [{kind: confident, least: 0.5}]}
    cap: 2
    stop: [consensus, {kind: stability, distance: 0.2}]
  - name: verdict
    agents: [critic]
    reads: [solver]
    when: [disagreement]
repeat: []
decision: {kind: majority, voters: [solver], ties: first}
sampling: {temperature: 0.8, top_p: 0.9, max_tokens: 64}
samples: 2
"""
PAPER = """\
version: 1
name: paper
task:
  kind: file
  path: rows.csv
  question: text
  gold: truth
  limit: 2
  answer: {equal: numeric, tolerance: 0.01}
backends:
  base: {kind: hf, model: owner/none, dtype: bfloat16}
  server: {kind: openai, url: "http://127.0.0.1:9/v1", model: big, key_env: MY_API_KEY}
roles:
  generator: {prompt: "{{ question }} {% for m in heard %}{{ m.text }}{% endfor %}"}
  critic: {prompt: "{{ question }} {% for m in heard %}{{ m.text }}{% endfor %}"}
agents:
  generator: {count: 3, role: generator, backend: base}
  critic: {count: 3, role: critic, backend: base}
  helper: {role: critic, backend: server, sampling: {temperature: 0.2}}
phases:
  - {name: first, agents: [generator]}
  - {name: second, agents: [critic], reads: [generator], topology: complete, rounds: 2}
  - {name: third, agents: [helper], reads: [critic]}
decision: {kind: majority, voters: [critic]}
train:
  iterations: 2
  questions: 2
  label: consensus
  quorum: 2
  learners:
    generator: {phases: [first], turn: last, select: agrees}
    critic: {phases: [second], turn: last}
  settings: {method: lora, rank: 8, epochs: 1, learning_rate: 0.0002}
"""
TOWN = """\
version: 1
name: town
task:
  kind: inline
  items:
    - {question: "Build the bridge? yes or no", id: bridge}
    - {question: "Close the school? yes or no", id: school}
  answer: {extract: [{regex: "(yes|no)"}]}
backends: {only: {kind: scripted, rules: [{choose: ["yes", "no"], weights: [2, 1]}]}}
roles:
  citizen:
    system: "You are a {{ persona.job }} of {{ persona.age }} years."
    prompt: |
      {{ question }}
      {% if heard %}{{ heard[0].sender }} says {{ heard[0].text }}{% endif %}
  chair: {prompt: "{{ question }} {% for m in heard %}{{ m.text }} {% endfor %}"}
agents:
  citizen: {role: citizen, personas: people.csv}
  chair: {role: chair}
topologies:
  friends: {kind: small_world, k: 2, p: 0.2}
  tables: {kind: groups, size: 2, shuffle: true, redraw: [question]}
phases:
  - {name: alone, agents: [citizen]}
  - name: talk
    agents: [citizen]
    topology: friends
    rounds: 2
    controllers: [{kind: track_record, over: rounds, keep: 1}]
  - name: tables
    agents: [citizen]
    topology: tables
    schedule: sequential
    leave: [{kind: stable, turns: 2}]
  - name: assembly
    agents: [citizen]
    schedule: moderated
    moderator: chair
    rounds: 3
repeat: [{phases: [talk, tables], times: 2, until: [consensus]}]
decision: {kind: supermajority, share: 0.7}
metrics: [drift, {kind: agreement, level: nominal}]
"""


class Wrong(NamedTuple):
    """A mistake: the text in place of a right one, and words of the report. `line`: the start of a line elsewhere."""

    scenario: str
    right: str
    wrong: str
    words: str
    line: str = ""


def d(right: str, wrong: str, words: str, line: str = "") -> Wrong:
    return Wrong(DEBATE, right, wrong, words, line)


def p(right: str, wrong: str, words: str, line: str = "") -> Wrong:
    return Wrong(PAPER, right, wrong, words, line)


def t(right: str, wrong: str, words: str, line: str = "") -> Wrong:
    return Wrong(TOWN, right, wrong, words, line)


MISTAKES = [
    # YAML itself
    d(
        'prompt: "{{ question }} {% for m in heard %}{{ m.text }} {% endfor %}"',
        "prompt: {{ question }} and more",
        "quot",
    ),
    d("name: debate\ntask", "name: debate: hot\ntask", "quotation"),
    d("    rounds: 3\n", "\trounds: 3\n", "tab"),
    d("    rounds: 3\n", "     rounds: 3\n", "indent"),
    d("agents: [solver]\n    topology", "agents: [solver\n    topology", "]"),
    d('say: "It is 4."}', 'say: "It is 4.}', "quot"),
    d("samples: 2\n", "samples: 2\nsamples: 3\n", "twice"),
    d("samples: 2\n", "samples: 2\n- more\n", "list", "- more"),
    t("shuffle: true", "shuffle: yes please", "true"),
    d("    cap: 2\n", "    cap:2\n", "key"),
    d(
        "decision: {kind: majority, voters: [solver], ties: first}",
        "decision: {kind: majority, voters: [solver] ties: first}",
        ",",
    ),
    d("  critic: {role: critic}\n", "  critic: {role: critic}\n  solver: {count: 2}\n", "twice"),
    # keys in the wrong place or of another program
    d("    memory: 1\n", "    memory: 1\n    temperature: 0.5\n", "sampling"),
    d("sampling: {temperature: 0.8", "sampling: {temp: 0.8", "temperature"),
    d("max_tokens: 64", "max_new_tokens: 64", "max_tokens"),
    d("count: 4", "n: 4", "count"),
    d("count: 4", "number: 4", "count"),
    d("    cap: 2\n", "    max_messages: 2\n", "cap"),
    d("edges: {window: 2", "edges: {history: 2", "window"),
    d("samples: 2\n", "sample: 2\n", "samples"),
    d("samples: 2\n", "repeats: 2\n", "repeat"),
    d("samples: 2\n", "seeds: 3\n", "--seeds 3"),
    d("repeat: []", "repeat: {over: seed, times: 3}", "list"),
    d("repeat: []", "repeat: [{over: seed, times: 3}]", "--seeds 3"),
    d("phases:\n", "stages:\n", "phases"),
    d("backends:\n", "models:\n", "backends"),
    d("    rounds: 3\n", "    turns: 3\n", "rounds"),
    d("    stop: [consensus", "    until: [consensus", "stop"),
    d("version: 1\n", "", "version", "name: debate"),
    d("version: 1\n", 'version: "2"\n', "1"),
    p("  iterations: 2\n", "  iterations: 2\n  learning_rate: 0.001\n", "settings"),
    p("rank: 8", "lora_rank: 8", "rank"),
    p("epochs: 1", "num_train_epochs: 1", "epochs"),
    p("kind: openai, url", "kind: openai, base_url", "url"),
    p("model: owner/none", "model_name: owner/none", "model"),
    t("- {name: alone, agents: [citizen]}", "- {phase: alone, agents: [citizen]}", "name"),
    t("items:\n", "questions:\n", "items"),
    # types and ranges
    d("count: 4", "count: four", "whole number"),
    d("count: 4", "count: 0", "at least 1"),
    d("count: 4", "count: 4.5", "whole number"),
    d("rounds: 3", "rounds: -1", "at least 1"),
    d("temperature: 0.8", "temperature: 80%", "number"),
    d("temperature: 0.8", "temperature: 11", "10"),
    d("top_p: 0.9", "top_p: 0", "above 0"),
    d("top_p: 0.9", "top_p: 90", "1"),
    d("max_tokens: 64", "max_tokens: 0", "at least 1"),
    d("max_tokens: 64", "max_tokens: 1e3", "whole number"),
    d("agents: [solver]\n    topology", "agents: solver\n    topology", "[solver]"),
    d("least: 0.5", "least: 50", "1"),
    d("limit: 4", 'limit: "4"', "whole number"),
    d("limit: 4", "limit: 400", "400"),
    d("memory: 1", "memory: all", "whole number"),
    d("samples: 2", "samples: 0", "at least 1"),
    d("window: 2", "window: 0", "at least 1"),
    p("quorum: 2", "quorum: 0", "at least 1"),
    p("tolerance: 0.01", "tolerance: 1", "below 1"),
    t("weights: [2, 1]", "weights: [2, 1, 1]", "weights"),
    t("share: 0.7", "share: 0.4", "0.5"),
    t("times: 2", "times: 1", "at least 2"),
    # names
    d("count: 4, role: solver", "count: 4, role: slover", "solver"),
    d("reads: [solver]", "reads: [solvers]", "solver"),
    d("reads: [solver]", "reads: [solver-5]", "solver"),
    d("voters: [solver]", "voters: [judge]", "judge"),
    d("topology: {kind: k_regular, k: 2}", "topology: regular", "k_regular"),
    d("kind: stability", "kind: stable", "stability"),
    d("stop: [consensus", "stop: [concensus", "consensus"),
    d("{kind: confident, least", "{kind: confidence, least", "confident"),
    d("ties: first", "ties: last", "first"),
    d("decision: {kind: majority", "decision: {kind: plurality", "majority"),
    p("phases: [first]", "phases: [frist]", "first"),
    p("select: agrees", "select: agree", "agrees"),
    p("backend: server", "backend: sever", "server"),
    t("topology: friends", "topology: freinds", "friends"),
    t("moderator: chair", "moderator: char", "chair"),
    t("moderator: chair", "moderator: citizen", "group"),
    t("phases: [talk, tables]", "phases: [talk, table]", "tables"),
    t("phases: [talk, tables]", "phases: [alone, tables]", "consecutive"),
    # templates
    d("{{ m.text }}\n", "{{ message.text }}\n", "message"),
    d("{{ m.sender }}", "{{ m.agent }}", "sender"),
    d("{{ m.confidence }}", "{{ m.certainty }}", "confidence"),
    d("      {% endfor %}\n", "", "endfor", "      {% for m"),
    d("{{ question }}\n", "{{ qestion }}\n", "question"),
    d("{{ question }}\n", "{question}\n", "{{ question }}"),
    d("{{ instruction }}", "{{ instruction | uper }}", "upper"),
    d("{{ vars.number }}", "{{ vars.numbr }}", "number"),
    d("{{ name }}", "{{ self.name }}", "self"),
    t("{% if heard %}", "{% if heard[0] %}", "heard", "{% if heard[0] %}"),
    t("{{ persona.age }}", "{{ persona.years }}", "age"),
    t("{% if heard %}{{ heard[0].sender }}", "{{ heard[0].sender }}{% if heard %}", "element 0"),
    t("{% endif %}\n", "{% end %}\n", "endif"),
    # graphs
    d("k: 2}", "k: 5}", "k"),
    t("k: 2, p: 0.2", "k: 3, p: 0.2", "2"),
    t("k: 2, p: 0.2", "k: 2, p: 20", "1"),
    t("size: 2", "size: 0", "at least 1"),
    t("size: 2, shuffle", "count: 2, shuffle", "size"),
    t("topology: friends", "topology: {kind: tree, branching: 0}", "at least 1"),
    t("topology: friends", "topology: {kind: edges, edges: [[citizen-1, citizen-9]]}", "citizen"),
    t("topology: friends", "topology: {kind: edges, edges: [[citizen-1, citizen-1]]}", "itself"),
    t("topology: friends", "topology: {kind: matrix, rows: [[0, 1], [1, 0]]}", "rows"),
    t("topology: friends", "topology: {kind: layered, layers: [1, 1]}", "layers"),
    t("topology: friends", "topology: {kind: file, path: graph.gml}", "graph"),
    t("topology: friends\n", "topology: friends\n    schedule: topological\n", "cycle"),
    # rules that cannot hold, and options that contradict each other
    d("rounds: 3", "rounds: 1", "round", "    stop:"),
    d("when: [disagreement]", "when: [{kind: answer, share: 2, value: 4}]", "share"),
    d("when: [disagreement]", "when: [{kind: verdict, agent: critic}]", "critic"),
    d("cap: 2", "cap: 50", "cap"),
    d("confidence: stated\n", "confidence: none\n", "confidence", "gate:"),
    t("{kind: stable, turns: 2}", "{kind: stable, turns: 50}", "turns"),
    t("keep: 1", "keep: 50", "keep"),
    t("moderator: chair\n", "moderator: chair\n    topology: complete\n    cap: 90\n", "cap"),
    t("level: nominal", "level: interval", "numeric"),
    t("metrics: [drift", "metrics: [pass_at_k, drift", "true answer"),
    # data and models
    d("path: rows.csv", "path: rowz.csv", "rows.csv"),
    d("question: text", "question: q", "text"),
    d("gold: truth", "gold: answer", "truth"),
    p("tolerance: 0.01", "tolerance: 0.01, decimal: dot", "point"),
    p("key_env: MY_API_KEY", "key_env: sk-123456789", "name"),
    p('url: "http://127.0.0.1:9/v1"', 'url: "127.0.0.1:9"', "http"),
    p("kind: hf, model: owner/none", "kind: hf, model: ./none.gguf", "none.gguf"),
    p("dtype: bfloat16", "dtype: fp16", "bfloat16"),
    p("method: lora", "method: dora", "lora"),
    p("questions: 2", "questions: 200", "questions"),
    p("critic: {phases: [second], turn: last}", "critic: {phases: [third], turn: last}", "train"),
    t("personas: people.csv", "personas: people.csv, count: 9", "personas"),
    # more of graphs, phases and rules
    d("topology: {kind: k_regular, k: 2}", "topology: {kind: star, center: 9}", "center"),
    d("topology: {kind: k_regular, k: 2}", "topology: {kind: grid, columns: 0}", "at least 1"),
    d("topology: {kind: k_regular, k: 2}", "topology: {kind: bipartite, left: 9}", "left"),
    d("topology: {kind: k_regular, k: 2}", "topology: {kind: barbell, path: 9}", "path"),
    d("topology: {kind: k_regular, k: 2}", "topology: {kind: union, of: [ring, nets]}", "nets"),
    d("topology: {kind: k_regular, k: 2}", "topology: [ring, star]", "topology"),
    d("topology: {kind: k_regular, k: 2}", "within: ring", "cycle"),
    d("edges: {window: 2", "edges: {show: summary, window: 2", "summarizer"),
    d("edges: {window: 2", "edges: {show: answers, window: 2", "answer"),
    d("edges: {window: 2", "edges: {anonymous: maybe, window: 2", "true"),
    d("    cap: 2\n", "    cap: 2\n    moderator: critic\n", "moderated"),
    d("    cap: 2\n", "    cap: 2\n    schedule: parallel\n", "simultaneous"),
    d("    cap: 2\n", "    cap: 2\n    bind: {critic: {role: critic}}\n", "does not speak"),
    d("    cap: 2\n", "    cap: 2\n    when: [consensus]\n", "never holds"),
    d("    cap: 2\n", "    cap: 2\n    controllers: [resample]\n", "same graph"),
    d("    cap: 2\n", "    cap: 2\n    controllers: [{kind: drop, p: 2}]\n", "1"),
    d("    cap: 2\n", "    cap: 2\n    controllers: [{kind: prune, keep: 2}]\n", "ranker"),
    d("    cap: 2\n", "    cap: 2\n    controllers: [{kind: prune, keep: 9, ranker: critic}]\n", "keep"),
    d("    cap: 2\n", "    cap: 2\n    controllers: [{kind: bracket, judge: solver}]\n", "solver"),
    d("    cap: 2\n", "    cap: 2\n    controllers: [{kind: choose, role: chooser}]\n", "chooser"),
    d("    cap: 2\n", "    cap: 2\n    leave: [{kind: stable, turns: 9}]\n", "turns"),
    d("reads: [solver]\n", "reads: [critic]\n", "critic"),
    d("repeat: []", "repeat: [{phases: [debate, verdict, close], times: 2}]", "close"),
    d("decision: {kind: majority, voters: [solver], ties: first}", "decision: {kind: judge, agent: solver}", "group"),
    d("decision: {kind: majority, voters: [solver], ties: first}", "decision: {kind: ranked}", "vote"),
    d("decision: {kind: majority, voters: [solver], ties: first}", "decision: {kind: majority, quorum: 9}", "quorum"),
    d("decision: {kind: majority, voters: [solver], ties: first}", "decision: unanimous", "unanimity"),
    d("samples: 2\n", "samples: 2\nmetrics: [drift, drift]\n", "twice"),
    d("samples: 2\n", "samples: 2\nseed: -1\n", "at least 0"),
    d("samples: 2\n", "samples: 2\ntimeout: 0\n", "above 0"),
    d("samples: 2\n", "samples: 2\nconcurrency: 0\n", "at least 1"),
    d("samples: 2\n", "samples: 2\nextends: other.yaml\n", "exist"),
    d("samples: 2\n", "samples: 2\nthinking: {budget: 500}\n", "budget"),
    d("samples: 2\n", "samples: 2\nvars: {unused: 1}\n", "not used"),
    d("confidence: stated\n", "confidence: high\n", "stated"),
    d("confidence: stated\n", "confidence: stated\n    choices: [yes, no]\n", "right answer"),
    d("count: 4, role: solver", "count: 4, role: solver, persona: [a, b, c, d, e]", "persona"),
    d("count: 4, role: solver", "count: 4, role: solver, persona: [a, b, c]", "solver-1 and solver-4 share the first"),
    d("temperature: 0.8", "temperature: 0,8", "decimal point in place of the comma"),
    d("stability, distance: 0.2}", "stability, distance: '0,2'}", "decimal point in place of the comma: 0.2"),
    d("  critic: {role: critic}\n", "  critic: {role: critic}\n  solver-1: {role: critic}\n", "solver-1"),
    d("  critic: {role: critic}\n", "  critic: {}\n", "role"),
    d("  critic: {role: critic}\n", "  the critic: {role: critic}\n", "name"),
    d(
        '      - choose: ["It is 5.", "Confidence: 80%"]',
        '      - choose: ["It is 5."]\n        say: "It is 6."',
        "exactly one",
    ),
    d('when: "Q1"', 'when: "Q(1"', "missing )"),
    d("gold: truth, limit", "gold: truth, offset: 50, limit", "offset"),
    d("gold: truth, limit", "gold: truth, answer: {extract: [boxd]}, limit", "boxed"),
    d("gold: truth, limit", "gold: truth, answer: {extract: [candidates]}, limit", "possible answers"),
    d("gold: truth, limit", "gold: truth, shuffle: 1, limit", "true"),
    d("task: {kind: file, path: rows.csv, question: text", "task: {kind: gsm8k, question: text", "data set"),
    p("label: consensus", "label: concensus", "consensus"),
    p("select: agrees", "select: {kind: agrees, how: fast}", "how"),
    p("iterations: 2", "iterations: 2\n  evaluate: [5]", "never reached"),
    p("iterations: 2", "iterations: 2\n  parallel: {processes: 5}", "accumulation"),
    p("method: lora", "method: qlora", "nf4"),
    p("turn: last, select", "turn: second, select", "first"),
    p("turn: last, select", "rows: 1.5, select", "rows"),
    p("backend: server", "backend: server, adapter: my-adapter", "adapter"),
    p("questions: 2", "questions: none", "whole number"),
    p("learners:\n", "learner:\n", "learners"),
    t("id: school", "id: bridge", "bridge"),
    t('"Close the school? yes or no"', '""', "question"),
    t("  tables: {kind: groups", "  ring: star\n  tables: {kind: groups", "kind of topology"),
    t("redraw: [question]", "redraw: [round]", "question"),
    t("over: rounds", "over: round", "rounds"),
    t("until: [consensus]", "until: [agreement]", "consensus"),
    t("schedule: moderated\n    moderator: chair", "schedule: moderated", "moderator"),
    t(
        "backends: {only: {kind: scripted",
        'backends: {only: {kind: human, default: " "}, other: {kind: scripted',
        "default",
    ),
    t("backends: {only: {kind: scripted", "backends: {only: {kind: ollama", "openai"),
    t("backends: {only: {kind: scripted", "backends: {only: {kind: llama_cpp, context: 4", "at least 16"),
    t('regex: "(yes|no)"', 'regex: "(yes|no"', "missing )"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("wrong")
    (path / "people.csv").write_text("job,age\nclerk,30\nnurse,40\ncook,50\nsmith,60\n")
    (path / "rows.csv").write_text("text,truth\n" + "".join(f"Q{i} + {i}?,{2 * i}\n" for i in range(6)))
    return path


def problems(folder: Path, text: str) -> list[Problem]:
    path = folder / "s.yaml"
    path.write_text(text)
    return check(path)


@pytest.mark.parametrize("text", [DEBATE, PAPER, TOWN], ids=["debate", "paper", "town"])
def test_the_right_scenarios_have_no_problem(folder: Path, text: str) -> None:
    assert [str(problem) for problem in problems(folder, text)] == []


@pytest.mark.parametrize("wrong", MISTAKES, ids=[f"{wrong.wrong.strip()} ({wrong.words})" for wrong in MISTAKES])
def test_a_mistake_is_found_at_its_line(folder: Path, wrong: Wrong) -> None:
    assert wrong.scenario.count(wrong.right) == 1
    text = wrong.scenario.replace(wrong.right, wrong.wrong)
    first = text[: text.index(wrong.line) if wrong.line else wrong.scenario.index(wrong.right)].count("\n") + 1
    last = first if wrong.line else first + wrong.wrong.rstrip("\n").count("\n")
    found = problems(folder, text)
    assert any(first <= problem.line <= last and wrong.words in str(problem).lower() for problem in found), found


def test_a_key_in_place_of_its_name_is_not_repeated(folder: Path) -> None:
    (problem,) = problems(folder, PAPER.replace("MY_API_KEY", "sk-123456789"))
    assert "sk-" not in str(problem)
    assert "never the key itself" in str(problem)
