"""What the record of a call holds for another policy than its own, and what it does not.

The engine that decided the call, its recorded inputs and what its admission comes to go in, `Held` comes out: by the
way in from the outside (where a claim stands in its token, the name of a header), since names within a policy are that
policy's own. The rules are those of policy_lang/meaning/inputs.py, read the other way round: of the read set of the
cell the values are at hand, and absence is known; of other declared claims it is known that they were there and
conformed; of all else nothing is.

INVARIANT: nothing is taken for absent that the record could have left out.
Design: contracts.md "Recorded inputs".

Decision: 2026-11-21. The address of the caller, the peer and the id of a subject stand in every record as they came,
and are at hand whatever the policy read; the gateway stands there by another name than a policy knows it by.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from pdp.audit.replay_engines import Asked
from pdp.audit.replay_stated import Stated
from pdp.canonical import Refusal, canonical_address, canonical_peer
from policy_lang.ir import Endpoint, FieldSchema, Grpc, Kind, Signal, Value
from policy_lang.meaning.admission import Call, Refused
from policy_lang.meaning.inputs import Inputs, Looked
from policy_lang.meaning.schema import AUDIENCE, IDENTITY, fields_of, root_of
from policy_lang.verdict import NOWHERE, Origin, Question

Way = tuple[str, ...]
"""From the outside to a claim or a property."""

Key = tuple[str, tuple[tuple[type, Value | None], ...]]
"""A relation and the arguments of one lookup; with their types, since true is 1 to Python."""


class Held(Struct, frozen=True):
    """`known` are claims with their values or known to be absent, `there` those known to be there and to conform to
    what was declared. `headers` by lower-case name, `properties`, attributes of the request and `signals` are known, or
    known to be absent. `rows` are lookups with what they found. `able`: what the gateway can do stands there.
    """

    known: frozenset[Way]
    there: Mapping[Way, FieldSchema]
    headers: frozenset[str] = frozenset()
    properties: frozenset[Way] = frozenset()
    request: frozenset[str] = frozenset()
    signals: Mapping[str, Signal] = {}
    rows: Mapping[Key, bool | None] = {}
    origin: Origin = NOWHERE
    able: bool = False


def key_of(relation: str, arguments: Iterable[Value | None]) -> Key:
    """The key of a lookup."""
    return relation, tuple((type(each), each) for each in arguments)


def held_of(asked: Asked, question: Question, call: Call | Refused, inputs: Inputs, stated: Stated) -> Held:
    """What a record holds. `question` is made of its inputs, `call` what the old policy's admission of it comes to."""
    kind = asked.engine.kinds.get(question.caller.kind or "")
    there = {each.source: each for each in _fields(kind) if each.name in question.caller.unread}
    if isinstance(call, Refused):
        return _refused(asked, question, call, kind, there, inputs, stated)
    read_set, reads = asked.read_set(call), asked.reads(call)
    root = root_of(kind)
    names = {where: {attr.name for attr in reads if attr.root == where} for where in ("header", "resource", "request")}
    known = {each.source for each in _fields(kind) if each.source not in there}
    request, origin = _origin(names["request"], inputs.origin, stated)
    return Held(
        frozenset(known | _said(root, stated)),
        there,
        _headers(call.endpoint, names["header"]),
        _ways(call.endpoint.properties, names["resource"]),
        request,
        {
            each.id: each
            for each in asked.engine.program.signals
            if any(_reads(each, attr.root, attr.name) for attr in reads)
        },
        {_key(each): each.found for each in inputs.lookups},
        origin,
        able=read_set.asks,
    )


def _refused(
    asked: Asked,
    question: Question,
    refused: Refused,
    kind: Kind | None,
    there: Mapping[Way, FieldSchema],
    inputs: Inputs,
    stated: Stated,
) -> Held:
    """Of a call that was not admitted: of claims the one refused, and the audience where the service is observed."""
    of_caller = refused.reason.startswith(("schema.claim_", "schema.subject_"))
    known = {each.source for each in _fields(kind) if of_caller and each.name == refused.subject}
    service = asked.engine.services.get(question.service)
    if service is not None and service.observe_until_ms is not None and kind is not None and kind.form == "token":
        known |= {AUDIENCE.source} - there.keys()
    request, origin = _origin(set(), inputs.origin, stated)
    known |= _said(root_of(kind), stated)
    endpoint = asked.engine.endpoints.get(refused.endpoint or "")
    if endpoint is None:
        # Who was refused for it has no content type of gRPC, as who has none.
        headers = frozenset({"content-type"} if refused.reason == "route.not_grpc" else ())
        return Held(frozenset(known), there, headers, request=request, origin=origin)
    named = {refused.subject}
    headers, properties = _headers(endpoint, named), _ways(endpoint.properties, named)
    return Held(frozenset(known), there, headers, properties, request, origin=origin)


def _fields(kind: Kind | None) -> tuple[FieldSchema, ...]:
    return () if kind is None else fields_of(kind)


def _said(root: str, stated: Stated) -> set[Way]:
    """The id of a subject, which stands in the record beside its properties."""
    return {IDENTITY.source} if subject_id(stated) is not None and root == "subject" else set()


def subject_id(stated: Stated) -> str | None:
    """The id of a subject as it came; None where none came, or more than a record holds."""
    cut = stated.has("cut") and "who" in stated.texts("cut")
    return stated.text("who") if stated.has("who") and not cut else None


def _headers(endpoint: Endpoint, named: set[str]) -> frozenset[str]:
    kept = {each.source[0] for each in endpoint.headers if not each.optional or each.name in named}
    return frozenset(kept | ({"content-type"} if isinstance(endpoint.route, Grpc) else set()))


def _ways(fields: Iterable[FieldSchema], named: set[str]) -> frozenset[Way]:
    return frozenset(each.source for each in fields if not each.optional or each.name in named)


def _reads(signal: Signal, root: str, name: str) -> bool:
    return root == "signal" and name == signal.id


def _origin(read: set[str], recorded: Origin, stated: Stated) -> tuple[frozenset[str], Origin]:
    """Which attributes of the origin are known, and the origin as far as it is."""
    known = read & {"ip", "peer", "gateway", "tls"}
    address = canonical_address(stated.text("ip") if stated.has("ip") else None)
    peer = canonical_peer(stated.text("peer") if stated.has("peer") else None)
    ip = recorded.ip if "ip" in known or isinstance(address, Refusal) else address
    came_from = recorded.peer if "peer" in known or isinstance(peer, Refusal) else peer
    known |= {name for name, said in (("ip", address), ("peer", peer)) if not isinstance(said, Refusal)}
    return frozenset(known), Origin(ip, came_from, recorded.gateway, recorded.tls)


def _key(looked: Looked) -> Key:
    return key_of(looked.relation, looked.arguments)
