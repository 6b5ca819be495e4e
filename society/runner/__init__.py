"""Several runs: `sweep` runs a grid of scenarios, `tracking` sends scalars to experiment trackers."""
