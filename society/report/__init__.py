"""The report: one self-contained HTML page with findings, figures and every debate of runs, or a list of runs."""
