"""The llama.cpp backend: GGUF models on this machine, many replies decoded together.

config.py      the options of a scenario's entry
convert.py     one-time conversion to weights with fast kernels on this processor
header.py      the model's header; other files than chat models are refused
naming.py      the hash of an opened model
cache_sizes.py bytes of a slot in each layer: keys and values, recurrent states
sizes.py       sizes of weights, slots and buffers in memory
fit.py         a context as large as a scenario needs, if it fits into memory
chat.py        messages to tokens, by the model's own chat template
sampling.py    logits to the next token; replies restricted to choices
text.py        tokens to text: stop texts, characters split over tokens
native.py      the only file that calls the library: model, context, adapters
probe.py       loads a model file in a child process first, in case llama.cpp crashes on it
lora.py        checks that a GGUF adapter fits a model
cache.py       slots, and the cache of computed prompt prefixes
memories.py    what slots know of a prompt: reuse, copies, cuts, parking
jobs.py        one request: its prompt and its result so far
threads.py     the number of threads, adapted to other load
scheduler.py   a worker thread with continuous batching
workers.py     a pool of workers, and the choice of the worker for a request
backend.py     the asyncio side: `generate`, likelihood, adapters
"""

from backends.llama_cpp.config import LlamaCpp

__all__ = ["LlamaCpp"]
