"""Generation by vLLM and training by `hf`, on the same weights: a scenario changes the word `hf` to `vllm`.

config.py      the options of a scenario's entry
server.py      starts a server of the installed vLLM on loopback, and ends it
keeper.py      the process between: no server outlives a killed run
control.py     sleep, waking and weights of a running server
turns.py       which weights the server holds; requests for others wait
trainer.py     training by `hf` while the server sleeps
backend.py     the opened backend

Requests are those of backends/openai; training and adapters are those of backends/hf.
"""

from backends.vllm.config import VLLM

__all__ = ["VLLM"]
