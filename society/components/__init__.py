"""Components, which a scenario names by `kind`: `registry` finds the classes; each noun has a module of its own."""
