"""The prose of the product: docstrings, descriptions of fields, and the keys that remedies name."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from society.scenario import scenario_schema
from tests.project.schema_keys import ANY, find_unknown_dotted, find_unknown_keys, resolve

ROOT = Path(__file__).parents[2]
MODULES = sorted(path for name in ("society", "backends", "topologies") for path in (ROOT / name).rglob("*.py"))
OTHERS = sorted(path for name in ("benchmarks", "tests") for path in (ROOT / name).rglob("*.py"))
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), *(ROOT / "scenarios").rglob("*.md"), *ROOT.glob("*.md")])
OPENINGS = ("Of", "By", "What", "Whose", "Within", "Where", "So many")
"""Words that begin no docstring and no description."""
NOT_IMPERATIVE = {
    "Whether",
    "How",
    "Why",
    "Which",
    "Every",
    "Each",
    "All",
    "One",
    "Nothing",
    "Say",
    "Tell",
    "Hand",
    "Forget",
}
"""First words of no function's docstring: ruff misses these nouns, and the verbs have a plainer synonym."""
BANNED = re.compile(
    r"\b(so many|whoever|what is there|tak(e|es|en|ing) away|parcels?|payments?|shelf"
    r"|(giv(e|es|en|ing)|gave) back|hand(s|ed|ing)? (back|in|over)|mak(e|es|ing) of|told)\b",
    re.IGNORECASE,
)
"""Phrases with a plainer word in the field's language."""
NAMES_OF_CODE = ("decode", "is_gradient_checkpointing", "sum")
"""Names in backquotes of messages that are neither keys nor values of a scenario."""
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
LONGEST_SENTENCE = 25
"""Maximum number of words of a sentence in a description."""


OPTIONS = re.compile(r"--(resume|out|to|plugins|encoder|allow)\b")
"""Options of commands that functions have, too."""


@cache
def parse(module: Path) -> ast.Module:
    return ast.parse(module.read_text("utf-8"))


