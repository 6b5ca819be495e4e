"""Final answers in a model's text: found, compared and grouped, without ever running any of it.

extract          `extract(text, extractors)`: the final answer in free text, or None
marks            answers in tags, boxes and behind ####
choice           the letter of a choice, with `cues`, the words that announce one
mentions         which of a task's possible answers a reply gives
statements       the answer in an ordinary sentence; `phrases` compares such answers
number_finder    `find_last_number(text)`: the last number in a text
ballots          votes and rankings by letter; `message_numbers`: by number
confidence       how sure a reply says that it is
stance           whether a reply stands behind what it mentions: quotation, denial, correction
thoughts, plain  a reply without its thoughts; without Markdown and LaTeX wrappers
numbers          `parse_number(text)`: the exact value of a numeral
units            what words around a number say of it
quantities       numbers with units and words around them
equal            `EQUALITIES`: exact, numeric and choice equality
latex            formulas in one spelling
structures       words, lists, sets, intervals, matrices, assignments, times and bases
mathematics      equality of mathematics, by those structures, or by SymPy in a worker process
tame             what SymPy may be shown
worker           that process: limits of work and memory, replaced when it dies
math_worker      what runs in it; `formulas` compares SymPy's objects there
undecided        comparisons that were given up
format           `AnswerFormat`: how a task finds and compares answers; `AnswerOptions`: what a scenario changes
grouping         `group(answers, same)`: the classes that a vote counts
"""

from society.answers.grouping import group

__all__ = ["group"]
