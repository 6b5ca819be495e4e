"""What a scenario may contain, as pydantic models with every default."""
