"""Final answers in a model's text: found, compared and grouped, without ever running any of it.

extract        `extract(text, extractors)`: the final answer in free text, or None
number_finder  `find_last_number(text)`: the last number in a text
numbers        `parse_number(text)`: the exact value of a numeral
equal          `EQUALITIES`: exact, numeric and choice equality
mathematics    equality of mathematics, by math-verify in a worker process
worker         that process: time and memory limits, killed when it overruns
format         `AnswerFormat`: what a scenario says about a task's answers
grouping       `group(answers, same)`: the classes that a vote counts
"""

from society.answers.grouping import group

__all__ = ["group"]
