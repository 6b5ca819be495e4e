"""Model files: finding, caching and checking them, GGUF reading and export, chat templates."""
