"""Random errors in valid scenarios: no traceback, and the broken line is among the reported ones."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from society.core.errors import ScenarioError
from society.scenario import check_scenario, load_scenario
from society.scenario.expand import expand

RICH = """\
version: 1
name: rich
description: every part of the language once
seed: 7
task: {kind: arithmetic, limit: 20}
backends:
  good:
    kind: scripted
    rules:
      - when: "number"
        calculate: {skill: 0.9}
      - say: "The answer is 4."
  odd: {kind: scripted, rules: [{say: "no"}]}
roles:
  solver:
    system: |
      You are {{ name }}.
    prompt: |
      {{ question }} {{ instruction }}
      {% for message in heard %}
      {{ message.sender }} said {{ message.text }}
      {% endfor %}
    memory: 2
    confidence: stated
    sampling: {temperature: 0.5, max_tokens: 64}
  judge:
    prompt: "{{ question }}: who is right?"
    choices: ["yes", "no"]
agents:
  debater:
    count: 4
    role: solver
    backend: good
    persona: [calm, bold]
  judge:
    role: judge
    backend: odd
  scribe: {role: solver, backend: good}
phases:
  - name: alone
    agents: [debater]
  - name: debate
    agents: [debater]
    topology:
      kind: k_regular
      k: 2
    rounds: 3
    schedule: simultaneous
    edges:
      show: summary
      window: 2
      gate: [differs, {kind: confident, least: 0.2}]
    summarizer: scribe
    cap: 3
    bind:
      debater:
        sampling:
          temperature: 0.9
    stop:
      - consensus
      - [{kind: stability, distance: 0.1}, {kind: budget, turns: 50}]
    controllers:
      - kind: prune
        ranker: judge
        keep: 2
  - name: verdict
    agents: [judge]
    reads: [debater]
decision:
  kind: judge
  agent: judge
  ties: first
sampling:
  temperature: 0.8
  top_p: 0.9
samples: 2
"""
MODERATED = """\
version: 1
name: relay
task:
  kind: arithmetic
  limit: 5
backends:
  only:
    kind: scripted
roles:
  talker:
    prompt: |
      {{ question }}
agents:
  chair:
    persona: stern
  left:
    persona: [red]
  right: {}
phases:
  - name: talk
    schedule: moderated
    moderator: chair
    topology:
      kind: edges
      edges:
        - [left, right, {show: answer}]
        - [right, left]
    rounds: 4
  - name: relay
    agents: [left, right]
    schedule: topological
    topology: {kind: chain, directed: true}