def docstrings(module: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of every docstring, those below fields and constants included."""
    for node in ast.walk(parse(module)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, node.value.value


def openings(module: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and the first word of the docstring of each function and property, except tests."""
    for node in ast.walk(parse(module)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or node.name.startswith("test_"):
            continue
        is_property = any("property" in ast.unparse(decorator) for decorator in node.decorator_list)
        word = (ast.get_docstring(node) or "").split(" ")[0]
        if not is_property or word == "Whether":  # a property may be described by a noun, as an attribute is
            yield node.lineno, word


def messages(module: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of every string of several words but docstrings; parts that vary are `ANY`."""
    walked = list(ast.walk(parse(module)))
    parts = {id(part) for node in walked if isinstance(node, ast.JoinedStr) for part in node.values}
    parts |= {id(node.value) for node in walked if isinstance(node, ast.Expr)}
    for node in walked:
        if isinstance(node, ast.Constant | ast.JoinedStr) and id(node) not in parts and " " in (text := text_of(node)):
            yield node.lineno, text


def text_of(node: ast.expr) -> str:
    """Return the text of a literal as far as the syntax tree knows it."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            return "".join(text_of(value) for value in values)
    return ANY


def described() -> Iterator[tuple[str, str]]:
    """Yield the name and the description of every mapping and field of a scenario."""
    schema = scenario_schema()
    for name, model in (("Scenario", schema), *schema["$defs"].items()):
        if "properties" in model:
            yield name, model.get("description", "")
        for field, part in model.get("properties", {}).items():
            if field != "kind":
                yield f"{name}.{field}", part.get("description", "")


def faults_of(text: str) -> Iterator[str]:
    """Yield what a docstring should not have: an opening that hides the subject, or a banned phrase."""
    opening = re.match(rf"({'|'.join(OPENINGS)})\b", text.lstrip())
    if opening:
        yield f"begins with {opening[0]!r}"
    yield from (f"has {match[0]!r}" for match in BANNED.finditer(text))


def sentences(text: str) -> list[str]:
    """Split a text at full stops, question marks and colons before a break, as a reader does."""
    return [part for part in re.split(r"(?<=[.!?])\s+(?=[A-Z`\"\d{])|\n\n", text) if part.strip()]


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_docstrings_and_messages_are_plain(module: Path) -> None:
    found = [(line, fault) for line, text in docstrings(module) for fault in faults_of(text)]
    found += [(line, f"has {match[0]!r}") for line, text in messages(module) for match in BANNED.finditer(text)]
    found += [(line, f"begins with {word!r}") for line, word in openings(module) if word in NOT_IMPERATIVE]
    assert not [f"{module}:{line} {fault}" for line, fault in found]


@pytest.mark.parametrize("module", OTHERS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_docstrings_of_tests_and_benchmarks_begin_with_their_subject(module: Path) -> None:
    found = [(line, word) for line, text in docstrings(module) if (word := text.split(" ")[0].strip()) in OPENINGS]
    found += [(line, word) for line, word in openings(module) if word in NOT_IMPERATIVE]
    assert not [f"{module}:{line} begins with {word!r}" for line, word in found]


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_messages_name_keys_that_exist(module: Path) -> None:
    wrong = [(line, key) for line, text in messages(module) for key in find_unknown_keys(text)]
    assert not [f"{module}:{line} {key}" for line, key in wrong if key not in NAMES_OF_CODE]


@pytest.mark.parametrize(
    "module",
    [module for module in MODULES if module.parent != ROOT / "society" / "cli"],
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)
def test_messages_that_name_an_option_name_what_python_has_for_it(module: Path) -> None:
    assert not [text for _, text in messages(module) if OPTIONS.search(text) and "Python" not in text]


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_statements_have_two_comprehensions_at_most(module: Path) -> None:
    """Arguments that a call names are counted by themselves: each describes one field of a record."""
    assert not [node.lineno for node in parts(parse(module)) if count_comprehensions(node) > 2]


def parts(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield simple statements, and the named arguments in them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) or (isinstance(node, ast.stmt) and not hasattr(node, "body")):
            yield node


def count_comprehensions(node: ast.AST) -> int:
    """Return the number of comprehensions in an expression or a statement, without those of named arguments in it."""
    inner = [child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.keyword)]
    return isinstance(node, COMPREHENSIONS) + sum(map(count_comprehensions, inner))


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_code_is_spelled_out(module: Path) -> None:
    """No conditional expression is within another one, and no code is formatted by hand."""
    conditionals = [node for node in ast.walk(parse(module)) if isinstance(node, ast.IfExp)]
    inner = [node.lineno for outer in conditionals for node in ast.walk(outer) if isinstance(node, ast.IfExp)]
    assert len(inner) == len(conditionals), f"{module}: {inner}"
    assert "# fmt: skip" not in module.read_text("utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_pages_name_keys_that_exist(page: Path) -> None:
    spans = re.findall(r"`([^`\n]+)`", page.read_text("utf-8"))
    assert not [key for span in spans for key in find_unknown_dotted(span)]


@pytest.mark.parametrize(("name", "text"), [*described()], ids=lambda value: str(value)[:40])
def test_descriptions_are_plain(name: str, text: str) -> None:
    assert text, "has no description"
    assert not list(faults_of(text))
    assert not [part for part in sentences(text) if len(part.split()) > LONGEST_SENTENCE]


# The tests themselves find what they look for.


def test_a_key_resolves_from_the_root_through_names() -> None:
    for key in ("phases.two.cap", "train.learners.any.rows", "train.settings.max_length", "backends.local.context"):
        assert resolve(key), key
    for key in ("train.max_length", "phases.two.caps", "agents.debater.rounds", "sampling.length"):
        assert not resolve(key), key
    assert resolve(f"sampling.{ANY}")


@pytest.mark.parametrize(
    ("remedy", "wrong"),
    [
        ("Lower train.max_length.", ["train.max_length"]),
        ("Lower train.settings.max_length.", []),
        ("Set `decision: plurality_of`.", ["decision: plurality_of"]),
        ("Set `decision: majority` and `quorum`.", []),
        ("Set `window: 2`, `cap: 3` and `show: everything`.", ["show: everything"]),
        ("Choose another `contxt`.", ["contxt"]),
        ("See example.org and society.run.", []),
    ],
)
def test_wrong_keys_are_found(remedy: str, wrong: list[str]) -> None:
    assert list(find_unknown_keys(remedy)) == wrong


def test_messages_are_read_from_the_syntax_tree(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text(
        '"""A module."""\nraise InputError(f"{a} is wrong.", f"Set {name}." if name else "Lower `it`.")\n'
    )
    assert [text for _, text in messages(module)] == [f"{ANY} is wrong.", f"Set {ANY}.", "Lower `it`."]


def test_hidden_subjects_and_banned_phrases_are_found() -> None:
    assert list(faults_of("What an agent says.")) == ["begins with 'What'"]
    assert list(faults_of("At most so many tokens, handed back.")) == ["has 'so many'", "has 'handed back'"]
    assert not list(faults_of("Whatever returns a number, byte by byte."))
