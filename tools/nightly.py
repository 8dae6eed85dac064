"""The ledger of the long tests: what each slice covered, kept in the repository, and the totals reached.

A slice is one run of one part, from one seed: it covers the same things whenever it is run, only more of them the
longer it runs. So a slice counts once, at its longest, and slices of different seeds add up.

    python tools/nightly.py           print the totals

The file is JSON: by part, a list of slices, each with its seed and its counts. Writing it takes a lock on its folder
and replaces the file whole, so that slices may run side by side.
Source: contracts.md "Long tests".
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

LEDGER = Path(__file__).resolve().parent.parent / "tests" / "nightly" / "ledger.json"

Counts = Mapping[str, int]
Parts = dict[str, dict[int, Counts]]
"""By part, then by seed."""


def read(ledger: Path) -> Parts:
    """The slices of a ledger; none where there is no file. ValueError where it is not one."""
    if not ledger.exists():
        return {}
    match json.loads(ledger.read_text()):
        case dict(written):
            return {part: _slices(ledger, part, slices) for part, slices in written.items()}
        case _:
            raise ValueError(f"{ledger} is no ledger: it holds no object")


def _slices(ledger: Path, part: str, written: object) -> dict[int, Counts]:
    slices: dict[int, Counts] = {}
    for each in written if isinstance(written, list) else [None]:
        if not isinstance(each, dict) or not all(type(count) is int and count >= 0 for count in each.values()):
            raise ValueError(f"{ledger} is no ledger: a slice of `{part}` holds something else than counts")
        if "seed" not in each or each["seed"] in slices:
            raise ValueError(f"{ledger} is no ledger: a slice of `{part}` has no seed of its own")
        slices[each["seed"]] = {name: count for name, count in each.items() if name != "seed"}
    return slices


def add(ledger: Path, part: str, seed: int, counts: Counts) -> Counter[str]:
    """Enter one slice, and give the totals of its part. What a slice of the same seed covered before stays covered."""
    with _locked(ledger.parent):
        parts = read(ledger)
        slices = parts.setdefault(part, {})
        before = slices.get(seed, {})
        slices[seed] = {name: max(before.get(name, 0), counts.get(name, 0)) for name in {**before, **counts}}
        _write(ledger, parts)
        return total(parts, part)


def total(parts: Parts, part: str) -> Counter[str]:
    """The counts of all slices of a part."""
    counts: Counter[str] = Counter()
    for each in parts.get(part, {}).values():
        counts.update(each)
    return counts


def told(part: str, counts: Counts) -> str:
    """A line for people."""
    return f"{part}: {', '.join(f'{count:,} {name}' for name, count in sorted(counts.items()))} in all"


def _write(ledger: Path, parts: Parts) -> None:
    """One slice a line, so that a change is read as one."""
    lists = []
    for part, slices in sorted(parts.items()):
        lines = ",\n".join(f"    {json.dumps({'seed': seed, **counts})}" for seed, counts in sorted(slices.items()))
        lists.append(f"  {json.dumps(part)}: [\n{lines}\n  ]")
    joined = ",\n".join(lists)
    unfinished = ledger.with_suffix(".unfinished")
    unfinished.write_text(f"{{\n{joined}\n}}\n")
    unfinished.replace(ledger)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)


def main() -> int:
    """Print the totals of every part."""
    parts = read(LEDGER)
    for part in sorted(parts):
        print(told(part, total(parts, part)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
