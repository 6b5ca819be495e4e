"""Reading of YAML to models: `source` parses, `merge` resolves `extends:` and overrides, `validate` applies the
models."""
