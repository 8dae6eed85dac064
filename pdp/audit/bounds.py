"""What one leaf holds of a decision: the clear part within its bounds, and the room it leaves for the box.

Clear fields come in, the same come out, or a part of them with `ct` naming what was cut. The names of rules and the
clauses are the policy's own, but how many of them one call gathers is up to who calls: that must not keep the call out
of the log.
Design: audit.md 4.2.
"""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from pdp.audit.box import most_inputs
from pdp.audit.leaf import MAX_LEAF_BYTES
from pdp.model import Json

MOST_CLEAR = 24_000
"""Bytes of the clear part of a decision: what it leaves of a leaf holds every bounded member of the box."""

MOST_NAMED = 64
"""Rules in one field of a record that cannot name them all."""

FRAME_BYTES = 256
"""Of a leaf, beside its clear fields and the box: version, kind, id, commitment."""

_ESCAPED_BYTES = len(r"\u007f")


def bounded(clear: dict[str, Json]) -> tuple[dict[str, Json], int]:
    """The clear part within its bounds, and how many bytes of inputs it leaves room for."""
    size = _written_bytes(clear)
    if size > MOST_CLEAR:
        clear = _cut(clear)
        size = _written_bytes(clear)
    return clear, most_inputs(MAX_LEAF_BYTES - size - FRAME_BYTES)


def with_cut(clear: dict[str, Json], lost: tuple[str, ...]) -> dict[str, Json]:
    """The clear part, saying that these were cut too."""
    before = clear.get("ct")
    return clear | {"ct": [*(before if isinstance(before, list) else ()), *lost]} if lost else clear


def _cut(clear: dict[str, Json]) -> dict[str, Json]:
    """Without clauses, and with the first rules only where there are many."""
    kept = {name: value for name, value in clear.items() if name != "rl"}
    cut = ["rl"] if "rl" in clear else []
    for name in ("sh", "by"):
        names = clear.get(name)
        if isinstance(names, list) and len(names) > MOST_NAMED:
            kept[name] = names[:MOST_NAMED]
            cut.append(name)
    observed = clear.get("os")
    names = observed.get("by") if isinstance(observed, dict) else None
    if isinstance(observed, dict) and isinstance(names, list) and len(names) > MOST_NAMED:
        kept["os"] = observed | {"by": names[:MOST_NAMED]}
        cut.append("os")
    return with_cut(kept, tuple(cut))


def _written_bytes(clear: Mapping[str, Json]) -> int:
    """How many bytes of a leaf these fields take at most: what is not plain ASCII is escaped there."""
    data = orjson.dumps(clear)
    if data.isascii() and b"\x7f" not in data:
        return len(data)
    return len(data) + (_ESCAPED_BYTES - 1) * sum(byte >= 0x7F for byte in data)
