"""Templates and patterns from strangers: `sandbox` runs Jinja2 with limits, `prompts` fills prompts in."""
