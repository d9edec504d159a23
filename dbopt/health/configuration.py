"""What the checks of settings share: how one is described, and what sets it right."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.health.check import Need, NotJudged
from dbopt.postgres.settings import SERVER_FILES

if TYPE_CHECKING:
    from dbopt.health.scene import Scene
    from dbopt.postgres.settings import Setting

READS_FILES = Need(
    met=lambda scene: scene.surroundings.is_superuser,
    reason="the server's files are for superusers",
    hint=lambda _: "Connect as a superuser.",
)

_TRUE = ("on", "true", "yes", "1", "t", "y")


def switched_on(setting: Setting) -> list[str]:
    """The roles and databases for which it is on, as ALTER takes them."""
    return [owner for owner, value in zip(setting.owners, setting.owned, strict=True) if value.lower() in _TRUE]


def described(setting: Setting) -> str:
    """`off, by configuration file`; `off by default; on for ROLE app`."""
    source = "by default" if setting.source == "default" else f"by {setting.source}"
    own = [f"{value} for {owner}" for owner, value in zip(setting.owners, setting.owned, strict=True)]
    return "; ".join([f"{setting.value} {source}", *own])


def set_right(setting: Setting, value: str) -> str:
    """SQL that gives a switch its safe value wherever it has another."""
    lines = [f"ALTER {owner} RESET {setting.name};" for owner in switched_on(setting) if value == "off"]
    if setting.value != value:
        if setting.source == "command line":
            return f"-- leave {setting.name} out of the server's command line, and restart it"
        lines += [f"ALTER SYSTEM SET {setting.name} = {value};", "SELECT pg_catalog.pg_reload_conf();"]
    return "\n".join(lines)


def memory_bytes(scene: Scene) -> int:
    """Of the machine, or container, that the server runs in. Raises NotJudged where that is not known."""
    reason = "the memory of the server's machine is not known"
    try:
        rows = scene.rows(SERVER_FILES)
    except NotJudged as exc:
        raise NotJudged(reason) from exc  # which is no reason for alarm: it is for advice only
    for row in rows:
        if row.memory_bytes is not None:
            return row.memory_bytes
    raise NotJudged(reason)
