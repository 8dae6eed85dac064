"""The invariants of a program, checked one by one on a program that came from outside.

(0) ids are unique; what refers to a kind, a service, a relation, a claim or an index refers to one that exists
(1) a guard's parts have smaller indices than itself
(2) a lookup has as many arguments as its relation has columns; ranges of addresses ascend, disjoint and not adjacent
(3) a cell's groups hold rules of their own effect, each once, in the order in which they are primary; shadow rules
    stand apart; there is one cell for each endpoint and each kind that can call it, and no other
(4) only require rules have needs; obligations are of the kinds that a rule of their effect may have, headers in lower
    case, scopes and pointers sorted, statuses those that a refusal may have
(5) `**` is the last segment of a pattern; every way to a value has a step, that of a header one, in lower case;
    properties are of actions only, of which a service has one for each action and resource

Source: policy_lang/ir.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from operator import lt

from policy_lang import ir
from policy_lang.addresses import HIGHEST

_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")
_IMPLICIT = ("aud", "scope")
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
    _unique("rule", [each.id for each in program.rules])
    _check_declarations(program)
    _check_graph(program)
    _check_bodies(program)
    _check_cells(program)


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
        _check_fields(kind.id, kind.claims)
        if kind.role_claim is not None and kind.role_claim not in {*_IMPLICIT, *(claim.name for claim in kind.claims)}:
            raise ValueError(f"kind {kind.id}: the claim {kind.role_claim!r} that gives roles is not declared")
        if kind.exclusive and kind.role_claim is None:
            raise ValueError(f"kind {kind.id}: roles exclude each other, and no claim gives them")
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


def _check_endpoint(endpoint: ir.Endpoint) -> None:
    route = endpoint.route
    if isinstance(route, ir.Http):
        if any(isinstance(segment, ir.Rest) for segment in route.segments[:-1]):
            raise ValueError(f"endpoint {endpoint.id}: `**` is not its last segment")
        _unique("capture", [each.name for each in route.segments if isinstance(each, ir.Capture)])
    _check_fields(endpoint.id, endpoint.query)
    _check_fields(endpoint.id, endpoint.headers)
    _check_fields(endpoint.id, endpoint.properties)
    if endpoint.properties and not isinstance(route, ir.Action):
        raise ValueError(f"endpoint {endpoint.id}: properties of a resource on what is no action")
    for field in endpoint.headers:
        if len(field.source) != 1 or not _HEADER.fullmatch(field.source[0]):
            raise ValueError(f"endpoint {endpoint.id}: {field.source!r} is no header in lower case")


def _check_fields(owner: str, fields: tuple[ir.FieldSchema, ...]) -> None:
    if fields:
        _unique(f"field of {owner}", [field.name for field in fields])
    for field in fields:
        if not field.source:
            raise ValueError(f"{owner}: no way to the value of {field.name}")


# ---------------------------------------------------------------- atoms and guards


def _check_graph(program: ir.Program) -> None:
    columns = {relation.id: len(relation.columns) for relation in program.relations}
    for atom in program.atoms:
        if isinstance(atom, ir.Lookup) and columns.get(atom.relation) != len(atom.arguments):
            raise ValueError(f"a lookup in {atom.relation!r} with {len(atom.arguments)} argument(s)")
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


def _check_cells(program: ir.Program) -> None:
    groups = _Groups(program)
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

    def __init__(self, program: ir.Program) -> None:
        self._program = program
        self._seen: set[tuple[int, ir.Effect | None]] = set()
        ranked = sorted(range(len(program.rules)), key=lambda index: program.rules[index].id)
        self._rank = {rule: rank for rank, rule in enumerate(ranked)}
        self._late = _reads_signal(program)

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


def _reads_signal(program: ir.Program) -> list[bool]:
    """Which bodies read a signal, in a clause, a need or the value of a header."""
    if not program.signals:
        return [False] * len(program.bodies)
    atoms = [_atom_reads(atom) for atom in program.atoms]
    guards: list[bool] = []
    for guard in program.guards:
        reads = atoms[guard.atom] if isinstance(guard, ir.Lit) else any(map(guards.__getitem__, guard.parts))
        guards.append(reads)
    return [_body_reads(body, guards) for body in program.bodies]


def _atom_reads(atom: ir.Atom) -> bool:
    """Whether an atom reads a signal; the commonest kinds of atom first, since all atoms of a program come by."""
    if isinstance(atom, ir.Compare | ir.Overlap | ir.Cover):
        return _is_signal(atom.left) or _is_signal(atom.right)
    return any(map(_is_signal, ir.operands_of(atom)))


def _body_reads(body: ir.Body, guards: Sequence[bool]) -> bool:
    for clause in body.clauses:
        if guards[clause.guard]:
            return True
    if not (body.needs or body.must or body.should):
        return False
    headers = (each for each in (*body.must, *body.should) if isinstance(each, ir.SetHeader))
    return any(guards[each.guard] for each in body.needs) or any(_is_signal(each.value) for each in headers)


def _is_signal(operand: ir.Operand) -> bool:
    if isinstance(operand, ir.Attr):
        return operand.root == "signal"
    return isinstance(operand, ir.Shift) and (_is_signal(operand.left) or _is_signal(operand.right))
