"""Every edit below the checkpoint is found from the folder and the key; what needs a known head says so."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pdp.audit.checkpoint import format_vkey, parse_vkey, sign_checkpoint
from pdp.audit.merkle import leaf_hash
from pdp.audit.tiles import encode_bundle, encode_tile, parse_bundle
from pdp.audit.verify import verify_files
from pdp.audit.verify_trust import Wanted
from tests.support.logs import (
    ORIGIN,
    OTHER_KEY,
    VKEY,
    Faults,
    MemoryDisk,
    build_log,
    ignore,
    record,
    records,
    verified,
)

SIZE = 300
FOUND = {20, 30, 40}


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of 300 records in two bundles and two levels."""
    state = tmp_path_factory.mktemp("sound")
    build_log(state, records(SIZE))
    return state


@pytest.fixture
def state(sound: Path, tmp_path: Path) -> Path:
    """A copy to tamper with."""
    return shutil.copytree(sound, tmp_path / "state")


def in_memory(state: Path) -> MemoryDisk:
    """The log of a state folder, without the sequencer's own cursor."""
    disk = MemoryDisk(Faults())
    log = state / "log"
    disk.files = {p.relative_to(log).as_posix(): p.read_bytes() for p in log.rglob("*") if p.is_file()}
    del disk.files[".cursor"]
    return disk


def code_of(disk: MemoryDisk) -> int:
    return verify_files(disk, None, parse_vkey(VKEY), ignore, Wanted()).exit_code


def test_every_byte_of_a_small_log_matters(tmp_path: Path) -> None:
    """For every file, every byte and two of its bits: verify(log with that bit turned) is 20, 30 or 40."""
    build_log(tmp_path, records(9))
    disk = in_memory(tmp_path)
    assert code_of(disk) == 0
    for path, data in dict(disk.files).items():
        for at in range(len(data)):
            for bit in (0x01, 0x40):
                disk.files[path] = data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :]
                assert code_of(disk) in FOUND, f"{path}, byte {at}, bit {bit:02x}"
        disk.files[path] = data
    assert code_of(disk) == 0


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_edit_of_any_file_is_found(sound: Path, data: st.DataObject) -> None:
    """For any file f and any f' != f, whatever its length: verify(log with f') is 20, 30 or 40."""
    disk = in_memory(sound)
    path = data.draw(st.sampled_from(sorted(disk.files)))
    whole = disk.files[path]
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, min(len(whole), start + 64)))
    changed = whole[:start] + data.draw(st.binary(max_size=64)) + whole[end:]
    disk.files[path] = changed
    assert code_of(disk) == 0 if changed == whole else code_of(disk) in FOUND


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(5)).filter(lambda order: order != list(range(5))), st.integers(0, SIZE - 5))
def test_any_reordering_with_hashes_to_match_is_found(sound: Path, order: list[int], at: int) -> None:
    """Records rearranged and level 0 rewritten after them do not lead to the signed root."""
    disk = in_memory(sound)
    leaves = records(SIZE)
    leaves[at : at + 5] = [leaves[at + i] for i in order]
    write_level_0(disk, leaves)
    assert code_of(disk) == 40


def write_level_0(disk: MemoryDisk, leaves: list[bytes]) -> None:
    for first, name in ((0, "000"), (256, "001.p/44")):
        part = leaves[first : first + 256]
        disk.files[f"tile/entries/{name}"] = encode_bundle(part)
        disk.files[f"tile/0/{name}"] = encode_tile([leaf_hash(leaf) for leaf in part])


# ------------------------------------------------------------------ named cases


def edit(path: Path, change: Callable[[bytearray], object]) -> None:
    data = bytearray(path.read_bytes())
    change(data)
    path.write_bytes(data)


def flip(at: int) -> Callable[[bytearray], object]:
    def change(data: bytearray) -> None:
        data[at] ^= 1

    return change


def rewrite(path: Path, width: int, change: Callable[[list[bytes]], object]) -> None:
    entries = list(parse_bundle(path.read_bytes(), width))
    change(entries)
    path.write_bytes(encode_bundle(entries))


