"""Fuzzing of what reads untrusted bytes: `targets` says what must hold, `__main__` runs them under atheris, and
`corpus/` keeps the inputs that reach the most code, which tests/attacks/test_fuzz.py replays without atheris."""
