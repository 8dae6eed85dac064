"""A log whose keys change: a state folder with keys, records when asked for, and the change of keys step by step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pdp.audit.checkpoint import Verifier, format_vkey
from pdp.audit.disk import Disk, Folder
from pdp.audit.keys import LogKeys, create_keys, load_keys
from pdp.audit.leaf import encode
from pdp.audit.manifest import MANIFEST, Statement, Succession, parse_manifest, sign_statement
from pdp.audit.rotation import ANNOUNCED
from pdp.audit.sequencer import Sequencer
from pdp.audit.succession import DAY_S, Turn, announcement, begin_manifest, find_turn, hand_over, settle
from tests.support.logs import BOOT, IDS, ORIGIN, T0_US, record, wal_bytes, wal_file

T0_S = T0_US // 1_000_000
ROOT_KEY = Ed25519PrivateKey.from_private_bytes(bytes([7]) * 32)
ROOT_VKEY = format_vkey(ORIGIN, ROOT_KEY.public_key().public_bytes_raw())


def counting() -> Callable[[int], bytes]:
    """Random bytes that are none: other ones at each call."""
    drawn = iter(range(1, 1 << 16))
    return lambda size: next(drawn).to_bytes(2, "big") * (size // 2)


class ChangingLog:
    """One log under `state`; the seconds since its first record pass when told."""

    def __init__(self, state: Path, root: str | None = None) -> None:
        state.mkdir(parents=True, exist_ok=True)
        self.state = state
        self.keys_dir = state / "keys"
        self.entropy = counting()
        self._groups: list[list[bytes]] = []
        self.now_s = T0_S
        self.first = create_keys(self.keys_dir, ORIGIN, self.entropy, root)
        self.disk: Disk = Folder(state / "log")

    @property
    def leaves(self) -> list[bytes]:
        return [leaf for group in self._groups for leaf in group]

    @property
    def keys(self) -> LogKeys:
        return load_keys(self.keys_dir)

    @property
    def succession(self) -> Succession:
        return parse_manifest(self.disk.read(MANIFEST, 1 << 24), self.first.anchor)

    @property
    def checkpoint(self) -> bytes:
        return (self.state / "log/checkpoint").read_bytes()

    def grow(self, count: int = 1) -> None:
        """So many records more, made now, under a new checkpoint."""
        held = len(self.leaves)
        self._add([record(held + number, t=self.now_s * 1_000_000, by=["policy"]) for number in range(count)])

    def _add(self, group: list[bytes]) -> None:
        """One frame more, taken in and signed with the key in use."""
        self._groups.append(group)
        (self.state / "wal").mkdir(exist_ok=True)
        new = self.state / "new"
        new.write_bytes(wal_bytes(self._groups))
        new.replace(self.state / "wal" / wal_file())
        sequencer = Sequencer(Folder(self.state / "log"), Folder(self.state / "wal"), ORIGIN, self.keys.sign_key, float)
        sequencer.start()
        while sequencer.integrate():
            pass
        sequencer.publish()

    def turn(self, key_days: int = 1) -> Turn | None:
        return find_turn(self.succession, self.keys_dir, key_days, self.now_s, self.entropy)

    def announce(self, turn: Turn) -> None:
        fields = announcement(turn, self.now_s * 1_000_000)
        self._add([encode(ANNOUNCED, IDS.make(BOOT, 0, len(self.leaves)), fields, None)])

    def begin(self) -> None:
        """A first record, and a manifest with the first key."""
        self.grow()
        begin_manifest(self.disk, self.keys_dir, T0_S)
        settle(self.disk, self.keys_dir)

    def change(self, days: int = 1) -> Turn:
        """The days pass, and the key changes."""
        self.now_s += days * DAY_S
        turn = self.turn()
        assert turn is not None
        self.announce(turn)
        hand_over(self.disk, self.keys_dir, turn, self.now_s)
        return turn

    def endorse(self, number: int, key: Verifier, from_s: int, until_s: int) -> None:
        """The root signs for a key."""
        statement = Statement(ORIGIN, number, key, from_s, until_s)
        (self.keys_dir / "endorsed").write_bytes(sign_statement(statement, ORIGIN, ROOT_KEY))
