"""What a program declares, as JSON and back: kinds, relations, signals, workloads, services, endpoints.

For codec.py, which says what holds of the form. Every value is a list of its fields in the order in which `ir` names
them; values of a closed union begin with a tag.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never

from policy_lang import ir
from policy_lang.ir.json_values import JsonValue, Reader
from policy_lang.typesystem import EnumType, IntType, RoleType, Scalar, ScalarType, SetType, Type

# ---------------------------------------------------------------- writing


def written_kind(kind: ir.Kind) -> JsonValue:
    """A kind."""
    exclusive: list[JsonValue] = [
        [each.left, sorted(each.left_values), each.right, sorted(each.right_values)] for each in kind.exclusive
    ]
    return [kind.id, kind.form, kind.name, _fields(kind.claims), kind.role_claim, exclusive]


def written_relation(relation: ir.Relation) -> JsonValue:
    """A relation."""
    return [relation.id, [[name, _type(declared)] for name, declared in relation.columns]]


def written_signal(signal: ir.Signal) -> JsonValue:
    """A signal."""
    fallback = _value(signal.fallback) if signal.fallback is not None else None
    return [signal.id, _type(signal.type), signal.provider, list(signal.keys), signal.within_ms, fallback]


def written_workload(workload: ir.Workload) -> JsonValue:
    """A workload."""
    return [workload.id, workload.identity]


def written_service(service: ir.Service) -> JsonValue:
    """A service."""
    lists: list[JsonValue] = [list(each) for each in (service.audiences, service.hosts, service.accepts)]
    return [service.id, *lists, service.observe_until_ms, service.query_strict, _tags(service.tags)]


def written_endpoint(endpoint: ir.Endpoint) -> JsonValue:
    """An endpoint."""
    return [
        endpoint.id,
        endpoint.service,
        _route(endpoint.route),
        endpoint.written,
        list(endpoint.scopes),
        list(endpoint.labels),
        _tags(endpoint.tags),
        _fields(endpoint.query),
        _fields(endpoint.headers),
        _fields(endpoint.properties),
        endpoint.closed,
        [endpoint.place.file, endpoint.place.line, endpoint.place.column],
    ]


def _value(value: ir.Value) -> JsonValue:
    """A scalar as it is, a set as a sorted list."""
    return sorted(value) if isinstance(value, frozenset) else value


def _type(declared: Type) -> JsonValue:
    match declared:
        case Scalar():
            return [declared.value]
        case IntType(lowest, highest):
            return ["int", lowest, highest]
        case EnumType(id_, values, ordered):
            return ["enum", id_, list(values), ordered]
        case RoleType(names):
            return ["role", *names]
        case SetType(element):
            return ["set", _type(element)]
        case _:
            assert_never(declared)


def _fields(fields: tuple[ir.FieldSchema, ...]) -> list[JsonValue]:
    return [[each.name, _type(each.type), each.optional, each.private, list(each.source)] for each in fields]


def _tags(tags: tuple[tuple[str, str], ...]) -> list[JsonValue]:
    return [[name, value] for name, value in tags]


def _route(route: ir.Route) -> JsonValue:
    match route:
        case ir.Http(methods, segments, slash):
            return ["http", list(methods), [_segment(each) for each in segments], slash]
        case ir.Grpc(service, method):
            return ["grpc", service, method]
        case ir.Action(action, resource):
            return ["action", action, resource]
        case _:
            assert_never(route)


def _segment(segment: ir.Segment) -> JsonValue:
    match segment:
        case ir.Fixed(text):
            return ["fixed", text]
        case ir.Capture(name, type_):
            return [type_, name]
        case ir.AnySegment():
            return ["any"]
        case ir.Rest():
            return ["rest"]
        case _:
            assert_never(segment)


# ---------------------------------------------------------------- reading

_CAPTURES: Mapping[str, ir.CaptureType] = {"string": "string", "int": "int", "uuid": "uuid", "opaque": "opaque"}
_SCALARS = {each.value: each for each in Scalar}


def read_kind(value: Reader) -> ir.Kind:
    """A kind."""
    id_, form, name, claims, role_claim, exclusive = value.items(6)
    match form.text():
        case ("token" | "subject") as word:
            return ir.Kind(
                id_.text(),
                word,
                name.text(),
                claims.each(_read_field),
                role_claim.text_or_none(),
                exclusive.each(_read_exclusive),
            )
        case _:
            raise form.refused("token or subject")


def _read_exclusive(value: Reader) -> ir.Exclusive:
    left, left_values, right, right_values = value.items(4)
    return ir.Exclusive(left.text(), _read_names(left_values), right.text(), _read_names(right_values))


def _read_names(value: Reader) -> frozenset[str]:
    names = value.texts()
    if len(set(names)) != len(names):
        raise value.refused("a set")
    return frozenset(names)


def read_relation(value: Reader) -> ir.Relation:
    """A relation."""
    id_, columns = value.items(2)
    return ir.Relation(id_.text(), columns.each(_read_column))


def _read_column(value: Reader) -> tuple[str, Type]:
    name, declared = value.items(2)
    return name.text(), _read_type(declared)


def read_signal(value: Reader) -> ir.Signal:
    """A signal."""
    id_, declared, provider, keys, within_ms, fallback = value.items(6)
    otherwise = None if fallback.absent() else fallback.value_of()
    return ir.Signal(id_.text(), _read_type(declared), provider.text(), keys.texts(), within_ms.integer(), otherwise)


def read_workload(value: Reader) -> ir.Workload:
    """A workload."""
    id_, identity = value.items(2)
    return ir.Workload(id_.text(), identity.text())


def read_service(value: Reader) -> ir.Service:
    """A service."""
    id_, audiences, hosts, accepts, observe, strict, tags = value.items(7)
    return ir.Service(
        id_.text(),
        audiences.texts(),
        hosts.texts(),
        accepts.texts(),
        observe.integer_or_none(),
        strict.truth(),
        tags.each(_read_tag),
    )


def read_endpoint(value: Reader) -> ir.Endpoint:
    """An endpoint."""
    id_, service, route, written, scopes, labels, tags, query, headers, properties, closed, place = value.items(12)
    return ir.Endpoint(
        id_.text(),
        service.text(),
        _read_route(route),
        written.text(),
        scopes.texts(),
        labels.texts(),
        tags.each(_read_tag),
        query.each(_read_field),
        headers.each(_read_field),
        properties.each(_read_field),
        closed.truth(),
        _read_place(place),
    )


def _read_place(value: Reader) -> ir.Place:
    file, line, column = value.items(3)
    return ir.Place(file.text(), line.integer(), column.integer())


def _read_tag(value: Reader) -> tuple[str, str]:
    name, of = value.items(2)
    return name.text(), of.text()


def _read_field(value: Reader) -> ir.FieldSchema:
    name, declared, optional, private, source = value.items(5)
    return ir.FieldSchema(name.text(), _read_type(declared), optional.truth(), private.truth(), source.texts())


def _read_type(value: Reader) -> Type:
    match value.tagged():
        case "set", [element]:
            return SetType(_read_scalar_type(element))
        case _:
            return _read_scalar_type(value)


def _read_scalar_type(value: Reader) -> ScalarType:
    match value.tagged():
        case "int", [lowest, highest]:
            return IntType(lowest.integer_or_none(), highest.integer_or_none())
        case "enum", [id_, values, ordered]:
            return EnumType(id_.text(), values.texts(), ordered.truth())
        case "role", names:
            return RoleType(tuple(name.text() for name in names))
        case tag, [] if tag in _SCALARS:
            return _SCALARS[tag]
        case _:
            raise value.refused("a type")


def _read_route(value: Reader) -> ir.Route:
    match value.tagged():
        case "http", [methods, segments, slash]:
            return ir.Http(methods.texts(), segments.each(_read_segment), slash.truth())
        case "grpc", [service, method]:
            return ir.Grpc(service.text(), method.text())
        case "action", [action, resource]:
            return ir.Action(action.text(), resource.text())
        case _:
            raise value.refused("a route")


def _read_segment(value: Reader) -> ir.Segment:
    match value.tagged():
        case "fixed", [text]:
            return ir.Fixed(text.text())
        case "any", []:
            return ir.AnySegment()
        case "rest", []:
            return ir.Rest()
        case tag, [name] if tag in _CAPTURES:
            return ir.Capture(name.text(), _CAPTURES[tag])
        case _:
            raise value.refused("a segment")
