"""The invariants of a program, checked one by one on a program that came from outside.

(0) ids are unique; what refers to a kind, a service, a relation or an index refers to one that exists
(1) a guard's parts have smaller indices than itself
(2) a lookup has as many arguments as its relation has columns
(3) a cell's groups hold rules of their own effect, each once; only require rules have needs; no two cells for one
    endpoint and kind
(4) `**` is the last segment of a pattern; every way to a value has a step

Source: ir.py.
"""

from __future__ import annotations

from collections.abc import Iterable

from policy_lang import ir


def check_program(program: ir.Program) -> None:
    """Check the program. Errors: ValueError that names the first thing that is not as it must be."""
    _unique("module", program.modules)
    _unique("kind", (each.id for each in program.kinds))
    _unique("issuer", (each.issuer for each in program.kinds))
    _unique("relation", (each.id for each in program.relations))
    _unique("service", (each.id for each in program.services))
    _unique("endpoint", (each.id for each in program.endpoints))
    _unique("rule", (each.id for each in program.rules))
    _check_inventory(program)
    _check_graph(program)
    _unique("cell", ((cell.endpoint, cell.kind) for cell in program.cells))
    kinds = {kind.id for kind in program.kinds} | {None}
    for cell in program.cells:
        _index("endpoint", cell.endpoint, len(program.endpoints))
        if cell.kind not in kinds:
            raise ValueError(f"a cell of the unknown kind {cell.kind!r}")
        _check_group(program, "deny", cell.deny)
        _check_group(program, "allow", cell.allow)
        _check_group(program, "require", cell.require)


def _unique(what: str, ids: Iterable[object]) -> None:
    seen: set[object] = set()
    for each in ids:
        if each in seen:
            raise ValueError(f"the {what} {each!r} stands twice")
        seen.add(each)


def _index(what: str, index: int, end: int) -> None:
    if not 0 <= index < end:
        raise ValueError(f"{what} {index} does not exist: there are {end}")


def _check_inventory(program: ir.Program) -> None:
    services = {service.id for service in program.services}
    for kind in program.kinds:
        _check_fields(kind.id, kind.claims)
    for endpoint in program.endpoints:
        if endpoint.service not in services:
            raise ValueError(f"endpoint {endpoint.id} of the unknown service {endpoint.service!r}")
        if any(isinstance(segment, ir.Rest) for segment in endpoint.segments[:-1]):
            raise ValueError(f"endpoint {endpoint.id}: `**` is not its last segment")
        _unique("capture", (each.name for each in endpoint.segments if isinstance(each, ir.Capture)))
        _check_fields(endpoint.id, endpoint.query)


def _check_fields(owner: str, fields: tuple[ir.FieldSchema, ...]) -> None:
    _unique(f"field of {owner}", (field.name for field in fields))
    for field in fields:
        if not field.source:
            raise ValueError(f"{owner}: no way to the value of {field.name}")


def _check_graph(program: ir.Program) -> None:
    columns = {relation.id: len(relation.columns) for relation in program.relations}
    for atom in program.atoms:
        if isinstance(atom, ir.Lookup) and columns.get(atom.relation) != len(atom.arguments):
            raise ValueError(f"a lookup in {atom.relation!r} with {len(atom.arguments)} argument(s)")
    for index, guard in enumerate(program.guards):
        if isinstance(guard, ir.Lit):
            _index("atom", guard.atom, len(program.atoms))
        else:
            for part in guard.parts:
                _index(f"part of guard {index}:", part, index)


def _check_group(program: ir.Program, effect: ir.Effect, rules: tuple[ir.CellRule, ...]) -> None:
    _unique(f"rule of a {effect} group", (rule.rule for rule in rules))
    for rule in rules:
        _index("rule", rule.rule, len(program.rules))
        found = program.rules[rule.rule]
        if found.effect != effect:
            raise ValueError(f"{found.id}: {found.effect} rule in a {effect} group")
        if rule.needs and effect != "require":
            raise ValueError(f"{found.id}: needs on a rule that is not a require")
        for guard in (*(clause.guard for clause in rule.clauses), *(need.guard for need in rule.needs)):
            _index("guard", guard, len(program.guards))
