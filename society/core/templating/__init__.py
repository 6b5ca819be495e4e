"""Untrusted templates and patterns.

sandbox      Jinja2 with a limit of steps (fuel)
fuel         rewrites syntax trees so that loops, comparisons and slices consume fuel
prompts      prompt templates of scenarios
tag_lines    a Jinja2 lexer that removes lines with only tags
patterns     regular expressions of scenarios
"""
