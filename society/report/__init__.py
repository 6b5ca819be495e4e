"""The report: one self-contained HTML page that shows what a society did and what can be concluded from it."""
