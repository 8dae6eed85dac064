"""A write-ahead log cut at every byte, with any byte changed, with its frames in any other order: what is taken from
it is a prefix of what was written, and what is lost is found.

Each is given to the sequencer, to `verify` and to the recovery of its writer. Design: audit.md 4.1 and 5.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from pdp.audit.checkpoint import parse_vkey
from pdp.audit.frame import scan
from pdp.audit.leaf import parse
from pdp.audit.reader import entries, read_bundle, tree_size
from pdp.audit.sequencer import Sequencer
from pdp.audit.tiles import ENTRIES, refs_of_level
from pdp.audit.verify import verify_files, verify_log
from pdp.audit.verify_trust import Wanted
from pdp.audit.wal import recover
from tests.support.logs import (
    KEY,
    ORIGIN,
    VKEY,
    Clock,
    Faults,
    LiveLog,
    MemoryDisk,
    ignore,
    put,
    records,
    wal_bytes,
    wal_file,
)

GROUPS = [list(records(6)[first:end]) for first, end in ((0, 1), (1, 2), (2, 5), (5, 6))]
WHOLE = wal_bytes(GROUPS)
ENDS = [frame.end for frame in scan(WHOLE).frames]


def kept(data: bytes) -> tuple[list[bytes], int, bytes]:
    """What becomes of a write-ahead log of these bytes: the records that enter the tree, what `verify` ends with, and
    the file after its writer's recovery."""
    log, wal = MemoryDisk(Faults()), MemoryDisk(Faults())
    wal.files[wal_file()] = wal.durable[wal_file()] = data
    sequencer = Sequencer(log, wal, ORIGIN, KEY, Clock())
    sequencer.start()
    while sequencer.integrate():
        pass
    sequencer.publish()
    size = tree_size(log)
    held = [entry for ref in refs_of_level(ENTRIES, size) for entry in read_bundle(log, ref)]
    code = verify_files(log, wal, parse_vkey(VKEY), ignore, Wanted()).exit_code
    with TemporaryDirectory() as folder:
        (Path(folder) / wal_file()).write_bytes(data)
        recover(Path(folder), 0)
        return held, code, (Path(folder) / wal_file()).read_bytes()


def whole_groups(count: int) -> list[bytes]:
    """The records of the first groups."""
    return [leaf for group in GROUPS[:count] for leaf in group]


def test_a_log_cut_at_every_byte_recovers_to_a_prefix() -> None:
    """For every n: tree(cut(log, n)) holds the whole frames in n bytes, and is sound; the file is cut there."""
    for size in range(len(WHOLE) + 1):
        whole = sum(end <= size for end in ENDS)
        held, code, left = kept(WHOLE[:size])
        assert (held, code) == (whole_groups(whole), 0), f"cut at byte {size}"
        assert left == WHOLE[: ENDS[whole - 1] if whole else 0], f"cut at byte {size}"


def test_a_byte_changed_anywhere_recovers_to_a_prefix_and_is_found() -> None:
    """For every n: neither the frame of byte n enters nor what follows it; it is damage, and kept, but for the last."""
    for at in range(len(WHOLE)):
        data = WHOLE[:at] + bytes([WHOLE[at] ^ 1 << at % 8]) + WHOLE[at + 1 :]
        hit = sum(end <= at for end in ENDS)
        held, code, left = kept(data)
        last = hit == len(ENDS) - 1
        assert (held, code) == (whole_groups(hit), 0 if last else 20), f"byte {at}"
        assert left == (data[: ENDS[hit - 1]] if last else data), f"byte {at}"


def test_frames_swapped_doubled_or_taken_out_recover_to_a_prefix_and_are_found() -> None:
    """For every arrangement of the frames but the true one: what enters is the prefix that both share."""
    starts = [0, *ENDS[:-1]]
    pieces = [WHOLE[start:end] for start, end in zip(starts, ENDS, strict=True)]
    orders = {order for length in (3, 4, 5) for order in product(range(4), repeat=length)}
    tried = 0
    for order in sorted(orders)[::3]:
        shared = next((i for i, number in enumerate(order) if i != number), len(order))
        held, code, left = kept(b"".join(pieces[number] for number in order))
        assert held == whole_groups(shared), f"frames {order}"
        assert code == (0 if shared == len(order) else 20), f"frames {order}"
        assert left == b"".join(pieces[number] for number in order), f"frames {order}"
        tried += 1
    assert tried > 400


@pytest.mark.parametrize("cut", [0, 1, 2, 3])
def test_what_a_cut_left_is_stated_by_the_next_run(tmp_path: Path, cut: int) -> None:
    """The whole way: a writer's own file is cut, a writer follows it, the sequencer takes both in, and it verifies."""
    live = LiveLog(tmp_path / "state")
    with live.writing() as writer:
        put(writer, 20)
    (name,) = live.names()
    path = live.state / "wal" / name
    frames = scan(path.read_bytes()).frames
    path.write_bytes(path.read_bytes()[: frames[-1].end - (0, 1, 50, frames[-1].end - frames[-2].end - 1)[cut]])
    with live.writing() as writer:
        put(writer, 3)
    live.pass_quietly(live.sequencer())
    report = verify_log(live.state / "log", live.state / "wal", live.keys.vkey, ignore)
    assert (report.exit_code, report.notes) == (0, ())
    kinds = [parse(entry).kind for _, entry in entries(live.state / "log")]
    assert kinds.count("log.start") == 2
    assert kinds.count("log.recovered") == (cut > 0)
