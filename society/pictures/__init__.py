"""Figures of runs and graphs of scenarios.

`figures` and `graphs` describe them, independent of what draws them. `run_figures`, `training_figures`,
`comparison_figures` and `phases` make the descriptions. The report's page draws them with JavaScript; `draw_charts` and
`draw_graphs` draw them with matplotlib.
"""
