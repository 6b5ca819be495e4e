"""What every part of the program uses, and all that `backends/` and `topologies/` may import from `society/`."""
