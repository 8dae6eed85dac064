"""What it takes to verify a log, and to keep it: `python -m benchmarks.audit [--records 200000]`.

A log of the usual call (benchmarks/usual.py), with some refusals and contexts among them, goes through the real
encoder, the real box and the real sequencer, from two writers; only that each file is synced is left out. Then a
process of its own verifies it, by a key and nothing else, as it stands and with every sealed segment archived. Printed:

    hashes      what SHA-256 alone takes of the same records, leaves and nodes: no verification can be faster
    verified    the verification, in the processor's time of its one thread, the best of some rounds; `quickest` takes
                of each bundle the round that was quickest, since a shared machine is slower by turns
    peak        the most memory the verifying process ever had, and what it had before it began
    archive     bytes a record, raw and archived, and how long a segment takes each way
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from itertools import count, islice, pairwise
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Struct
from msgspec.structs import replace

from benchmarks.usual import CONTEXT, NOW_US, ORIGIN, state_folder, usual
from pdp.audit.archive import SEGMENT_RECORDS, archive_segment, restore_segment, sealed_segments
from pdp.audit.box import Sealer
from pdp.audit.checkpoint import format_vkey, open_checkpoint, parse_vkey
from pdp.audit.disk import Folder
from pdp.audit.frame import GENESIS, encode_frame
from pdp.audit.ids import IdKey
from pdp.audit.leaf import encode
from pdp.audit.merkle import TILE_WIDTH, leaf_hashes, subtree_root
from pdp.audit.reader import entries, tree_size
from pdp.audit.record import Entry, context_entry, decision_entry
from pdp.audit.sequencer import Sequencer
from pdp.audit.verify import verify_log
from tests.support.process import ROOT

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
VKEY = format_vkey(ORIGIN, KEY.public_key().public_bytes_raw())
IDS = IdKey(bytes(32))
WRITERS = 2
GROUP = 64
BOOT_GROUPS = 2_000
STEP_GROUPS = 256
HASHED = 2_560
HASH_ROUNDS = 400


class Unsynced(Folder):
    """A folder that leaves it to the system when what is on the disk."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._at = root

    def replace(self, files: Mapping[str, bytes]) -> None:
        """See `Disk`, but for power cuts."""
        for path, data in files.items():
            target = self._at / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)

    def sync(self, path: str) -> None:
        """Nothing is waited for."""


class Took(Struct, frozen=True):
    """What one verification took: microseconds of the processor for each bundle, and the peaks of memory."""

    exit_code: int
    records: int
    wall_s: float
    bundles_us: list[int]
    before_kib: int
    peak_kib: int


class Writer:
    """One writer's runs: groups of records, each as one frame; a new boot after so many."""

    def __init__(self, number: int, kinds: Sequence[Entry]) -> None:
        self._number = number
        self._kinds = kinds
        self._boots = count(1)
        self._previous: bytes = GENESIS
        self._begin()

    def group(self, now_us: int) -> tuple[str, bytes]:
        """The next frame, and the file it belongs to."""
        if self._groups == BOOT_GROUPS:
            self._begin()
        self._groups += 1
        leaves = [self._leaf(now_us + 50 * i) for i in range(GROUP)]
        frame = encode_frame(self._number, self._seq - GROUP, leaves, self._previous)
        self._previous = frame[-32:]
        return f"{self._number:02x}-{self._boot:08x}.wal", frame

    def _begin(self) -> None:
        self._boot = next(self._boots)
        self._salt = os.urandom(32)
        self._sealer = Sealer(bytes(32), self._salt, ORIGIN, os.urandom)
        self._seq = self._groups = 0
        self._previous = GENESIS

    def _leaf(self, now_us: int) -> bytes:
        seq = self._seq
        self._seq += 1
        record_id = IDS.make(self._boot, self._number, seq)
        if seq == 0:
            return encode("log.start", record_id, {"t": now_us, "salt": self._salt.hex()}, None)
        made = self._kinds[seq % len(self._kinds)]
        clear = {**made.clear, "t": now_us}
        return encode(made.kind, record_id, clear, self._sealer.seal(seq, record_id, made.inputs or b""))


def make(state: Path, records: int, most_inputs: int | None) -> None:
    """A signed log of at least so many records. `most_inputs` bytes of the inputs of each are sealed, None: all."""
    sequencer = Sequencer(Unsynced(state / "log"), Unsynced(state / "wal"), ORIGIN, KEY, lambda: 0.0)
    sequencer.start()
    kinds = [replace(each, inputs=(each.inputs or b"")[:most_inputs]) for each in usual_kinds()]
    writers = [Writer(number, kinds) for number in range(WRITERS)]
    instants = count(NOW_US, 10_000)
    while sequencer.size < records:
        open_files: dict[int, str] = {}
        for _ in range(STEP_GROUPS):
            for number, writer in enumerate(writers):
                open_files[number], frame = writer.group(next(instants))
                with (state / "wal" / open_files[number]).open("ab") as file:
                    file.write(frame)
        while sequencer.integrate():
            pass
        sequencer.publish()
        for path in (state / "wal").iterdir():
            if path.name not in open_files.values():
                path.unlink()


