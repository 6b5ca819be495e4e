"""Finetuning a society on what it said: `selection` makes the data, `loop` debates, trains and goes round."""
