"""Who runs dbopt, for the record."""

from __future__ import annotations

import os
import pwd


def os_user() -> str:
    """By the kernel's word, not the environment's. Containers run as numbers that have no name."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