decision: {kind: supermajority, share: 0.6, voters: [left, right]}
"""
SCENARIOS = Path(__file__).parents[2] / "scenarios"
FILES = {path.name: path.read_text() for path in sorted(SCENARIOS.glob("*.yaml"))}
SHIPPED = [*FILES.values()]
EXTENDED = {name for text in SHIPPED for name in re.findall(r"^extends: (\S+)$", text, re.MULTILINE)}
DATA = [file for file in SCENARIOS.iterdir() if file.suffix in (".csv", ".jsonl")]
"""Files that shipped scenarios read."""
SOURCES = [RICH, MODERATED, *SHIPPED]
KEY = re.compile(r"^(\s*(?:- )?)([\w-]+):( .*)?$")
LINES = list[str]
Broken = tuple[str | bytes, set[int]]


def keyed(lines: LINES, draw: random.Random, valued: bool = False) -> int:
    """Return the index of a line `key:` or `key: value`."""
    fits = [
        i
        for i, line in enumerate(lines)
        if (m := KEY.match(line)) and (not valued or (m[3] and m[3].strip() not in ("|", ">")))
    ]
    return draw.choice(fits)


def block(lines: LINES, i: int) -> int:
    """Return the index after the last line of the block that line `i` begins."""
    depth = len(lines[i]) - len(lines[i].lstrip())
    end = i + 1
    while end < len(lines) and len(lines[end]) - len(lines[end].lstrip()) > depth:
        end += 1
    return end


def parent(lines: LINES, i: int) -> int:
    """Return the number of the line of the key above line `i`, or of the first line of the top mapping."""
    depth = len(lines[i]) - len(lines[i].lstrip())
    above = [j for j in range(i) if 0 <= len(lines[j]) - len(lines[j].lstrip()) < depth]
    return above[-1] + 1 if above else next(j for j, line in enumerate(lines) if not line.startswith("#")) + 1


def replace_value(lines: LINES, draw: random.Random, values: list[str]) -> Broken:
    i = keyed(lines, draw, valued=True)
    head = lines[i].partition(":")[0]
    return "\n".join([*lines[:i], f"{head}: {draw.choice(values)}", *lines[i + 1 :]]), {i + 1}


def insert(lines: LINES, draw: random.Random, texts: list[str]) -> Broken:
    i = keyed([line for line in lines if not line.lstrip().startswith("- ")], draw)
    plain = [j for j, line in enumerate(lines) if not line.lstrip().startswith("- ")]
    i = plain[i]
    indent = KEY.match(lines[i])[1]  # type: ignore[index]
    return "\n".join([*lines[:i], indent + draw.choice(texts), *lines[i:]]), {i + 1}


def drop(lines: LINES, draw: random.Random) -> Broken:
    i = keyed(lines, draw)
    left = [*lines[:i], *lines[block(lines, i) :]]
    return "\n".join(left), {parent(lines, i), i + 1} if i else {1}


def rename(lines: LINES, draw: random.Random) -> Broken:
    i = keyed(lines, draw)
    before, key, after = KEY.match(lines[i]).groups(default="")  # type: ignore[union-attr]
    cut = draw.randrange(len(key))
    return "\n".join([*lines[:i], f"{before}{key[:cut]}x{key[cut + 1 :]}:{after}", *lines[i + 1 :]]), {i + 1}


def misspell(lines: LINES, draw: random.Random) -> Broken:
    i = keyed(lines, draw, valued=True)
    head, _, value = lines[i].partition(": ")
    spots = [m.start() for m in re.finditer(r"[a-z0-9]", value)] or [0]
    cut = draw.choice(spots)
    return "\n".join([*lines[:i], f"{head}: {value[:cut]}~{value[cut + 1 :]}", *lines[i + 1 :]]), {i + 1}


def retype(lines: LINES, draw: random.Random) -> Broken:
    return replace_value(lines, draw, ["three", "[1, 2]", "{a: 1}", "null", "true", "1.5", "-1", "''", "2020-01-01"])


def duplicate(lines: LINES, draw: random.Random) -> Broken:
    i = keyed(lines, draw)
    end = block(lines, i)
    return "\n".join([*lines[:end], *lines[i:end], *lines[end:]]), {end + 1}


def nest(lines: LINES, draw: random.Random) -> Broken:
    i = keyed(lines, draw, valued=True)
    head, _, value = lines[i].partition(": ")
    deep = draw.choice(["{x: %s}", "[[%s]]", "[" * 200 + "%s" + "]" * 200, "{a: " * 5000 + "%s" + "}" * 5000])
    return "\n".join([*lines[:i], f"{head}: {deep % value}", *lines[i + 1 :]]), {i + 1}


def cycle(lines: LINES, draw: random.Random) -> Broken:
    return replace_value(lines, draw, ["&a [*a]", "&a {x: *a}", "&a {<<: *a}"])


def enlarge(lines: LINES, draw: random.Random) -> Broken:
    return replace_value(lines, draw, ["9" * 30, "9" * 100_000, "1e999", ".inf", "-.nan", "0x" + "f" * 40, "1e308"])


def alias(lines: LINES, draw: random.Random) -> Broken:
    return replace_value(lines, draw, ["*nowhere", "&x", "*x", "& a", "*"])


def merge_key(lines: LINES, draw: random.Random) -> Broken:
    return insert(lines, draw, ["<<: *nowhere", "<<: 3", "<<: [1]", "<<: {bogus: 1}"])


def bomb(lines: LINES, draw: random.Random) -> Broken:
    levels = ["&b0 [x, x, x, x, x, x, x, x, x]"]
    levels += [f"&b{n} [{', '.join([f'*b{n - 1}'] * 9)}]" for n in range(1, 12)]
    return insert(lines, draw, [f"bomb: [{', '.join(levels)}]"])


def indent_by_tab(lines: LINES, draw: random.Random) -> Broken:
    i = draw.choice([j for j, line in enumerate(lines) if line.startswith("  ") and KEY.match(line)])
    return "\n".join([*lines[:i], "\t" + lines[i].lstrip(), *lines[i + 1 :]]), {i + 1}


def encode(lines: LINES, draw: random.Random) -> Broken:
    text = "\n".join(lines)
    if draw.random() < 0.5:
        return text.encode(draw.choice(["utf-16", "utf-32"])), {1}
    i = draw.randrange(len(lines))
    broken = "\n".join([*lines[:i], lines[i] + " # caf\xe9", *lines[i + 1 :]])
    return broken.encode("latin-1", "replace"), {i + 1}


def mark_bytes(lines: LINES, draw: random.Random) -> Broken:
    i = draw.randrange(len(lines))
    if draw.random() < 0.3:
        return "\ufeff" + "\n".join(lines), set()
    return "\n".join([*lines[:i], lines[i] + draw.choice(["\0", "\x07", "\x1b[31m"]), *lines[i + 1 :]]), {i + 1}


def tag(lines: LINES, draw: random.Random) -> Broken:
    return replace_value(lines, draw, ["!!python/object/apply:os.system [ls]", "!!str 3", "!x y", "!!binary aGk="])


def odd_key(lines: LINES, draw: random.Random) -> Broken:
    return insert(
        lines,
        draw,
        ["3: x", "null: x", "[a]: x", "{a: b}: x", "bogus: 1", "? x", "--- ", "... ", "x", "@", "'"],
    )


MUTATIONS: list[Callable[[LINES, random.Random], Broken]] = [
    drop,
    rename,
    misspell,
    retype,
    duplicate,
    nest,
    cycle,
    enlarge,
    alias,
    merge_key,
    bomb,
    indent_by_tab,
    encode,
    mark_bytes,
    tag,
    odd_key,
]


def write(folder: Path, text: str | bytes) -> Path:
    for name in EXTENDED:
        if not (folder / name).exists():
            (folder / name).write_text(FILES[name])
    for file in DATA:
        if not (folder / file.name).exists():
            (folder / file.name).write_bytes(file.read_bytes())
    path = folder / "broken.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize("source", SOURCES, ids=range(len(SOURCES)))
def test_the_sources_are_valid(source: str, tmp_path: Path) -> None:
    assert [str(p) for p in check_scenario(write(tmp_path, source)) if p.level == "error"] == []


@pytest.mark.slow
def test_the_broken_line_is_named(tmp_path: Path) -> None:
    named, wrong, missed = 0, 0, []
    for seed in range(1200):
        draw = random.Random(seed)
        mutation = MUTATIONS[seed % len(MUTATIONS)]
        try:
            text, lines = mutation(draw.choice(SOURCES).splitlines(), draw)
        except IndexError:  # a short file has no line that this mutation could break
            continue
        problems = check_scenario(write(tmp_path, text))
        if any(p.level == "error" for p in problems):
            wrong += 1
            if lines & {p.line for p in problems}:
                named += 1
            else:
                missed.append((seed, mutation.__name__, sorted(lines), [str(p) for p in problems]))
    assert wrong > 800
    assert named / wrong >= 0.95, missed[:20]


@given(seed=st.integers(0, 2**32), count=st.integers(1, 3))
@settings(
    max_examples=300,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_nothing_but_a_scenario_error_is_raised(tmp_path: Path, seed: int, count: int) -> None:
    draw = random.Random(seed)
    text: str | bytes = draw.choice(SOURCES)
    for _ in range(count):
        if isinstance(text, str):
            try:
                text, _lines = draw.choice(MUTATIONS)(text.splitlines(), draw)
            except IndexError:  # an earlier mutation left no line that this one could break
                break
    path = write(tmp_path, text)
    errors = [problem for problem in check_scenario(path) if problem.level == "error"]
    if not errors:
        assert expand(load_scenario(path)).phases  # what passes the check can be expanded
        return
    with pytest.raises(ScenarioError) as caught:
        load_scenario(path)
    assert caught.value.problems == tuple(errors)
    assert str(caught.value).splitlines()[:-1] == [str(problem) for problem in errors]
