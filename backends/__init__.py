"""Backends generate text and train models. `backends.base` is the seam; every other module is one backend.

Part of the distribution `society-of-models`.
"""

BACKENDS = {
    "scripted": "backends.scripted:Scripted",
    "llama_cpp": "backends.llama_cpp:LlamaCpp",
    "hf": "backends.hf:HuggingFace",
    "openai": "backends.openai:OpenAI",
    "vllm": "backends.vllm:VLLM",
    "sglang": "backends.sglang:SGLang",
    "human": "backends.human:Human",
}
"""The built-in backends by kind. Each is imported when a scenario is read."""
