"""Generation by a server and training by `hf`, on the same weights: shared by the backends `vllm` and `sglang`.

config.py      the options of a scenario's entry
engine.py      the parts that differ between servers: the command, its options, sleep, weights
server.py      starts a server of the installed program on loopback, and ends it
keeper.py      the process between: no server outlives a killed run
turns.py       which weights the server holds; requests for others wait
trainer.py     training by `hf` while the server sleeps
backend.py     the opened backend

Requests are those of backends/openai; training and adapters are those of backends/hf.
"""
