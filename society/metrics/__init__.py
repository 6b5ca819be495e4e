"""What a run says: records of its debates, and numbers with their uncertainty.

records      debates as records          summary      a run in the few numbers asked for first
proportion   shares and their intervals  statistics   paired differences, tests, power
flips        answers that changed        votes        the votes behind a decision
rounds       round by round, agreement   influence    who moves whom, conformity
tradeoff     accuracy against tokens     budget       debating against voting at equal cost
iterations   training, step by step      diversity    answers, words, vectors
encoders     sentence encoders by name   likelihood   models scoring each other's responses
measure      diversity with real models  comparison   runs side by side
layout       comparisons as text         plain        results as JSON data
"""
