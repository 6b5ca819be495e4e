"""Tasks: sources of questions, with parsing and scoring of answers.

base            `Task`, the base class: slices, shuffling, parsing, scoring
capitals        capitals of countries, from a table; `capital_reader` finds the named place in a reply
arithmetic      values of a+b*c+d-e*f and other forms
word_problems   word problems of one to three steps; `word_stories` has their templates and solutions
reasoning_gym   the generators of reasoning-gym, each with its own verifier
inline          questions that the scenario itself lists, with or without true answers
file            questions from CSV, TSV, JSON, JSONL or Parquet files, or a data set of the hub
dataset         data sets by name; `datasets` says where each is and how its rows are read
contract        `TaskContract`, the tests that every task must pass, plugins included
"""

TASKS: dict[str, str] = {
    "arithmetic": "society.tasks.arithmetic:Arithmetic",
    "word_problems": "society.tasks.word_problems:WordProblems",
    "capitals": "society.tasks.capitals:Capitals",
    "inline": "society.tasks.inline:Inline",
    "dataset": "society.tasks.dataset:Dataset",
    "file": "society.tasks.file:File",
    "jsonl": "society.tasks.file:Jsonl",
    "reasoning_gym": "society.tasks.reasoning_gym:ReasoningGym",
}
"""Import path of each built-in task, by kind. Classes are imported on first use."""
