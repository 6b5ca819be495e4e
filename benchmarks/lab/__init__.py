"""The lab: a model of a million parameters, and the paper's experiment on it, tens of iterations on one core.

    teacher     what the model is pretrained on: the lab's own debates, spoken by a teacher that sometimes errs
    tokenizer   its vocabulary and chat template, the same in transformers and in llama.cpp
    model       makes it, once: `python -m benchmarks.lab.model` (`make lab`)
    gguf        the same model for llama.cpp
    plan        the arms of the experiment, its seeds and iterations, fixed before anything was run
    paper       runs what is missing: `python -m benchmarks.lab.paper` (`make paper`)
    table       what is there so far, as figures and a table: `python -m benchmarks.lab.table`

Everything goes through the product's own scenarios, backends, training and measures.
"""
