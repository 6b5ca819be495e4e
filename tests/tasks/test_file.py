"""Questions from CSV, TSV, JSON, JSONL and Parquet files: readers, nested fields, options, and bad input."""

from __future__ import annotations

import datetime
import decimal
import json
from pathlib import Path
from typing import Any

import pytest

from society.core.errors import InputError
from society.core.types import Item
from society.tasks.base import Task
from society.tasks.contract import TaskContract
from society.tasks.file import File, Jsonl
from society.tasks.inline import Inline

Values = dict[str, Any]
ROWS: list[Values] = [
    {"question": f"What is {n} + 1?", "answer": n + 1, "meta": {"level": n, "note": "plain"}} for n in range(12)
]


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def parquet(folder: Path, rows: list[Values]) -> Path:
    pyarrow = pytest.importorskip("pyarrow")
    path = folder / "rows.parquet"
    pytest.importorskip("pyarrow.parquet").write_table(pyarrow.Table.from_pylist(rows), path)
    return path


def file(path: Path | str, folder: Path | None = None, **fields: Any) -> File:
    found = folder or Path(path).parent
    return File.model_validate({"path": str(path), **fields}, context={"folders": [found]})


def jsonl(folder: Path, rows: list[Values], **fields: Any) -> File:
    return file(write(folder, "rows.jsonl", "\n".join(map(json.dumps, rows))), **fields)


def csv(folder: Path, text: str | bytes, **fields: Any) -> File:
    return file(write(folder, "rows.csv", text), **fields)


def only(task: Task, seed: int = 0) -> Item:
    [item] = task.load(seed)
    return item


def remarks(task: Task, items: list[Item]) -> str:
    return "\n".join(task.remarks(items))


class TestCsv(TaskContract):
    @pytest.fixture
    def task(self, tmp_path: Path) -> Task:
        lines = [f'"What is {n}, plus 1?",{n + 1}' for n in range(12)]
        return csv(tmp_path, "question,answer\n" + "\n".join(lines), answer={"equal": "numeric"})


class TestShuffledOptions(TaskContract):
    @pytest.fixture
    def task(self, tmp_path: Path) -> Task:
        lines = [f"Which is {n}?,right {n},wrong {n},false {n}" for n in range(12)]
        text = "question,yes,no 1,no 2\n" + "\n".join(lines)
        return csv(tmp_path, text, gold="yes", choices=["yes", "no 1", "no 2"])


# Formats


def test_every_format_gives_the_same_questions(tmp_path: Path) -> None:
    lines = [json.dumps(row) for row in ROWS]
    columns = [f"{row['question']}\t{row['answer']}\t" for row in ROWS]
    files = [
        write(tmp_path, "rows.jsonl", "\n".join(lines)),
        write(tmp_path, "rows.json", f"[{','.join(lines)}]"),
        write(tmp_path, "rows.tsv", "question\tanswer\tmeta\n" + "\n".join(columns)),
        write(tmp_path, "rows.csv", ("question,answer,meta\n" + "\n".join(columns)).replace("\t", ",")),
        parquet(tmp_path, ROWS),
    ]
    found = [[(item.question, item.gold) for item in file(path).load(0)] for path in files]
    assert found == [[(row["question"], str(row["answer"])) for row in ROWS]] * len(files)


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("\ufeffquestion;answer\r\n1 + 1?;2\r\n", {}),  # a spreadsheet of a language with decimal commas
        ("question,answer,\n1 + 1?,2,\n,,\n\n", {}),  # empty cells at the end, empty rows
        ('question,answer\n"1 + 1?","2"\n', {}),
        ("1 + 1?,2\n", {"columns": ["question", "answer"]}),
        ("answer|question\n2|1 + 1?", {}),
    ],
)
def test_tables_as_people_have_them(tmp_path: Path, text: str, fields: Values) -> None:
    item = only(csv(tmp_path, text, **fields))
    assert (item.question, item.gold) == ("1 + 1?", "2")


def test_a_table_of_one_column_needs_no_separator(tmp_path: Path) -> None:
    text = 'Should we, too; or not?\n"Is it \'so\', or ""so""?"\n'
    asked = ["Should we, too; or not?", "Is it 'so', or \"so\"?"]
    assert [item.question for item in csv(tmp_path, f"question\n{text}").load(0)] == asked
    assert [item.question for item in csv(tmp_path, text, columns=["question"]).load(0)] == asked


