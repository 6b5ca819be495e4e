"""Kinds of answers: how a reply's answer is found, and who or what says whether it is right.

base       `AnswerRule`, the base class, and `Compare`, the comparison with the true answer by `equal`
by_words   comparison word by word: `Includes`, `Aliases`, `F1`
judge      `Judged`: an agent of the scenario grades answers, alone or against another answer
code       `UnitTests`: code is run against unit tests in the sandbox
statements `find_fault`: why unit tests can tell nothing about code
contract   `AnswerContract`, the tests that every kind must pass, plugins included
"""

ANSWERS: dict[str, str] = {
    "compare": "society.scoring.base:Compare",
    "includes": "society.scoring.by_words:Includes",
    "aliases": "society.scoring.by_words:Aliases",
    "f1": "society.scoring.by_words:F1",
    "judge": "society.scoring.judge:Judged",
    "tests": "society.scoring.code:UnitTests",
}
"""Import path of each built-in kind of answer. Classes are imported on first use."""
