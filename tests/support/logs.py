"""Small logs for tests: records, write-ahead logs, a disk in memory that fails and loses power, whole folders, and a
log with a real writer."""

from __future__ import annotations

import errno
import os
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pdp.audit.checkpoint import format_vkey
from pdp.audit.disk import Folder, MemberError
from pdp.audit.files import open_log_file
from pdp.audit.frame import GENESIS, encode_frame
from pdp.audit.ids import IdKey
from pdp.audit.keys import LogKeys, create_keys
from pdp.audit.leaf import encode
from pdp.audit.report import Report
from pdp.audit.sequencer import QUIET_S, Sequencer
from pdp.audit.verify import verify_log
from pdp.audit.verify_trust import Wanted
from pdp.audit.writer import Limits, LogWriter, Receipt
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


def newer_frames(count: int, first: int = 0) -> bytes:
    """Frames as a later version may write them: of format 2, a record each from `first` on, every sum right."""
    data, previous = b"", GENESIS
    for number in range(first, first + count):
        leaf = record(number)
        payload = len(leaf).to_bytes(2, "big") + leaf
        numbers = (number.to_bytes(8, "big"), (1).to_bytes(4, "big"), len(payload).to_bytes(4, "big"))
        body = b"".join([b"PWAL", (2).to_bytes(2, "big"), bytes(2), *numbers, previous, payload])
        body += zlib.crc32(body).to_bytes(4, "big")
        previous = sha256(body).digest()
        data += body + previous
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
    """`Disk` in memory. `files` is what processes see, `durable` what a power cut leaves for certain.

    `held` are the files whose writer lives.
    """

    def __init__(self, faults: Faults) -> None:
        self.files: dict[str, bytes] = {}
        self.durable: dict[str, bytes] = {}
        self.held: set[str] = set()
        self.faults = faults

    def read(self, path: str, most: int = 1 << 30) -> bytes | None:
        data = self.files.get(path)
        if data is not None and len(data) > most:
            raise MemberError(path, "it is too large")
        return data

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

    def remove_closed(self, path: str, length: int) -> bool:
        if path in self.held or self.length(path) != length:
            return False
        self.remove(path)
        return True

    def append(self, path: str, data: bytes) -> None:
        """What a writer does without a sync."""
        self.files[path] = self.files.get(path, b"") + data

    def power_cut(self, keeps: Callable[[str], bool]) -> None:
        """Everything that is not durable is lost, but for the files of which `keeps` says that they got through."""
        survived = {p: data for p, data in self.files.items() if keeps(p)}
        self.files = {**self.durable, **survived}
        self.durable = dict(self.files)


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class LiveLog:
    """A state folder with keys, real writers that come and go, and a sequencer whose seconds pass when told."""

    def __init__(self, state: Path) -> None:
        for folder in ("wal", "log"):
            (state / folder).mkdir(parents=True)
        self.state = state
        self.keys: LogKeys = create_keys(state / "keys", ORIGIN, os.urandom)
        self.clock = Clock()

    @contextmanager
    def writing(self, drawn: bytes = b"", limits: Limits | None = None) -> Iterator[LogWriter]:
        """A writer at work; `drawn` are its random bytes wherever so many are wanted."""
        writer = LogWriter(
            self.state / "wal",
            0,
            self.keys,
            open_file=open_log_file,
            entropy=lambda size: drawn if size == len(drawn) else os.urandom(size),
            clock_us=lambda: time.time_ns() // 1000,
            on_settled=lambda _: None,
            software="test",
            limits=limits or Limits(),
        )
        writer.start()
        try:
            yield writer
        finally:
            writer.close(20)

    def sequencer(self) -> Sequencer:
        """A started sequencer."""
        log, wal = Folder(self.state / "log"), Folder(self.state / "wal")
        sequencer = Sequencer(log, wal, self.keys.origin, self.keys.sign_key, self.clock)
        sequencer.start()
        return sequencer

    def pass_quietly(self, sequencer: Sequencer) -> None:
        """Let the sequencer take in and sign what is there, and see it quiet for long enough to remove what is done."""
        for _ in range(3):
            while sequencer.integrate():
                pass
            sequencer.publish()
            self.clock.now += QUIET_S

    def names(self) -> list[str]:
        """The write-ahead logs that are there."""
        return sorted(path.name for path in (self.state / "wal").glob("*.wal"))


def put(writer: LogWriter, count: int, size: int = 10) -> list[Receipt]:
    """Append records of about so many bytes, the last one strict, and wait until all are acknowledged."""
    receipts = []
    for number in range(count):
        while writer.status().pending > 500:
            time.sleep(0.001)
        receipts.append(writer.append("decision", {"pad": "x" * size}, None, strict=number == count - 1))
    until = time.monotonic() + 20
    while not all(receipt.settled for receipt in receipts):
        assert time.monotonic() < until
        time.sleep(0.001)
    assert [receipt.error for receipt in receipts] == [None] * count
    return receipts