def usual_kinds() -> list[Entry]:
    """Forty records as they come: the usual call, and now and then a caller's context, and a call of no endpoint."""
    call = usual()
    strayed = call.evaluator.evaluate(replace(call.inquiry, path="/accounts/a-1001/nowhere"), NOW_US)
    refused = decision_entry(strayed.decision, strayed.evidence, strayed.engine, NOW_US, "edge", CONTEXT)
    principal = call.inquiry.principal
    if principal is None:
        raise SystemExit("the usual call has no caller")
    context = context_entry(principal, call.inquiry, NOW_US)
    return [context, refused, refused, *[call.entry()] * 37]


def verify(state: Path) -> None:
    """Verify in this process, and print what it took."""
    before = peak_kib()
    wall, marks = time.perf_counter(), [time.process_time()]
    report = verify_log(state / "log", None, VKEY, lambda _done, _total: marks.append(time.process_time()))
    wall_s = time.perf_counter() - wall
    bundles_us = [round((after - earlier) * 1e6) for earlier, after in pairwise(marks)]
    print(msgspec.json.encode(Took(report.exit_code, report.records, wall_s, bundles_us, before, peak_kib())).decode())


def peak_kib() -> int:
    """The most memory that this process ever had. `getrusage` would tell of the one it was forked from, too."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def verified(state: Path, rounds: int) -> list[Took]:
    """Verifications, each by a process of its own. Anything but a sound log ends the run."""
    found = []
    for _ in range(rounds):
        command = [sys.executable, "-m", "benchmarks.audit", "--verify", str(state)]
        told = subprocess.run(command, check=True, capture_output=True, cwd=ROOT).stdout
        found.append(msgspec.json.decode(told, type=Took))
        if found[-1].exit_code != 0:
            raise SystemExit("the log does not verify")
    return found


def hashes_alone_us(state: Path) -> float:
    """Microseconds that the hashes of one record take at the least."""
    sample = [entry for _, entry in islice(entries(state / "log"), HASHED // TILE_WIDTH * TILE_WIDTH)]
    best = float("inf")
    for _ in range(HASH_ROUNDS):
        began = time.process_time()
        for first in range(0, len(sample), TILE_WIDTH):
            subtree_root(leaf_hashes(sample[first : first + TILE_WIDTH]))
        best = min(best, time.process_time() - began)
    return best * 1e6 / len(sample)


def archive(state: Path) -> tuple[int, float]:
    """Archive every sealed segment; how many bytes they have now, and the seconds for one."""
    folder = Unsynced(state / "log")
    checkpoint = open_checkpoint((state / "log" / "checkpoint").read_bytes(), parse_vkey(VKEY))
    segments = sealed_segments(checkpoint.size)
    began = time.process_time()
    for segment in segments:
        archive_segment(folder, checkpoint, segment)
    took = time.process_time() - began
    size = sum(path.stat().st_size for path in (state / "log" / "archive").rglob("*") if path.is_file())
    return size, took / len(segments)


def bundle_bytes(state: Path) -> int:
    """The bytes of all bundles that stand there themselves."""
    return sum(path.stat().st_size for path in (state / "log" / "tile" / "entries").rglob("*") if path.is_file())


def measure(records: int, rounds: int, most_inputs: int | None, *, archiving: bool) -> None:
    """Make, verify, archive, verify, restore, and print."""
    with state_folder() as state:
        make(state, records, most_inputs)
        size = tree_size(Folder(state / "log"))
        raw = bundle_bytes(state)
        floor_us = hashes_alone_us(state)
        print(f"{size:,} records of {raw / size:.0f} bytes, {rounds} rounds\n")
        print("| | records/s, one core | µs a record | quickest, µs | by the clock, s | before, MiB | peak, MiB |")
        print("|---|---|---|---|---|---|---|")
        print(f"| hashes alone | | | {floor_us:.2f} | | | |")
        print_verified("verified", size, verified(state, rounds))
        if archiving:
            packed, archive_s = archive(state)
            print_verified("verified, archived", size, verified(state, rounds))
            began = time.process_time()
            restore_segment(Unsynced(state / "log"), 0)
            sealed = len(sealed_segments(size)) * SEGMENT_RECORDS
            print("\n| bytes a record | archived | archive a segment, s | restore it, s |\n|---|---|---|---|")
            print(f"| {raw / size:.0f} | {packed / sealed:.0f} | {archive_s:.1f} | {time.process_time() - began:.1f} |")


def print_verified(name: str, size: int, told: Sequence[Took]) -> None:
    """One line of the table."""
    best_us = min(sum(each.bundles_us) for each in told) / size
    quickest_us = sum(map(min, zip(*(each.bundles_us for each in told), strict=True))) / size
    wall_s, before = min(each.wall_s for each in told), min(each.before_kib for each in told)
    rate = f"{1e6 / best_us:,.0f} | {best_us:.2f} | {quickest_us:.2f} | {wall_s:.1f}"
    print(f"| {name} | {rate} | {before / 1024:.0f} | {max(each.peak_kib for each in told) / 1024:.0f} |", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="what it takes to verify a log, and to keep it")
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--most-inputs", type=int, metavar="BYTES", help="seal only so much: for smaller records")
    parser.add_argument("--no-archive", action="store_true", help="only verify: for many records")
    parser.add_argument("--verify", type=Path, metavar="STATE", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.verify is not None:
        verify(given.verify)
    elif given.records < SEGMENT_RECORDS:
        parser.error(f"--records is at least {SEGMENT_RECORDS}: less cannot be archived")
    else:
        measure(given.records, given.rounds, given.most_inputs, archiving=not given.no_archive)


if __name__ == "__main__":
    main()
