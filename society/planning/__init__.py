"""The cost of a scenario before it is run.

plan        the worst case from a dry run, and an estimate from a few real debates
dry_run     one debate with the real engine, without a model
demand      the context and the number of requests that a backend needs
footprint   memory and time of a finetuning, by arithmetic
training    the finetunings of a scenario on 1, 4 and 8 GPUs
"""
