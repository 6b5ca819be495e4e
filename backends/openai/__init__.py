"""The HTTP backend: any OpenAI-compatible server: vLLM, llama.cpp's, SGLang, Ollama, hosted ones.

config.py      the scenario's entry: options
keys.py        which key goes to which host; keys never leave the environment for anywhere else
wire.py        what servers answer, as pydantic models
client.py      one connection pool: requests out, checked answers or errors in
failures.py    which failures may pass, and what is to be done about the others
limit.py       how many requests are in flight: more while it goes well, fewer when the server is busy
dialects.py    what each kind of server calls the options that the standard does not have
opening.py     what a server is and has, looked at before any work
counting.py    whether the longest prompt fits the server's context, asked before any work
adapters.py    adapters on the server, by content hash
backend.py     the opened backend: `generate`
"""

from backends.openai.config import OpenAI

__all__ = ["OpenAI"]
