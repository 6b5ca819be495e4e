"""From YAML text to checked models: `source` parses, `merge` resolves `extends:`, `validate` applies the models."""
