"""A program as text that a person can review, one thing a line; the form of the golden files.

For reading only: nothing parses it. Guards are written out in full with their index, so that sharing shows.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import assert_never

from policy_lang import ir


def print_program(program: ir.Program) -> str:
    """The text of a program, with a final line end."""
    return "".join(f"{line}\n" for line in (*_inventory(program), *_graph(program), *_cells(program)))


def _inventory(program: ir.Program) -> Iterator[str]:
    yield f"program {program.version}"
    for module in program.modules:
        yield f"module {module}"
    for kind in program.kinds:
        yield f"kind {kind.id} issuer {_quoted(kind.issuer)}"
        yield from (f"  claim {_field(field)}" for field in kind.claims)
    for relation in program.relations:
        columns = ", ".join(f"{name}: {type_}" for name, type_ in relation.columns)
        yield f"relation {relation.id} ({columns})"
    for service in program.services:
        audiences = " ".join(_quoted(each) for each in service.audiences) or "none"
        hosts = " ".join(service.hosts) or "none"
        yield f"service {service.id} audience {audiences} host {hosts}"
    for endpoint in program.endpoints:
        yield f"endpoint {endpoint.id} {'|'.join(endpoint.methods)} {endpoint.route}{_at(endpoint.place)}"
        shape = " ".join(_segment(each) for each in endpoint.segments) or "root"
        yield f"  path {shape}{' slash' if endpoint.trailing_slash else ''}"
        if endpoint.scopes:
            yield f"  scope {' '.join(endpoint.scopes)}"
        if endpoint.labels:
            yield f"  tagged {' '.join(endpoint.labels)}"
        yield from (f"  query {_field(field)}" for field in endpoint.query)


def _field(field: ir.FieldSchema) -> str:
    words = [f"{field.name}: {field.type}"]
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
        case ir.Lookup(relation, arguments):
            return f"{relation}({', '.join(print_operand(each) for each in arguments)})"
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
            if isinstance(value, frozenset):
                return f"[{', '.join(json.dumps(each) for each in sorted(value))}]"
            return json.dumps(value)
        case ir.Shift(left, sign, right):
            return f"({print_operand(left)} {'+' if sign == 1 else '-'} {print_operand(right)})"
        case _:
            assert_never(operand)


def _cells(program: ir.Program) -> Iterator[str]:
    for rule in program.rules:
        log = "" if rule.log is None else f" log {rule.log.level}{' strict' if rule.log.strict else ''}"
        yield f"rule {rule.id} {rule.effect}{log}{_at(rule.place)}"
        if rule.because:
            yield f"  because {_quoted(rule.because)}"
    for cell in program.cells:
        yield f"cell {program.endpoints[cell.endpoint].id} for {cell.kind or 'anonymous'}"
        for each in (*cell.deny, *cell.allow, *cell.require):
            rule = program.rules[each.rule]
            yield f"  {rule.effect} {rule.id}"
            yield from (f"    {clause.label} [{clause.text}] guard {clause.guard}" for clause in each.clauses)
            for need in each.needs:
                within = "" if need.within_s is None else f" within {need.within_s}s"
                yield f"    needs [{need.text}] guard {need.guard} else {need.challenge}{within}"


def _at(place: ir.Place) -> str:
    return f" at {place.file}:{place.line}:{place.column}"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