def swap(entries: list[bytes]) -> None:
    entries[3], entries[4] = entries[4], entries[3]


def duplicate(entries: list[bytes]) -> None:
    entries[4] = entries[3]


def move_field(entries: list[bytes]) -> None:
    entries[3] = record(3, sv="moved")


EDITS: dict[str, tuple[Callable[[Path], object], int]] = {
    "an entry byte": (lambda log: edit(log / "tile/entries/000", flip(100)), 40),
    "a hash tile byte": (lambda log: edit(log / "tile/0/000", flip(100)), 40),
    "an upper hash tile byte": (lambda log: edit(log / "tile/1/000.p/1", flip(1)), 40),
    "swapped leaves": (lambda log: rewrite(log / "tile/entries/000", 256, swap), 40),
    "a duplicated leaf": (lambda log: rewrite(log / "tile/entries/000", 256, duplicate), 40),
    "a well-formed leaf in place of another": (lambda log: rewrite(log / "tile/entries/000", 256, move_field), 40),
    "a dropped leaf": (lambda log: rewrite(log / "tile/entries/000", 256, lambda entries: entries.pop(9)), 40),
    "an added leaf": (lambda log: rewrite(log / "tile/entries/000", 256, lambda e: e.append(record(0))), 40),
    "a dropped bundle": (lambda log: (log / "tile/entries/000").unlink(), 20),
    "a dropped last bundle": (lambda log: (log / "tile/entries/001.p/44").unlink(), 20),
    "a dropped tile": (lambda log: (log / "tile/0/000").unlink(), 20),
    "an emptied bundle": (lambda log: (log / "tile/entries/000").write_bytes(b""), 40),
    "a length prefix": (lambda log: edit(log / "tile/entries/000", flip(1)), 40),
    "an unsigned checkpoint": (
        lambda log: (log / "checkpoint").write_bytes((log / "checkpoint").read_bytes().split(b"\n\n")[0] + b"\n"),
        40,
    ),
    "no checkpoint": (lambda log: (log / "checkpoint").unlink(), 20),
    "a checkpoint under a foreign key": (
        lambda log: (log / "checkpoint").write_bytes(sign_checkpoint(ORIGIN, SIZE, bytes(32), OTHER_KEY)),
        40,
    ),
    "a smaller size, the signature left": (
        lambda log: edit(
            log / "checkpoint", lambda data: data.__setitem__(slice(0, None), data.replace(b"300", b"256"))
        ),
        40,
    ),
    "a key brought along in the log folder": (
        lambda log: (
            (log / "log.vkey").write_text(format_vkey(ORIGIN, OTHER_KEY.public_key().public_bytes_raw())),
            (log / "checkpoint").write_bytes(sign_checkpoint(ORIGIN, SIZE, bytes(32), OTHER_KEY)),
        ),
        40,
    ),
}


@pytest.mark.parametrize("name", EDITS)
def test_named_edits(state: Path, name: str) -> None:
    change, code = EDITS[name]
    change(state / "log")
    assert verified(state, wal=False).exit_code == code


def rolled_back(state: Path, size: int) -> Iterator[bytes]:
    """Yield the newest checkpoint, then put the folder back to an older state of its own, all of it."""
    yield (state / "log" / "checkpoint").read_bytes()
    shutil.rmtree(state)
    build_log(state, records(size))
    yield b""


def test_a_cut_tail_under_an_older_checkpoint_needs_a_known_head(state: Path) -> None:
    """From the folder and the key alone it is a sound, smaller log; with the head it is 30."""
    steps = rolled_back(state, 256)
    head = next(steps)
    next(steps)
    assert verified(state).exit_code == 0
    assert verified(state, Wanted(known_head=head)).exit_code == 30


def test_a_rollback_that_goes_on_needs_a_known_head(state: Path) -> None:
    """A snapshot put back and continued: larger than the known head, and another history."""
    head = (state / "log" / "checkpoint").read_bytes()
    shutil.rmtree(state)
    build_log(state, [*records(256), *(record(seq, d="again") for seq in range(256, 400))])
    assert verified(state).exit_code == 0
    assert verified(state, Wanted(known_head=head)).exit_code == 30
