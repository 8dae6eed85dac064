"""How many records are done, on a terminal, once it takes a while; nothing elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable

from rich.console import Console
from rich.progress import Progress

SHOW_AFTER_S = 1.0


class RecordBar:
    """A bar on standard error, which goes away when the work is done. `clock` gives seconds that never go back."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._began = clock()
        self._shown: Progress | None = None

    def show(self, done: int, total: int) -> None:
        """So many records of so many are done."""
        if not sys.stderr.isatty() or self._clock() - self._began < SHOW_AFTER_S:
            return
        if self._shown is None:
            self._shown = Progress(console=Console(stderr=True), transient=True)
            self._shown.add_task("records", total=total)
            self._shown.start()
        self._shown.update(self._shown.task_ids[0], completed=done, total=total)

    def close(self) -> None:
        """Take it away; it begins anew with the next record."""
        if self._shown is not None:
            self._shown.stop()
            self._shown = None
        self._began = self._clock()
