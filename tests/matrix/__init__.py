"""Tables of docs/models.md: families of models, and what each can do with a backend. Tests compute and compare them.

    families   small random models of each family, built from the configurations of transformers
    table      a matrix of subjects and checks, its outcomes, and its table in the page
    hf         the matrix of the hf backend
    adapters   the matrix of the kinds of adapters
    gguf       the matrix of llama.cpp, on the same models as GGUF files
    __main__   `python -m tests.matrix [NAME...]` writes the tables of all matrices, or of those named

A new matrix is a module with a `MATRIX`, named in `NAMES`, with two lines `<!-- matrix NAME -->` and
`<!-- end of matrix NAME -->` in docs/models.md, and a test module with `MATRIX.test` as `test_hf.py` has it.
"""

NAMES = ("hf", "adapters", "gguf")
"""Modules of this folder with a matrix, in the order of the page."""
