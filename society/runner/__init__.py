"""Watchers and sweeps: `progress` shows a run while it goes on, `tracking` logs it, `sweep` runs a grid."""
