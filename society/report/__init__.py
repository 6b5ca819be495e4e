"""The report: one self-contained HTML page with findings, figures and every debate of a run or of several."""
