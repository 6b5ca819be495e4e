"""Stores of older versions, shown as the present version: views in SQLite's memory stand before the file's tables.

Nothing is written to the file. What its turns are named by has changed with the version, so an older store is read
and never gone on with.
"""

from __future__ import annotations

import sqlite3

VERSION = "2"
"""Version of the stores that this program writes."""

_VIEWS = {
    "1": (
        "CREATE TEMP VIEW turns AS SELECT rowid AS rowid, *, NULL AS tokens,"
        " status = 'ok' OR text != '' AS replied FROM main.turns",
        "CREATE TEMP VIEW adapters AS SELECT *, '' AS trained_on FROM main.adapters",
    ),
}
"""SQL that shows the tables of an older version as those of the present one, by version."""
READABLE = (*_VIEWS, VERSION)
"""Versions that this program reads."""


def show_as_present(db: sqlite3.Connection, version: str) -> None:
    """Make every query through this connection see the tables of the present version."""
    for view in _VIEWS.get(version, ()):
        db.execute(view)


def schema_file(version: str) -> str:
    """Return the name of the file that holds the schema of this version."""
    return "schema.sql" if version == VERSION else f"schema_{version}.sql"
