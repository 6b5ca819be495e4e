"""Finetuning of a society on its own turns: `selection` makes the rows, `loop` debates,
selects and trains, `finetuning` is one training of one learner."""
