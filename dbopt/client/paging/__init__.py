"""Pages by key.

pages.py       the operation
ordering.py    by what is sorted, NULLs and all
uniqueness.py  what makes that order unique
keyset.py      the condition for the rows behind a position
page_query.py  the statements of a page
pageable.py    which selects have pages
cursors.py     positions, signed
"""
