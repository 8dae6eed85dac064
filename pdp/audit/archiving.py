"""Archiving by the sequencer: sealed segments beyond the newest ones, one a look.

A log and a number of segments come in; older segments go into archives (pdp.audit.archive). Belongs to the process that
holds the lock of the log.

Decision: 2026-11-21. One segment a minute: packing one takes seconds, in which nothing is signed.
"""

from __future__ import annotations

from collections.abc import Callable

from pdp.audit.archive import archive_segment, digests_path, sealed_segments
from pdp.audit.archive_zip import segment_refs
from pdp.audit.checkpoint import unproved_checkpoint
from pdp.audit.disk import Disk, MemberError
from pdp.audit.reader import read_checkpoint
from pdp.audit.tiles import TileError

LOOK_EVERY_S = 60.0


class Archiving:
    """What is to be archived of one log; `raw_segments` of the sealed ones stay as they are, all of them where it is 0.

    `clock` gives seconds that never go back.
    """

    def __init__(self, log: Disk, raw_segments: int, clock: Callable[[], float]) -> None:
        self._log, self._raw, self._clock = log, raw_segments, clock
        self._next_look = clock()

    def look(self, say: Callable[[str], None]) -> None:
        """Archive the oldest segment that is due, once a minute; one that cannot be is said, and stays.

        Errors: OSError.
        """
        if not self._raw or self._clock() < self._next_look:
            return
        self._next_look = self._clock() + LOOK_EVERY_S
        data = read_checkpoint(self._log)
        if data is None:
            return
        checkpoint = unproved_checkpoint(data)
        for segment in sealed_segments(checkpoint.size)[: -self._raw]:
            if self._is_due(segment):
                try:
                    archive_segment(self._log, checkpoint, segment)
                except (TileError, MemberError) as error:
                    say(f"segment {segment} is not archived: {error}; run `pdp audit verify`")
                return

    def _is_due(self, segment: int) -> bool:
        """Whether a segment stands raw: all of it, or what an archiving that was broken off left."""
        newest = segment_refs(segment)[-1].path
        return self._log.length(digests_path(segment)) is None or self._log.length(newest) is not None
