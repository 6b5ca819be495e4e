"""The pydantic models of a scenario, with every default."""
