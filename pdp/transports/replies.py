"""CheckResponses of usual allows, written once: the same bytes as `ext_authz.write`, for what is said again and again.

An allow that sets no header of a rule's and carries no token differs from the last one by the same rule in two places
alone: the id of the decision, and until when it holds. Their bytes have one length, so that they can be put into what
was written before, where marks of that length stood.
INVARIANT: whatever a reply hangs on but these two is in its key; what is not usual is written anew, and so is what
hangs on words of the client: names of ours among its headers.
State: at most `MOST_KEPT` replies; there are as many as rules that allow.
Design: contracts.md "The time of one check".
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from pdp.model import Decision, Inquiry
from pdp.transports.ext_authz import forged, write
from policy_lang.verdict import NO_DUTIES

MOST_KEPT = 1_024

_ID, _UNTIL = "@" * 32, 7_777_777_777_777
"""What stands in a kept reply for the id and for the instant: no rule, reason or digest is written so."""

_ID_BYTES, _UNTIL_BYTES = _ID.encode(), str(_UNTIL).encode()

_Key = tuple[object, ...]


class Replies:
    """Writes the replies of one listener. `acr_values` as in `pdp.answers.http_answer`."""

    def __init__(self, acr_values: Mapping[str, str]) -> None:
        self._acr_values = acr_values
        self._kept: dict[_Key, bytes] = {}

    def write(self, decision: Decision, inquiry: Inquiry | None) -> bytes:
        """The serialised CheckResponse of `decision`, as `ext_authz.write` has it."""
        if inquiry is None or not _is_usual(decision) or forged(inquiry):
            return write(decision, inquiry, self._acr_values)
        until = "" if decision.valid_until_ms is None else str(decision.valid_until_ms)
        key = (
            decision.by,
            decision.reason,
            decision.policy,
            decision.identity_headers,
            inquiry.capabilities,
            len(until),
        )
        kept = self._kept.get(key)
        if kept is None:
            kept = self._keep(key, decision, inquiry, until)
        if kept == b"":
            return write(decision, inquiry, self._acr_values)
        reply = kept.replace(_UNTIL_BYTES, until.encode()) if until else kept  # first: an id may hold such digits
        return reply.replace(_ID_BYTES, decision.id.encode())  # type: ignore[union-attr]  # `_is_usual` has one

    def _keep(self, key: _Key, decision: Decision, inquiry: Inquiry, until: str) -> bytes:
        """The reply with marks; empty where these are not the only ones of their kind in it."""
        marked = replace(decision, id=_ID, valid_until_ms=_UNTIL if until else None)
        kept = write(marked, inquiry, self._acr_values)
        if kept.count(_ID_BYTES) != 2 or kept.count(_UNTIL_BYTES) != bool(until) or len(until) not in {0, 13}:
            kept = b""
        if len(self._kept) >= MOST_KEPT:
            self._kept.clear()
        self._kept[key] = kept
        return kept


def _is_usual(decision: Decision) -> bool:
    """Whether an allow says nothing but who allowed it: in its headers nothing of a rule's stands."""
    return (
        decision.outcome == "allow"
        and decision.id is not None
        and len(decision.id) == len(_ID)
        and decision.minted is None
        and decision.duties == NO_DUTIES
        and decision.advice == NO_DUTIES
    )
