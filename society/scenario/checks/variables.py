"""The variables that every prompt template has."""

VARIABLES = {
    "question": "the question",
    "choices": "the options of a multiple-choice question, A first",
    "instruction": "how the task wants its answer written",
    "item_id": "the question's id",
    "name": "the agent's name",
    "role": "the name of its role",
    "persona": "its persona, empty if it has none",
    "phase": "the name of the phase",
    "round": "the round of the phase, from 1",
    "rounds": "how many rounds the phase has at most",
    "agents": "the names of the phase's speakers",
    "heard": "what it reads: a list with sender, text, answer, confidence and round",
    "summary": "a summary of what it reads, where an edge shows one",
    "own": "its own earlier turns: a list with text, answer, confidence and round",
    "candidates": "the answers on the table before this phase: a list with letter and answer",
}
"""Each variable and what it holds."""
