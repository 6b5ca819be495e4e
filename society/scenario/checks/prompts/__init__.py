"""Checks of what prompts compare, loop over and show, by the values that variables may have where they are rendered.

A template is walked once for each place at which it is rendered, with the possible values of its variables there.

possible     the possible values of an expression
places       the places of each template, and the variables there
shared       values that are the same at all places
walk         the walk through a template, statement by statement
expressions  the values of expressions in the walk
comparisons  their comparisons, and what is recorded
filters      the results of filters, tests and methods
log          what a walk records
report       the problems that all walks of a template show
"""
