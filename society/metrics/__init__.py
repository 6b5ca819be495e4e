"""Statistics of runs: numbers with their uncertainty, comparisons, and tables.

accuracy     shares of right answers     summary      the most important numbers of a run
proportion   shares and their intervals  statistics   paired differences, tests, power
flips        changed answers             overview     the summary that people read first
rounds       round by round, agreement   influence    adoption of answers, conformity
tradeoff     accuracy against tokens     budget       debating against voting at equal cost
iterations   training, step by step      diversity    answers, words, embeddings
measure      diversity with real models  likelihood   models scoring each other's responses
layout       comparisons as text         comparison   comparison of runs
edge_effects what readers took over      plain        results as JSON data
"""
