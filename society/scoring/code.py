"""Code as an answer: it is run against the unit tests of its question, in the sandbox.

The fields fit HumanEval (Chen et al., 2021, arXiv 2107.03374) and MBPP (Austin et al., 2021, arXiv 2108.07732).
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal

from society.answers.format import AnswerFormat
from society.core.concurrency import gather
from society.core.errors import InputError
from society.core.plain import shorten
from society.core.types import Item, Judgement
from society.sandbox.limits import Limits
from society.scoring.base import AnswerRule, Court, find_field
from society.scoring.statements import find_fault

MAX_NOTE = 200
"""Maximum number of characters of a note."""
STOPPED = "stopped by a limit"
"""Start of the note on code that a limit ended."""
_RUNNER = """\
import json, os, sys, types
def run(compile=compile, exec=exec, read=os.read, write=os.write, leave=os._exit):
    hidden = os.dup(0)
    os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
    with open("parts.json", encoding="utf-8") as file:
        parts = json.load(file)
    os.remove("parts.json")
    code = tuple((name, parts[name]) for name in ("setup", "solution"))
    tests = tuple(enumerate(parts["tests"], 1))
    del parts
    module = sys.modules["solution"] = types.ModuleType("solution")
    space, passed, fault = module.__dict__, 0, ""
    try:
        for name, text in code:
            exec(compile(text, name, "exec"), space)
    except BaseException as error:
        fault = f"the code raises {type(error).__name__}: {error}"
    else:
        for number, test in tests:
            try:
                exec(compile(test, f"test {number}", "exec"), space)
                passed += 1
            except BaseException as error:
                fault = fault or f"test {number} raises {type(error).__name__}: {error}"
    try:
        sys.stdout.flush()
    except BaseException:
        pass
    token = read(hidden, 64).decode().strip()
    report = f"{token} {passed} {fault[:500]}".replace("\\n", " ")
    write(1, f"\\n{report}\\n".encode("utf-8", "replace"))
    leave(0)
run()
"""
"""The program that runs the tests. It reports with a token, so that an early exit is no success.

The token stays in a pipe until the tests have ended, so no object of the program holds it while the code runs. The
functions of the report, and the tests, cannot be replaced by the code: they are arguments and tuples.
"""
EMPTY = "the tests pass without the code, so they test nothing"
"""Note on code whose tests pass without it."""


class UnitTests(AnswerRule):
    """The code of a reply is run against the unit tests of its question, in a process without network and with limits.

    The answer is the last code block with a definition. It is right if all tests pass; the score is their share. Code
    that a limit ended is wrong, and the run reports it; where it ran out of elapsed time, it counts as undecided. Only
    Python's standard library is at hand. Code runs on Linux only. Two programs are the same answer only if their texts
    are equal. Tests that pass without the code, too, leave it undecided.
    """

    kind: Literal["tests"] = "tests"
    tests: str = "test"
    """Field of the row with the tests: code, or a list of statements such as MBPP's `test_list`."""
    setup: str = ""
    """Field with code that runs before that of the reply: HumanEval's `prompt`, MBPP's `test_setup_code`."""
    entry: str = ""
    """Field with the name of a function that the tests' function `check` receives: HumanEval's `entry_point`."""
    limits: Limits = Limits()
    """Limits of one run of all tests of a question."""

    defaults: ClassVar[Mapping[str, Any]] = {"extract": ("code",), "equal": "exact"}
    deferred: ClassVar[bool] = True

    def require(self) -> None:
        from society.sandbox import require_sandbox

        require_sandbox()

    def scores(self, item: Item) -> bool:
        return True

    def correct(self, answer: str, item: Item, form: AnswerFormat) -> bool:
        return False

    def same(self, a: str, b: str, form: AnswerFormat) -> bool:
        return a == b

    def has_form(self, answer: str, item: Item, form: AnswerFormat) -> bool:
        return True

    def check(self, item: Item) -> None:
        parts = self._parts(item)
        if not parts["tests"] or not all(test.strip() for test in parts["tests"]):
            cause = f"The question {item.id!r} has no tests in the field {self.tests!r}."
            raise InputError(cause, "Correct the row.", ("tests",))
        if fault := find_fault(parts["tests"]):
            raise InputError(
                f"The question {item.id!r} has tests in the field {self.tests!r} that {fault}.",
                "Name the function that they call in `task.answer.entry`, or give statements such as assert f(1) == 2"
                ", or a list of them. A list in a CSV file is text: use JSON Lines or Parquet.",
                ("tests",),
            )

    def _parts(self, item: Item) -> dict[str, Any]:
        """Return the code of a question's row."""
        value = find_field(item, self.tests, "tests")
        tests = list(value) if isinstance(value, list | tuple) else [value]
        setup = find_field(item, self.setup, "setup") if self.setup else ""
        for key, code in (*(("tests", test) for test in tests), ("setup", setup)):
            if not isinstance(code, str):
                cause = f"The question {item.id!r} has {code!r:.80} where code is expected."
                raise InputError(cause, f"Correct `task.answer.{key}`.", (key,))
        if self.entry:
            entry = find_field(item, self.entry, "entry")
            if not isinstance(entry, str) or not entry.isidentifier():
                raise InputError(
                    f"The question {item.id!r} has {entry!r:.80} in the field {self.entry!r}, which names no function.",
                    "Correct `task.answer.entry`.",
                    ("entry",),
                )
            tests = ["\n".join([*tests, f"check({entry})"])]
        return {"tests": tests, "setup": setup}

    async def judge(
        self, answers: Sequence[str], item: Item, correct: Callable[[str], bool], court: Court
    ) -> dict[str, Judgement]:
        given = await gather(self._run(answer, item, court) for answer in answers)
        if any(found.right for found in given) and (await self._run("", item, court)).right:
            given = [Judgement(False, 0.0, undecided=True, note=EMPTY) if one.right else one for one in given]
        return dict(zip(answers, given, strict=True))

    async def _run(self, answer: str, item: Item, court: Court) -> Judgement:
        parts = self._parts(item)
        token = secrets.token_hex(16)
        files = {"main.py": _RUNNER, "parts.json": json.dumps({**parts, "solution": answer})}
        outcome = await court.run(files, self.limits, f"{token}\n")
        if outcome.ended_by:
            note = f"{STOPPED}: {outcome.ended_by}"
            return Judgement(False, 0.0, undecided=outcome.ended_by == "wall", note=note)
        report = re.search(rf"^{token} (\d{{1,9}}) (.*)$", outcome.output, re.MULTILINE)
        if report is None:
            return Judgement(False, 0.0, note="the code ended the program before the tests")
        passed, tests = int(report[1]), len(parts["tests"])
        return Judgement(passed == tests, min(1.0, passed / tests), note=shorten(report[2].rstrip(": "), MAX_NOTE))