def test_a_cell_may_hold_lines_and_quotation_marks(tmp_path: Path) -> None:
    text = 'question,answer\r\n"He said:\n""1 + 1?""",2\r\n"Next, please?",3\r\n'
    assert [(i.id, i.question) for i in csv(tmp_path, text).load(0)] == [
        ("rows-2", 'He said:\n"1 + 1?"'),
        ("rows-4", "Next, please?"),
    ]


@pytest.mark.parametrize(
    ("content", "fields"),
    [
        ({"data": {"rows": ROWS[:2]}, "other": []}, {"rows": "data.rows"}),
        ({"version": 1, "examples": ROWS[:2]}, {}),
    ],
)
def test_a_json_file_has_its_rows_at_a_path(tmp_path: Path, content: Any, fields: Values) -> None:
    path = write(tmp_path, "rows.json", json.dumps(content))
    assert [item.id for item in file(path, **fields).load(0)] == ["rows-1", "rows-2"]


def test_json_lines_under_the_name_of_json_are_read(tmp_path: Path) -> None:
    path = write(tmp_path, "rows.json", "\n".join(map(json.dumps, ROWS)))
    assert len(file(path).load(0)) == 12


def test_a_folder_is_read_file_by_file_in_natural_order(tmp_path: Path) -> None:
    for n in (10, 2, 1):
        write(tmp_path, f"data/sub/{n}.json", json.dumps(ROWS[n]))
    write(tmp_path, "data/dataset_infos.json", "{}")
    items = file(tmp_path / "data", tmp_path).load(0)
    assert [(item.id, item.gold) for item in items] == [("sub/1-1", "2"), ("sub/2-1", "3"), ("sub/10-1", "11")]


def test_a_split_of_a_folder_is_named(tmp_path: Path) -> None:
    for name in ("train", "test"):
        write(tmp_path, f"data/my_{name}.csv", f"question,answer\nIs it {name}?,yes\n")
    with pytest.raises(InputError, match=r"several splits: test, train.*\n.*task.split"):
        file(tmp_path / "data", tmp_path).load(0)
    assert only(file(tmp_path / "data", tmp_path, split="test")).question == "Is it test?"
    with pytest.raises(InputError, match=r"no split 'tset'.*\n.*test, train"):
        file(tmp_path / "data", tmp_path, split="tset").load(0)


def test_whole_numbers_keep_all_their_digits(tmp_path: Path) -> None:
    rows = [{"question": "How many?", "answer": 2**53 + 1}]
    for task in (
        file(parquet(tmp_path, rows)),
        jsonl(tmp_path, rows),
        csv(tmp_path, f"question,answer\nHow many?,{2**53 + 1}"),
    ):
        assert only(task).gold == "9007199254740993"


def test_dates_decimals_and_bytes_of_parquet_can_be_stored(tmp_path: Path) -> None:
    row = {
        "question": "When?",
        "answer": "then",
        "day": datetime.date(2026, 1, 2),
        "raw": b"\xff",
        "d": decimal.Decimal(1),
    }
    assert json.loads(json.dumps(dict(only(file(parquet(tmp_path, [row]))).fields))) == {
        "question": "When?",
        "day": "2026-01-02",
        "raw": "\ufffd",
        "d": "1",
    }


# Fields


def test_fields_are_named_by_paths(tmp_path: Path) -> None:
    row = {"a": {"b": [{"c": "1 + 1?"}]}, "x.y": "as a whole", "all": [{"t": "2"}, {"t": "two"}], "n": {"id": 7}}
    task = jsonl(tmp_path, [row], question="{a.b[0].c} ({x.y})", gold="all.t", id="n.id")
    assert only(task) == Item("7", "1 + 1? (as a whole)", "2", ("two",))


