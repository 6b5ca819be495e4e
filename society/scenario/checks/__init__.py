"""Checks that no single model can make: names that lead nowhere, graphs, prompts, learners."""
