"""Tools, which agents call in their turns: a calculator, Python code in the sandbox, searches in documents.

base         `Tool`, the base class, `ToolError`, and `ToolUse`, the bounds of a turn
toolbox      `Toolbox`: the tools of one agent, the instructions on them, the calls in a reply
calculator   exact arithmetic without `eval`
notation     the notation of people and models: thousands, `15% of 200`, `5!`
python       Python code in the sandbox, with variables that last for a turn or a debate
search       passages of documents that fit a query
"""

TOOLS: dict[str, str] = {
    "calculator": "society.components.tools.calculator:Calculator",
    "python": "society.components.tools.python:Python",
    "search": "society.components.tools.search:Search",
}
"""Import path of each built-in tool. Classes are imported on first use."""
