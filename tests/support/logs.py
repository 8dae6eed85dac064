"""Small logs for tests: records, write-ahead logs, a disk in memory that fails and loses power, and whole folders."""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pdp.audit.checkpoint import format_vkey
from pdp.audit.disk import Folder
from pdp.audit.frame import GENESIS, encode_frame
from pdp.audit.ids import IdKey
from pdp.audit.leaf import encode
from pdp.audit.report import Report
from pdp.audit.sequencer import Sequencer
from pdp.audit.verify import Wanted, verify_log
from pdp.model import Json

ORIGIN = "test.example/log"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
VKEY = format_vkey(ORIGIN, KEY.public_key().public_bytes_raw())
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
BOOT = 0x0BADCAFE
IDS = IdKey(bytes(32))
T0_US = 1_700_000_000_000_000


def record(seq: int, writer: int = 0, boot: int = BOOT, kind: str = "decision", **clear: Json) -> bytes:
    """One leaf; record 0 of a boot is its `log.start` unless `kind` says otherwise."""
    kind = "log.start" if seq == 0 and kind == "decision" else kind
    return encode(kind, IDS.make(boot, writer, seq), {"t": T0_US + seq, **clear}, None)


def records(count: int, writer: int = 0, boot: int = BOOT) -> list[bytes]:
    """The first `count` records of a boot."""
    return list(_records(count, writer, boot))


@cache
def _records(count: int, writer: int, boot: int) -> tuple[bytes, ...]:
    return tuple(record(seq, writer, boot) for seq in range(count))


def wal_bytes(groups: Sequence[Sequence[bytes]], writer: int = 0) -> bytes:
    """A write-ahead log with one frame a group."""
    data, previous, seq = b"", GENESIS, 0
    for group in groups:
        frame = encode_frame(writer, seq, group, previous)
        data, previous, seq = data + frame, frame[-32:], seq + len(group)
    return data


def wal_file(writer: int = 0, boot: int = BOOT) -> str:
    """The name of a write-ahead log."""
    return f"{writer:02x}-{boot:08x}.wal"


def ignore(_done: int, _total: int) -> None:
    """No progress is shown."""


def sequencer_of(state: Path, clock: Callable[[], float] = lambda: 0.0) -> Sequencer:
    """A started sequencer over a folder."""
    (state / "wal").mkdir(parents=True, exist_ok=True)
    sequencer = Sequencer(Folder(state / "log"), Folder(state / "wal"), ORIGIN, KEY, clock)
    sequencer.start()
    return sequencer


def add_wal(state: Path, leaves: Sequence[bytes], writer: int = 0, boot: int = BOOT) -> None:
    """Put a write-ahead log there, one frame a hundred leaves, or a longer one in its place, whole at any moment."""
    (state / "wal").mkdir(parents=True, exist_ok=True)
    groups = [leaves[at : at + 100] for at in range(0, len(leaves), 100)]
    new = state / "wal" / "new"
    new.write_bytes(wal_bytes(groups, writer))
    new.replace(state / "wal" / wal_file(writer, boot))


def build_log(state: Path, leaves: Sequence[bytes]) -> Path:
    """A log of these leaves of one writer, signed; the folder of the tree."""
    add_wal(state, leaves)
    sequencer = sequencer_of(state)
    while sequencer.integrate():
        pass
    sequencer.publish()
    return state / "log"


def verified(state: Path, wanted: Wanted | None = None, *, wal: bool = True, vkey: str = VKEY) -> Report:
    """The report on a state folder."""
    return verify_log(state / "log", state / "wal" if wal else None, vkey, ignore, wanted)


class Faults:
    """Counts operations of the disks that share it, and fails from a given one on."""

    def __init__(self, fail_at: int | None = None) -> None:
        self.done = 0
        self.fail_at = fail_at

    def step(self) -> None:
        """One operation."""
        self.done += 1
        if self.fail_at is not None and self.done >= self.fail_at:
            raise OSError(errno.EIO, "the disk failed, as it was told to")


class MemoryDisk:
    """`Disk` in memory. `files` is what processes see, `durable` what a power cut leaves for certain."""

    def __init__(self, faults: Faults) -> None:
        self.files: dict[str, bytes] = {}
        self.durable: dict[str, bytes] = {}
        self.free: set[str] = set()
        self.faults = faults

    def read(self, path: str) -> bytes | None:
        return self.files.get(path)

    def read_at(self, path: str, offset: int, size: int) -> bytes:
        return self.files.get(path, b"")[offset : offset + size]

    def length(self, path: str) -> int | None:
        data = self.files.get(path)
        return None if data is None else len(data)

    def names(self, folder: str) -> tuple[str, ...]:
        prefix = f"{folder}/" if folder else ""
        return tuple(sorted({p.removeprefix(prefix).split("/")[0] for p in self.files if p.startswith(prefix)}))

    def replace(self, files: Mapping[str, bytes]) -> None:
        for path, data in files.items():
            self.faults.step()
            self.files[path] = data
        self.faults.step()
        self.durable.update(files)

    def sync(self, path: str) -> None:
        self.faults.step()
        if path:
            self.durable[path] = self.files[path]
        else:
            self.durable = {p: data for p, data in self.durable.items() if p in self.files}

    def remove(self, path: str) -> None:
        self.faults.step()
        for name in [p for p in self.files if p == path or p.startswith(f"{path}/")]:
            del self.files[name]

    def is_free(self, path: str) -> bool:
        return path in self.free

    def append(self, path: str, data: bytes) -> None:
        """What a writer does without a sync."""
        self.files[path] = self.files.get(path, b"") + data

    def power_cut(self, keeps: Callable[[str], bool]) -> None:
        """Everything that is not durable is lost, but for the files of which `keeps` says that they got through."""
        survived = {p: data for p, data in self.files.items() if keeps(p)}
        self.files = {**self.durable, **survived}
        self.durable = dict(self.files)