def test_prompts_see_nested_fields_but_never_the_true_answer(tmp_path: Path) -> None:
    row = {"question": "?", "a": {"gold": "2", "level": 3}, "solution": "It is 2.", "list": [{"gold": 2, "k": 1}]}
    assert only(jsonl(tmp_path, [row], gold="a.gold", hide=["solution", "list.gold"])).fields == {
        "question": "?",
        "a": {"level": 3},
        "list": [{"k": 1}],
    }
    shuffled = {"question": "?", "right": "x", "wrong": "y", "topic": "t"}
    assert only(jsonl(tmp_path, [shuffled], gold="right", choices=["right", "wrong"])).fields == {
        "question": "?",
        "topic": "t",
    }


def test_prompts_do_not_see_the_aliases_by_which_answers_are_judged(tmp_path: Path) -> None:
    row = {"question": "Who?", "answer": {"value": "JFK", "aliases": ["John F. Kennedy"]}, "topic": "USA"}
    task = jsonl(tmp_path, [row], gold="answer.value", answer={"kind": "aliases", "field": "answer.aliases"})
    item = only(task)
    assert item.fields == {"question": "Who?", "topic": "USA"}
    assert [task.correct(answer, item) for answer in ("JFK", "john f kennedy", "Lyndon")] == [True, True, False]


@pytest.mark.parametrize("gold", [None, "", "  ", [], [None]])
def test_a_question_without_a_true_answer_has_none(tmp_path: Path, gold: Any) -> None:
    task = jsonl(tmp_path, [{"question": "Should we?", "answer": gold}, {"question": "Could we?"}])
    assert [item.gold for item in task.load(0)] == ["", ""]
    assert "no question has a true answer in the field 'answer'" in remarks(task, task.load(0))
    silent = task.model_copy(update={"gold": None})
    assert remarks(silent, silent.load(0)) == ""


def test_a_table_may_have_no_true_answers_for_some_questions(tmp_path: Path) -> None:
    task = csv(tmp_path, "question,answer\nOne?,1\nTwo?,\n")
    assert [item.gold for item in task.load(0)] == ["1", ""]
    assert remarks(task, task.load(0)) == "1 of 2 questions have no true answer, and are not scored"


def test_where_compares_the_text_of_tables(tmp_path: Path) -> None:
    text = "question,answer,level,hard\nOne?,1,1,true\nTwo?,2,2,false\n"
    assert only(csv(tmp_path, text, where={"level": 2})).gold == "2"
    assert only(csv(tmp_path, text, where={"hard": True})).gold == "1"


# Options


def choices(folder: Path, *golds: Any, texts: tuple[str, ...] = ("w", "x", "y", "z"), **fields: Any) -> list[str]:
    rows = [{"question": f"{n}?", "choices": list(texts), "answer": gold} for n, gold in enumerate(golds)]
    return [item.gold for item in jsonl(folder, rows, choices="choices", **fields).load(0)]


@pytest.mark.parametrize(
    ("golds", "letters"),
    [
        ([[0, 1, 0, 0], [1, 0, 0, 0]], "BA"),
        ([["true", "false", "false", "false"], ["false", "false", "true", "false"]], "AC"),
        ([0, 3, 1], "ADB"),
        ([1, 4, 2], "ADB"),
        (["0", "3"], "AD"),
        ([1.0, 4.0], "AD"),
        (["a", "D", "(B)"], "ADB"),
        (["z", "w"], "DA"),
        (["Z", "w "], "DA"),
        ([[0, 3], 1], "AB"),
    ],
)
def test_the_form_of_true_answers_is_found_from_all_rows(tmp_path: Path, golds: list[Any], letters: str) -> None:
    assert choices(tmp_path, *golds) == [*letters]


def test_a_form_that_the_data_leave_open_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"rows.jsonl:1: .* 1 may be an index from 0 or an index from 1.*\n.*gold_as"):
        choices(tmp_path, 1, 2, 3)
    assert choices(tmp_path, 1, 2, 3, gold_as="index1") == ["A", "B", "C"]
    assert choices(tmp_path, 1, 2, 3, gold_as="index0") == ["B", "C", "D"]
    with pytest.raises(InputError, match="may be a letter or the text of an option"):
        choices(tmp_path, "B", texts=("A", "O", "B"))


