"""Leaves that differ in a few fields only, written by a form: what they share was checked and encoded once.

The clear fields that many records share come in, and the names of those that vary; out comes a `Form`, which writes the
leaf of one record: the very bytes that `pdp.audit.leaf.encode` makes of the same fields.
INVARIANT: what varies is an integer or the id of a record: of plain characters, so that it stands in JSON as it is.
Design: contracts.md "The time of one check" (a record is encoded once).
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from pdp.audit.leaf import MAX_LEAF_BYTES, LeafError, Sealed, encode
from pdp.model import Json

_ID, _BOX, _COMMITMENT = "f" * 32, "/" * 64, "e" * 64
_NUMBER = 3_141_592_653_589_793
"""What stands for the open fields while a form is made: nothing that is shared is written so, or there is no form."""


class Form(Struct, frozen=True):
    """How a leaf with a box is written whose `before` and `after` stay open: the names of fields that stand before its
    commitment, id and box, and behind them.
    """

    text: str
    before: tuple[str, ...]
    after: tuple[str, ...]

    def leaf(self, record_id: str, clear: Mapping[str, Json], sealed: Sealed) -> bytes:
        """The leaf of a record with these clear fields, of which those that are shared are not looked at.

        Errors: LeafError where it is too large.
        """
        before, after = [clear[name] for name in self.before], [clear[name] for name in self.after]
        data = (self.text % (*before, sealed.commitment, record_id, sealed.box, *after)).encode("ascii")
        if len(data) > MAX_LEAF_BYTES:
            raise LeafError(f"a record of {len(data)} bytes: a leaf holds at most {MAX_LEAF_BYTES}")
        return data


def form_of(kind: str, clear: Mapping[str, Json], numbers: tuple[str, ...], ids: tuple[str, ...]) -> Form | None:
    """The form of leaves of a kind that share these clear fields but for `numbers` and `ids`, as far as they are there.

    None where a form cannot tell what is shared from what is open. Errors: LeafError, as `encode`.
    """
    there = sorted(name for name in (*numbers, *ids) if name in clear)
    marks: dict[str, Json] = {
        name: _NUMBER + at if name in numbers else f"{at:032d}" for at, name in enumerate(there, start=1)
    }
    text = encode(kind, _ID, {**clear, **marks}, Sealed(_BOX, _COMMITMENT)).decode("ascii").replace("%", "%%")
    for mark in (*map(str, marks.values()), _COMMITMENT, _ID, _BOX):
        if text.count(mark) != 1:
            return None
        text = text.replace(mark, "%s")
    return Form(text, tuple(n for n in there if n < "ic"), tuple(n for n in there if n > "in"))
