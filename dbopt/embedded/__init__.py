"""A private PostgreSQL for the demo and the tests: find the binaries, start a server, leave nothing behind.

The server's files lie in a folder of their own with a short name below the temporary folder, because the path of a Unix
socket ends at 103 bytes and because root's server runs as another account, which cannot see into root's home. It
listens on that socket only. Durability is off: what it holds may be lost, what it holds is a sample.
"""

from dbopt.embedded.binaries import Binaries, find_binaries
from dbopt.embedded.server import EmbeddedServer, find_kept, start

__all__ = ["Binaries", "EmbeddedServer", "find_binaries", "find_kept", "start"]
