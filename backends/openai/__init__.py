"""The HTTP backend for any OpenAI-compatible server: vLLM, llama.cpp's, SGLang, Ollama, hosted ones.

config.py      the options of a scenario's entry
keys.py        keys and the hosts that may receive them
wire.py        responses of servers, as pydantic models
client.py      one connection pool: sends requests, returns checked responses or raises errors
failures.py    errors of responses: transient or permanent, with remedies
limit.py       the number of requests in flight, adapted to the load of the server
dialects.py    options beyond the standard, as each kind of server names them
opening.py     the kind, models, context and adapters of a server, read before any work
counting.py    whether the longest prompt fits the server's context, checked before any work
adapters.py    adapters on the server, by content hash
backend.py     the opened backend: `generate`
"""

from backends.openai.config import OpenAI

__all__ = ["OpenAI"]
