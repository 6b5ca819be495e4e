"""The sandbox: Python code from models, run in a process without network and with limits, on Linux.

limits         `Limits` on time, memory, files, processes and output
process        `run_python(files, limits)`: run a program and return its `Outcome`; `require_sandbox`
pool           `run_code`: the same from the event loop, with children that are started ahead
jail           the child: namespaces, read-only files, limits; started as a script, imports only the standard library
system_calls   `build_filter`: the filter of system calls that the child installs
"""

from society.sandbox.limits import Limits
from society.sandbox.pool import RunCode, run_code
from society.sandbox.process import Outcome, require_sandbox, run_python

__all__ = ["Limits", "Outcome", "RunCode", "require_sandbox", "run_code", "run_python"]
