"""Answers kept in memory or in Redis, on dogpile.cache, until a write makes them invalid.

cache.py       the whole; how.py: the values that others see
keys.py        what was asked, as a key; codec.py: plain values as text
store.py       what a place for answers is, and the generations by which they end
memory.py      in memory; copies.py: what is handed out is the caller's own
shared.py      in Redis
making.py      one caller makes an answer while the others wait: turn.py, mutex.py; renewals.py: in the background
writes.py      what transactions write; effects.py: what a statement does; reach.py, catalogs.py: how far that goes
listener.py    what other processes say; messages.py: in which form
"""

from dbopt.client.cache.cache import Cache
from dbopt.client.cache.how import Cached, CacheFigures, Warming

__all__ = ["Cache", "CacheFigures", "Cached", "Warming"]
