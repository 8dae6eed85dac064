"""One call for each cell of a policy, made up from its declarations: the first that run through an engine's code.

A program comes in, questions go out that its own schema takes: every required claim, parameter, header and property is
there, of its type, and worth nothing. What they come to is of no interest, only that they come to something.
Source: language.md 6.4 (plans are built when they are first asked); contracts.md "The time of one check".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import assert_never
from urllib.parse import quote

from policy_lang.ir import (
    Action,
    AnySegment,
    Capture,
    Endpoint,
    FieldSchema,
    Fixed,
    Grpc,
    Http,
    Kind,
    Program,
    Rest,
    Segment,
    Service,
)
from policy_lang.request import Path, canonical_path
from policy_lang.typesystem import EnumType, IntType, RoleType, Scalar, SetType, Type
from policy_lang.verdict import ANONYMOUS, ActionCall, Caller, Facts, HttpCall, Json, Origin, Question

MOST = 2_000
"""Cells beyond these are met for the first time by a call."""

_RAW = "!$&'()*+,=:@~"
_ADDRESS = "192.0.2.1"
_WORKLOAD = "spiffe://example/none"
_UUID = "00000000-0000-0000-0000-000000000000"


def calls(program: Program, facts: Facts) -> Iterator[Question]:
    """At most `MOST` questions, one for each cell."""
    kinds = {kind.id: kind for kind in program.kinds}
    services = {service.id: service for service in program.services}
    for cell in islice(program.cells, MOST):
        endpoint = program.endpoints[cell.endpoint]
        service = services[endpoint.service]
        call = _call(service, endpoint)
        if call is not None:
            caller = ANONYMOUS if cell.kind is None else _caller(kinds[cell.kind], service, endpoint)
            yield Question(service.id, call, caller, 0, facts, Origin(_ADDRESS, tls=True))


def _call(service: Service, endpoint: Endpoint) -> HttpCall | ActionCall | None:
    match endpoint.route:
        case Action(action, resource):
            return ActionCall(action, resource, "none", _object(endpoint.properties))
        case Http(methods, segments, slash):
            written = "/" + "/".join(_written(each) for each in segments if not isinstance(each, Rest))
            method = "GET" if "ANY" in methods else methods[0]
            return _http(service, endpoint, method, f"{written}{'/' if slash else ''}{_query(endpoint)}", {})
        case Grpc(name, method):
            return _http(service, endpoint, "POST", f"/{name}/{method}", {"content-type": ("application/grpc",)})
        case _:
            assert_never(endpoint.route)


def _http(
    service: Service, endpoint: Endpoint, method: str, target: str, headers: dict[str, tuple[str, ...]]
) -> HttpCall | None:
    path = canonical_path(target)
    if not isinstance(path, Path):
        return None
    declared = {each.source[0]: (_text(each.type),) for each in _required(endpoint.headers)}
    return HttpCall(method, path, service.hosts[0] if service.hosts else "", declared | headers)


def _written(segment: Segment) -> str:
    match segment:
        case Fixed(text):
            return quote(text, safe=_RAW)
        case Capture(_, kind):
            return {"int": "0", "uuid": _UUID}.get(kind, "none")
        case AnySegment() | Rest():
            return "none"
        case _:
            assert_never(segment)


def _query(endpoint: Endpoint) -> str:
    written = [f"{quote(each.source[0])}={quote(_text(each.type))}" for each in _required(endpoint.query)]
    return f"?{'&'.join(written)}" if written else ""


def _caller(kind: Kind, service: Service, endpoint: Endpoint) -> Caller:
    implicit: dict[str, Json] = (
        {"id": "none"}
        if kind.form == "subject"
        else {"aud": list[Json](service.audiences[:1]), "scope": list[Json](endpoint.scopes)}
    )
    return Caller(kind.id, implicit | _object(kind.claims))


def _required(fields: Iterable[FieldSchema]) -> list[FieldSchema]:
    return [each for each in fields if not each.optional]


def _object(fields: Iterable[FieldSchema]) -> dict[str, Json]:
    """An object with every required field at the end of its way."""
    made: dict[str, Json] = {}
    for each in _required(fields):
        held: dict[str, Json] = made
        for step in each.source[:-1]:
            below = held.setdefault(step, {})
            held = below if isinstance(below, dict) else {}
        held[each.source[-1]] = _json(each.type)
    return made


def _json(declared: Type) -> Json:
    match declared:
        case SetType():
            return []
        case Scalar.BOOL:
            return False
        case IntType(lowest, _):
            return 0 if lowest is None else lowest
        case Scalar.TIME | Scalar.DURATION:
            return 0
        case Scalar.STRING | Scalar.UUID | Scalar.IP | Scalar.WORKLOAD | EnumType() | RoleType():
            return _word(declared)
        case _:
            assert_never(declared)


def _text(declared: Type) -> str:
    """A value as a parameter or a header writes it."""
    match declared:
        case SetType(element):
            return _text(element)
        case Scalar.BOOL:
            return "false"
        case IntType() | Scalar.TIME | Scalar.DURATION:
            return str(_json(declared))
        case Scalar.STRING | Scalar.UUID | Scalar.IP | Scalar.WORKLOAD | EnumType() | RoleType():
            return _word(declared)
        case _:
            assert_never(declared)


_WORDS: Mapping[Scalar, str] = {Scalar.UUID: _UUID, Scalar.IP: _ADDRESS, Scalar.WORKLOAD: _WORKLOAD}


def _word(declared: Scalar | EnumType | RoleType) -> str:
    match declared:
        case EnumType(_, values, _) | RoleType(values):
            return next(iter(values), "none")
        case _:
            return _WORDS.get(declared, "none")
