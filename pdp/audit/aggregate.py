"""The leaf that stands for many refusals, where the log could not keep up: its form, made and read.

A leaf `decision.aggregate` holds, in clear and without a box:

    d pb sv ep rt gw by rc pk   as in a record of a decision (pdp.audit.record); equal for all that it stands for
    ct           how many it stands for          t0 t1   the first and the last of their instants `t`
    sq           [first, last] of their sequence numbers; its own number is the one after the last
    t            when it was made

INVARIANT: it stands for refusals only, and for none that was to be strict, is logged `full`, or raises an alert.
Design: contracts.md "Durability"; audit.md 3.3, 4.6.

Decision: 2026-11-21. Refusals get their numbers when the leaf of their key is made, not when they come in: so what an
    aggregate stands for is one range, right before its own number. A hole among the ids that is not explained by the
    very next leaf is a loss, and no crash leaves one that would have to be excused.
Decision: 2026-11-21. What a refusal says beyond its key (its inputs, its clauses, its context) is given up. A refusal
    that raises an alert keeps its leaf: somebody will look for it.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from pdp.audit.ids import MAX_SEQ, DecisionId
from pdp.audit.leaf import Leaf
from pdp.model import Json

AGGREGATE = "decision.aggregate"

SHARED = ("d", "pb", "sv", "ep", "rt", "gw", "by", "rc", "pk")
"""The clear fields that are equal for all that an aggregate stands for, absent where absent."""


class Standing(Struct, frozen=True):
    """What a read aggregate stands for: the numbers from `first` to `last`, both included."""

    first: int
    last: int

    @property
    def count(self) -> int:
        """How many refusals."""
        return self.last - self.first + 1


def may_join(clear: Mapping[str, Json]) -> bool:
    """Whether a decision with these clear fields, which need not be strict, may stand in an aggregate."""
    return clear.get("d") == "deny" and clear.get("ll") != "full" and "al" not in clear


def aggregate_fields(
    shared: Mapping[str, Json], count: int, first_us: int, last_us: int, now_us: int
) -> dict[str, Json]:
    """The clear fields of an aggregate but for the numbers. Instants are Unix microseconds."""
    return {**shared, "ct": count, "t0": first_us, "t1": last_us, "t": now_us}


def numbers_field(first: int, count: int) -> dict[str, Json]:
    """The clear field that says which `count` numbers, from `first` on, an aggregate stands for."""
    return {"sq": [first, first + count - 1]}


def standing_of(clear: Mapping[str, Json]) -> Standing | None:
    """What an aggregate with these clear fields stands for; None where they contradict themselves."""
    match clear.get("sq"):
        case [int(first), int(last)] if type(first) is type(last) is int and 0 < first <= last <= MAX_SEQ:
            found = Standing(first, last)
        case _:
            return None
    count = clear.get("ct")
    return found if type(count) is int and count == found.count and clear.get("d") == "deny" else None


def stands_for(record: Leaf, own: DecisionId, wanted: DecisionId) -> bool:
    """Whether a record, whose own id is `own`, is the aggregate in which the number of `wanted` stands."""
    if record.kind != AGGREGATE or (own.writer, own.boot) != (wanted.writer, wanted.boot):
        return False
    found = standing_of(record.clear)
    return found is not None and found.first <= wanted.seq <= found.last
