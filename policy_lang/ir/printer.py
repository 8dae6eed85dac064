"""A program as text that a person can review, one thing a line; the form of the golden files.

For reading only: nothing parses it. Guards are written out in full with their index, so that sharing shows.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import assert_never

from policy_lang import ir
from policy_lang.addresses import text_of
from policy_lang.ir.table_text import print_table
from policy_lang.typesystem import EnumType, RoleType, SetType, Type


def print_program(program: ir.Program) -> str:
    """The text of a program, with a final line end."""
    tables = (line for table in program.tables for line in print_table(table))
    return "".join(f"{line}\n" for line in (*_inventory(program), *_graph(program), *tables, *_cells(program)))


def _inventory(program: ir.Program) -> Iterator[str]:
    yield f"program {program.version}"
    for module in program.modules:
        yield f"module {module}"
    for kind in program.kinds:
        yield f"{kind.form} {kind.id} {'issuer' if kind.form == 'token' else 'type'} {_quoted(kind.name)}"
        yield from (f"  {'claim' if kind.form == 'token' else 'property'} {_field(field)}" for field in kind.claims)
        if kind.role_claim is not None:
            yield f"  roles from {kind.role_claim}"
        yield from (f"  exclusive {_exclusive(pair)}" for pair in kind.exclusive)
    for relation in program.relations:
        columns = ", ".join(f"{name}: {print_type(type_)}" for name, type_ in relation.columns)
        yield f"relation {relation.id} ({columns})"
    for signal in program.signals:
        fallback = "unknown" if signal.fallback is None else _value(signal.fallback)
        keys = f" key {' '.join(signal.keys)}" if signal.keys else ""
        source = f"from {signal.provider}{keys} within {signal.within_ms}ms else {fallback}"
        yield f"signal {signal.id}: {print_type(signal.type)} {source}"
    for workload in program.workloads:
        yield f"workload {workload.id} {_quoted(workload.identity)}"
    for service in program.services:
        yield from _service(service)
    for endpoint in program.endpoints:
        yield from _endpoint(endpoint)


def _exclusive(pair: ir.Exclusive) -> str:
    sides = ((pair.left, pair.left_values), (pair.right, pair.right_values))
    return ", ".join(f"{name} {' '.join(_quoted(each) for each in sorted(values))}" for name, values in sides)


def _service(service: ir.Service) -> Iterator[str]:
    audiences = " ".join(_quoted(each) for each in service.audiences) or "none"
    hosts = " ".join(service.hosts) or "none"
    yield f"service {service.id} audience {audiences} host {hosts}"
    if service.accepts:
        yield f"  accepts {' '.join(service.accepts)}"
    if service.observe_until_ms is not None:
        yield f"  observe until {service.observe_until_ms}"
    if service.query_strict:
        yield "  query strict"
    yield from (f"  tag {name} = {_quoted(value)}" for name, value in service.tags)


def _endpoint(endpoint: ir.Endpoint) -> Iterator[str]:
    route = endpoint.route
    match route:
        case ir.Http(methods, segments, slash):
            yield f"endpoint {endpoint.id} {'|'.join(methods)} {endpoint.written}{_at(endpoint.place)}"
            shape = " ".join(_segment(each) for each in segments) or "root"
            yield f"  path {shape}{' slash' if slash else ''}"
        case ir.Grpc(service, method):
            yield f"endpoint {endpoint.id} grpc {service}/{method}{_at(endpoint.place)}"
        case ir.Action(action, resource):
            yield f"endpoint {endpoint.id} action {_quoted(action)} on {_quoted(resource)}{_at(endpoint.place)}"
        case _:
            assert_never(route)
    if endpoint.closed:
        yield "  closed"
    if endpoint.scopes:
        yield f"  scope {' '.join(endpoint.scopes)}"
    if endpoint.labels:
        yield f"  tagged {' '.join(endpoint.labels)}"
    yield from (f"  tag {name} = {_quoted(value)}" for name, value in endpoint.tags)
    yield from (f"  query {_field(field)}" for field in endpoint.query)
    yield from (f"  header {_field(field)}" for field in endpoint.headers)
    yield from (f"  property {_field(field)}" for field in endpoint.properties)


def print_type(type_: Type) -> str:
    """A type with the values it has; an enum's are joined by `<` where it is ordered."""
    match type_:
        case EnumType(id_, values, ordered):
            return f"{id_} ({(' < ' if ordered else ' | ').join(values)})"
        case RoleType(names):
            return f"role ({' | '.join(names)})"
        case SetType(element):
            return f"set of {print_type(element)}"
        case _:
            return str(type_)


def _field(field: ir.FieldSchema) -> str:
    words = [f"{field.name}: {print_type(field.type)}"]
    words += ["optional"] if field.optional else []
    words += ["private"] if field.private else []
    words += [f"from {' '.join(_quoted(step) for step in field.source)}"]
    return " ".join(words)


def _segment(segment: ir.Segment) -> str:
    match segment:
        case ir.Fixed(text):
            return _quoted(text)
        case ir.Capture(name, type_):
            return f"{{{name}: {type_}}}"
        case ir.AnySegment():
            return "*"
        case ir.Rest():
            return "**"
        case _:
            assert_never(segment)


