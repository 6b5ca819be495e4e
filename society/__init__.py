"""Simulate societies of language-model agents, and train them."""

__version__ = "0.1.0"
