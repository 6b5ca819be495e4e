"""Checks that no single model can do: unknown names, graphs, prompts, learners."""
