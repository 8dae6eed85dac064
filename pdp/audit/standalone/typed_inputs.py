"""What was asked, as typed values: claims, properties, parameters and headers that conform, or are refused by name.

The rules are those of policy_lang/meaning/schema.py and admission.py.
"""

from __future__ import annotations

import ipaddress
import math
import re
import socket
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from pdp.audit.standalone.policy import AUD, ID, IDENTITY, Cell, Endpoint, Field, Kind, Policy, Service
from pdp.audit.standalone.reading import Json, Name, ReceiptError, Value, items
from pdp.audit.standalone.request import read_query
from pdp.audit.standalone.routing import UUID, Act, Http, Paths, Refusal, captures


class MisfitError(Exception):
    """A value that is not of its declared type: `type`, `range` or `size`."""


class Question(NamedTuple):
    """All that an answer depends on. `able`: what the gateway can do, None for everything."""

    service: str
    call: Http | Act
    kind: str | None
    claims: Mapping[str, Json]
    multi_audience: bool
    unread: frozenset[str]
    now_ms: int
    facts: Mapping[str, frozenset[tuple[Value, ...]]]
    origin: Mapping[str, Json]
    signals: Mapping[str, Json]
    able: frozenset[str] | None


class Call(NamedTuple):
    """A question that has an endpoint and conforms to what it declares."""

    policy: Policy
    question: Question
    service: Service
    endpoint: Endpoint
    kind: Kind | None
    cell: Cell
    inputs: Mapping[Name, Value]

    @property
    def unread(self) -> set[Name]:
        """Claims that were there, conformed, and had no part in the answer."""
        return {(self.kind.form if self.kind else "token", name) for name in self.question.unread}


def from_json(type_: Sequence[Json], given: Json) -> Value:
    """A value of JSON as one of the type. Errors: MisfitError."""
    if type_[0] == "set":
        if not isinstance(given, list) or len(given) > 10_000:
            raise MisfitError("size" if isinstance(given, list) else "type")
        return frozenset(scalar(items(type_[1]), each) for each in given)
    return scalar(type_, given)


def scalar(type_: Sequence[Json], given: Json) -> bool | int | str:
    match type_[0], given:
        case "bool", bool():
            return given
        case (("string" | "uuid" | "ip" | "workload" | "enum" | "role"), str()):
            return word(type_, given)
        case "time", float() if math.isfinite(given):
            return bounded([], math.floor(Decimal(repr(given)) * 1000))
        case (("int" | "time" | "duration"), int()) if not isinstance(given, bool):
            return bounded(type_, given)
        case _:
            raise MisfitError("type")


def from_text(type_: Sequence[Json], given: str) -> bool | int | str:
    """A text of a query or a header as a value of a scalar type. Errors: MisfitError."""
    match type_[0]:
        case "bool":
            return scalar(type_, {"true": True, "false": False}.get(given))
        case "int" | "time" | "duration":
            if not re.fullmatch(r"0|-?[1-9][0-9]*", given, re.ASCII):
                raise MisfitError("type")
            return bounded(type_, int(given) if len(given) <= 20 else 2**64)
        case _:
            return word(type_, given)


def bounded(type_: Sequence[Json], number: int) -> int:
    """An integer in the range of its type; seconds of a time or a duration become milliseconds."""
    lowest, highest = -(2**63), 2**63 - 1
    match type_:
        case ["int", low, high]:
            lowest, highest = low if isinstance(low, int) else lowest, high if isinstance(high, int) else highest
        case ["time" | "duration"]:
            number *= 1000
    if not lowest <= number <= highest:
        raise MisfitError("range")
    return number


def word(type_: Sequence[Json], given: str) -> str:
    fits, found = True, given
    match type_:
        case ["uuid"]:
            fits, found = UUID.fullmatch(given) is not None, given.lower()
        case ["ip"]:
            number = address(given)
            fits, found = number is not None, given if number is None else address_text(number)
        case ["workload"]:
            form = r"spiffe://[a-z0-9._-]{1,255}(?:/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._-]+)+"
            fits = len(given) <= 2048 and re.fullmatch(form, given) is not None
        case ["enum", _, [*known], _] | ["role", *known]:
            fits = given in known
        case _:
            fits = not any("\ud800" <= each <= "\udfff" for each in given)
    if not fits:
        raise MisfitError("type")
    return found


def address(text: str) -> int | None:
    """An address as a number of 128 bits; IPv4 is the range that IPv6 maps it to."""
    try:
        if ":" in text:
            return int.from_bytes(socket.inet_pton(socket.AF_INET6, text), "big") if len(text) <= 45 else None
        return 0xFFFF << 32 | int.from_bytes(socket.inet_pton(socket.AF_INET, text), "big")
    except (OSError, ValueError):
        return None


def address_text(number: int) -> str:
    mapped = number >> 32 == 0xFFFF
    return str(ipaddress.IPv4Address(number & 0xFFFFFFFF) if mapped else ipaddress.IPv6Address(number))


def conformed(own: Iterable[Field], given: Mapping[str, Json], owner: str) -> dict[str, Value] | Refusal:
    """Claims or properties as values by name; the first that does not conform is refused by name."""
    values: dict[str, Value] = {}
    for field in own:
        at: Json = dict(given)
        try:
            for step in field.source:
                at = at[step] if isinstance(at, dict) else None
        except KeyError:
            if field.implicit:
                values[field.name] = frozenset()
            elif not field.optional:
                return Refusal("schema", f"schema.{owner}_missing", field.name)
            continue
        if field.implicit and isinstance(at, str):
            at = [at] if field.name == AUD else [each for each in at.split(" ") if each]
        try:
            value = from_json(field.type, at)
        except MisfitError as error:
            return Refusal("schema", f"schema.{owner}_{error}", field.name)
        if owner == "resource" and length(value) > 8192:
            return Refusal("schema", "schema.resource_size", field.name)
        values[field.name] = value
    return values


