"""A run's tables: what is in them, and that files give back what went in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from society.cli import main
from society.core.errors import InputError
from society.metrics.frames import edges_table, results_table, turns_table, write_tables
from society.runs.run import Run
from society.scenario.models.scenario import Scenario
from society.session import run

TEXT = """
task: {kind: arithmetic, form: a+b, limit: 4}
backends:
  scripted:
    kind: scripted
    rules:
      - {when: "Others", choose: ["It is 1.", "Hm.", 'Is "1,2" = Ω?']}
      - {calculate: {skill: 0.5}}
roles:
  solver: {prompt: "{% if heard %}Others: {% for m in heard %}{{ m.text }}{% endfor %}{% endif %} {{ question }}"}
agents: {a: {}, b: {}, c: {}}
phases: [{name: talk, topology: ring, rounds: 2}]
"""


@pytest.fixture
def made(scenario: Callable[..., Scenario], tmp_path: Path) -> Run:
    return run(scenario(TEXT), tmp_path / "run")


def test_a_row_for_each_turn(made: Run) -> None:
    table = turns_table(made)
    turns = made.turns()
    assert len(table) == len(turns) == 24
    assert table["text"].tolist() == [turn.text for turn in turns]
    assert [None if pd.isna(x) else x for x in table["answer"]] == [turn.answer for turn in turns]
    assert table["generated_tokens"].sum() == sum(turn.usage.generated_tokens for turn in turns)
    assert not table.loc[table["answer"].isna(), "right"].any()
    assert set(table["split"]) == {"evaluation"}


def test_a_row_for_each_debate(made: Run) -> None:
    table, results = results_table(made), made.results()
    assert table["item"].tolist() == [result.item for result in results]
    assert table["correct"].tolist() == [result.correct for result in results]
    assert table["turns"].tolist() == [6] * 4
    assert table["generated_tokens"].sum() == turns_table(made)["generated_tokens"].sum()


def test_a_row_for_each_reading(made: Run) -> None:
    """In a ring of three each reads both others: 6 readings a debate, with the reader's answer on both sides."""
    table, turns = edges_table(made), turns_table(made)
    assert len(table) == sum(len(turn.reads) for turn in made.turns())
    assert (table["sender_round"] == 1).all()
    first, second = (turns[turns["round"] == number].set_index(["item", "agent"]) for number in (1, 2))
    for row in table.to_dict("records"):
        assert row["right_before"] == first.loc[(row["item"], row["reader"]), "right"]
        assert row["right_after"] == second.loc[(row["item"], row["reader"]), "right"]
        assert row["sender_right"] == first.loc[(row["item"], row["sender"]), "right"]


@pytest.mark.parametrize("form", ["parquet", "jsonl", "csv"])
def test_files_give_back_what_went_in(made: Run, tmp_path: Path, form: str) -> None:
    assert main(["export", str(made.folder), "--to", str(tmp_path / "out" / "deep"), "--format", form]) == 0
    folder = tmp_path / "out" / "deep"
    assert sorted(path.name for path in folder.iterdir()) == [f"{x}.{form}" for x in ("edges", "results", "turns")]
    table = turns_table(made)
    read = {
        "parquet": pd.read_parquet,
        "jsonl": lambda path: pd.read_json(path, lines=True, dtype=False, precise_float=True),
        "csv": lambda path: pd.read_csv(path, dtype=table.dtypes.to_dict()),
    }[form]
    back = read(folder / f"turns.{form}")
    assert back.columns.tolist() == table.columns.tolist()
    for column in ("item", "text", "round", "right", "seconds"):
        assert back[column].tolist() == table[column].tolist()


def test_a_run_without_debates_has_empty_tables(made: Run, tmp_path: Path) -> None:
    import sqlite3

    with sqlite3.connect(made.folder / "store.sqlite") as db:
        db.execute("DELETE FROM results")
    db.close()
    assert len(turns_table(made)) == len(results_table(made)) == len(edges_table(made)) == 0
    assert len(pd.read_parquet(write_tables(made, tmp_path / "empty")[0])) == 0


def test_a_folder_that_is_a_file_is_refused(made: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        write_tables(made, tmp_path / "file")
