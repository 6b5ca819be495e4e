"""All errors of the program, as one tree.

SocietyError                 a message for users: the cause, then the remedy; printed without a traceback
├── InputError               the input is wrong
│   ├── ScenarioError        a scenario file is wrong; `problems` has every problem with its place
│   ├── MissingExtraError    a library that comes with an extra is not installed
│   ├── NoSandboxError       this machine cannot run code of models without network
│   ├── TurnError            a turn that cannot be generated with this scenario: the run ends
│   ├── SlowPatternError     a regular expression of the scenario takes too long in some text
│   ├── TooLongError         every training row is longer than the trainer takes
│   ├── NoCommonQuestionError two runs of a comparison have no question in common
│   └── RunFolderError       a run folder belongs to another scenario, or cannot be read
│       └── FolderInUseError a process works on the run in this folder
├── BackendError             a model could not be loaded, or could not answer
│   ├── ChatTemplateError    the model's chat template refuses a chat: never retried; an InputError, too
│   ├── ContextOverflowError the prompt and the answer do not fit the context: never retried
│   ├── WaitedTooLongError   a server was gone for longer than the run may wait
│   └── TransientError       worth a retry: a timeout, a crashed worker
│       ├── UnavailableError no server answers, or it takes no requests now: the run waits for it
│       └── DroppedError     a request left the queue before the model began, since the run stops
├── LimitReachedError        the run has used the tokens, dollars or minutes that the scenario allows
├── ComponentError           the code of a component raised an error: a stop rule, a topology, ...
└── StoreError               the run store could not be written or read (a full disk, say)
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from society.core.hidden_chars import reveal
from society.core.pip_command import pip

if TYPE_CHECKING:
    from society.core.problems import Problem

DISTRIBUTION = "society-of-models"
"""Name of the distribution on PyPI. The distribution named `society` there is another project."""


class SocietyError(Exception):
    """Base of all errors for users. `cause` says what is wrong, `remedy` what to do.

    `status` is the exit status of a command that ends with the error. `below`: keys that lead to the value at fault
    within the part of the scenario that was read.
    """

    status: ClassVar[int] = 3
    below: tuple[str | int, ...] = ()

    def __init__(self, cause: str, remedy: str = "") -> None:
        self.cause = cause
        self.remedy = remedy
        super().__init__(f"{cause}\n  {remedy}" if remedy else cause)

    def __reduce__(self) -> tuple[Any, ...]:
        """Support pickling between processes, whatever arguments the constructor takes."""
        return _restore, (type(self), self.args), self.__dict__


def _restore(cls: type[SocietyError], arguments: tuple[object, ...]) -> SocietyError:
    return cls.__new__(cls, *arguments)


class InputError(SocietyError):
    """Input of the user that cannot be used."""

    status = 2

    def __init__(self, cause: str, remedy: str = "", below: tuple[str | int, ...] = ()) -> None:
        self.below = below
        super().__init__(cause, remedy)

    def _render_traceback_(self) -> list[str]:
        """Return the lines that IPython shows: the message alone, as the fault is not in the code of the traceback."""
        return [f"{type(self).__name__}: {reveal(str(self))}"]


@contextmanager
def located(*steps: str | int) -> Iterator[None]:
    """Put these keys, which lead to the part that the block reads, before `below` of an error of the block."""
    try:
        yield
    except SocietyError as error:
        error.below = (*steps, *error.below)
        raise


class FieldError(ValueError):
    """An error of one field, which a validator of the whole component finds.

    `fields` are names of fields, or keys and indices that lead to a value below the component. Of several, `society
    check` names the one that the file gives last. A field that the file leaves out is reported at the component.
    """

    def __init__(self, message: str, *fields: str | tuple[str | int, ...]) -> None:
        self.fields = tuple((field,) if isinstance(field, str) else field for field in fields)
        super().__init__(message)


class TooLongError(InputError):
    """A finetuning whose rows are all longer than `max_length`, so that nothing is trained."""


class ScenarioError(InputError):
    """A scenario file with problems: one line for each in the message, and as values in `problems`."""

    def __init__(self, cause: str, remedy: str = "", problems: Sequence[Problem] = ()) -> None:
        self.problems = tuple(problems)
        super().__init__(cause, remedy)


class MissingExtraError(InputError):
    """An optional library is not installed; `extra` is the extra of the distribution that installs it, or `remedy` is
    what else to do."""

    def __init__(self, needed_by: str, library: str, extra: str = "", remedy: str = "") -> None:
        self.extra = extra
        cause = f"{needed_by} needs {library}, which is not installed."
        super().__init__(cause, remedy or pip(f"install '{DISTRIBUTION}[{extra}]'"))


class NoSandboxError(InputError):
    """This machine cannot run code of models in a process without network."""


class SlowPatternError(InputError):
    """A search for a regular expression that was stopped after `seconds`."""

    def __init__(self, pattern: str, seconds: float) -> None:
        super().__init__(
            f"The search for {pattern!r:.80} was stopped after {seconds:g} s.",
            "Write the pattern so that it has one way to match: no repeats of repeats.",
        )


class TurnError(InputError):
    """An error that ends the run, at a turn of an agent with this role."""

    def __init__(self, cause: str, remedy: str, role: str) -> None:
        self.role = role
        super().__init__(cause, remedy)


class NoCommonQuestionError(InputError):
    """Runs of a comparison without a question in common."""


class RunFolderError(InputError):
    """A run folder that cannot be used for this run."""


class FolderInUseError(RunFolderError):
    """A run folder in which another process, or this one, works."""


class BackendError(SocietyError):
    """A request that a backend cannot fulfil."""


class ContextOverflowError(BackendError):
    """A prompt and a maximum answer that exceed the context. All three lengths are in tokens."""

    def __init__(self, prompt: int, answer: int, context: int, remedy: str = "") -> None:
        self.prompt, self.answer, self.context = prompt, answer, context
        super().__init__(
            f"The prompt has {prompt} tokens and the answer may have {answer}: "
            f"{prompt + answer} in all, but the context holds {context}.",
            remedy
            or "Shorten the question, lower sampling.max_tokens or `edges.window`, or give the backend a larger "
            "context, if its model allows that.",
        )


class ChatTemplateError(BackendError, InputError):
    """A chat that the chat template of the model refuses or cannot render."""


class TransientError(BackendError):
    """A temporary failure. The engine retries with back-off, and waits at least `after` seconds if given.

    A server's "Retry-After" gives `after`, for example.
    """

    def __init__(self, cause: str, remedy: str = "", after: float | None = None) -> None:
        self.after = after
        super().__init__(cause, remedy)


class UnavailableError(TransientError):
    """A model that no request reaches now: no server answers, or the server takes no requests.

    The cause lies with the server and not with the request, so the engine waits without counting attempts.
    `may_pass` is false if a new run shall not wait, as what the user gave is more likely wrong.
    """

    may_pass: ClassVar[bool] = True


class DroppedError(TransientError):
    """A request that a backend dropped from its queue because the run stops. The model has not begun to answer it."""

    def __init__(self) -> None:
        super().__init__("The request was dropped from the queue.", "Run again with --resume (Python: resume=True).")


class WaitedTooLongError(BackendError):
    """A server that stayed unavailable for longer than the run may wait. All finished turns are stored."""

    status = 4


class LimitReachedError(SocietyError):
    """A run that has used all that its scenario allows. All finished turns are stored."""

    status = 5


class ComponentError(SocietyError):
    """The code of a component, usually a plugin, raised an error or returned a value of another type."""


class StoreError(SocietyError):
    """A run store that cannot be written or read."""


def describe_error(error: BaseException) -> str:
    """Return an exception on one line: its type, its message, and the file and line that raised it."""
    last = traceback.extract_tb(error.__traceback__)[-1:]
    place = "".join(f" ({frame.filename.rpartition('/')[2]}, line {frame.lineno})" for frame in last)
    message = " ".join(str(error).split())
    return f"{type(error).__name__}{': ' * bool(message)}{message:.300}{place}"
