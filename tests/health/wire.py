"""A wire between a client and the tests' server, on which messages are counted, slowed down and held up."""

from __future__ import annotations

import contextlib
import select
import socket
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from psycopg.conninfo import conninfo_to_dict, make_conninfo

if TYPE_CHECKING:
    from collections.abc import Iterator

HOLD_TIMEOUT_SECONDS = 20.0


@dataclass
class Traffic:
    """What one connection carried. A round trip begins when the client speaks after it has heard an answer."""

    asked: int = 0
    answered: int = 0  # of these; the farewell is not
    sent: bytearray = field(default_factory=bytearray)
    received: bytearray = field(default_factory=bytearray)

    @property
    def round_trips(self) -> int:
        """After the one of logging in."""
        return self.answered - 1

    def statements(self) -> int:
        """Those that the client sent, by the extended protocol or the simple one."""
        start = int.from_bytes(self.sent[:4], "big")
        kinds = Counter(_kinds(bytes(self.sent[start:])))
        return kinds["P"] + kinds["Q"]

    def errors(self) -> int:
        return Counter(_kinds(bytes(self.received)))["E"]


def _kinds(stream: bytes) -> Iterator[str]:
    """The first byte of each message. https://www.postgresql.org/docs/current/protocol-message-formats.html"""
    at = 0
    while at + 5 <= len(stream):
        yield chr(stream[at])
        at += 1 + int.from_bytes(stream[at + 1 : at + 5], "big")


class Wire:
    """Listens on a socket of its own; `conninfo` leads through it.

    `hold_at`: the round trip, of any connection, whose question is held back until `release`.
    """

    def __init__(self, conninfo: str, *, delay_seconds: float = 0.0, hold_at: int | None = None) -> None:
        parameters = conninfo_to_dict(conninfo)
        self._upstream = f"{parameters['host']}/.s.PGSQL.{parameters['port']}"
        self._delay = delay_seconds
        self._hold_at = hold_at
        self._folder = tempfile.TemporaryDirectory(prefix="dbopt-wire-")
        self.conninfo = make_conninfo(conninfo, host=self._folder.name, port=5432)
        self.connections: list[Traffic] = []
        self.held = threading.Event()
        self._released = threading.Event()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(Path(self._folder.name) / ".s.PGSQL.5432"))
        self._listener.listen()
        self._ends: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.release()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join()
        for end in self._ends:
            end.close()
        self._folder.cleanup()

    def release(self) -> None:
        self._released.set()

    def cut(self) -> None:
        """Both sides are told, as by a client's kernel when the client is killed."""
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._upstream)
            self._ends += [client, server]
            traffic = Traffic()
            self.connections.append(traffic)
            for work in (self._ask, self._answer):
                thread = threading.Thread(target=work, args=[client, server, traffic])
                self._threads.append(thread)
                thread.start()

    def _ask(self, client: socket.socket, server: socket.socket, traffic: Traffic) -> None:
        with _ended(server):
            while chunk := client.recv(1 << 20):
                if traffic.asked == traffic.answered:  # the client has heard all that it waited for
                    traffic.asked += 1
                traffic.sent += chunk
                time.sleep(self._delay)
                if traffic.asked - 1 == self._hold_at:
                    self._hold(client)
                server.sendall(chunk)

    def _hold(self, client: socket.socket) -> None:
        """Until the question may go on, or nobody is there any more who would hear the answer."""
        self.held.set()
        deadline = time.monotonic() + HOLD_TIMEOUT_SECONDS
        gone = select.poll()
        gone.register(client, select.POLLHUP)
        while not self._released.wait(0.02) and time.monotonic() < deadline:
            if gone.poll(0):
                raise ConnectionResetError

    def _answer(self, client: socket.socket, server: socket.socket, traffic: Traffic) -> None:
        with _ended(client):
            while chunk := server.recv(1 << 20):
                time.sleep(self._delay)
                traffic.received += chunk
                traffic.answered = traffic.asked
                client.sendall(chunk)


@contextlib.contextmanager
def _ended(other: socket.socket) -> Iterator[None]:
    """One side is gone: the other one hears of it."""
    with contextlib.suppress(OSError):
        yield
    with contextlib.suppress(OSError):
        other.shutdown(socket.SHUT_RDWR)
