"""Watchers and sweeps: `progress` counts a run, `stream` prints it, `tracking` logs it, `sweep` runs a grid."""
