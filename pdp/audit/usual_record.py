"""The records of usual allows: made by a form that was made before, where nothing but the call itself differs.

An allow by one rule, at one endpoint, for one kind of caller says the same in clear each time, but for the instant,
until when it holds, and who called; what is asked of the gateway, too, unless it sets headers, whose values are of the
call. `Records.entry` gives what `pdp.audit.record.decision_entry` gives, sooner.
INVARIANT: what a clear field hangs on is in the key of its form, or the record is made anew.
State: at most `MOST_KEPT` forms; there are as many as rules that allow, gateways and methods.
Design: contracts.md "The time of one check"; audit.md 4.2.
"""

from __future__ import annotations

from msgspec import Struct

from pdp.audit.bounds import FRAME_BYTES, with_cut
from pdp.audit.box import most_inputs
from pdp.audit.form import Form, form_of
from pdp.audit.inputs import Evidence, sealed_inputs
from pdp.audit.leaf import MAX_LEAF_BYTES
from pdp.audit.record import Entry, decision_entry, decision_fields
from pdp.model import Decision, Json
from pdp.runtime.engine import Engine

MOST_KEPT = 1_024

_Key = tuple[object, ...]


class _Kept(Struct, frozen=True):
    """The clear fields of a usual allow but those that vary, their form, and how many bytes of inputs it leaves room
    for; `made_of` is the decision that they were made of.
    """

    shared: dict[str, Json]
    form: Form
    room: int
    made_of: Decision


class Records:
    """Makes the records of one service."""

    def __init__(self) -> None:
        self._kept: dict[_Key, _Kept] = {}

    def entry(
        self,
        decision: Decision,
        evidence: Evidence,
        engine: Engine | None,
        now_us: int,
        gateway: str,
        context: str | None,
    ) -> Entry:
        """The leaf of one decision, as `decision_entry` has it."""
        key = _key(decision, evidence, gateway, context)
        if key is None:
            return decision_entry(decision, evidence, engine, now_us, gateway, context)
        kept = self._kept.get(key)
        if kept is None:
            kept = self._keep(key, decision, evidence, engine, gateway, context)
            if kept is None:
                return decision_entry(decision, evidence, engine, now_us, gateway, context)
        clear = kept.shared.copy()
        clear["t"] = now_us
        if context is not None:
            clear["cx"] = context
        if decision.valid_until_ms is not None:
            clear["vu"] = decision.valid_until_ms
        data, lost = sealed_inputs(decision, evidence, clear, kept.room)
        if lost:
            return Entry("decision", with_cut(clear, lost), data, whole=False)
        return Entry("decision", clear, data, form=kept.form)

    def _keep(
        self,
        key: _Key,
        decision: Decision,
        evidence: Evidence,
        engine: Engine | None,
        gateway: str,
        context: str | None,
    ) -> _Kept | None:
        """Make the form of such records; None where there is none."""
        clear = decision_fields(decision, evidence, engine, _LONGEST_US, gateway)
        if context is not None:
            clear["cx"] = context
        form = form_of("decision", clear, ("t", "vu"), ("cx",))
        if form is None or len(form.text) > MOST_SHARED:
            return None
        shared = {name: value for name, value in clear.items() if name not in {"t", "vu", "cx"}}
        room = most_inputs(MAX_LEAF_BYTES - len(form.text) - FRAME_BYTES)
        if len(self._kept) >= MOST_KEPT:
            self._kept.clear()
        self._kept[key] = kept = _Kept(shared, form, room, decision)
        return kept


MOST_SHARED = 8_192
"""Characters of a form: far below what the clear part of a record may take (pdp/audit/bounds.py)."""

_LONGEST_US = 9_999_999_999_999_999


def _key(decision: Decision, evidence: Evidence, gateway: str, context: str | None) -> _Key | None:
    """What the clear part of a usual allow hangs on; None for a decision that is not usual."""
    inquiry, principal, log = evidence.inquiry, evidence.principal, decision.log
    if (
        decision.outcome != "allow"
        or decision.endpoint is None
        or decision.subject
        or decision.observed is not None
        or decision.shadow
        or decision.status is not None
        or decision.nearest is not None
        or decision.challenges
        or log.level != "normal"
        or decision.duties.headers
        or decision.advice.headers
        or inquiry is None
        or inquiry.verified is not None
        or inquiry.body is not None
        or inquiry.peer is not None
    ):
        return None
    return (
        decision.by,
        decision.reason,
        decision.policy,
        decision.service,
        decision.endpoint,
        decision.baselines,
        None if principal is None else principal.name,
        inquiry.method,
        gateway,
        context is None,
        decision.valid_until_ms is None,
        # Kept with the verdict they stand in, and as long as `made_of` is kept nothing else is found in their place.
        id(decision.rules),
        id(decision.duties),
        id(decision.advice),
    )
