"""The ways in which a run is killed. Each says whether it has hit anything."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from helpers import wait_until

if TYPE_CHECKING:
    import random
    import subprocess
    from collections.abc import Callable

    from tests.health.standby import Node

BUILD_SECONDS = 0.4  # how long a kill of a build waits for one
FROZEN_SECONDS = 0.6
_OURS = "FROM pg_stat_activity WHERE datname = %(dbname)s AND application_name LIKE 'dbopt%%'"
_BUILDING = "AND state = 'active' AND query ~ '^(CREATE|DROP|ALTER|ANALYZE) '"


@dataclass
class Scene:
    """What a kill may lay hands on. `harmed`: the server is not there for a moment, or was not."""

    node: Node
    conninfo: str  # of the server's own database
    dbname: str
    process: subprocess.Popen[str]
    rng: random.Random
    harmed: bool = False
    session: psycopg.Connection[Any] | None = None

    def sql(self, query: str, **params: object) -> list[tuple[Any, ...]]:
        """In another database, so that no build waits for this; [] while the server is not there."""
        try:
            if self.session is None or self.session.closed:
                self.session = psycopg.connect(self.conninfo, autocommit=True)
            return self.session.execute(query, {"dbname": self.dbname, **params}).fetchall()
        except psycopg.OperationalError:
            self.close()
            return []

    def close(self) -> None:
        if self.session is not None:
            self.session.close()

    @property
    def runs(self) -> bool:
        return self.process.poll() is None

    def building(self) -> list[int]:
        """dbopt's sessions that change something right now; waits a moment for one."""
        deadline = time.monotonic() + BUILD_SECONDS
        while self.runs and time.monotonic() < deadline:
            if found := self.sql(f"SELECT pid {_OURS} {_BUILDING}"):
                return [pid for (pid,) in found]
            time.sleep(0.005)
        return []


class Straggler:
    """A transaction that stays open for a while: a build has to wait for it, and the kill meets it there."""

    def __init__(self, conninfo: str, table: str, seconds: float, *, writes: bool) -> None:
        self._thread = threading.Thread(target=self._stay, args=(conninfo, table, seconds, writes), daemon=True)
        self._begun = threading.Event()
        self._thread.start()
        self._begun.wait(BUILD_SECONDS)

    def _stay(self, conninfo: str, table: str, seconds: float, writes: bool) -> None:
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(conninfo) as conn:
            conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            conn.execute(f"UPDATE {table} SET hits = 0 WHERE false" if writes else "SELECT 1")
            self._begun.set()
            time.sleep(seconds)

    def end(self) -> None:
        self._thread.join()


def _signal(signum: int) -> Callable[[Scene], bool]:
    def kill(scene: Scene) -> bool:
        hit = scene.runs
        scene.process.send_signal(signum)
        return hit

    return kill


def _on_builder(function: str) -> Callable[[Scene], bool]:
    def kill(scene: Scene) -> bool:
        pids = scene.building()
        return scene.sql(f"SELECT {function}(pid) FROM unnest(%(pids)s::int[]) AS pid", pids=pids[:1]) == [(True,)]

    return kill


def _watcher(scene: Scene) -> bool:
    holds = "pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted)"
    return (True,) in scene.sql(f"SELECT pg_terminate_backend(pid) {_OURS} AND {holds}")


def _every_session(scene: Scene) -> bool:
    return (True,) in scene.sql(f"SELECT pg_terminate_backend(pid) {_OURS}")


def _immediate(scene: Scene) -> bool:
    return _restart(scene, signal.SIGQUIT)


def _fast(scene: Scene) -> bool:
    return _restart(scene, signal.SIGINT)


def _restart(scene: Scene, signum: int) -> bool:
    hit = scene.runs
    scene.harmed = True
    scene.node.stop(signum)
    time.sleep(scene.rng.uniform(0, 0.5))
    scene.node.start()
    return hit


def _crash(scene: Scene) -> bool:
    """A backend dies, and the postmaster takes all others along."""
    pids = scene.building()
    if not pids:
        return False
    with psycopg.connect(scene.conninfo, autocommit=True) as bystander:
        scene.harmed = True
        os.kill(pids[0], signal.SIGKILL)
        wait_until(lambda: not _answers(bystander), "the crash")
    wait_until(lambda: scene.sql("SELECT 1"), "the recovery")
    return True


def _answers(conn: psycopg.Connection[Any]) -> bool:
    try:
        conn.execute("SELECT 1")
    except psycopg.Error:
        return False
    return True


def _frozen(scene: Scene) -> bool:
    hit = scene.runs
    scene.process.send_signal(signal.SIGSTOP)
    time.sleep(FROZEN_SECONDS)
    scene.process.send_signal(signal.SIGCONT)
    return hit


SIGNALS = {"SIGKILL": _signal(signal.SIGKILL), "SIGTERM": _signal(signal.SIGTERM), "SIGINT": _signal(signal.SIGINT)}
KILLS: dict[str, Callable[[Scene], bool]] = {
    **SIGNALS,
    "terminate build": _on_builder("pg_terminate_backend"),
    "cancel build": _on_builder("pg_cancel_backend"),
    "terminate watch": _watcher,
    "terminate all": _every_session,
    "immediate stop": _immediate,
    "fast restart": _fast,
    "crash": _crash,
    "frozen": _frozen,
}
