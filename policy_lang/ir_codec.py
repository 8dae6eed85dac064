"""A program as bytes and back: canonical JSON, one form for one program.

`dump` writes what `load` reads. Values of a closed union are lists whose first item is a tag. Keys are sorted, sets
are sorted lists, nothing is written that can be worked out, so equal programs give equal bytes.
INVARIANT: load(dump(p)) == p; whatever `load` returns keeps the invariants of `ir` (policy_lang/ir_check.py). It reads
bytes that may come from anywhere: what is not such a program is a ValueError, never another exception and never a
smaller program.
Source: ir.py; contracts.md "Bundles, places, configuration" (the SHA-256 of these bytes is stated in the log).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import assert_never

from policy_lang import ir
from policy_lang.ir_check import check_program
from policy_lang.ir_json import JsonValue, Reader
from policy_lang.typesystem import IntType, Scalar, ScalarType, SetType, Type

# ---------------------------------------------------------------- writing


def dump(program: ir.Program) -> bytes:
    """The bytes of a program: ASCII, no white space."""
    document = {
        "version": program.version,
        "modules": list(program.modules),
        "kinds": [[each.id, each.issuer, [_field(f) for f in each.claims]] for each in program.kinds],
        "relations": [[each.id, [[name, _type(t)] for name, t in each.columns]] for each in program.relations],
        "services": [[each.id, list(each.audiences), list(each.hosts)] for each in program.services],
        "endpoints": [_endpoint(each) for each in program.endpoints],
        "atoms": [_atom(each) for each in program.atoms],
        "guards": [_guard(each) for each in program.guards],
        "rules": [_rule(each) for each in program.rules],
        "cells": [_cell(each) for each in program.cells],
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def _type(type_: Type) -> JsonValue:
    match type_:
        case Scalar():
            return [type_.value]
        case IntType(lowest, highest):
            return ["int", lowest, highest]
        case SetType(element):
            return ["set", _type(element)]
        case _:
            assert_never(type_)


def _field(field: ir.FieldSchema) -> JsonValue:
    return [field.name, _type(field.type), field.optional, field.private, list(field.source)]


def _place(place: ir.Place) -> JsonValue:
    return [place.file, place.line, place.column]


def _segment(segment: ir.Segment) -> JsonValue:
    match segment:
        case ir.Fixed(text):
            return ["fixed", text]
        case ir.Capture(name, type_):
            return ["capture", name, type_]
        case ir.AnySegment():
            return ["any"]
        case ir.Rest():
            return ["rest"]
        case _:
            assert_never(segment)


def _endpoint(endpoint: ir.Endpoint) -> JsonValue:
    return {
        "id": endpoint.id,
        "service": endpoint.service,
        "methods": list(endpoint.methods),
        "route": endpoint.route,
        "segments": [_segment(each) for each in endpoint.segments],
        "trailing_slash": endpoint.trailing_slash,
        "scopes": list(endpoint.scopes),
        "labels": list(endpoint.labels),
        "query": [_field(each) for each in endpoint.query],
        "place": _place(endpoint.place),
    }


def _operand(operand: ir.Operand) -> JsonValue:
    match operand:
        case ir.Attr(root, name):
            return ["attr", root, name]
        case ir.Now():
            return ["now"]
        case ir.Const(frozenset() as members):
            return ["set", *sorted(members)]
        case ir.Const(bool() | int() | str() as value):
            return ["const", value]
        case ir.Shift(left, sign, right):
            return ["shift", _operand(left), sign, _operand(right)]
        case _:
            raise ValueError(f"not an operand: {operand!r}")


def _atom(atom: ir.Atom) -> JsonValue:
    match atom:
        case ir.Truth(of):
            return ["truth", _operand(of)]
        case ir.Compare(op, left, right):
            return [op, _operand(left), _operand(right)]
        case ir.Member(item, among):
            return ["member", _operand(item), _operand(among)]
        case ir.Overlap(left, right):
            return ["overlap", _operand(left), _operand(right)]
        case ir.Cover(left, right):
            return ["cover", _operand(left), _operand(right)]
        case ir.Empty(of):
            return ["empty", _operand(of)]
        case ir.Like(of, pattern):
            return ["like", _operand(of), pattern]
        case ir.Has(attr):
            return ["has", _operand(attr)]
        case ir.Lookup(relation, arguments):
            return ["lookup", relation, *(_operand(each) for each in arguments)]
        case ir.Age(at, most_ms):
            return ["age", _operand(at), most_ms]
        case _:
            assert_never(atom)


def _guard(guard: ir.Guard) -> JsonValue:
    match guard:
        case ir.Lit(atom, negated):
            return ["not" if negated else "atom", atom]
        case ir.All(parts):
            return ["all", *parts]
        case ir.AnyOf(parts):
            return ["any", *parts]
        case _:
            assert_never(guard)


def _rule(rule: ir.Rule) -> JsonValue:
    log: JsonValue = None if rule.log is None else [rule.log.level, rule.log.strict]
    return [rule.id, rule.effect, rule.because, _place(rule.place), log]


def _cell(cell: ir.Cell) -> JsonValue:
    return [
        cell.endpoint,
        cell.kind,
        [_cell_rule(each) for each in cell.deny],
        [_cell_rule(each) for each in cell.allow],
        [_cell_rule(each) for each in cell.require],
    ]


def _cell_rule(rule: ir.CellRule) -> JsonValue:
    clauses: list[JsonValue] = [[each.label, each.text, each.guard] for each in rule.clauses]
    needs: list[JsonValue] = [[each.text, each.guard, each.challenge, each.within_s] for each in rule.needs]
    return [rule.rule, clauses, needs]


# ---------------------------------------------------------------- reading

_ROOTS: Mapping[str, ir.Root] = {"token": "token", "path": "path", "query": "query", "request": "request"}
_EFFECTS: Mapping[str, ir.Effect] = {"allow": "allow", "deny": "deny", "require": "require"}
_LEVELS: Mapping[str, ir.LogLevel] = {"minimal": "minimal", "normal": "normal", "full": "full"}
_CAPTURES: Mapping[str, ir.CaptureType] = {"string": "string", "int": "int", "uuid": "uuid"}


def load(data: bytes) -> ir.Program:
    """The program in `data`.

    Errors: ValueError for anything that is not one of this version, whole and sound: another version, an unknown tag,
        a wrong shape, an index out of range, a guard not after its parts, a repeated key.
    """
    try:
        document = json.loads(data.decode("ascii"), object_pairs_hook=_without_repeats, parse_constant=_no_constant)
        program = _read_program(Reader(document, "program"))
    except RecursionError as error:
        raise ValueError("the program nests too deep") from error
    check_program(program)
    return program


def _without_repeats(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    read = dict(pairs)
    if len(read) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return read


def _no_constant(text: str) -> JsonValue:
    raise ValueError(f"not a number: {text}")


def _read_program(document: Reader) -> ir.Program:
    names = ("version", "modules", "kinds", "relations", "services", "endpoints", "atoms", "guards", "rules", "cells")
    version, modules, kinds, relations, services, endpoints, atoms, guards, rules, cells = document.fields(*names)
    if version.integer() != ir.VERSION:
        raise ValueError(f"a program of version {version.integer()}: this reader knows version {ir.VERSION} only")
    return ir.Program(
        version=ir.VERSION,
        modules=modules.texts(),
        kinds=kinds.each(_read_kind),
        relations=relations.each(_read_relation),
        services=services.each(_read_service),
        endpoints=endpoints.each(_read_endpoint),
        atoms=atoms.each(_read_atom),
        guards=guards.each(_read_guard),
        rules=rules.each(_read_rule),
        cells=cells.each(_read_cell),
    )


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
        case tag, []:
            return Scalar(tag)
        case _:
            raise value.refused("a type")


def _read_field(value: Reader) -> ir.FieldSchema:
    name, type_, optional, private, source = value.items(5)
    return ir.FieldSchema(name.text(), _read_type(type_), optional.truth(), private.truth(), source.texts())


def _read_place(value: Reader) -> ir.Place:
    file, line, column = value.items(3)
    return ir.Place(file.text(), line.integer(), column.integer())


def _read_kind(value: Reader) -> ir.Kind:
    id_, issuer, claims = value.items(3)
    return ir.Kind(id_.text(), issuer.text(), claims.each(_read_field))


def _read_relation(value: Reader) -> ir.Relation:
    id_, columns = value.items(2)
    return ir.Relation(id_.text(), columns.each(_read_column))


def _read_column(value: Reader) -> tuple[str, Type]:
    name, type_ = value.items(2)
    return name.text(), _read_type(type_)


def _read_service(value: Reader) -> ir.Service:
    id_, audiences, hosts = value.items(3)
    return ir.Service(id_.text(), audiences.texts(), hosts.texts())


def _read_endpoint(value: Reader) -> ir.Endpoint:
    names = ("id", "service", "methods", "route", "segments", "trailing_slash", "scopes", "labels", "query", "place")
    id_, service, methods, route, segments, slash, scopes, labels, query, place = value.fields(*names)
    return ir.Endpoint(
        id=id_.text(),
        service=service.text(),
        methods=methods.texts(),
        route=route.text(),
        segments=segments.each(_read_segment),
        trailing_slash=slash.truth(),
        scopes=scopes.texts(),
        labels=labels.texts(),
        query=query.each(_read_field),
        place=_read_place(place),
    )


def _read_segment(value: Reader) -> ir.Segment:
    tag, rest = value.tagged()
    match tag, rest:
        case "fixed", [text]:
            return ir.Fixed(text.text())
        case "capture", [name, type_]:
            return ir.Capture(name.text(), type_.one_of(_CAPTURES))
        case "any", []:
            return ir.AnySegment()
        case "rest", []:
            return ir.Rest()
        case _:
            raise value.refused("a segment")


def _read_operand(value: Reader) -> ir.Operand:
    tag, rest = value.tagged()
    match tag, rest:
        case "attr", [root, name]:
            return ir.Attr(root.one_of(_ROOTS), name.text())
        case "now", []:
            return ir.Now()
        case "const", [scalar]:
            return ir.Const(scalar.scalar())
        case "set", members:
            return ir.Const(_read_set(value, members))
        case "shift", [left, sign, right]:
            return ir.Shift(_read_operand(left), sign.sign(), _read_operand(right))
        case _:
            raise value.refused("an operand")


def _read_set(value: Reader, members: list[Reader]) -> frozenset[ir.ScalarValue]:
    scalars = [member.scalar() for member in members]
    if len({type(each) for each in scalars}) > 1 or len(set(scalars)) != len(scalars):
        raise value.refused("a set of one type")
    return frozenset(scalars)


def _read_atom(value: Reader) -> ir.Atom:
    tag, rest = value.tagged()
    match tag, rest:
        case "truth", [of]:
            return ir.Truth(_read_operand(of))
        case ("eq" | "lt" | "le") as op, [left, right]:
            return ir.Compare(op, _read_operand(left), _read_operand(right))
        case "member", [item, among]:
            return ir.Member(_read_operand(item), _read_operand(among))
        case "overlap", [left, right]:
            return ir.Overlap(_read_operand(left), _read_operand(right))
        case "cover", [left, right]:
            return ir.Cover(_read_operand(left), _read_operand(right))
        case "empty", [of]:
            return ir.Empty(_read_operand(of))
        case "like", [of, pattern]:
            return ir.Like(_read_operand(of), pattern.text())
        case "has", [attr]:
            return ir.Has(_read_attr(attr))
        case "lookup", [relation, *arguments]:
            return ir.Lookup(relation.text(), tuple(_read_operand(each) for each in arguments))
        case "age", [at, most_ms]:
            return ir.Age(_read_operand(at), most_ms.integer_or_none())
        case _:
            raise value.refused("an atom")


def _read_attr(value: Reader) -> ir.Attr:
    operand = _read_operand(value)
    if not isinstance(operand, ir.Attr):
        raise value.refused("an input")
    return operand


def _read_guard(value: Reader) -> ir.Guard:
    tag, rest = value.tagged()
    match tag, rest:
        case (("atom" | "not"), [atom]):
            return ir.Lit(atom.integer(), tag == "not")
        case "all", parts:
            return ir.All(tuple(part.integer() for part in parts))
        case "any", parts:
            return ir.AnyOf(tuple(part.integer() for part in parts))
        case _:
            raise value.refused("a guard")


def _read_rule(value: Reader) -> ir.Rule:
    id_, effect, because, place, log = value.items(5)
    duty = None
    if not log.absent():
        level, strict = log.items(2)
        duty = ir.LogDuty(level.one_of(_LEVELS), strict.truth())
    return ir.Rule(id_.text(), effect.one_of(_EFFECTS), because.text(), _read_place(place), duty)


def _read_cell(value: Reader) -> ir.Cell:
    endpoint, kind, deny, allow, require = value.items(5)
    kind_id = None if kind.absent() else kind.text()
    return ir.Cell(
        endpoint.integer(),
        kind_id,
        deny.each(_read_cell_rule),
        allow.each(_read_cell_rule),
        require.each(_read_cell_rule),
    )


def _read_cell_rule(value: Reader) -> ir.CellRule:
    rule, clauses, needs = value.items(3)
    return ir.CellRule(rule.integer(), clauses.each(_read_clause), needs.each(_read_need))


def _read_clause(value: Reader) -> ir.Clause:
    label, text, guard = value.items(3)
    return ir.Clause(label.text(), text.text(), guard.integer())


def _read_need(value: Reader) -> ir.Need:
    text, guard, challenge, within_s = value.items(4)
    return ir.Need(text.text(), guard.integer(), challenge.text(), within_s.integer_or_none())
