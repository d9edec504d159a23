"""What the shell completes besides commands and options. Never fails: a completion that errs types nothing."""

from __future__ import annotations

from pathlib import Path


def targets(incomplete: str) -> list[str]:
    """The targets of dbopt.yaml."""
    from dbopt import config
    from dbopt.errors import Error

    try:
        names = config.target_names()
    except Error:
        return []
    return [name for name in names if name.startswith(incomplete)]


def checks(incomplete: str) -> list[str]:
    """The checks of health, none of them loaded."""
    from dbopt.health.checks import check_ids

    return [name for name in check_ids() if name.startswith(incomplete)]


def groups(incomplete: str) -> list[str]:
    """The groups of health's checks."""
    from dbopt.health.check import Group

    return [name for name in Group if name.startswith(incomplete)]


def metrics(incomplete: str) -> list[str]:
    """The figures of metrics."""
    from dbopt.metrics.catalogue import METRICS

    return [name for name in METRICS if name.startswith(incomplete)]


def metric_groups(incomplete: str) -> list[str]:
    from dbopt.metrics.metric import Group

    return [name for name in Group if name.startswith(incomplete)]


def specs(incomplete: str) -> list[str]:
    """Spec files and folders below what is typed, and the specs of indexes/ by name."""
    base = Path(incomplete).parent if not incomplete.endswith("/") else Path(incomplete)
    try:
        entries = sorted(base.iterdir()) if base.is_dir() else []
    except OSError:
        return []
    names = [
        f"{entry}/" if entry.is_dir() else str(entry)
        for entry in entries
        if entry.suffix in (".yaml", ".yml") or entry.is_dir()
    ]
    return [name for name in names if name.startswith(incomplete) and not Path(name).name.startswith(".")]
