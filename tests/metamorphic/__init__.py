"""Metamorphic tests: two runs that must be equal are made in different ways and compared turn by turn.

They use the real engine and the real store, the scripted backend and small random models. `make test` runs a small,
fixed number of examples of each relation. More, and other ones at each call:

    METAMORPHIC=20 pytest tests/metamorphic          20 times as many, drawn at random
    METAMORPHIC_SHRINK=0 pytest tests/metamorphic    an example that fails is shown at once, not made smaller first

The last lines of pytest's output give the number of examples that were run, relation by relation with `-v`.

    relation     counts and limits the examples
    worlds       strategies for scenarios
    runs         writes, runs and compares scenarios
    speakers     scripted backends whose replies show all that shaped them, and backends that fail
    fields       every field of the scenario language, with another valid value
"""
