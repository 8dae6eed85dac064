"""What follows from a caller's claims and one program alone, worked out once and not once a call.

A caller whose token is remembered brings the very same object with each call (`KnownClaims`); what is kept stands in
it, and is forgotten with the token. Claims that come once are worked out each time.
INVARIANT: only what follows from these claims and this program is kept; that of another program is thrown away, and no
program is kept alive by it.
Design: contracts.md "The time of one check".
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from policy_lang.ir import Value
from policy_lang.meaning.schema import SchemaRefusal
from policy_lang.verdict import Caller, KnownClaims

Conformed = Mapping[str, Value] | SchemaRefusal


class Derived(Struct):
    """Of one program, whose mark is `mark`: typed values by kind; what records keep of the caller by cell."""

    mark: object
    conformed: dict[str, Conformed] = field(default_factory=dict)
    recorded: dict[tuple[int, str | None], Caller] = field(default_factory=dict)


def derived(caller: Caller, mark: object) -> Derived | None:
    """What is kept of a caller under the program of that mark; None where nothing may be."""
    claims = caller.claims
    if type(claims) is not KnownClaims or caller.unread:
        return None
    kept = claims.derived
    if isinstance(kept, Derived) and kept.mark is mark:
        return kept
    claims.derived = made = Derived(mark)
    return made
