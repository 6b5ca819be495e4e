"""The human backend: a person gives the replies, in the terminal or on the live page.

asking     a question to a person, the check of what was typed, and the seam to the place where a person is asked
backend    the `backends:` entry, and the backend that asks one question at a time
terminal   questions in the terminal
"""

from backends.human.asking import Asker, EntryError, Question, answered_through
from backends.human.backend import Human, HumanBackend

__all__ = ["Asker", "EntryError", "Human", "HumanBackend", "Question", "answered_through"]
