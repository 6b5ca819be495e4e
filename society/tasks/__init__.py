"""Tasks: where questions come from, how their answers are read, and who is right.

base            `Task`: what every task is; slices, shuffling, parsing, scoring
capitals        capitals of countries, from a table of plain facts; `capital_reader` reads the place that is named
arithmetic      values of a+b*c+d-e*f and other forms
reasoning_gym   any generator of reasoning-gym, with its own verifier
jsonl           questions from a file, one JSON object a line
contract        `TaskContract`: the tests that every task must pass, for outside authors too
"""

TASKS: dict[str, str] = {
    "arithmetic": "society.tasks.arithmetic:Arithmetic",
    "capitals": "society.tasks.capitals:Capitals",
    "jsonl": "society.tasks.jsonl:Jsonl",
    "reasoning_gym": "society.tasks.reasoning_gym:ReasoningGym",
}
"""Each built-in kind, and where its class is: nothing is imported before it is asked for."""
