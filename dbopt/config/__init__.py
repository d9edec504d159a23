"""Settings, each with where it came from.

    flag > DBOPT_* > DATABASE_URL and PG* > ./dbopt.yaml > $XDG_CONFIG_HOME/dbopt/config.yaml > default

`read` is a function of the flags, the environment and the folder; it reads the configuration files and nothing else.
"""

from dbopt.config.environment import Flags
from dbopt.config.health import HealthSection, laid_over
from dbopt.config.resolve import Configuration, read, target_names
from dbopt.config.values import Setting, Settings, Target, rows

__all__ = [
    "Configuration",
    "Flags",
    "HealthSection",
    "Setting",
    "Settings",
    "Target",
    "laid_over",
    "read",
    "rows",
    "target_names",
]
