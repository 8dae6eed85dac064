"""The verification that looks at runs and bundles reports, to the letter, what the one record by record reports."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pdp.audit.checkpoint import parse_vkey, sign_checkpoint
from pdp.audit.leaf import Sealed, encode
from pdp.audit.merkle import Edge, leaf_hash, leaf_hashes
from pdp.audit.report import Report
from pdp.audit.sequencer import Sequencer
from pdp.audit.tiles import ENTRIES, TileError, TileRef, encode_bundle, parse_bundle
from pdp.audit.verify import verify_files
from pdp.audit.verify_trust import Wanted
from pdp.model import Json
from tests.support.logs import (
    BOOT,
    IDS,
    KEY,
    ORIGIN,
    T0_US,
    VKEY,
    Faults,
    MemoryDisk,
    ignore,
    record,
    wal_bytes,
    wal_file,
)
from tests.support.plain_verify import plainly_verified
from tests.support.signed_logs import disk_of, signed_files

SIZE = 700
VERIFIER = parse_vkey(VKEY)


def mixed(seq: int, writer: int = 0, boot: int = BOOT) -> bytes:
    """Record `seq` of a writer: mostly decisions of a few forms, some of other kinds, one in a while with an escape."""
    if seq == 0:
        return record(0, writer, boot)
    clear: dict[str, Json] = {"by": ["cases.owner"], "d": "allow", "t": T0_US + 7 * seq, "sv": "s" * (seq % 3)}
    clear |= {"cx": IDS.make(boot, writer, 1)} if seq % 5 else {}
    clear |= {"bs": seq} if seq % 7 == 0 else {}
    clear |= {"rt": "/é"} if seq % 40 == 13 else {}
    clear |= {"vu": 10**12 + seq} if seq % 2 else {}
    kind = {3: "context", 90: "log.gap"}.get(seq % 100, "decision")
    sealed = None if seq % 11 == 0 else Sealed("AB+/" * (seq % 4 + 1), f"{seq:064x}")
    return encode(kind, IDS.make(boot, writer, seq), clear, sealed)


@cache
def frames_of(writer: int, boot: int) -> bytes:
    leaves = [mixed(seq, writer, boot) for seq in range(SIZE // 2)]
    return wal_bytes([leaves[at : at + 30] for at in range(0, len(leaves), 30)], writer)


@cache
def sound() -> dict[str, bytes]:
    """The files of a signed log of two writers."""
    log, wal = MemoryDisk(Faults()), MemoryDisk(Faults())
    sequencer = Sequencer(log, wal, ORIGIN, KEY, lambda: 0.0)
    sequencer.start()
    for end in (*range(3_000, len(frames_of(0, BOOT)), 7_000), None):
        for writer in (0, 1):
            wal.files[wal_file(writer)] = frames_of(writer, BOOT)[:end]
        sequencer.integrate()
        sequencer.publish()
    return {path: data for path, data in log.files.items() if path != ".cursor"}


def both(files: dict[str, bytes], wanted: Wanted | None = None, wal: MemoryDisk | None = None) -> Report:
    """The report, which is the same either way."""
    fast = verify_files(disk_of(files), wal, VERIFIER, ignore, wanted or Wanted())
    assert fast == plainly_verified(disk_of(files), wal, VERIFIER, wanted or Wanted())
    return fast


def head_at(size: int, edit: bytes = b"") -> bytes:
    """The checkpoint that the sound log had at that size; with an edit, that of another history."""
    leaves = [e for ref in bundle_refs() for e in parse_bundle(sound()[ref.path], ref.width)][:size]
    edge = Edge()
    edge.extend(leaf_hashes([*leaves[:-1], leaves[-1] + edit] if leaves else []))
    return sign_checkpoint(ORIGIN, size, edge.root(), KEY)


def bundle_refs() -> list[TileRef]:
    return [TileRef(ENTRIES, 0, 256), TileRef(ENTRIES, 1, 256), TileRef(ENTRIES, 2, SIZE - 512)]


def test_the_sound_log_is_sound_with_any_head_of_its_own() -> None:
    assert both(sound()).records == SIZE
    for size in (0, 1, 255, 256, 257, 512, 699, 700):
        assert both(sound(), Wanted(known_head=head_at(size))).exit_code == 0
        if size:
            assert both(sound(), Wanted(known_head=head_at(size, b" "))).exit_code == 30


# ------------------------------------------------------------------ edits of any kind

Edit = Callable[[dict[str, bytes], st.DataObject], None]


def _bytes(files: dict[str, bytes], data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(sorted(files)))
    whole = files[path]
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, min(len(whole), start + 40)))
    files[path] = whole[:start] + data.draw(st.binary(max_size=40)) + whole[end:]


def _bit(files: dict[str, bytes], data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(sorted(files)))
    at = data.draw(st.integers(0, max(0, len(files[path]) - 1)))
    whole = files[path]
    if whole:
        files[path] = whole[:at] + bytes([whole[at] ^ 1 << data.draw(st.integers(0, 7))]) + whole[at + 1 :]


def _remove(files: dict[str, bytes], data: st.DataObject) -> None:
    del files[data.draw(st.sampled_from(sorted(files)))]


def _entry(files: dict[str, bytes], data: st.DataObject) -> None:
    """Another record in the place of one, with the hash of level 0 to match or not."""
    ref = data.draw(st.sampled_from(bundle_refs()))
    if ref.path not in files:
        return
    try:
        entries = list(parse_bundle(files[ref.path], ref.width))
    except TileError:  # an edit before this one broke it
        return
    at = data.draw(st.integers(0, ref.width - 1))
    entries[at] = data.draw(st.sampled_from([mixed(9), mixed(at + 1), entries[at - 1], b"{}", b"", entries[at] + b" "]))
    files[ref.path] = encode_bundle(entries)
    tile = TileRef(0, ref.index, ref.width).path
    if data.draw(st.booleans()) and tile in files:
        files[tile] = files[tile][: 32 * at] + leaf_hash(entries[at]) + files[tile][32 * (at + 1) :]


EDITS: list[Edit] = [_bytes, _bit, _remove, _entry]


@settings(max_examples=120, deadline=None)
@given(st.lists(st.sampled_from(EDITS), min_size=1, max_size=4), st.data())
def test_the_same_is_reported_of_any_edited_log(edits: list[Edit], data: st.DataObject) -> None:
    """For all edits e and heads h: verify(e(log), h) = plainly_verified(e(log), h)."""
    files = dict(sound())
    for edit in edits:
        edit(files, data)
    size = data.draw(st.sampled_from([None, 0, 1, 100, 256, 300, SIZE, SIZE + 1]))
    head = None if size is None else sign_checkpoint(ORIGIN, size, bytes(32), KEY)
    if size is not None and size <= SIZE and data.draw(st.booleans()):
        head = head_at(size)
    both(files, Wanted(known_head=head, max_age_s=data.draw(st.sampled_from([None, 5])), now_us=T0_US + 10**7))


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_the_same_is_reported_of_any_records_under_a_good_signature(data: st.DataObject) -> None:
    """Left out, repeated, swapped, of other writers, unreadable: what only the records themselves can tell."""
    leaves = [mixed(seq) for seq in range(data.draw(st.sampled_from([5, 120, 300])))]
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(0, len(leaves) - 1))
        match data.draw(st.sampled_from(["drop", "repeat", "swap", "other", "bad", "move"])):
            case "drop":
                del leaves[at : at + data.draw(st.integers(1, 3))]
            case "repeat":
                leaves.insert(at, leaves[max(0, at - data.draw(st.integers(0, 2)))])
            case "swap":
                leaves[at - 1], leaves[at] = leaves[at], leaves[at - 1]
            case "other":
                leaves[at:at] = [mixed(seq, 1, 9) for seq in range(data.draw(st.integers(1, 5)))]
            case "bad":
                leaves[at] = data.draw(st.sampled_from([b"", b"{}", leaves[at] + b" ", leaves[at].replace(b"T", b"t")]))
            case _:
                leaves.append(leaves.pop(at))
        if not leaves:
            leaves = [mixed(0)]
    wal = MemoryDisk(Faults())
    if data.draw(st.booleans()):
        wal.files[wal_file()] = frames_of(0, BOOT)
    both(signed_files(leaves), wal=wal)


@pytest.mark.parametrize(
    "order", [[0, 1, 3], [1, 2], [0, 1, 1, 2], [0, 2, 1], [0, 1, 2, 0, 1, 2, 3], [5, 6, 7, 6, 7, 8]]
)
def test_the_same_is_reported_of_numbers_out_of_order(order: list[int]) -> None:
    assert both(signed_files([mixed(seq) for seq in order])).exit_code > 0
