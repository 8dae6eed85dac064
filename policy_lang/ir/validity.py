"""The invariants of a program, checked one by one on a program that came from outside.

(0) ids are unique, those of rules for each effect; what refers to a kind, a service, a relation, a claim, a table or
    an index refers to one that exists
(1) a guard's parts have smaller indices than itself
(2) a lookup has as many arguments as its relation has columns, a vote as its table has parameters; ranges of addresses
    ascend, disjoint and not adjacent
(3) a cell's groups hold rules of their own effect, each once, in the order in which they are primary; shadow rules
    stand apart; there is one cell for each endpoint and each kind that can call it, and no other
(4) only require rules have needs; obligations are of the kinds that a rule of their effect may have, headers in lower
    case, scopes and pointers sorted, statuses those that a refusal may have
(5) `**` is the last segment of a pattern, which has a method; every way to a value has a step, that of a header one,
    in lower case; properties are of actions only, of which a service has one for each action and resource
(6) every type has values, and roles are of relations only; columns are scalars; what a call has without its being
    declared is not declared; roles come from texts; the fallback of a signal is of its type, and what is counted an int
(7) rules read what their cells have, and ask of it what its type answers (policy_lang/ir/well_typed.py)
(8) Casbin tables are whole (policy_lang/ir/table_validity.py)

Source: policy_lang/ir.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from operator import lt

from policy_lang import ir
from policy_lang.addresses import HIGHEST
from policy_lang.ir.atom_types import is_value
from policy_lang.ir.footprints import Footprints
from policy_lang.ir.table_validity import check_tables
from policy_lang.ir.well_typed import IMPLICIT, check_types, claims_of
from policy_lang.typesystem import EnumType, IntType, RoleType, Scalar, SetType, Type

_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")
_STATUSES = frozenset({403, 404, 429, 451, 503})

_MUST: dict[ir.Effect, frozenset[type[ir.Obligation]]] = {
    "allow": frozenset(),
    "deny": frozenset({ir.Answer, ir.LogDuty, ir.Alert}),
    "require": frozenset({ir.LogDuty, ir.SetHeader, ir.RemoveHeader, ir.Redact, ir.IssueToken, ir.Alert}),
}
_SHOULD: dict[ir.Effect, frozenset[type[ir.Obligation]]] = {
    "allow": frozenset({ir.SetHeader, ir.RemoveHeader, ir.Redact, ir.Alert}),
    "deny": frozenset({ir.Alert}),
    "require": frozenset({ir.SetHeader, ir.RemoveHeader, ir.Redact, ir.Alert}),
}


def check_program(program: ir.Program) -> None:
    """Check the program. Errors: ValueError that names the first thing that is not as it must be."""
    _unique("module", program.modules)
    _unique("kind", [each.id for each in program.kinds])
    _unique("issuer", [each.name for each in program.kinds if each.form == "token"])
    _unique("type of subject", [each.name for each in program.kinds if each.form == "subject"])
    _unique("relation", [each.id for each in program.relations])
    _unique("signal", [each.id for each in program.signals])
    _unique("workload", [each.id for each in program.workloads])
    _unique("service", [each.id for each in program.services])
    _unique("endpoint", [each.id for each in program.endpoints])
    _unique("rule", [(each.id, each.effect) for each in program.rules])
    _check_declarations(program)
    _check_graph(program)
    _check_bodies(program)
    footprints = Footprints.of(program)
    _check_cells(program, footprints)
    check_types(program, footprints)
    check_tables(program.tables)


def _unique(what: str, ids: Sequence[object]) -> None:
    if len(set(ids)) != len(ids):
        twice = next(each for each, count in Counter(ids).items() if count > 1)
        raise ValueError(f"the {what} {twice!r} stands twice")


def _index(what: str, index: int, end: int) -> None:
    if not 0 <= index < end:
        raise ValueError(f"{what} {index} does not exist: there are {end}")


# ---------------------------------------------------------------- declarations


def _check_declarations(program: ir.Program) -> None:
    services = {service.id for service in program.services}
    subjects = {kind.id for kind in program.kinds if kind.form == "subject"}
    for kind in program.kinds:
        _check_kind(kind)
    for relation in program.relations:
        _unique(f"column of {relation.id}", [name for name, _ in relation.columns])
        for name, declared in relation.columns:
            _check_column(relation.id, name, declared)
    for signal in program.signals:
        _check_signal(signal)
    for service in program.services:
        unknown = [kind for kind in service.accepts if kind not in subjects]
        if unknown:
            raise ValueError(f"service {service.id} accepts the unknown subject {unknown[0]!r}")
    _unique(
        "action",
        [(e.service, e.route.action, e.route.resource) for e in program.endpoints if isinstance(e.route, ir.Action)],
    )
    for endpoint in program.endpoints:
        if endpoint.service not in services:
            raise ValueError(f"endpoint {endpoint.id} of the unknown service {endpoint.service!r}")
        _check_endpoint(endpoint)


def _check_kind(kind: ir.Kind) -> None:
    _check_fields(kind.id, kind.claims, kind.form)
    if kind.role_claim is not None:
        declared = claims_of(kind).get(kind.role_claim)
        if declared is None:
            raise ValueError(f"kind {kind.id}: the claim {kind.role_claim!r} that gives roles is not declared")
        element = declared.element if isinstance(declared, SetType) else declared
        if element is not Scalar.STRING and not isinstance(element, EnumType):
            raise ValueError(f"kind {kind.id}: the claim {kind.role_claim!r} of type `{declared}` gives no roles")
    elif kind.exclusive:
        raise ValueError(f"kind {kind.id}: roles exclude each other, and no claim gives them")


def _check_column(relation: str, name: str, declared: Type) -> None:
    match declared:
        case SetType():
            raise ValueError(f"relation {relation}: the column {name!r} holds sets")
        case RoleType(names) if names:
            pass
        case _:
            _check_type(relation, name, declared)


def _check_signal(signal: ir.Signal) -> None:
    _check_type("signal", signal.id, signal.type)
    if not (signal.provider.startswith("context.") or isinstance(signal.type, IntType)):
        raise ValueError(f"signal {signal.id}: what {signal.provider!r} counts is no `{signal.type}`")
    if signal.fallback is not None and not is_value(signal.fallback, signal.type):
        raise ValueError(f"signal {signal.id}: its fallback is no `{signal.type}`")


def _check_endpoint(endpoint: ir.Endpoint) -> None:
    route = endpoint.route
    if isinstance(route, ir.Http):
        if not route.methods:
            raise ValueError(f"endpoint {endpoint.id}: a pattern without a method")
        if any(isinstance(segment, ir.Rest) for segment in route.segments[:-1]):
            raise ValueError(f"endpoint {endpoint.id}: `**` is not its last segment")
        _unique("capture", [each.name for each in route.segments if isinstance(each, ir.Capture)])
    _check_fields(endpoint.id, endpoint.query)
    _check_fields(endpoint.id, endpoint.headers)
    _check_fields(endpoint.id, endpoint.properties, "resource")
    if endpoint.properties and not isinstance(route, ir.Action):
        raise ValueError(f"endpoint {endpoint.id}: properties of a resource on what is no action")
    for field in endpoint.headers:
        if len(field.source) != 1 or not _HEADER.fullmatch(field.source[0]):
            raise ValueError(f"endpoint {endpoint.id}: {field.source!r} is no header in lower case")


def _check_fields(owner: str, fields: tuple[ir.FieldSchema, ...], root: ir.Root | None = None) -> None:
    """Check the fields of an owner, which beside them has those that are implicit under `root`."""
    if fields:
        _unique(f"field of {owner}", [field.name for field in fields])
    for field in fields:
        if not field.source:
            raise ValueError(f"{owner}: no way to the value of {field.name}")
        if root is not None and field.name in IMPLICIT[root]:
            raise ValueError(f"{owner}: {field.name} is there without being declared")
        _check_type(owner, field.name, field.type)


def _check_type(owner: str, name: str, declared: Type) -> None:
    """Check the type of what is no column of a relation."""
    match declared:
        case SetType(element):
            _check_type(owner, name, element)
        case RoleType():
            raise ValueError(f"{owner}: {name} holds roles, as columns of relations do that name one")
        case IntType(None, None):
            pass
        case IntType(lowest, highest) if lowest is None or highest is None or lowest > highest:
            raise ValueError(f"{owner}: {name} is an integer of an empty or half a range")
        case EnumType(id_, values, _) if not values or len(set(values)) != len(values):
            raise ValueError(f"{owner}: {name} is of the enum {id_!r} without values, or with one twice")
        case _:
            pass


# ---------------------------------------------------------------- atoms and guards


def _check_graph(program: ir.Program) -> None:
    columns = {relation.id: len(relation.columns) for relation in program.relations}
    parameters = {table.id: len(table.parameters) for table in program.tables}
    for atom in program.atoms:
        if isinstance(atom, ir.Lookup) and columns.get(atom.relation) != len(atom.arguments):
            raise ValueError(f"a lookup in {atom.relation!r} with {len(atom.arguments)} argument(s)")
        if isinstance(atom, ir.Vote) and parameters.get(atom.table) != len(atom.arguments):
            raise ValueError(f"a vote of {atom.table!r} on {len(atom.arguments)} argument(s)")
        if isinstance(atom, ir.InNetwork):
            _check_ranges(atom)
    atoms = len(program.atoms)
    for index, guard in enumerate(program.guards):
        if isinstance(guard, ir.Lit):
            if not 0 <= guard.atom < atoms:
                _index("atom", guard.atom, atoms)
        elif guard.parts and not (min(guard.parts) >= 0 and max(guard.parts) < index):
            raise ValueError(f"guard {index} has a part that does not stand before it")
        elif any(type(program.guards[part]) is type(guard) for part in guard.parts):
            # The compiler joins such parts; nested, a few of them are as good as exponentially many.
            raise ValueError(f"guard {index} has a part of its own sort")


def _check_ranges(atom: ir.InNetwork) -> None:
    beyond = -2
    for first, last in atom.ranges:
        if not beyond + 1 < first <= last <= HIGHEST:
            raise ValueError(f"the ranges of network {atom.network!r} do not ascend, disjoint and not adjacent")
        beyond = last


def _check_bodies(program: ir.Program) -> None:
    guards = len(program.guards)
    for index, body in enumerate(program.bodies):
        for clause in body.clauses:
            if not 0 <= clause.guard < guards:
                _index("guard", clause.guard, guards)
        for need in body.needs:
            _index("guard", need.guard, guards)
        for obligation in (*body.must, *body.should):
            _check_obligation(index, obligation)


def _check_obligation(body: int, obligation: ir.Obligation) -> None:
    match obligation:
        case ir.SetHeader(name, _) | ir.RemoveHeader(name) if not _HEADER.fullmatch(name):
            raise ValueError(f"body {body}: {name!r} is no header in lower case")
        case ir.Redact(texts) | ir.IssueToken(tuple(texts)) if not _ascends(texts):
            raise ValueError(f"body {body}: pointers or scopes that are not sorted, each once")
        case ir.Answer(status) if status not in _STATUSES:
            raise ValueError(f"body {body}: a refusal is not answered with {status}")
        case _:
            pass


def _ascends(texts: Sequence[str]) -> bool:
    return all(map(lt, texts, texts[1:]))


# ---------------------------------------------------------------- cells


def _check_cells(program: ir.Program, footprints: Footprints) -> None:
    groups = _Groups(program, footprints)
    _unique("cell", [(cell.endpoint, cell.kind) for cell in program.cells])
    callers = _callers(program)
    for cell in program.cells:
        _index("endpoint", cell.endpoint, len(program.endpoints))
        if cell.kind not in callers[cell.endpoint]:
            raise ValueError(f"a cell of {program.endpoints[cell.endpoint].id} for {cell.kind!r}, who cannot call it")
        groups.check("deny", cell.deny)
        groups.check("allow", cell.allow)
        groups.check("require", cell.require)
        groups.check(None, cell.shadow)
    if len(program.cells) != sum(len(each) for each in callers):
        raise ValueError("an endpoint lacks the cell of a kind that can call it")


def _callers(program: ir.Program) -> list[frozenset[str | None]]:
    """Who can call each endpoint: nobody and token kinds all, subjects the actions of services that accept them."""
    everyone = frozenset({None, *(kind.id for kind in program.kinds if kind.form == "token")})
    accepting = {service.id: everyone.union(service.accepts) for service in program.services}
    return [accepting[each.service] if isinstance(each.route, ir.Action) else everyone for each in program.endpoints]


class _Groups:
    """Checks the groups of cells. Its state is what it saw: cells share groups, and each is looked at once."""

    def __init__(self, program: ir.Program, footprints: Footprints) -> None:
        self._program = program
        self._seen: set[tuple[int, ir.Effect | None]] = set()
        ranked = sorted(range(len(program.rules)), key=lambda index: program.rules[index].id)
        self._rank = {rule: rank for rank, rule in enumerate(ranked)}
        self._late = [bool(body & footprints.signals) for body in footprints.bodies]

    def check(self, effect: ir.Effect | None, group: tuple[ir.CellRule, ...]) -> None:
        """Check a group of rules of one effect, or of shadow rules."""
        if not group or (id(group), effect) in self._seen:
            return
        self._seen.add((id(group), effect))
        rules, bodies = self._program.rules, self._program.bodies
        primary: list[int] = []
        for each in group:
            if not (0 <= each.rule < len(rules) and 0 <= each.body < len(bodies)):
                raise ValueError(f"rule {each.rule} with body {each.body}: one does not exist")
            rule, body = rules[each.rule], bodies[each.body]
            if rule.shadow is not (effect is None) or (effect is not None and rule.effect != effect):
                raise ValueError(f"{rule.id}: {rule.effect} rule in a group of {effect or 'shadow'} rules")
            if body.needs or body.must or body.should:
                _check_duties(rule, body)
            primary.append(self._rank[each.rule] + (len(rules) if self._late[each.body] else 0))
        if not all(map(lt, primary, primary[1:])):
            raise ValueError(f"{rules[group[0].rule].id}: its group is not in the order in which rules are primary")


def _check_duties(rule: ir.Rule, body: ir.Body) -> None:
    if body.needs and rule.effect != "require":
        raise ValueError(f"{rule.id}: needs on a rule that is not a require")
    for obligations, may in ((body.must, _MUST[rule.effect]), (body.should, _SHOULD[rule.effect])):
        if any(type(each) not in may for each in obligations):
            raise ValueError(f"{rule.id}: an obligation that a rule of effect {rule.effect} has not")
