"""The engine: `simulate` debates every question, `debate` one of them, `reading` determines who reads what."""
