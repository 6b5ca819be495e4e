"""The engine: `simulate` runs every question, `debate` one of them, `reading` says who sees what."""
