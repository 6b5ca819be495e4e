"""Variables of prompt templates."""

VARIABLES = {
    "question": "the question",
    "choices": "the options of a multiple-choice question, A first",
    "instruction": "the task's instruction on how to write the answer",
    "item_id": "the question's id",
    "name": "the agent's name",
    "role": "the name of its role",
    "persona": "its persona, a text or fields such as `persona.age`; or empty",
    "vars": "the values of `vars` in the scenario, the role, the agent and the phase",
    "item": "the fields of the question's row in the task's file, without the true answer",
    "phase": "the name of the phase",
    "round": "the round of the phase, from 1, counted on over repetitions",
    "rounds": "the maximum number of rounds of the phase, over all repetitions",
    "agents": "the names of the phase's speakers",
    "heard": "the messages to the agent: a list with sender, text, answer, confidence, round and weight",
    "sender": "the sender of the edge, for an agent with `on_edges`",
    "reader": "the reader of the edge, for an agent with `on_edges`",
    "readers": "the names of the speakers that read the agent in this phase",
    "summary": "a summary of the messages to the agent, for edges with `show: summary`",
    "own": "its own earlier turns: a list with text, answer, confidence and round",
    "judged": "for a judge of `task.answer`: `judged.answer` and `judged.gold`, the true answer or empty; with "
    "`pairwise`, `judged.first` and `judged.second` instead of `judged.answer`",
    "tools": "the instructions on the agent's tools, or empty; by default they end the system message",
    "memories": "what the agent recalls by `memory`, oldest first: a list with text, kind, author, question, answer, "
    "time, importance, and by `feedback` decision, right and gold",
    "outcome": "for a role of `memory`: what the agent learned by `feedback`: `outcome.decision`, `outcome.right` and "
    "`outcome.gold`",
    "now": "the simulated time by `clock`, as text or as `now.day`, `now.weekday`, `now.date`, `now.time` and "
    "`now.hour`",
    "candidates": "the answers before this phase: a list with letter and answer",
}
"""Description of each variable, by name."""
