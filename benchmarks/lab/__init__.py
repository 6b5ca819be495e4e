"""The lab: a model of a million parameters, and the paper's experiment on it, tens of iterations on one core.

    teacher     writes the pretraining text: the lab's own debates, with a teacher that sometimes errs
    tokenizer   the vocabulary and chat template, equal in transformers and in llama.cpp
    model       trains the model once: `python -m benchmarks.lab.model` (`make lab`)
    words       finetunes a model of 135M parameters on word problems, once; `resumable` is its training loop
    solved      measures how many word problems that model solves
    gguf        writes the lab model for llama.cpp
    arms        arms, suites and planned comparisons
    rules       the experiment on rules, as experiment.yaml fixes it
    plan        all suites: the experiment on rules, and the first experiment
    paper       runs missing arms and seeds: `python -m benchmarks.lab.paper` (`make paper`)
    guard       replays the guard of trainings on all summaries: `python -m benchmarks.lab.guard`
    table       writes figures and tables of the results so far: `python -m benchmarks.lab.table`

The lab uses the product's own scenarios, backends, training and metrics.
"""
