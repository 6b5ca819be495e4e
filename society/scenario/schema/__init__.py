"""The JSON Schema of the language and the reference in Markdown, both made from the models."""
