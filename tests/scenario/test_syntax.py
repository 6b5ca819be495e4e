"""Errors of YAML itself name the line of the cause and the remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from society.scenario import check_scenario

RIGHT = """\
version: 1
name: x
task: {kind: capitals, limit: 2}
backends: {s: {kind: scripted}}
roles:
  r:
    prompt: "{{ question }}"
    memory: 0
agents: {a: {count: 2}}
phases:
  - name: p
    rounds: 2
"""
PROMPT = '    prompt: "{{ question }}"'
MISTAKES = [
    (PROMPT, "    prompt: {{ question }}", 7, "needs quotation marks"),
    (PROMPT, "    prompt: {{ question }} Answer.", 7, "needs quotation marks"),
    (PROMPT, "    prompt: {% if round %}x{% endif %}", 7, "needs quotation marks"),
    (PROMPT, "    prompt: [{{ question }}]", 7, "needs quotation marks"),
    (PROMPT, "    prompt: Answer this: {{ question }}", 7, "a text with `: ` in it needs quotation marks"),
    (PROMPT, '    prompt: "{{ question }}" please', 7, "'please' follows a closing quotation mark"),
    (PROMPT, "    prompt: 'don't say {{ question }}'", 7, "write '' for an apostrophe"),
    (PROMPT, '    prompt: "{{ question }}"}', 7, "no bracket is open that '}' closes"),
    (PROMPT, '    prompt: "C:\\users {{ question }}"', 7, "a backslash in double quotation marks"),
    (PROMPT, '    prompt: "{{ question }}', 7, "quotation mark"),
    (PROMPT, "    prompt: @you {{ question }}", 7, "starts with '@' needs quotation marks"),
    (PROMPT, "    prompt: `x` {{ question }}", 7, "starts with '`' needs quotation marks"),
    (PROMPT, "    prompt: %x {{ question }}", 7, "starts with '%' needs quotation marks"),
    (PROMPT, "    prompt: *bold* {{ question }}", 7, "starts with '*' needs quotation marks"),
    (PROMPT, "    prompt: *bold", 7, "put a text in quotation marks"),
    (PROMPT, "    prompt: !hello {{ question }}", 7, "put a text in quotation marks"),
    (PROMPT, "    prompt: | {{ question }}", 7, "starts on the line after"),
    (PROMPT, "    prompt: |\n    {{ question }}", 8, "must be indented more than its key"),
    (PROMPT, f"\t{PROMPT.strip()}", 7, "a tab cannot indent YAML"),
    ("    memory: 0", "   memory: 0", 8, "is indented by 3 spaces, and lines that it could belong to by 0 or 2 or 4"),
    ("    memory: 0", "     memory: 0", 8, "is indented by 5 spaces, and"),
    ("    rounds: 2", "   rounds: 2", 12, "is indented by 3 spaces"),
    ("    rounds: 2", "    rounds: 2\n    - name: q", 13, "align its dash with the dash above it"),
    ("roles:", " roles:", 5, "is indented by 1 space, and"),
    ("  - name: p", "  -name: p", 11, "a list item needs a space after its dash"),
    ("name: x", "name x", 2, "a key needs `: ` after it"),
    ("  r:", "  r: {prompt: a}\n  r:", 7, "is given twice, first in line 6; remove one"),
    ("agents: {a: {count: 2}}", "agents: {a: {count: 2}", 9, "the bracket is never closed"),
    ("agents: {a: {count: 2}}", "agents: {a: {count: 2 role: r}}", 9, "a comma or value is missing"),
    ("agents: {a: {count: 2}}", "agents: {a: {count:2}}", 9, "a colon needs a space after it: `count: 2`"),
    ("agents: {a: {count: 2}}", "agents: {a: {temperature: 0.3}}", 9, "set `sampling.temperature`"),
]


@pytest.mark.parametrize(("right", "wrong", "line", "remedy"), MISTAKES, ids=[wrong for _, wrong, _, _ in MISTAKES])
def test_the_line_and_the_remedy_are_named(tmp_path: Path, right: str, wrong: str, line: int, remedy: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(RIGHT)
    assert not [problem for problem in check_scenario(path) if problem.level == "error"]
    assert RIGHT.count(right) == 1
    path.write_text(RIGHT.replace(right, wrong))
    found = [problem for problem in check_scenario(path) if problem.level == "error"]
    assert any(problem.line == line and remedy in problem.message for problem in found), [str(p) for p in found]
