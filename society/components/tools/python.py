"""Python code in the sandbox. The state of a session is its earlier code, which each call runs again before its own."""

from __future__ import annotations

import re
from typing import ClassVar, Literal

from society.components.tools.base import Scope, Tool, ToolError, ToolSession
from society.sandbox.limits import Limits

STATUS_RAISED = 7
"""Exit status of a program whose code raised an exception, or ended with an exit status other than 0."""
_DRIVER = f"""\
import _ast, posix, sys
def finish():
    threads, pools = sys.modules.get("threading"), sys.modules.get("concurrent.futures.thread")
    workers = pools._threads_queues if pools else ()
    for thread in threads.enumerate() if threads else ():
        if thread is not threads.current_thread() and not thread.daemon and thread not in workers:
            thread.join()
    if "atexit" in sys.modules:
        try:
            sys.modules["atexit"]._run_exitfuncs()
        except BaseException:
            pass
def run(cells):
    *earlier, last = cells
    module = sys.modules["__main__"] = type(sys)("__main__")
    main = module.__dict__
    main["__builtins__"] = __builtins__
    if any("random" in cell for cell in cells):
        import random
        random.seed(0)
    shown = [posix.dup(1), posix.dup(2)]
    hidden = posix.open("/dev/null", posix.O_WRONLY)
    for descriptor in (1, 2):
        posix.dup2(hidden, descriptor)
    streams = sys.stdout, sys.stderr
    for cell in earlier:
        sys.stdout, sys.stderr = [open(hidden, "w", closefd=False) for stream in streams]
        try:
            exec(compile(cell, "<earlier code>", "exec"), main)
        except SystemExit:
            pass
        finish()
    sys.stdout, sys.stderr = streams
    for descriptor, kept in zip((1, 2), shown):
        posix.dup2(kept, descriptor)
        posix.close(kept)
    posix.close(hidden)
    try:
        tree = compile(last, "<code>", "exec", _ast.PyCF_ONLY_AST)
        value = tree.body.pop() if tree.body and isinstance(tree.body[-1], _ast.Expr) else None
        exec(compile(tree, "<code>", "exec"), main)
        if value is not None:
            found = eval(compile(_ast.Expression(value.value), "<code>", "eval"), main)
            if found is not None:
                print(repr(found))
    except SystemExit as end:
        sys.stdout.flush()
        if end.code:
            print(f"Exit status {{end.code}}." if isinstance(end.code, int) else end.code, flush=True)
            posix._exit({STATUS_RAISED})
    except BaseException as error:
        import traceback
        sys.stdout.flush()
        tail = error.__traceback__
        while tail is not None and tail.tb_frame.f_code.co_filename == __file__:
            tail = tail.tb_next
        traceback.print_exception(type(error), error, tail, limit=-3, chain=False)
        sys.stdout.flush()
        posix._exit({STATUS_RAISED})
    sys.stdout.flush()
"""
"""The program of a call. It runs the earlier code without its output, then the code, and prints its last value.

It imports built-in modules alone, as importing others takes longer than starting the interpreter.
"""
_FENCED = re.compile(r"```[\w+-]*[ \t]*\n(.*?)\n?```", re.DOTALL)


class Python(Tool):
    """Runs Python code in a process without network and files of the machine, with limits. Linux only.

    Only the standard library is at hand. Variables last for the turn, or for all turns of the agent in a debate: each
    call runs the earlier code again, without its output. A call that fails leaves nothing behind. Code that names
    `random` begins with the same seed in each process; other sources of chance are not seeded.
    """

    kind: Literal["python"] = "python"
    state: Scope = "turn"
    """How long variables and files last: for one `call`, for a `turn`, or for all turns of the `agent` in a debate."""
    limits: Limits = Limits()
    """Limits of a call, together with the earlier code that it runs again."""

    about: ClassVar[str] = (
        "Runs Python code with the standard library, and returns what it prints and the value of its last line. It has "
        "no network."
    )
    example: ClassVar[str] = "print(sum(range(10)))"
    takes: ClassVar[str] = "code"

    @property
    def keeps(self) -> Scope:
        return self.state

    def require(self) -> None:
        from society.sandbox import require_sandbox

        require_sandbox()

    async def call(self, given: str, session: ToolSession) -> str:
        cells = [_unfenced(cell) for cell in (*session.earlier, given)]
        files = {"main.py": f"{_DRIVER}run({cells!r})\n"}
        outcome = await session.run_code(files, self.limits, "")
        if outcome.ended_by:
            raise ToolError(f"{outcome.output}\n{self._explain(outcome.ended_by)}".strip())
        if outcome.status:
            raise ToolError(outcome.output.strip() or f"The program ended with status {outcome.status}.")
        return outcome.output.strip() or "(no output: print what you want to see)"

    def _explain(self, ended_by: str) -> str:
        """Return the sentence on the limit that ended a program."""
        limits = self.limits
        return {
            "cpu": f"Stopped: it took more than {limits.cpu_seconds} s of processor time.",
            "wall": f"Stopped: it took more than {limits.wall_seconds:g} s.",
            "output": f"Stopped: it wrote more than {limits.output_kb} KiB.",
        }.get(ended_by, "Stopped by the system, probably for lack of memory.")


def _unfenced(code: str) -> str:
    """Return code without a Markdown fence around it."""
    fenced = _FENCED.fullmatch(code.strip())
    return fenced[1] if fenced else code.strip("\n")
