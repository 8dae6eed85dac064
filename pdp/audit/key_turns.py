"""The keys of a log over the life of a sequencer: brought in order at its start, changed when their time is over.

A state folder goes in; out come the keys to sign with, at the start and after each change (pdp.audit.succession).

INVARIANT: whatever goes wrong while a key changes, the log goes on under the key that the manifest ends with.

Decision: 2026-11-21. The announcement of the next key is written like a record of the command line, by a writer with a
    number of its own: the sequencer has none, and the record must be durable before it enters the tree.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pdp.audit.disk import Disk
from pdp.audit.keys import LogKeys, load_keys
from pdp.audit.notice import SEQUENCER_WRITER, write_durably
from pdp.audit.rotation import ANNOUNCED
from pdp.audit.succession import (
    Turn,
    announcement,
    begin_manifest,
    broken_off,
    check_turn,
    find_turn,
    hand_over,
    is_over,
    read_succession,
    settle,
)

LOOK_EVERY_S = 60.0


class KeyTurns:
    """The changes of the keys of one log. Belongs to the process that holds the lock of the log."""

    def __init__(
        self,
        state: Path,
        log: Disk,
        key_days: int,
        *,
        now_us: Callable[[], int],
        clock: Callable[[], float],
        entropy: Callable[[int], bytes],
    ) -> None:
        """`key_days` is how long a key signs, 0 for ever; `now_us` gives Unix microseconds, `clock` seconds that never
        go back, `entropy(n)` n random bytes.
        """
        self._state, self._log, self._key_days = state, log, key_days
        self._now_us, self._clock, self._entropy = now_us, clock, entropy
        self._next_look, self._looked = clock(), False

    def settled(self) -> LogKeys:
        """The keys to sign with, after what an earlier process left half done was brought to its end.

        Errors: StateError S132, A645; ManifestError, CheckpointError, RotationError; TileError; OSError.
        """
        keys = load_keys(self._state / "keys")
        if self._key_days > 0 or keys.signer != keys.anchor:
            made_s = int((self._state / "keys" / "log.key").stat().st_mtime)
            begin_manifest(self._log, self._state / "keys", made_s)
        return settle(self._log, self._state / "keys")

    def due(self, say: Callable[[str], None]) -> Turn | None:
        """The change that is due now, or was announced and broken off; looked for once a minute. A key past its end is
        said. Errors: as `settled`.
        """
        if self._clock() < self._next_look:
            return None
        self._next_look = self._clock() + LOOK_EVERY_S
        is_first, self._looked = not self._looked, True
        keys, following = load_keys(self._state / "keys"), self._state / "keys" / "next.key"
        if self._key_days == 0 and keys.signer == keys.anchor and not following.exists():
            return None
        succession = read_succession(self._log, keys.anchor)
        now_s = self._now_us() // 1_000_000
        if is_over(succession, now_s):
            say("the key of the log is past the end its root stated: others refuse what it signs; endorse the next one")
        turn = find_turn(succession, self._state / "keys", self._key_days, now_s, self._entropy)
        if turn is None and is_first:
            return broken_off(self._log, self._state / "keys", succession)
        if turn is None:
            return None
        check_turn(self._log, self._state / "keys", turn)
        return turn

    def announce(self, turn: Turn) -> None:
        """Make the record durable that announces the next key. Errors: StateError; AuditError."""
        keys = load_keys(self._state / "keys")
        write_durably(self._state, keys, ANNOUNCED, announcement(turn, self._now_us()), SEQUENCER_WRITER)

    def hand_over(self, turn: Turn) -> LogKeys:
        """Change the keys, once that record is under the checkpoint.

        Errors: UnannouncedError while it is not yet. After any other the process has to end: its successor brings the
        change to its end, and nothing may be signed before.
        """
        return hand_over(self._log, self._state / "keys", turn, self._now_us() // 1_000_000)
