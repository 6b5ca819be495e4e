"""A run on disk: `folder` creates and locks it, `run` reads it, `records` groups turns, `opening` loads backends."""
