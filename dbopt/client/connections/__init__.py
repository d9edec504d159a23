"""Engines and their pool.

engine.py      SQLAlchemy's engines, on this pool
connecting.py  one connection: its settings, poolers, fork
pool.py        the pool: lending, counting, closing what is idle (line.py: who comes first is served first)
holders.py     who has a connection, for how long and what for (callers.py: from which line of the program)
"""