def test_json_lines_count_from_0_as_ever_where_the_data_leave_it_open(tmp_path: Path) -> None:
    rows = [{"question": f"{n}?", "choices": ["w", "x", "y", "z"], "answer": n} for n in (1, 2, 3)]
    path = write(tmp_path, "rows.jsonl", "\n".join(map(json.dumps, rows)))
    task = Jsonl.model_validate({"path": str(path), "choices": "choices"}, context={"folders": [tmp_path]})
    items = task.load(0)
    assert [item.gold for item in items] == ["B", "C", "D"]
    assert "may be an index from 0 or an index from 1, and the first is used" in remarks(task, items)


@pytest.mark.parametrize(
    ("golds", "fields", "message"),
    [
        (
            [0, 0, 1, 4],
            {},
            r"rows.jsonl:4: .*the answer 4.*not one of its 4 options: the other rows give an index from 0",
        ),
        ([0, 1, 4], {"gold_as": "index1"}, r"rows.jsonl:1: .*`gold_as` asks for an index from 1"),
        (["w", "q"], {}, r"rows.jsonl:2: .*'q'.*not one of its 4 options: the other rows give the text"),
        ([True], {}, "not one of its 4 options"),
        ([{"a": 1}], {}, "not one of its 4 options"),
        ([1, 2, 3, "banana"], {}, r"rows.jsonl:1: .*1 may be an index from 0 or an index from 1.*\n.*gold_as"),
        ([[0, 1, 1, 0], 3], {}, r"rows.jsonl:1: .*names an option twice.*\n.*gold_as: flags"),
    ],
)
def test_a_true_answer_that_is_no_option_is_an_error(
    tmp_path: Path, golds: list[Any], fields: Values, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        choices(tmp_path, *golds, **fields)


def test_labels_flags_columns_mappings_and_shared_options(tmp_path: Path) -> None:
    labelled = {"question": "?", "c": {"text": ["x", "y"], "label": ["1", "2"]}, "key": "2"}
    assert only(jsonl(tmp_path, [labelled], choices="c.text", labels="c.label", gold="key")).gold == "B"
    listed = {"question": "?", "c": [{"text": "x", "label": "1"}, {"text": "y", "label": "2"}], "key": "2"}
    assert only(jsonl(tmp_path, [listed], choices="c.text", labels="c.label", gold="key")).gold == "B"
    flagged = {"question": "?", "c": ["x", "y", "z"], "right": [0, 0, 1]}
    assert only(jsonl(tmp_path, [flagged], choices="c", gold="right", gold_as="flags")).gold == "C"
    table = "question,A,B,C,key\nOne?,x,y,z,C\nTwo?,x,y,,B\n"
    assert [(i.gold, i.choices) for i in csv(tmp_path, table, choices=["A", "B", "C"], gold="key").load(0)] == [
        ("C", ("x", "y", "z")),
        ("B", ("x", "y")),
    ]
    mapping = {"question": "?", "c": {"I": "x", "II": "y"}, "key": "II"}
    assert only(jsonl(tmp_path, [mapping], choices="c", gold="key")).gold == "B"
    numbered = {"question": "?", "c": {"1": "x", "2": "y", "3": "z"}, "key": 2}
    assert only(jsonl(tmp_path, [numbered], choices="c", gold="key")).gold == "B"
    asked = only(jsonl(tmp_path, [{"question": "Is it?", "answer": True}], options=["no", "yes"]))
    assert (asked.question, asked.gold) == ("Is it?\nA. no\nB. yes", "B")


def test_options_are_shuffled_by_the_seed_and_shown_in_that_order(tmp_path: Path) -> None:
    rows = [{"q": f"{n}?", "right": "r", "w1": "a", "w2": "b", "w3": "c"} for n in range(40)]
    task = jsonl(tmp_path, rows, question="{q}\n{choices}", gold="right", choices=["right", "w1", "w2", "w3"])
    items = task.load(0)
    assert items == task.load(0) != task.load(1)
    assert {item.gold for item in items} == {*"ABCD"}
    assert all(item.choices["ABCD".index(item.gold)] == "r" for item in items)
    assert all(f"\n{item.gold}. r" in item.question for item in items)
    assert items[20:] == task.model_copy(update={"offset": 20}).load(0)


def test_of_many_options_the_true_one_and_others_are_shown(tmp_path: Path) -> None:
    rows = [{"question": f"{n}?", "choices": [f"o{i}" for i in range(30)], "answer": f"o{n}"} for n in range(20)]
    with pytest.raises(InputError, match=r"2 to 10 options.*\n.*task.max_choices"):
        jsonl(tmp_path, rows, choices="choices").load(0)
    for n, item in enumerate(jsonl(tmp_path, rows, choices="choices", max_choices=4).load(0)):
        assert len(set(item.choices)) == 4
        assert item.choices["ABCD".index(item.gold)] == f"o{n}"


def test_options_that_are_right_at_one_place_are_remarked(tmp_path: Path) -> None:
    rows = [{"question": f"{n}?", "choices": ["a", "b"], "answer": "a"} for n in range(12)]
    task = jsonl(tmp_path, rows, choices="choices")
    assert "the right option of all 12 questions is A" in remarks(task, task.load(0))
    shuffled = task.model_copy(update={"shuffle_choices": True})
    assert remarks(shuffled, shuffled.load(0)) == ""


def test_true_answers_that_are_no_numbers_are_remarked(tmp_path: Path) -> None:
    task = csv(tmp_path, "question,answer\nOne?,1\nMany?,a lot\nNone?,\n", answer={"equal": "numeric"})
    items = task.load(0)
    assert "1 of 3 questions have no true answer" in remarks(task, items)
    assert "1 of 2 true answers are no numbers, such as 'a lot'" in remarks(task, items[:2])


def test_every_likely_mistake_is_remarked(tmp_path: Path) -> None:
    text = "question,answer\nOne?,1\nMany?,a lot\nTwo?,NA\nNone?,\nNaN?,NaN\n"
    task = csv(tmp_path, text, answer={"equal": "numeric"})
    unscored, missing, wrong = remarks(task, task.load(0)).split("\n")
    assert unscored == "1 of 5 questions have no true answer, and are not scored"
    assert missing.startswith("2 of 4 true answers are 'NA', 'NaN', and count as answers, the first in rows-4;")
    assert wrong.startswith("1 of 4 true answers are no numbers, such as 'a lot' in rows-3")


def test_rows_that_differ_by_the_order_of_options_are_one_question_for_every_seed(tmp_path: Path) -> None:
    rows = [{"question": f"{n}?", "right": "r", "w1": "a", "w2": "b"} for n in (1, 1, 2)]
    task = jsonl(tmp_path, rows, gold="right", choices=["right", "w1", "w2"])
    assert {(len(found.items), found.repeated) for found in map(task.slice, range(8))} == {(2, 1)}
    drawn = [{"question": "?", "choices": [f"o{i}" for i in range(30)], "answer": "o3"} for _ in range(2)]
    assert [only(jsonl(tmp_path, drawn, choices="choices", max_choices=4), seed).gold for seed in range(4)]
    wrong = jsonl(
        tmp_path, [rows[0], {**rows[0], "right": "a", "w1": "r"}], gold="right", choices=["right", "w1", "w2"]
    )
    for seed in range(8):
        with pytest.raises(InputError, match="differ in the true answer or the options: 'r' and 'a'"):
            wrong.load(seed)


def test_an_option_that_is_shown_twice_is_right_under_both_letters(tmp_path: Path) -> None:
    task = jsonl(tmp_path, [{"question": "Bird?", "choices": ["cat", "owl", "owl"], "answer": "B"}], choices="choices")
    item = only(task)
    assert [task.correct(letter, item) for letter in "ABC"] == [False, True, True]
    assert "1 of 1 questions show the same option twice, the first in rows-1" in remarks(task, [item])


def test_an_empty_option_between_others_is_an_error_or_a_remark(tmp_path: Path) -> None:
    table = "question,A,B,C,D,key\nOne?,x,y,,z,D\n"
    with pytest.raises(InputError, match=r"rows.csv:2: the row has no option in 'C', but one in 'D'"):
        csv(tmp_path, table, choices=["A", "B", "C", "D"], gold="key").load(0)
    own = csv(tmp_path, table, choices=["A", "B", "C", "D"], gold="D")
    assert sorted(only(own).choices) == ["x", "y", "z"]
    listed = jsonl(tmp_path, [{"question": "?", "choices": ["x", "", "z"], "answer": "z"}], choices="choices")
    assert "1 of 1 questions show an empty option" in remarks(listed, listed.load(0))


def test_answers_beside_the_one_that_is_named_are_hidden_with_it(tmp_path: Path) -> None:
    row = {"question": "?", "a": [{"t": "x", "n": 1}, {"t": "y", "n": 2}], "b": ["x", "y"], "c": "shown"}
    assert only(jsonl(tmp_path, [row], gold="a[0].t")).fields == {
        "question": "?",
        "a": [{"n": 1}, {"n": 2}],
        "b": ["x", "y"],
        "c": "shown",
    }
    assert "b" not in only(jsonl(tmp_path, [row], gold="b[1]")).fields


GERMAN = "question;answer\nOne?;1,5\nTwo?;-3,2\nThree?;0,75\nFour?;1.234,56\n"


def test_decimal_commas_are_read_in_true_answers_as_in_replies(tmp_path: Path) -> None:
    task = csv(tmp_path, GERMAN, answer={"equal": "numeric"})
    assert remarks(task, task.load(0)) == ""
    for item, replies in zip(task.load(0), ("1,5 1.5", "-3,2 -3.2", "0,75 3/4", "1.234,56 1234.56"), strict=True):
        for reply in replies.split():
            for written in (reply, f"#### {reply}", rf"\boxed{{{reply}}}", f"Es sind {reply} kg."):
                assert task.correct(task.parse(written, item) or "", item), written
        assert not task.correct(task.parse("15", item) or "", item)


@pytest.mark.parametrize("open_number", ["3,125", "1.234"])
def test_a_number_that_other_rows_make_ambiguous_is_refused_until_the_sign_is_named(
    tmp_path: Path, open_number: str
) -> None:
    text = f"{GERMAN}Five?;{open_number}\n"
    with pytest.raises(InputError, match=r"rows.csv:6: .*'1,5' \(.*:2\) has a decimal comma.\n.*task.answer.decimal"):
        csv(tmp_path, text, answer={"equal": "numeric"}).load(0)
    values = {"3,125": ("3.125", "3125"), "1.234": ("1234", "1.234")}[open_number]
    for sign, right, wrong in (("comma", *values), ("point", *reversed(values))):
        task = csv(tmp_path, text, answer={"equal": "numeric", "decimal": sign})
        *_, item = task.load(0)
        assert task.correct(right, item)
        assert not task.correct(wrong, item)
        assert task.correct(task.parse(f"Es sind {open_number}.", item) or "", item)
        assert task.correct(task.parse(f"#### {open_number}", item) or "", item)


@pytest.mark.parametrize("form", ["jsonl", "parquet", "inline"])
def test_numbers_of_json_keep_their_value_under_any_decimal_sign(tmp_path: Path, form: str) -> None:
    for sign, right, wrong in (("comma", "1,234", "1.234"), ("point", "1.234", "1,234"), (None, "1.234", "1,234")):
        answer = {"equal": "numeric"} | ({"decimal": sign} if sign else {})
        rows: list[Values] = [{"question": "One?", "answer": 1.234}]
        task: Task
        if form == "inline":
            items = [{"question": "One?", "gold": 1.234}]
            task = Inline.model_validate_json(json.dumps({"items": items, "answer": answer}))
        else:
            task = (
                jsonl(tmp_path, rows, answer=answer)
                if form == "jsonl"
                else file(parquet(tmp_path, rows), answer=answer)
            )
        item = only(task)
        assert remarks(task, [item]) == ""
        assert task.correct(task.parse(f"It is {right}.", item) or "", item)
        assert not task.correct(task.parse(f"It is {wrong}.", item) or "", item)


def test_the_last_number_of_a_solution_is_read_with_the_decimal_sign(tmp_path: Path) -> None:
    text = "question;answer\nOne?;Es sind 3,125 kg.\nTwo?;Es sind -1,5 kg.\n"
    with pytest.raises(InputError, match=r"'3,125' is '3125' or '3.125': '1,5' \(.*:3\) has a decimal comma"):
        csv(tmp_path, text, gold_extract=["last_number"], answer={"equal": "numeric"}).load(0)
    for sign, right, wrong in (("comma", "3.125", "3125"), ("point", "3125", "3.125")):
        task = csv(tmp_path, text, gold_extract=["last_number"], answer={"equal": "numeric", "decimal": sign})
        first, second = task.load(0)
        assert task.correct(task.parse("Es sind 3,125.", first) or "", first)
        assert task.correct(right, first)
        assert not task.correct(wrong, first)
        assert task.correct("-1.5", second)


def test_numbers_that_may_have_either_sign_are_remarked(tmp_path: Path) -> None:
    task = csv(tmp_path, "question;answer\nOne?;3,125\n", answer={"equal": "numeric"})
    assert "true answers such as '3,125' (" in remarks(task, task.load(0))
    assert "are '3125' or '3.125', and the former is used; set `answer.decimal`" in remarks(task, task.load(0))
    named = csv(tmp_path, "question;answer\nOne?;3,125\n", answer={"equal": "numeric", "decimal": "point"})
    assert remarks(named, named.load(0)) == ""
    clear = csv(tmp_path, "question;answer\nOne?;3,125\nTwo?;2.5\n", answer={"equal": "numeric"})
    assert remarks(clear, clear.load(0)) == ""


def test_a_true_answer_in_a_sentence_is_remarked_and_can_be_found(tmp_path: Path) -> None:
    text = "question,answer\nCapital of France?,The answer is Paris.\nLargest planet?,Jupiter is the largest planet.\n"
    task = csv(tmp_path, text)
    said = remarks(task, task.load(0))
    assert "wrong for 2 of 2 questions, such as 'The answer is Paris.' in rows-2" in said
    assert "`gold_extract: [statement]`" in said
    found = csv(tmp_path, text, gold_extract=["statement"])
    assert [item.gold for item in found.load(0)] == ["Paris", "Jupiter"]
    assert remarks(found, found.load(0)) == ""


# Tables and Parquet files as programs write them


def test_the_separator_that_excel_names_is_used(tmp_path: Path) -> None:
    task = csv(tmp_path, "sep=;\nquestion;answer\nOne, or two?;1\n;2\n")
    assert [flaw.cause.rpartition("rows.csv:")[2] for flaw in task.flaws(0)] == ["4: the row has an empty question."]
    item = only(csv(tmp_path, "sep=;\nquestion;answer\nOne, or two?;1\n"))
    assert (item.question, item.gold, item.id) == ("One, or two?", "1", "rows-3")


def test_short_floats_maps_and_absent_options_of_parquet_are_read(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    table = pyarrow.table(
        {
            "question": ["One?", "Two?"],
            "answer": pyarrow.array([2.7, 0.1], pyarrow.float32()),
            "nested": pyarrow.array([[{"x": 1.1}], []], pyarrow.list_(pyarrow.struct([("x", pyarrow.float32())]))),
            "options": pyarrow.array([{"A": "x", "B": "y", "C": None}, {"A": "x", "B": "y", "C": "z"}]),
            "mapped": pyarrow.array([[("A", "x"), ("B", "y")]] * 2, pyarrow.map_(pyarrow.string(), pyarrow.string())),
            "key": ["B", "A"],
        }
    )
    path = tmp_path / "rows.parquet"
    pytest.importorskip("pyarrow.parquet").write_table(table, path)
    items = file(path).load(0)
    assert [item.gold for item in items] == ["2.7", "0.1"]
    assert items[0].fields["nested"] == [{"x": 1.1}]
    assert [i.choices for i in file(path, choices="options", gold="key").load(0)] == [("x", "y"), ("x", "y", "z")]
    assert [i.gold for i in file(path, choices="mapped", gold="key").load(0)] == ["B", "A"]


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ({"answer.aliases": ["Y"]}, "answer.aliases"),
        ({"a": [{"x": ["Y"]}, {"x": ["Z"]}]}, "a[0].x"),
        ({"a": [{"x": "Y"}, {"x": "Z"}]}, "a.x"),
    ],
)
def test_the_field_of_aliases_is_a_path_as_that_of_the_true_answer(tmp_path: Path, row: Values, field: str) -> None:
    task = jsonl(tmp_path, [{"question": "?", "answer": "X", **row}], answer={"kind": "aliases", "field": field})
    item = only(task)
    assert task.correct("Y", item)
    assert "Y" not in str(item.fields)


