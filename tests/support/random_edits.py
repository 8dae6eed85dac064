"""Single edits of the files of a log, drawn at random; each leaves something other than what was signed.

The files of a log come in, the files after one edit go out, and its kind. Bytes are turned, put in, taken out; files
are cut, dropped, swapped, put in each other's place; records are swapped, doubled, hidden, with the hashes of level 0
to match or without.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random

from msgspec import Struct, field

from pdp.audit.checkpoint import parse_vkey
from pdp.audit.merkle import leaf_hash
from pdp.audit.tiles import ENTRIES, TileRef, encode_bundle, encode_tile, parse_bundle, refs_of_level
from pdp.audit.verify import verify_files
from pdp.audit.verify_trust import Wanted
from tests.support.logs import VKEY, Faults, MemoryDisk, build_log, ignore, records

Log = Mapping[str, bytes]

FOUND = frozenset({20, 30, 40})
LONGEST = 64
"""Bytes that an edit of bytes touches at most."""


class Edited(Struct):
    """What became of the edits so far: how many of each kind, and those that were not found."""

    kinds: Counter[str] = field(default_factory=Counter)
    missed: list[str] = field(default_factory=list)


def small_log(folder: Path, size: int) -> dict[str, bytes]:
    """The files of a log of so many records, under one checkpoint; without what is the sequencer's own."""
    log = build_log(folder, records(size))
    files = [path for path in log.rglob("*") if path.is_file() and not path.name.startswith(".")]
    return {path.relative_to(log).as_posix(): path.read_bytes() for path in files}


def exit_code(log: Log) -> int:
    """What `pdp audit verify` ends with, from the files and the key alone."""
    disk = MemoryDisk(Faults())
    disk.files = dict(log)
    return verify_files(disk, None, parse_vkey(VKEY), ignore, Wanted()).exit_code


def try_edits(log: Log, size: int, seed: str, count: int, edited: Edited) -> None:
    """Edit the log `count` times, each time from what was signed."""
    draw = Random(seed)
    for number in range(count):
        kind, changed = random_edit(draw, log, size)
        code = exit_code(changed)
        edited.kinds[kind] += 1
        if code not in FOUND:
            edited.missed.append(f"edit {number} of seed {seed!r}, {kind}: exit code {code}")


def random_edit(draw: Random, log: Log, size: int) -> tuple[str, dict[str, bytes]]:
    """One edit, and what it is called; the files it leaves differ from `log`, which has `size` records."""
    while True:
        kind = draw.choice(sorted(_EDITS))
        changed = _EDITS[kind](draw, log, size)
        if changed != log:
            return kind, changed


# ---------------------------------------------------------------- bytes of one file


def _bytes(draw: Random, log: Log, change: Callable[[bytes, int], bytes]) -> dict[str, bytes]:
    """Change one file at a place; each byte of the log is as likely as any other."""
    path = draw.choices(sorted(log), [len(log[path]) for path in sorted(log)])[0]
    return {**log, path: change(log[path], draw.randrange(len(log[path])))}


def _turn_a_bit(draw: Random, log: Log, _size: int) -> dict[str, bytes]:
    bit = 1 << draw.randrange(8)
    return _bytes(draw, log, lambda data, at: data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :])


def _write_over(draw: Random, log: Log, _size: int) -> dict[str, bytes]:
    new = draw.randbytes(draw.randrange(1, LONGEST))
    return _bytes(draw, log, lambda data, at: (data[:at] + new + data[at + len(new) :])[: len(data)])


def _put_in(draw: Random, log: Log, _size: int) -> dict[str, bytes]:
    new = draw.randbytes(draw.randrange(1, LONGEST))
    return _bytes(draw, log, lambda data, at: data[:at] + new + data[at:])


def _take_out(draw: Random, log: Log, _size: int) -> dict[str, bytes]:
    length = draw.randrange(1, LONGEST)
    return _bytes(draw, log, lambda data, at: data[:at] + data[at + length :])


def _write_zeros(draw: Random, log: Log, _size: int) -> dict[str, bytes]:
    length = draw.randrange(1, LONGEST)
    return _bytes(draw, log, lambda data, at: data[:at] + bytes(len(data[at : at + length])) + data[at + length :])


def _say_again(draw: Random, log: Log, _size: int) -> dict[str, bytes]:
    length = draw.randrange(1, LONGEST)
    return _bytes(draw, log, lambda data, at: data[: at + length] + data[at:])


# ---------------------------------------------------------------- whole files


def _cut(draw: Random, log: Log, _size: int) -> dict[str, bytes]:
    path = draw.choice(sorted(log))
    return {**log, path: log[path][: draw.randrange(len(log[path]))]}


def _drop(draw: Random, log: Log, _size: int) -> dict[str, bytes]:
    gone = draw.choice(sorted(log))
    return {path: data for path, data in log.items() if path != gone}


def _swap_files(draw: Random, log: Log, _size: int) -> dict[str, bytes]:
    one, other = draw.sample(sorted(log), 2)
    return {**log, one: log[other], other: log[one]}


def _replay_a_file(draw: Random, log: Log, _size: int) -> dict[str, bytes]:
    one, other = draw.sample(sorted(log), 2)
    return {**log, one: log[other]}


# ---------------------------------------------------------------- records


def _records(draw: Random, log: Log, size: int, change: Callable[[list[bytes]], object]) -> dict[str, bytes]:
    """Change the records of one bundle, in half of the cases with the hashes of level 0 to match."""
    ref = draw.choice(list(refs_of_level(ENTRIES, size)))
    leaves = list(parse_bundle(log[ref.path], ref.width))
    change(leaves)
    changed = {**log, ref.path: encode_bundle(leaves)}
    if draw.random() < 0.5:
        changed[TileRef(0, ref.index, ref.width).path] = encode_tile([leaf_hash(leaf) for leaf in leaves])
    return changed


def _swap_records(draw: Random, log: Log, size: int) -> dict[str, bytes]:
    def change(leaves: list[bytes]) -> None:
        one, other = draw.choices(range(len(leaves)), k=2)
        leaves[one], leaves[other] = leaves[other], leaves[one]

    return _records(draw, log, size, change)


def _double_a_record(draw: Random, log: Log, size: int) -> dict[str, bytes]:
    def change(leaves: list[bytes]) -> None:
        one, other = draw.choices(range(len(leaves)), k=2)
        leaves[one] = leaves[other]

    return _records(draw, log, size, change)


def _hide_a_record(draw: Random, log: Log, size: int) -> dict[str, bytes]:
    return _records(draw, log, size, lambda leaves: leaves.pop(draw.randrange(len(leaves))))


def _add_a_record(draw: Random, log: Log, size: int) -> dict[str, bytes]:
    return _records(draw, log, size, lambda leaves: leaves.insert(draw.randrange(len(leaves)), draw.choice(leaves)))


_EDITS: dict[str, Callable[[Random, Log, int], dict[str, bytes]]] = {
    "a bit is turned": _turn_a_bit,
    "bytes are written over": _write_over,
    "bytes are put in": _put_in,
    "bytes are taken out": _take_out,
    "zeros are written over bytes": _write_zeros,
    "bytes stand there twice": _say_again,
    "a file is cut": _cut,
    "a file is dropped": _drop,
    "two files are swapped": _swap_files,
    "a file stands in place of another": _replay_a_file,
    "two records are swapped": _swap_records,
    "a record stands in place of another": _double_a_record,
    "a record is hidden": _hide_a_record,
    "a record is added": _add_a_record,
}
KINDS = frozenset(_EDITS)
