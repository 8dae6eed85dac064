"""Protobuf services as operations: one for each method, and one for each HTTP binding that its annotation gives it.

A serialised FileDescriptorSet goes in, `Imported` comes out, or AuthoringError where it is none. No network.
Specification: descriptor.proto; google/api/http.proto (`google.api.http`, field 72295728 of the method options) and
google/api/client.proto (`google.api.default_host`, field 1049 of the service options).

Decision: 2026-11-21. All proto services of one import are one service of the policy: they stand behind one host, take
one audience, and `grants by` is said once. An endpoint is named for its method where only one service has a method of
that name, else for service and method.
Decision: 2026-11-21. Annotations are read from the options' bytes, so that no generated code of anybody's needs to be
registered. A binding's variables are untyped captures, as its template says. Query parameters have the names that the
.proto gives them; that gateways may take another spelling too is noted once.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
    ServiceDescriptorProto,
)
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet
from msgspec import Struct, field

from pdp.authoring.model import (
    AuthoringError,
    Finding,
    GrpcRoute,
    HttpRoute,
    Imported,
    Key,
    Operation,
    Parameter,
    key_of,
)
from pdp.authoring.openapi import DEPRECATED
from pdp.authoring.path_text import NoPattern, capture, checked, literal, partial_segment, template_shape
from pdp.authoring.pol_text import METHODS, Names, declared_name, identifier
from pdp.authoring.proto_query import messages_of, query_of, text_of
from policy_lang.declared.fields import is_canonical_host

MOST_BYTES = 32 * 1024 * 1024
MOST_METHODS = 20_000
MOST_BINDINGS = 100
MOST_PARAMETERS = 100_000

_HTTP_OPTION = 72295728
_HOST_OPTION = 1049
_VERBS = {2: "GET", 3: "PUT", 4: "POST", 5: "DELETE", 6: "PATCH"}
_BODY, _CUSTOM, _ADDITIONAL = 7, 8, 11
_GRPC = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*/[A-Za-z_][A-Za-z0-9_]*")
_VARIABLE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_.]*)(?:=([^{}]*))?\}")
_LONGEST_TEMPLATE = 4096


class _Method(Struct, frozen=True):
    """A method with the full name of its service."""

    service: str
    owner: ServiceDescriptorProto
    method: MethodDescriptorProto

    @property
    def path(self) -> str:
        return f"{self.service}/{self.name}"

    @property
    def name(self) -> str:
        return text_of(self.method.name)


def read_descriptors(data: bytes, file: str, only: frozenset[str] | None) -> Imported:
    """The methods of a descriptor set; of the files named in `only`, where it is given.

    `file` is what stands in comments. Errors: AuthoringError I111 no descriptor set, or too large; I112 no service in
        it; I113 too many methods, or too many query parameters.
    """
    if len(data) > MOST_BYTES:
        raise AuthoringError("I111", f"{file} has {len(data)} bytes, over the limit of {MOST_BYTES}: split it")
    try:
        listed = FileDescriptorSet.FromString(data)
    except DecodeError:
        why = "make one with protoc --include_imports -o FILE"
        raise AuthoringError("I111", f"{file} is no serialised FileDescriptorSet: {why}") from None
    methods = list(_methods(listed, only))
    if not methods:
        raise AuthoringError("I112", f"{file} declares no method of a service: name the files that do")
    if len(methods) > MOST_METHODS:
        raise AuthoringError("I113", f"{file} has more than {MOST_METHODS} methods: split it")
    reading = _Reading(file, messages_of(listed))
    times = Counter(each.name for each in methods)
    for each in methods:
        _method(reading, each, alone=times[each.name] == 1)
    for each in methods:
        _bindings(reading, each)
    services = tuple(dict.fromkeys(each.service for each in methods))
    hosts, findings = _hosts(methods)
    return Imported(
        file=file,
        title=services[0].rpartition(".")[2],
        hosts=hosts,
        operations=tuple(reading.operations.values()),
        refused=frozenset(reading.refused),
        findings=tuple(dict.fromkeys((*reading.findings, *findings))),
        kinds=frozenset(("grpc", "http") if reading.http and not reading.unreadable else ("grpc",)),
    )


class _Reading(Struct):
    """The messages of the set, and what was read so far; `unreadable` where a binding may be for any route."""

    file: str
    messages: Mapping[str, DescriptorProto]
    operations: dict[Key, Operation] = field(default_factory=dict)
    refused: set[Key] = field(default_factory=set)
    findings: list[Finding] = field(default_factory=list)
    names: Names = field(default_factory=Names)
    http: bool = False
    unreadable: bool = False
    respelt: bool = False
    fields: int = 0

    def add(self, operation: Operation) -> None:
        """Take an operation in; of two with one route the first stands."""
        key = key_of(operation.route)
        if key in self.operations:
            why = f"{key[0]} {key[1]}: it is bound to `{self.operations[key].place}` already: correct one"
            self.findings.append(Finding(operation.place, why, left_out=True))
        else:
            self.operations[key] = operation


def _methods(listed: FileDescriptorSet, only: frozenset[str] | None) -> Iterator[_Method]:
    for each in listed.file:
        if only is not None and each.name not in only:
            continue
        for service in each.service:
            name = text_of(service.name)
            full = f"{text_of(each.package)}.{name}" if each.package else name
            for method in service.method:
                yield _Method(full, service, method)


def _hosts(methods: list[_Method]) -> tuple[tuple[str, ...], tuple[Finding, ...]]:
    hosts: dict[str, None] = {}
    findings: list[Finding] = []
    seen: set[str] = set()
    for each in methods:
        if each.service in seen:
            continue
        seen.add(each.service)
        for data in _unknown(each.owner.options, _HOST_OPTION):
            host = data.decode("utf-8", "replace").partition(":")[0].lower()
            if is_canonical_host(host):
                hosts[host] = None
            else:
                findings.append(Finding(each.service, f"host: `{host[:80]}` is no host name", left_out=True))
    if not hosts:
        findings.append(Finding(next(iter(seen)), "no host is named: write yours at `host` of the service"))
    return tuple(hosts), tuple(findings)


def _method(reading: _Reading, each: _Method, *, alone: bool) -> None:
    if not _GRPC.fullmatch(each.path):
        reading.findings.append(Finding(each.path[:200], "no gRPC method has such a name", left_out=True))
        return
    reading.add(
        Operation(
            name=reading.names.take(_name(each, alone=alone)),
            route=GrpcRoute(each.path),
            parameters=(),
            scopes=(),
            tags=_tags(each),
            comments=_streaming(each.method),
            place=each.path,
        )
    )


def _name(each: _Method, *, alone: bool) -> str:
    owner = "" if alone else f"{text_of(each.owner.name)} "
    return declared_name(f"{owner}{each.name}", "method", "method")


def _tags(each: _Method) -> tuple[str, ...]:
    return (DEPRECATED,) if each.method.options.deprecated or each.owner.options.deprecated else ()


def _streaming(method: MethodDescriptorProto) -> tuple[str, ...]:
    match method.client_streaming, method.server_streaming:
        case True, True:
            return ("both sides stream: decided once, when the call begins",)
        case True, False:
            return ("the client streams: decided once, when the call begins",)
        case False, True:
            return ("the server streams: decided once, when the call begins",)
        case _:
            return ()


# ---------------------------------------------------------------- google.api.http


def _bindings(reading: _Reading, each: _Method) -> None:
    for data in _unknown(each.method.options, _HTTP_OPTION):
        rule = Empty.FromString(data) if _is_message(data) else None
        if rule is None:
            _unreadable(reading, each, "HTTP binding: it cannot be read")
            continue
        _binding(reading, each, rule)
        more = list(_unknown(rule, _ADDITIONAL))
        for additional in more[:MOST_BINDINGS]:
            if _is_message(additional):
                _binding(reading, each, Empty.FromString(additional))
            else:
                _unreadable(reading, each, "additional HTTP binding: it cannot be read")
        if len(more) > MOST_BINDINGS:
            _unreadable(reading, each, f"HTTP bindings beyond the first {MOST_BINDINGS}: too many")


def _unreadable(reading: _Reading, each: _Method, why: str) -> None:
    reading.unreadable = True
    reading.findings.append(Finding(each.path, why, left_out=True))


def _binding(reading: _Reading, each: _Method, rule: Message) -> None:
    reading.http = True
    method, template = _verb(rule)
    pattern = _pattern(template)
    if method not in {*METHODS, "ANY"} or isinstance(pattern, NoPattern):
        why = pattern.why if isinstance(pattern, NoPattern) else "the language has no such method"
        said = f"{method[:20]} {template[:120]}: {why}"
        reading.findings.append(Finding(each.path, said, left_out=True))
        reading.refused.add((method[:20], _shape(template)))
        return
    reading.add(
        Operation(
            name=reading.names.take(f"{declared_name(each.name, 'method', 'method')}_http"),
            route=HttpRoute(method, pattern),
            parameters=_query(reading, each, rule, template),
            scopes=(),
            tags=_tags(each),
            comments=(f"HTTP binding of {each.path}",),
            place=each.path,
        )
    )


def _query(reading: _Reading, each: _Method, rule: Message, template: str) -> tuple[Parameter, ...]:
    """What a binding takes from the query: nothing where the whole request is its body."""
    body = b"".join([*_unknown(rule, _BODY)][-1:]).decode("utf-8", "replace")
    if body == "*":
        return ()
    inside = {name for name, _ in _VARIABLE.findall(template)}
    query = query_of(reading.messages, text_of(each.method.input_type), frozenset(inside | ({body} if body else set())))
    reading.fields += query.met
    if reading.fields > MOST_PARAMETERS:
        raise AuthoringError("I113", f"{reading.file} has more than {MOST_PARAMETERS} query parameters: split it")
    reading.findings += (Finding(each.path, note) for note in query.notes)
    if query.respelt is not None and not reading.respelt:
        reading.respelt = True
        name, other = query.respelt
        why = f"`{name}` and others like it are declared as the .proto names them: where your gateway also takes"
        reading.findings.append(Finding(each.path, f"{why} `{other}`, declare that too before a rule reads one"))
    return query.parameters


def _verb(rule: Message) -> tuple[str, str]:
    """The method and the template of one HttpRule; empty where it has none."""
    for number, method in _VERBS.items():
        for data in _unknown(rule, number):
            return method, data.decode("utf-8", "replace")
    for data in _unknown(rule, _CUSTOM):
        if _is_message(data):
            custom = Empty.FromString(data)
            kind = b"".join(_unknown(custom, 1)).decode("utf-8", "replace")
            template = b"".join(_unknown(custom, 2)).decode("utf-8", "replace")
            return "ANY" if kind == "*" else kind, template
    return "", ""


def _pattern(template: str) -> str | NoPattern:
    """The pattern of a template such as `/v1/{name=shelves/*}/books:list`."""
    if not template.startswith("/") or len(template) > _LONGEST_TEMPLATE:
        return NoPattern("its path does not begin with `/`, or is too long: correct it")
    names = Names()
    written = _VARIABLE.sub(lambda found: _variable(found[1], found[2] or "*", names), template)
    segments = []
    for segment in written[1:].split("/"):
        if segment in {"*", "**"} or (segment.startswith("{") and segment.endswith("}")):
            segments.append(segment)
        elif "*" in segment or "{" in segment or "}" in segment:
            return partial_segment(segment)
        else:
            segments.append(literal(segment))
    return checked("/" + "/".join(segments))


def _shape(template: str) -> str:
    """The shape of a template's route, also where no pattern says the same."""
    return template_shape(_VARIABLE.sub(lambda found: found[2].replace("*", "{}") if found[2] else "{}", template))


def _variable(name: str, template: str, names: Names) -> str:
    """What a variable stands for: each `*` of its template is a capture."""
    parts = template.split("/")
    return "/".join(capture(names.take(identifier(name, "part")), "string") if part == "*" else part for part in parts)


def _unknown(message: Message, number: int) -> Iterator[bytes]:
    """The contents of a length-delimited field, whether the message's class declares it or not."""
    fields = UnknownFieldSet(Empty.FromString(message.SerializeToString()))
    for index in range(len(fields)):
        each = fields[index]
        if each.field_number == number and isinstance(each.data, bytes):
            yield each.data


def _is_message(data: bytes) -> bool:
    try:
        Empty.FromString(data)
    except DecodeError:
        return False
    return True
