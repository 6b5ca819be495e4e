"""Final answers in a model's text: finding, comparing and grouping them, without evaluating the text.

extract          `extract(text, extractors)`: the final answer in free text, or None
marks            answers in tags, boxes and behind ####
choice           the letter of a choice, with `cues`, the words that announce one
mentions         the possible answer of a task that a reply gives
code_blocks      code in fenced blocks
statements       the answer in an ordinary sentence; `phrases` compares such answers
decimals         numbers with a decimal comma, written with a point
number_finder    `find_last_number(text)`: the last number in a text
ballots          votes and rankings by letter; `message_numbers`: by number
ratings          a rating from 1 to 10
confidence       the confidence that a reply states
stance           whether a reply asserts an answer, or quotes, denies or corrects it
thoughts, plain  a reply without its thoughts; without Markdown and LaTeX wrappers
numbers          `parse_number(text)`: the exact value of a numeral
units            units and other words around a number
quantities       numbers with units and words around them
equal            `EQUALITIES`: exact, numeric and choice equality
latex            a normal form of formulas
structures       words, lists, sets, intervals, matrices, assignments, times and bases
mathematics      equality of mathematics, by those structures, or by SymPy in a worker process
tame             bounds on the cost of text for SymPy
worker           the worker process: limits of work and memory, restarts
math_worker      the code of the worker process; `formulas` compares SymPy's objects
undecided        undecided comparisons
format           `AnswerFormat`, the rules of a task; `AnswerOptions`, the options of a scenario
grouping         `group(answers, same)`: the classes that a vote counts; `choose_spelling(answers)`: the name of one
"""

from society.answers.grouping import choose_spelling, group

__all__ = ["choose_spelling", "group"]
