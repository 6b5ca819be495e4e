"""Retrieval: texts ranked by a query, by their words or their meaning, and the passages of a folder of documents.

ranking     `rank` and `Ranking`: BM25, sentence embeddings, or both
growing     indexes of texts that are added one after another
passages    `load_passages`: the passages of the text, Markdown and PDF files in a folder
pdf_pages   the child process that reads a PDF file
encoders    sentence encoders by name
"""

from society.retrieval.ranking import Measure, Ranking, rank

__all__ = ["Measure", "Ranking", "rank"]
