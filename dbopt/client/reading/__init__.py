"""What is read.

direct.py      the application's own statements
batching.py    many rows by their ids (asked.py: ids as typed arrays)
relations.py   what belongs to rows, one statement a relation (relation.py: as it is asked for; links.py: how joined)
aggregates.py  sums and counts
picked.py, clauses.py  columns and conditions, as the others take them
"""
