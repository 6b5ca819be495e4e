"""The shared foundation: the only part of `society/` that `backends/` and `topologies/` import."""
