"""The host's clock as decisions see it: it never goes back.

The host's clock and a monotonic one come in; Unix microseconds go out. A token, a session or a key that was over stays
over, whoever sets the host's clock back.
INVARIANT: of two calls, the later one gets no less than the earlier one did, and no less than that and the time that
passed in between, but for `LEEWAY_S` in all.
Source: security.md 2.1, row "clock skew/jump".

Decision: 2026-11-21. The time is kept in a file of the state, again and again, so that a start does not believe a clock
that was set back meanwhile; what passed while nobody ran is not known, and does not count.
Decision: 2026-11-21. A clock that was set back stands still until the host's has caught up with it, or `LEEWAY_S` has
passed; then it goes on by the monotonic clock. Where the host's is behind by more than that, `behind_s` says so, and
the service is not ready, so that whoever runs it corrects the clock: which of the two is right nobody here can tell. A
jump ahead is believed: it ends what ends, and lets nobody in.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path

from pdp.audit.files import atomic_write

LEEWAY_S = 60
KEEP_EVERY_S = 10.0

_LEEWAY_US = LEEWAY_S * 1_000_000
_MOST_BYTES = 32
_TIME = re.compile(rb"[1-9][0-9]{0,18}\n")

log = logging.getLogger(__name__)


def host_clock_us() -> int:
    """The host's clock as it is, in Unix microseconds."""
    return time.time_ns() // 1_000


class SteadyClock:
    """`host_us` gives Unix microseconds, `monotonic` seconds. For any thread."""

    def __init__(self, host_us: Callable[[], int], monotonic: Callable[[], float], kept: Path | None = None) -> None:
        """`kept` is the file of the time that was last kept, None for none."""
        self._host_us = host_us
        self._monotonic = monotonic
        self._kept = kept
        self._lock = threading.Lock()
        self._latest_us = max(host_us(), 0 if kept is None else _read(kept))
        self._ahead_us = self._latest_us - int(monotonic() * 1_000_000)
        self._behind_us = 0

    def now_us(self) -> int:
        """The time now."""
        with self._lock:
            host_us, passed_us = self._host_us(), int(self._monotonic() * 1_000_000)
            if host_us - passed_us >= self._ahead_us:
                self._ahead_us, self._behind_us = host_us - passed_us, 0
            else:
                self._behind_us = passed_us + self._ahead_us - host_us
                host_us = max(host_us, host_us + self._behind_us - _LEEWAY_US)
            self._latest_us = max(self._latest_us, host_us)
            return self._latest_us

    def keep(self) -> None:
        """Keep the time for the next start. Errors: OSError."""
        if self._kept is not None:
            atomic_write(self._kept, b"%d\n" % self.now_us())

    async def run(self) -> None:
        """Keep the time, again and again, until cancelled, and once more then. What fails is logged once."""
        told = False
        try:
            while True:
                try:
                    await asyncio.to_thread(self.keep)
                except OSError as error:
                    if not told:
                        log.warning("the time cannot be kept in %s: %s", self._kept, error)
                    told = True
                await asyncio.sleep(KEEP_EVERY_S)
        finally:
            with contextlib.suppress(OSError):
                self.keep()

    def misgiving(self) -> str:
        """What is to be said of the host's clock; "" where it goes as it should."""
        behind_s = self.behind_s
        if not behind_s:
            return ""
        remedy = "correct it" if self._kept is None else f"correct it, or remove {self._kept} where it was ahead before"
        return f"the clock of this host was set back by {behind_s:.0f} s: {remedy}, then start the service anew"

    @property
    def behind_s(self) -> float:
        """How far the host's clock was set back, where that is beyond the leeway; else 0."""
        self.now_us()
        return self._behind_us / 1_000_000 if self._behind_us > _LEEWAY_US else 0.0


def _read(kept: Path) -> int:
    """The time in a file; 0 where it holds none."""
    try:
        with kept.open("rb") as file:
            text = file.read(_MOST_BYTES)
    except OSError:
        return 0
    return int(text) if _TIME.fullmatch(text) else 0
