"""The run store: every finished turn in one SQLite file, committed before anything depends on it."""

from society.store.store import Store

__all__ = ["Store"]
