"""How big a table or an index would be, were it written anew: on paper, from what ANALYZE knows.

`optimize/estimate.py` asks about indexes that are not there yet; `health` about tables and indexes that are, to tell
how much of them is waste. One module a kind of relation (`heap`, `btree`, `gin`, `other`), and what they are told
about a column: its values (`stored`, `distinct`), what an expression makes of them (`expression`, `elements`), what a
predicate leaves of them (`predicate`).
"""
