"""Watchers and sweeps: `progress` shows a run as it goes, `tracking` logs it, `sweep` runs a grid of scenarios."""