# Bad files

TABLE = "question,answer\nOne?,1\n"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", TABLE + "Two, or three?,2\n", r"a.csv:3: the row has 3 cells, and the header 2.*\n.*quotation marks"),
        ("a.csv", TABLE + "Two?\n", r"a.csv:3: the row has 1 cells"),
        ("a.csv", "question,answer,answer\n?,1,2\n", r"names 'answer' twice"),
        ("a.csv", TABLE + '"Two?,2\nThree?,3\n', r"a.csv:3: not a row of a table"),
        ("a.csv", TABLE + '"Two?"x,2\n', r"a.csv:3: not a row of a table"),
        ("a.csv", TABLE.encode() + b"Zw\xf6lf?,12\n", r"a.csv:3: not UTF-8 text \(the byte 0xf6\)"),
        ("a.csv", TABLE.encode("utf-16"), r"is UTF-16 text"),
        ("a.csv", TABLE.replace("\n", "\r"), r"end with a carriage return alone.*\n.*line ends"),
        ("a.csv", "", r"there are no rows"),
        ("a.csv", "question,answer\n", r"there are no rows"),
        ("a.csv", "q,answer\n?,1\n", r"no field 'question'; it has q, answer"),
        ("a.csv", "qestion,answer\n?,1\n", r"Did you mean 'qestion'"),
        ("a.csv", "question,answer\n,1\n", r"a.csv:2: .*empty question"),
        ("a.csv", b"\x1f\x8b\x08\x00\x00\x00", r"compressed \(gzip\)"),
        ("a.csv", b"PK\x03\x04rest", r"ZIP archive or an Excel file.*\n.*CSV"),
        ("a.csv", b"PAR1rest", r"is a Parquet file"),
        ("a.parquet", TABLE, r"is not a Parquet file"),
        ("a.parquet", b"PAR1 broken PAR1", r"cannot be read as Parquet"),
        ("a.xlsx", b"PK\x03\x04rest", r"Excel"),
        ("a.txt", TABLE, r"not known by its ending.*\n.*task.read_as"),
        ("a.json", "{", r"a.json:1: not JSON"),
        ("a.json", '[{"question": "?", "answer": 1},\n oops]', r"a.json:2: not JSON"),
        ("a.json", '{"a": 1}', r"no list of JSON objects"),
        ("a.json", '{"a": [{"x": 1}], "b": [{"x": 1}]}', r"lists at: a, b"),
        ("a.json", '{"question": {"0": "?"}, "answer": {"0": 1}}', r"mapping of columns.*\n.*orient='records'"),
        ("a.json", '["?"]', r"a.json, row 1: not a JSON object"),
        ("a.json", "[" * 100_000, r"not JSON"),
        ("a.json", '[{"question": "?", "answer": NaN}]', r"a.json, row 1: .*not a finite number"),
    ],
)
def test_a_bad_file_is_an_error_with_its_place_and_remedy(
    tmp_path: Path, name: str, content: str | bytes, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        file(write(tmp_path, name, content)).load(0)


def test_all_flaws_of_a_file_are_found_at_once(tmp_path: Path) -> None:
    text = "question,answer,n\nOne?,1,a\n,2,b\nThree?,3\nFour?,4,a\nFive?,5,c\n"
    task = csv(tmp_path, text, id="n")
    assert [flaw.cause.partition("rows.csv:")[2] for flaw in task.flaws(0)] == [
        "3: the row has an empty question.",
        "4: the row has 2 cells, and the header 3.",
        "5: the row repeats the id 'a'.",
    ]


def test_a_file_with_a_wrong_path_of_rows_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path, "rows.json", json.dumps({"examples": ROWS}))
    with pytest.raises(InputError, match=r"no list at 'data'.*\n.*lists at: examples"):
        file(path, rows="data").load(0)


def test_a_file_outside_the_allowed_folders_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="outside the folders"):
        file("/etc/passwd", tmp_path)
    with pytest.raises(ValueError, match="is no data set of the hub; write hub:OWNER/NAME"):
        file("hub:../../etc", tmp_path)
