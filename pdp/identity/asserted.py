"""The subject that a caller asserts, as a principal of the policy.

An `Asserted` and the policy's kinds come in; a `Principal` goes out, or a refusal by `path` where what says who the
subject is could not stand in a record whole. A subject of no kind of the policy is a principal without a name: whatever
it asks for is refused by `schema` (`schema.subject`), after the call has found its endpoint, as claims that do not
conform are; and never passed on under observation, like a token of nobody's.
Nothing is proved here: that a caller may say who its subject is, its listener has asked (`Gateway.subjects`), and where
such a subject opens anything, the policy says (`accepts`).
Design: contracts.md "AuthZEN"; language.md point F.
"""

from __future__ import annotations

from collections.abc import Iterable

from pdp.canonical import Refusal
from pdp.model import Asserted, Principal
from policy_lang.ir import Kind
from policy_lang.meaning.admission import Call, Refused
from policy_lang.verdict import Verdict

LONGEST_ID = 1_024
"""Characters of the type and of the id of a subject."""


def subject_of(asserted: Asserted, kinds: Iterable[Kind]) -> Principal | Refusal:
    """The principal that is asserted; its `id` is no property's to overwrite."""
    if not asserted.type or not asserted.id:
        return Refusal("path", "request.missing")
    if max(len(asserted.type), len(asserted.id)) > LONGEST_ID:
        return Refusal("path", "request.too_long")
    return Principal("subject", kind_of(asserted.type, kinds), {**asserted.properties, "id": asserted.id})


def kind_of(type_: str, kinds: Iterable[Kind]) -> str | None:
    """The kind of subjects of a type; None where the policy has none."""
    return next((kind.id for kind in kinds if kind.form == "subject" and kind.name == type_), None)


def stranger_refused(call: Call | Refused) -> Verdict:
    """The verdict on a call of a subject of no kind; `call` is what its admission came to without one."""
    if not isinstance(call, Refused):
        return Verdict("deny", ("schema",), "schema.subject", endpoint=call.endpoint.id)
    if call.by == "schema":
        return Verdict("deny", ("schema",), "schema.subject", endpoint=call.endpoint)
    return Verdict("deny", (call.by,), call.reason, call.subject, call.endpoint)
