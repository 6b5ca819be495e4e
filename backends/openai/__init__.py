"""The HTTP backend for any OpenAI-compatible server: vLLM, llama.cpp's, SGLang, Ollama, hosted ones.

config.py      the options of a scenario's entry
keys.py        keys and the hosts that may receive them
client.py      one connection pool: sends requests, returns checked responses or raises errors
wire.py        responses of servers, as pydantic models; streams.py joins those that arrive in parts
failures.py    errors of responses: transient or permanent, with remedies
limit.py       the number of requests in flight, adapted to the load of the server

dialects.py    kinds of servers: names of options, and what each lacks
choices.py, thinking.py
               fields that restrict a reply to choices, and that control thoughts
body.py, ollama.py
               the body of a request in the OpenAI standard, and in Ollama's own API
served.py      a server as it was found
asking.py      sends one request in the words of that server
opening.py     reads the kind, models, context and adapters of a server before any work
settling.py    tests options that documentation does not decide; trial.py sends a turn's options once
replies.py     thought, text, end, tokens and log-probability of a reply; estimating.py counts missing tokens
counting.py    whether the longest prompt fits the server's context, checked before any work
adapters.py    adapters on the server, by content hash
backend.py     the opened backend: `generate`
"""

from backends.openai.config import OpenAI

__all__ = ["OpenAI"]
