"""Final answers in a model's text: found, compared and grouped, without ever running any of it.

extract          `extract(text, extractors)`: the final answer in free text, or None
marks            answers in tags, boxes and behind ####
choice           the letter of a choice, with `cues`, the words that announce one
mentions         which of a task's possible answers a reply gives
number_finder    `find_last_number(text)`: the last number in a text
ballots          votes and rankings by letter; `message_numbers`: by number
confidence       how sure a reply says that it is
stance           whether a reply stands behind what it mentions: quotation, denial, correction
thoughts, plain  a reply without its thoughts; without Markdown and LaTeX wrappers
numbers          `parse_number(text)`: the exact value of a numeral
equal            `EQUALITIES`: exact, numeric and choice equality
mathematics      equality of mathematics, by math-verify in a worker process
worker           that process: time and memory limits, killed when it overruns
format           `AnswerFormat`: what a scenario says about a task's answers
grouping         `group(answers, same)`: the classes that a vote counts
"""

from society.answers.grouping import group

__all__ = ["group"]
