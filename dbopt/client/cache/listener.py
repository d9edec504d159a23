"""A session that listens to what other processes have written, in a thread of its own, for asyncio alike.

Answers may be given only while it listens: what it has not heard may have made them invalid. Whenever it begins to
listen, all of before is invalid.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import select
import socket
import threading
import time
import weakref
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from dbopt.client.cache.messages import CHANNEL, SEND, written
from dbopt.client.cache.store import EVERYTHING
from dbopt.client.connections import connecting
from dbopt.errors import Error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from dbopt.client.settings import Settings

logger = logging.getLogger("dbopt.client")

# A server that has vanished says nothing: it is asked as often as this, and no longer believed after that.
ASK_SECONDS, BELIEVED_SECONDS = 10.0, 30.0
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 30.0  # between two tries to connect
UNTOLD_MOST = 1_000  # names that wait to be told; of more, all ends
TEST_SECONDS = 5.0  # a message arrives within milliseconds, or never
_END_SECONDS = 2.0  # for a session to end in good order


class _Unfit(Exception):
    """Messages do not come through here."""


class Listener:
    def __init__(self, settings: Settings, heard: Callable[[str], None], began: Callable[[], None]) -> None:
        """`heard` gets each payload; `began` is called when it begins to listen. Both in its thread."""
        self._settings = settings
        self._heard = weakref.WeakMethod(heard)
        self._began = weakref.WeakMethod(began)
        self._ends: tuple[socket.socket, socket.socket] | None = None  # what is written to the first wakes the second

    def start(self, sender: str) -> None:
        """From nothing, as in a new process. What a parent has open stays its own, see connecting.Connection."""
        self._sender = sender
        self.errors = 0
        for end in self._ends or ():
            end.close()
        self._ends = None
        self._guard = threading.Lock()
        self._thread: threading.Thread | None = None
        self._conn: connecting.Connection | None = None
        self._inbox: list[str] = []
        self._untold: set[str] = set()
        self._believed_until = 0.0
        self._is_closed = False
        self._has_warned = False

    def is_listening(self) -> bool:
        """The first call starts it, and does not wait for it."""
        if self._thread is None:
            self._begin()
        return time.monotonic() < self._believed_until

    def tell(self, names: Iterable[str]) -> None:
        """Sent by its thread, as soon as it is connected."""
        with self._guard:
            self._untold.update(names)
            if len(self._untold) > UNTOLD_MOST:
                self._untold = {EVERYTHING}
        self.is_listening()
        self._wake()

    def close(self) -> None:
        with self._guard:
            self._is_closed = True
            thread = self._thread
        self._believed_until = 0.0
        if thread is None or self._ends is None:
            return
        self._wake()
        thread.join(_END_SECONDS)
        conn = self._conn
        if thread.is_alive() and conn is not None:
            _hang_up(conn)  # it waits for a server that does not answer
            thread.join(_END_SECONDS)
        for end in self._ends:
            end.close()
        if self._untold:
            self._tell_at_last()

    def _tell_at_last(self) -> None:
        """A program that ends at once has told nobody yet."""
        try:
            with connecting.connect(self._settings) as conn:
                conn.autocommit = True
                self._send(conn)
        except (Error, psycopg.Error) as exc:
            logger.warning("other processes could not be told what was written: %s", type(exc).__name__)

    def _begin(self) -> None:
        with self._guard:
            if self._thread is not None or self._is_closed:
                return
            self._ends = socket.socketpair()
            self._ends[0].setblocking(False)
            self._thread = threading.Thread(target=self._run, args=(self._ends[1],), name="dbopt cache", daemon=True)
            self._thread.start()

    def _run(self, woken: socket.socket) -> None:
        pause = FIRST_PAUSE_SECONDS
        while self._is_wanted:
            try:
                with connecting.connect(self._settings) as self._conn:
                    self._conn.autocommit = True
                    self._listen(self._conn, woken)
                    pause = FIRST_PAUSE_SECONDS
                    self._wait(self._conn, woken)
            except (Error, psycopg.Error, OSError, _Unfit) as exc:
                self._believed_until = 0.0
                self._report(exc)
            finally:
                self._conn = None
                self._believed_until = 0.0
            if self._is_wanted:
                select.select([woken], [], [], pause)
                _emptied(woken)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def _listen(self, conn: connecting.Connection, woken: socket.socket) -> None:
        self._inbox.clear()
        conn.add_notify_handler(lambda message: self._inbox.append(message.payload))
        conn.execute(sql.SQL("LISTEN {}").format(sql.Identifier(CHANNEL)))
        if conn.is_pooled:
            self._test(conn, woken)
        began = self._began()
        if began is None:
            return
        began()
        self._believed_until = time.monotonic() + BELIEVED_SECONDS
        if self._has_warned:
            self._has_warned = False
            logger.info("the cache is told of other processes' writes again")

    def _test(self, conn: connecting.Connection, woken: socket.socket) -> None:
        """A pooler gives the session to somebody else after each transaction, and messages with it, unless it keeps
        sessions together. Another session tells, and nothing is asked meanwhile: that would bring the session back.
        """
        token = secrets.token_hex(8)
        with connecting.connect(self._settings) as other:
            other.autocommit = True
            other.execute("SELECT pg_catalog.pg_notify(%s, %s)", [CHANNEL, token])
        heard: list[str] = []
        ends_at = time.monotonic() + TEST_SECONDS
        while token not in heard and self._is_wanted:
            remaining = ends_at - time.monotonic()
            if remaining <= 0:
                raise _Unfit("a pooler in between does not pass messages on")
            _wait_for(conn, woken, remaining)
            conn.pgconn.consume_input()
            while (message := conn.pgconn.notifies()) is not None:
                heard.append(message.extra.decode())

    def _wait(self, conn: connecting.Connection, woken: socket.socket) -> None:
        while True:
            self._send(conn)
            heard = self._heard()
            while self._inbox and heard is not None:
                heard(self._inbox.pop(0))
            del heard
            if not self._is_wanted:
                return
            _wait_for(conn, woken, ASK_SECONDS)
            _emptied(woken)
            if not self._is_closed:
                conn.execute("SELECT 1")  # messages come along; and it is known that there is somebody
                self._believed_until = time.monotonic() + BELIEVED_SECONDS

    def _send(self, conn: connecting.Connection) -> None:
        with self._guard:
            names, self._untold = self._untold, set()
        if not names:
            return
        try:
            conn.execute(SEND, [written(self._sender, names)])
        except psycopg.Error:
            with self._guard:
                self._untold |= names
            raise

    def _wake(self) -> None:
        ends = self._ends
        if ends is not None:
            # Closed meanwhile; or nobody has read for long, and it is awake anyway.
            with contextlib.suppress(OSError):
                ends[0].send(b".")

    @property
    def _is_wanted(self) -> bool:
        return not self._is_closed and self._heard() is not None

    def _report(self, error: Exception) -> None:
        if self._is_closed:
            return
        self.errors += 1
        if not self._has_warned:
            self._has_warned = True
            reason = error.message if isinstance(error, Error) else str(error).strip().partition("\n")[0]
            logger.warning(
                "nothing is answered from the cache until other processes' writes can be listened to, which is tried"
                " again: %s",
                reason,
            )


def _wait_for(conn: connecting.Connection, woken: socket.socket, seconds: float) -> None:
    ends: list[int] = [conn.fileno(), woken.fileno()]
    select.select(ends, [], [], seconds)


def _emptied(woken: socket.socket) -> None:
    while select.select([woken], [], [], 0)[0]:
        woken.recv(4096)


def _hang_up(conn: connecting.Connection) -> None:
    try:
        with socket.socket(fileno=os.dup(conn.fileno())) as end:
            end.shutdown(socket.SHUT_RDWR)
    except OSError:
        logger.debug("the listening session has ended meanwhile")