def length(value: Value) -> int:
    return sum(len(each) for each in (value if isinstance(value, frozenset) else [value]) if isinstance(each, str))


def conformed_texts(own: Iterable[Field], given: Mapping[str, Sequence[str]], owner: str) -> dict[str, Value] | Refusal:
    """Parameters or headers as values by name."""
    values: dict[str, Value] = {}
    for field in own:
        written = given.get(field.source[0])
        fault = ""
        if owner == "header" and written:
            fault = "value" if sum(map(len, written)) > 8192 else ""
            if field.type[0] == "set":
                written = [member for text in written for each in text.split(",") if (member := each.strip(" \t"))]
        elif not written:
            written = None
        if written is None and field.optional:
            continue
        try:
            if written is not None and not fault and field.type[0] == "set":
                fault = "value" if len(written) > 10_000 else ""
                values[field.name] = frozenset(from_text(items(field.type[1]), each) for each in written)
            elif written is not None and not fault:
                fault = "repeated" if len(written) > 1 else ""
                values[field.name] = True if fault else from_text(field.type, written[0])
        except MisfitError:
            fault = "value"
        if written is None or fault:
            return Refusal("schema", f"schema.{owner}_{fault or 'missing'}", field.name)
    return values


def admitted(policy: Policy, question: Question) -> tuple[Endpoint | None, Call | Refusal]:
    """The endpoint of a question and its typed inputs, or who refuses it and why."""
    service, call = policy.services.get(question.service), question.call
    own = [each for each in policy.endpoints if each.service == question.service]
    if service is None:
        return None, Refusal("route", "route.service")
    if isinstance(call, Http):
        if not service.hosts or call.host not in {*service.hosts, ""}:
            return None, Refusal("route", "route.host")
        found = Paths(own).route(call)
    else:
        acts = [each for each in own if each.route == ["action", call.action, call.resource]]
        found = acts[0] if acts else Refusal("route", "route.action")
    if isinstance(found, Refusal):
        return None, found
    inputs = given(service, found, question)
    kind = policy.kinds.get(question.kind or "")
    if not isinstance(inputs, Refusal) and kind is None and question.kind is not None:
        inputs = Refusal("schema", "schema.kind", question.kind)
    if not isinstance(inputs, Refusal) and kind is not None:
        read = [each for each in kind.fields if each.name not in question.unread]
        claims = conformed(read, question.claims, "claim" if kind.form == "token" else "subject")
        inputs = claims if isinstance(claims, Refusal) else inputs | under(kind.form, claims)
    if isinstance(inputs, Refusal):
        return found, inputs
    cell = policy.cells.get((found.place, question.kind), Cell())
    return found, Call(policy, question, service, found, kind, cell, inputs)


def given(service: Service, endpoint: Endpoint, question: Question) -> dict[Name, Value] | Refusal:
    """What the call itself holds."""
    call, origin = question.call, question.origin
    request: dict[str, Value] = {"peer": str(origin.get("peer", "")), "gateway": str(origin.get("gateway", ""))}
    request |= {name: value for name in ("ip", "tls") if isinstance(value := origin.get(name), str | bool)}
    signals = under("signal", {name: signal_value(value) for name, value in question.signals.items()})
    if isinstance(call, Act):
        whole: dict[str, Json] = {**call.properties}
        own = conformed([IDENTITY], {ID: call.id}, "resource")
        rest = conformed(endpoint.properties, whole, "resource")
        if isinstance(own, Refusal) or isinstance(rest, Refusal):
            return own if isinstance(own, Refusal) else rest if isinstance(rest, Refusal) else {}
        return under("request", request) | signals | under("resource", own | rest)
    pairs = read_query(call.target.query)
    if isinstance(pairs, str):
        return Refusal("schema", pairs)
    named: dict[str, list[str]] = {}
    for name, text in pairs:
        named.setdefault(name, []).append(text)
    query = conformed_texts(endpoint.query, named, "query")
    if isinstance(query, Refusal):
        return query
    stray = [name for name in named if name not in {each.source[0] for each in endpoint.query}]
    if stray and service.query_strict:
        plain = re.fullmatch(r"[A-Za-z0-9_.\-]{1,64}", stray[0], re.ASCII)
        return Refusal("schema", "schema.query_undeclared", stray[0] if plain else "")
    headers = conformed_texts(endpoint.headers, call.headers, "header")
    if isinstance(headers, Refusal):
        return headers
    request |= {"method": call.method, "path": call.target.text} | ({"host": call.host} if call.host else {})
    found = under("request", request) | signals | under("query", query) | under("header", headers)
    return found | (captures(endpoint, call.target) or {})


def under(root: str, values: Mapping[str, Value]) -> dict[Name, Value]:
    return {(root, name): value for name, value in values.items()}


def signal_value(given: Json) -> Value:
    members = given if isinstance(given, list) else [given]
    scalars = frozenset(each for each in members if isinstance(each, bool | int | str))
    if len(scalars) != len(members):
        raise ReceiptError("a signal of the inputs is no value")
    return scalars if isinstance(given, list) else next(iter(scalars))
