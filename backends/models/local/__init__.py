"""The language models on this machine: their files are found and described, and nothing is loaded.

model       `LocalModel`, and `Found`: the models, and the files and folders that were skipped
find        `find_local`: the models of all places
gguf        a GGUF file, described by its header
places      folders of GGUF files: installed packages, LM Studio, Ollama, llama.cpp
hub         the cache of the Hugging Face hub
template    abilities that a chat template shows

Every file may be damaged or a stranger's. Such a file is skipped and listed with the reason.
"""
