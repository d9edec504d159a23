"""How big tables and indexes are, how they are used over a window of time, and how much of that indexes serve.

collect.py     I/O: what the snapshot's families do not have (marks, forms of indexes, foreign keys)
window.py      which time scans and growth are about: stored intervals and the fresh reading, or since the reset
tables.py, indexes.py, summary.py, coverage.py     pure: rows and window -> values
survey.py      all of it as one value
"""
