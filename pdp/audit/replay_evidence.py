"""What a record can be decided again from: its opened inputs, and the engine of its policy; or why it cannot.

Design: contracts.md "Recorded inputs".
"""

from __future__ import annotations

from pdp.audit.aggregate import AGGREGATE
from pdp.audit.box import BoxError
from pdp.audit.keys import RecordKeys
from pdp.audit.leaf import Leaf
from pdp.audit.replay_engines import Asked, Engines
from pdp.audit.replay_log import Past, opened
from pdp.errors import PolicyError


class BrokenError(Exception):
    """The evidence of a record is not whole. The text says how, without the record's id."""


class UndecidableError(Exception):
    """A record cannot be decided again, by design. The text says why; `inputs` names what it lacks."""

    def __init__(self, why: str, inputs: tuple[str, ...] = ()) -> None:
        super().__init__(why)
        self.inputs = inputs


def evidence_of(past: Past, keys: RecordKeys) -> bytes:
    """The opened inputs of a decision.

    Errors: UndecidableError where it keeps none, BrokenError where its box does not open or its place is wrong.
    """
    leaf = past.leaf
    if past.fault:
        raise BrokenError(past.fault)
    if leaf.kind == AGGREGATE:
        raise UndecidableError("refusals that one record stands for, without inputs")
    if leaf.sealed is None:
        is_minimal = leaf.clear.get("ll") == "minimal"
        raise UndecidableError(
            "inputs not kept (log minimal)" if is_minimal else "inputs not in the record, which could not hold them"
        )
    try:
        return opened(past, keys)
    except BoxError as error:
        raise BrokenError(str(error).replace(f"record {leaf.id}", "the record")) from error


def engine_of_record(leaf: Leaf, engines: Engines) -> Asked:
    """The engine of a record's own policy.

    Errors: UndecidableError where no policy was asked, BrokenError where it does not load.
    """
    digest = leaf.clear.get("pb")
    if not isinstance(digest, str) or not digest:
        raise UndecidableError("no policy was asked")
    try:
        return engines.of(digest)
    except PolicyError as error:
        raise BrokenError(f"policy {digest[:12]} cannot be loaded ({error.code})") from error
