"""Whether the disk of the log is nearly full: stated when it comes to that, and once more when it is over.

    log.degraded   t instant   free room in thousandths   over whether it is over

Design: audit.md 4.6.

Decision: 2026-11-21. It is asked with each heartbeat, and over only from 12 % on, so that a log at the threshold does
    not fill what is left with saying so. A share that cannot be asked for is not stated: a write will tell.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from pdp.audit.books import Note

DEGRADED = "log.degraded"

LOW_PERMILLE = 100
ENOUGH_PERMILLE = 120


class Room:
    """The room for the files of one folder. Used by one thread."""

    def __init__(self, folder: Path, free: Callable[[Path], int]) -> None:
        """`free` gives the free room on the disk of a folder in thousandths, or raises OSError."""
        self._folder, self._free = folder, free
        self.is_short = False
        """Whether the log has said that there is little room, and not yet that there is enough."""

    def look(self, now_us: int) -> Note | None:
        """What is to be stated now, if anything."""
        try:
            free = self._free(self._folder)
        except OSError:
            return None
        is_short = free < (ENOUGH_PERMILLE if self.is_short else LOW_PERMILLE)
        if is_short == self.is_short:
            return None
        self.is_short = is_short
        return DEGRADED, {"t": now_us, "free": free, "over": not is_short}


def free_permille(folder: Path) -> int:
    """The room on the disk of a folder that is free for us, in thousandths. Errors: OSError."""
    about = os.statvfs(folder)
    return about.f_bavail * 1_000 // about.f_blocks if about.f_blocks else 1_000
