"""How big an index will be, on paper; `optimize/estimate.py` is the way in.

One module a method (`btree`, `gin`, `other`), and what they are told about a column: its values (`stored`, `distinct`),
what an expression makes of them (`expression`, `elements`), what a predicate leaves of them (`predicate`).
"""
