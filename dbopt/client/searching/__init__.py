"""Full text and substrings.

search.py  the operation
sql.py     its expressions, the same for the query and for the index
index.py   the index: as a spec, and whether it serves
marks.py   what was found, marked
faults.py  what the server says, by name
"""