def _graph(program: ir.Program) -> Iterator[str]:
    for index, atom in enumerate(program.atoms):
        yield f"atom {index} {print_atom(atom)}"
    for index, guard in enumerate(program.guards):
        yield f"guard {index} {_guard(guard)}"


def _guard(guard: ir.Guard) -> str:
    match guard:
        case ir.Lit(atom, negated):
            return f"not atom {atom}" if negated else f"atom {atom}"
        case ir.All(parts):
            return f"all {' '.join(map(str, parts))}" if parts else "true"
        case ir.AnyOf(parts):
            return f"any {' '.join(map(str, parts))}" if parts else "false"
        case _:
            assert_never(guard)


_COMPARE = {"eq": "==", "lt": "<", "le": "<="}


def print_atom(atom: ir.Atom) -> str:
    """An atom in the words of the language."""
    match atom:
        case ir.Truth(of):
            return print_operand(of)
        case ir.Compare(op, left, right):
            return f"{print_operand(left)} {_COMPARE[op]} {print_operand(right)}"
        case ir.Member(item, among):
            return f"{print_operand(item)} in {print_operand(among)}"
        case ir.Overlap(left, right):
            return f"{print_operand(left)} overlaps {print_operand(right)}"
        case ir.Cover(left, right):
            return f"{print_operand(left)} covers {print_operand(right)}"
        case ir.Empty(of):
            return f"{print_operand(of)} is empty"
        case ir.Like(of, pattern):
            return f"{print_operand(of)} like {_quoted(pattern)}"
        case ir.Has(attr):
            return f"{attr.root} has {attr.name}"
        case ir.InNetwork(of, network, ranges):
            spans = ", ".join(f"{text_of(first)}-{text_of(last)}" for first, last in ranges)
            return f"{print_operand(of)} in {network} [{spans}]"
        case ir.Lookup(relation, arguments):
            return f"{relation}({', '.join(print_operand(each) for each in arguments)})"
        case ir.Vote(table, vote, arguments):
            return f"{table} says {vote} of ({', '.join(print_operand(each) for each in arguments)})"
        case ir.Age(at, most_ms):
            within = "" if most_ms is None else f" within {most_ms}ms"
            return f"age of {print_operand(at)}{within}"
        case _:
            assert_never(atom)


def print_operand(operand: ir.Operand) -> str:
    """An operand in the words of the language; instants and durations as milliseconds."""
    match operand:
        case ir.Attr(root, name):
            return f"{root}.{name}"
        case ir.Now():
            return "now"
        case ir.Const(value):
            return _value(value)
        case ir.Shift(left, sign, right):
            return f"({print_operand(left)} {'+' if sign == 1 else '-'} {print_operand(right)})"
        case _:
            assert_never(operand)


def _value(value: ir.Value) -> str:
    if isinstance(value, frozenset):
        return f"[{', '.join(json.dumps(each) for each in sorted(value))}]"
    return json.dumps(value)


def _cells(program: ir.Program) -> Iterator[str]:
    for rule in program.rules:
        yield f"rule {rule.id} {'shadow ' if rule.shadow else ''}{rule.effect}{_at(rule.place)}"
        if rule.because:
            yield f"  because {_quoted(rule.because)}"
    for index, body in enumerate(program.bodies):
        yield f"body {index}"
        yield from (f"  {clause.label} [{clause.text}] guard {clause.guard}" for clause in body.clauses)
        for need in body.needs:
            within = "" if need.within_s is None else f" within {need.within_s}s"
            yield f"  needs [{need.text}] guard {need.guard} else {need.challenge}{within}"
        yield from (f"  must {print_obligation(each)}" for each in body.must)
        yield from (f"  should {print_obligation(each)}" for each in body.should)
    for cell in program.cells:
        yield f"cell {program.endpoints[cell.endpoint].id} for {cell.kind or 'anonymous'}"
        for each in ir.rules_of(cell):
            rule = program.rules[each.rule]
            yield f"  {'shadow ' if rule.shadow else ''}{rule.effect} {rule.id} body {each.body}"


def print_obligation(obligation: ir.Obligation) -> str:
    """An obligation in the words of the language."""
    match obligation:
        case ir.LogDuty(level, strict):
            return f"log {level}{' strict' if strict else ''}"
        case ir.SetHeader(name, value):
            return f"set header {_quoted(name)} to {print_operand(value)}"
        case ir.RemoveHeader(name):
            return f"remove header {_quoted(name)}"
        case ir.Redact(pointers):
            return f"redact {', '.join(_quoted(each) for each in pointers)}"
        case ir.IssueToken(None):
            return "issue token"
        case ir.IssueToken(tuple(scopes)):
            return f"issue token with scope {', '.join(_quoted(each) for each in scopes)}"
        case ir.Alert(channel):
            return f"alert {_quoted(channel)}"
        case ir.Answer(status):
            return f"answer {status}"
        case _:
            raise ValueError(f"not an obligation: {obligation!r}")


def _at(place: ir.Place) -> str:
    return f" at {place.file}:{place.line}:{place.column}"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
