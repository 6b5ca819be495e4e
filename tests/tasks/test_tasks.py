"""The contract tests for every task, and tests of each task."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from society.components.registry import kinds
from society.core.errors import InputError
from society.scoring.base import Compare
from society.tasks import TASKS
from society.tasks.arithmetic import Arithmetic, evaluate
from society.tasks.base import Task
from society.tasks.capitals import Capitals
from society.tasks.contract import TaskContract
from society.tasks.file import Jsonl
from society.tasks.gym_worker import is_harmless
from society.tasks.inline import Inline, InlineQuestion
from society.tasks.reasoning_gym import ReasoningGym

Row = dict[str, Any]


def write(folder: Path, *rows: Row | str | bytes) -> Path:
    path = folder / "rows.jsonl"
    lines = [row if isinstance(row, bytes) else _line(row).encode() for row in rows]
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


def _line(row: Row | str) -> str:
    return row if isinstance(row, str) else json.dumps(row)


def jsonl(path: Path, **fields: Any) -> Jsonl:
    return Jsonl.model_validate({"path": str(path), **fields}, context={"folders": [path.parent]})


SUMS = [{"question": f"{n} + 1?", "answer": f"{n} + 1 = {n + 1}\n#### {n + 1}", "level": n % 2} for n in range(12)]
TESTS = [{"question": f"Which is {n}?", "choices": [f"{n}", "no", "none"], "answer": 0} for n in range(12)]


class TestCapitals(TaskContract):
    @pytest.fixture
    def task(self) -> Task:
        return Capitals()


class TestArithmetic(TaskContract):
    @pytest.fixture
    def task(self) -> Task:
        return Arithmetic()


class TestReasoningGym(TaskContract):
    @pytest.fixture
    def task(self) -> Task:
        return ReasoningGym(dataset="chain_sum")


class TestJsonl(TaskContract):
    @pytest.fixture
    def task(self, tmp_path: Path) -> Task:
        return jsonl(write(tmp_path, *SUMS), gold_extract=["hash"], answer={"equal": "numeric"})


class TestJsonlChoices(TaskContract):
    @pytest.fixture
    def task(self, tmp_path: Path) -> Task:
        return jsonl(write(tmp_path, *TESTS), choices="choices")


def test_every_kind_is_registered_under_its_name() -> None:
    assert {kind: cls.model_fields["kind"].default for kind, cls in kinds("task").items() if kind in TASKS} == {
        kind: kind for kind in TASKS
    }


def test_capitals_has_no_spelling_that_stands_for_two_capitals() -> None:
    items = Capitals().load(0)
    spellings = [name.casefold() for item in items for name in {item.gold, *item.aliases}]
    assert len(items) == 186
    assert len(spellings) == len(set(spellings))


def test_every_capital_is_read_from_a_sentence_in_each_spelling() -> None:
    task = Capitals()
    for item in task.load(0):
        for name in (item.gold, *item.aliases):
            country = item.question.removeprefix("What is the capital of ").removesuffix("?")
            assert task.parse(f"The capital of {country} is {name}.", item) == item.gold
        assert task.parse(item.gold.lower(), item) == item.gold


def test_a_wrong_capital_is_read_and_wrong() -> None:
    task = Capitals()
    france = next(item for item in task.load(0) if item.id == "capital-of-france")
    answer = task.parse("I think that it is Lyon, no: London.", france)
    assert answer == "London"
    assert not task.correct(answer, france)
    assert task.parse("It is Lyon.", france) == "Lyon"
    assert task.parse("France is a country in Europe.", france) is None


def test_capitals_can_be_narrowed() -> None:
    assert len(Capitals(continent="South America").load(0)) == 11
    assert 40 <= len(Capitals(well_known=True).load(0)) <= 60


def test_slices_of_a_shuffled_task_are_disjoint_and_make_the_whole() -> None:
    whole = {item.id for item in Capitals().load(3)}
    train = {item.id for item in Capitals(shuffle=True, limit=100).load(3)}
    held_out = {item.id for item in Capitals(shuffle=True, offset=100).load(3)}
    assert train | held_out == whole
    assert not train & held_out
    assert Capitals(shuffle=True).load(3) != Capitals(shuffle=True).load(4)


@pytest.mark.parametrize("fields", [{"limit": 187}, {"offset": 186}, {"offset": 100, "limit": 90}])
def test_a_slice_beyond_the_end_is_an_error(fields: dict[str, int]) -> None:
    with pytest.raises(InputError, match="186 in all"):
        Capitals(**fields).load(0)  # type: ignore[arg-type]  # only limits


def test_generated_questions_need_a_limit() -> None:
    with pytest.raises(InputError, match="limit"):
        Arithmetic(limit=None).load(0)


def test_generated_questions_run_out_instead_of_repeating() -> None:
    assert len(Arithmetic(form="a+b", low=1, high=2, limit=4).load(0)) == 4
    with pytest.raises(InputError, match="4 in all"):
        Arithmetic(form="a+b", low=1, high=2, limit=5).load(0)


@given(
    st.from_regex(r"[a-e]([-+*][a-e]){0,6}", fullmatch=True),
    st.lists(st.integers(-9, 9), min_size=5, max_size=5),
)
def test_the_value_of_a_form_is_that_of_python(form: str, numbers: list[int]) -> None:
    values = dict(zip("abcde", numbers, strict=True))
    assert evaluate(form, values) == eval(form, {}, dict(values))


def test_negative_numbers_stand_in_brackets() -> None:
    items = Arithmetic(form="a-b", low=-9, high=-1, limit=20).load(1)
    assert all("--" not in item.id for item in items)
    assert all(item.gold == str(eval(item.id)) for item in items)


@pytest.mark.parametrize("form", ["", "a/b", "ab", "a+", "a**b", "2+a", "__import__", "a+b" * 40])
def test_a_form_outside_the_grammar_is_refused(form: str) -> None:
    with pytest.raises(ValidationError):
        Arithmetic(form=form)


def test_bounds_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(ValidationError, match="should not be above"):
        Arithmetic(low=2, high=1)


def test_seeds_give_other_questions() -> None:
    for task in (Arithmetic(limit=20), ReasoningGym(dataset="chain_sum", limit=20)):
        assert not {i.question for i in task.load(0)} & {i.question for i in task.load(1)}


def test_a_verifier_of_reasoning_gym_judges() -> None:
    task = ReasoningGym(dataset="polynomial_multiplication", limit=3)
    for item in task.load(0):
        assert task.correct(item.gold, item)
        assert task.correct(f"{item.gold} + 0", item)  # equal, though not the same text
        assert not task.correct("1", item)


@pytest.mark.parametrize("dataset", ["polynomial_multiplication", "countdown", "binary_matrix"])
def test_a_verifier_that_evaluates_runs_no_code(dataset: str, tmp_path: Path) -> None:
    task, trace = ReasoningGym(dataset=dataset, limit=1), tmp_path / "trace"
    item = task.load(0)[0]
    for code in (
        f"open('{trace}','w')",
        f"[open('{trace}','w')]",
        f"__import__('pathlib').Path('{trace}').touch()",
    ):
        assert not task.correct(code, item)
    assert not trace.exists()
    assert not task.correct("9**9**9**9", item)
    assert task.correct(item.gold, item)


@pytest.mark.parametrize(
    "answer", ["x**2 + 3*x*y - 1", "sin(x)/2 + C", "[1, 2]", "[['Q', '_'], ['_', 'Q']]", "3.5*(2-1)"]
)
def test_formulas_and_lists_are_harmless(answer: str) -> None:
    assert is_harmless(answer)


@pytest.mark.parametrize(
    "answer", ["S('x')", "x.y", "1 .real", "().__class__", "exit()", "x[0]", "[f'{x}']", "9**9**9"]
)
def test_programs_are_not_harmless(answer: str) -> None:
    assert not is_harmless(answer)


def test_unknown_names_of_reasoning_gym_get_a_suggestion() -> None:
    with pytest.raises(InputError, match="Did you mean 'chain_sum'"):
        ReasoningGym(dataset="chainsum").load(0)
    with pytest.raises(InputError, match="Did you mean 'min_terms'"):
        ReasoningGym(dataset="chain_sum", params={"min_term": 2}).load(0)
    with pytest.raises(InputError, match="rejects its parameters"):
        ReasoningGym(dataset="chain_sum", params={"min_terms": 9, "max_terms": 2}).load(0)


def test_multiple_choice_is_asked_with_lettered_options(tmp_path: Path) -> None:
    rows = [{**TESTS[0], "answer": gold} for gold in (1, "b", "no")]
    for line, row in enumerate(rows):
        item = jsonl(write(tmp_path, row), choices="choices").load(0)[0]
        assert (line, item.gold) == (line, "B")
        assert item.question == "Which is 0?\nA. 0\nB. no\nC. none"


def test_an_option_in_full_stands_for_its_letter(tmp_path: Path) -> None:
    task = jsonl(write(tmp_path, TESTS[7]), choices="choices")
    item = task.load(0)[0]
    assert task.parse("It must be none", item) == "C"
    assert task.parse("It must be (A)", item) == "A"


def test_fields_are_mapped(tmp_path: Path) -> None:
    path = write(tmp_path, {"q": "x {y}", "c": "Given.", "a": 14.0, "n": 5})
    item = jsonl(path, question="{c}\n{q}", gold="a", id="n").load(0)[0]
    assert (item.id, item.question, item.gold) == ("5", "Given.\nx {y}", "14")


def test_where_filters(tmp_path: Path) -> None:
    path = write(tmp_path, *SUMS)
    assert len(jsonl(path, where={"level": 1}).load(0)) == 6
    assert len(jsonl(path, where={"level": [0, 1]}).load(0)) == 12
    with pytest.raises(InputError, match="no row matches `where`"):
        jsonl(path, where={"level": 7}).load(0)


def test_a_question_that_is_repeated_is_asked_once(tmp_path: Path) -> None:
    task = jsonl(write(tmp_path, SUMS[0], SUMS[1], SUMS[0], SUMS[0]))
    assert (len(task.load(0)), task.slice(0).repeated) == (2, 2)
    with pytest.raises(InputError, match="2 in all, without 2 repeated"):
        task.model_copy(update={"limit": 3}).load(0)


@pytest.mark.parametrize("fields", [{}, {"shuffle": True}, {"limit": 1, "offset": 1}])
def test_a_repeated_question_with_another_answer_is_an_error(tmp_path: Path, fields: Row) -> None:
    rows = [{"question": "1 + 1?", "answer": 2}, {"question": "1 + 1?", "answer": 3}, {"question": "?", "answer": 1}]
    with pytest.raises(InputError, match=r"rows.jsonl: 'rows-1' and 'rows-2' ask the same question.*'2' and '3'"):
        jsonl(write(tmp_path, *rows), **fields).load(0)


def test_a_repeated_question_with_other_options_is_an_error(tmp_path: Path) -> None:
    rows = [{"question": "Which?", "choices": choices, "answer": 0} for choices in (["a", "b"], ["b", "a"])]
    with pytest.raises(InputError, match="ask the same question"):
        jsonl(write(tmp_path, *rows), choices="choices", question="{question}").load(0)


def test_a_repeated_question_with_another_spelling_of_the_answer_is_used_once(tmp_path: Path) -> None:
    rows = [{"question": "Capital?", "answer": answer} for answer in (["Paris", "Lutetia"], "lutetia")]
    assert jsonl(write(tmp_path, *rows)).slice(0).repeated == 1


def test_a_byte_order_mark_empty_lines_and_huge_lines_are_fine(tmp_path: Path) -> None:
    huge = {"question": "x" * 2_000_000, "answer": "1"}
    path = write(tmp_path, b"\xef\xbb\xbf" + json.dumps(SUMS[0]).encode(), b"", json.dumps(huge).encode())
    assert [item.id for item in jsonl(path).load(0)] == ["rows-1", "rows-3"]


GOOD = json.dumps(SUMS[0])


@pytest.mark.parametrize(
    ("rows", "fields", "message"),
    [
        ([GOOD, "{oops"], {}, r"rows.jsonl:2: not JSON"),
        ([GOOD, "[1]"], {}, r"rows.jsonl:2: not a JSON object"),
        ([GOOD, "[" * 100_000], {}, r"rows.jsonl:2: not JSON"),
        ([GOOD, b'{"question": "\xff"}'], {}, r"rows.jsonl:2: not UTF-8"),
        (
            [GOOD],
            {"question": "problem"},
            r"rows.jsonl:1: .*no field 'problem'; it has question, answer, level",
        ),
        ([GOOD], {"question": "{problem}?"}, r"no field 'problem'"),
        ([GOOD], {"gold": "gold"}, r"no field 'gold'"),
        ([GOOD], {"id": "uuid"}, r"no field 'uuid'"),
        ([GOOD], {"where": {"kind": 1}}, r"no field 'kind'"),
        ([GOOD], {"gold_extract": ["boxed"]}, r"rows.jsonl:1: .*'answer' without an answer"),
        ([GOOD, SUMS[2]], {"id": "level"}, r"rows.jsonl:2: .*repeats the id '0'"),
        ([GOOD], {"choices": "answer"}, r"no list of 2 to 10 options"),
        ([{**TESTS[0], "answer": 4}], {"choices": "choices"}, r"not one of its 3 options"),
        ([{**TESTS[0], "answer": True}], {"choices": "choices"}, r"not one of its 3 options"),
        (["", ""], {}, r"there are no rows"),
        (
            [{"question": "1+1"}, {"question": "1+2"}],
            {"gold": "anwser"},
            r"rows.jsonl:1: .*no field 'anwser'; it",
        ),
        ([{"question": "1+1", "answer": [[2]]}], {}, r"a list in the field 'answer'"),
        ([{"question": "1+1", "answer": {"value": 2}}], {}, r"a JSON object in the field 'answer'"),
        (['{"question": "1+1", "answer": NaN}'], {}, r"nan \(not a finite number\) in the field 'answer'"),
        (['{"question": "1+1", "answer": [1e999]}'], {}, r"inf \(not a finite number\)"),
        ([{"question": None, "answer": 2}], {}, r"null in the field 'question'"),
        ([{"question": {"text": "1+1"}, "answer": 2}], {}, r"a JSON object in the field 'question'"),
        ([{"question": [None, 1], "answer": 2}], {}, r"null in the field 'question'"),
        ([{"question": " ", "answer": 2}], {}, r"rows.jsonl:1: .*empty question"),
        ([{"question": "1+1", "context": None, "answer": 2}], {"question": "{context} {question}"}, r"'context'"),
        ([{"question": "1+1", "answer": 2, "n": None}], {"id": "n"}, r"null in the field 'n'"),
        ([{**TESTS[0], "choices": ["a", None]}], {"choices": "choices"}, r"null in the field 'choices'"),
    ],
)
def test_a_bad_file_is_an_error_that_names_the_line(
    tmp_path: Path, rows: list[Row | str | bytes], fields: Row, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        jsonl(write(tmp_path, *rows), **fields).load(0)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        jsonl(tmp_path / "none.jsonl").load(0)


def test_a_file_outside_the_allowed_folders_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="outside the folders"):
        Jsonl.model_validate({"path": "/etc/passwd"}, context={"folders": [tmp_path]})


def test_a_listed_option_that_is_another_ones_letter_is_refused() -> None:
    task = Inline(items=(InlineQuestion(question="Which?", gold="A"),), choices=("B", "A"))
    with pytest.raises(InputError, match=r"'A' of 'question-1' is the option B by its text, and A by its letter"):
        task.load(0)
    assert task.model_copy(update={"choices": ("A", "B")}).load(0)[0].gold == "A"


def test_listed_true_answers_are_checked_as_those_of_files() -> None:
    numbers = ("1,5", "3,125")
    items = tuple(InlineQuestion(question=f"{n}?", gold=number) for n, number in enumerate(numbers))
    with pytest.raises(InputError, match=r"'question-2': .* has a decimal comma"):
        Inline(items=items, answer=Compare(equal="numeric")).load(0)
    told = Inline(items=(InlineQuestion(question="Capital of France?", gold="The answer is Paris."),))
    assert "wrong for 1 of 1 questions" in "\n".join(told.remarks(told.load(0)))


def test_listed_questions_take_the_numbers_and_truth_values_of_a_data_frame() -> None:
    row = InlineQuestion.model_validate({"question": "Is it?", "gold": True, "id": 0})
    assert [(i.id, i.gold) for i in Inline(items=(row,)).load(0)] == [("0", "True")]
    assert Inline(items=(row,), choices=("no", "yes")).load(0)[0].gold == "B"
