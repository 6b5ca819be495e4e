"""What a scenario will cost, before it is run: `dry_run` plays one debate without a model, `calibrate` a few with."""
