"""The run store: every finished turn in one SQLite file, committed before anything depends on it.

`table` derives tables from dataclasses, `rows` declares them, `store` writes and `reader` reads them; `opening` opens a
file, `validate` checks it, and `migrate` reads older versions.
"""

from society.store.store import Store

__all__ = ["Store"]
