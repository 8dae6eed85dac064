"""Small programs built by hand, so that the tests of evaluators need no compiler.

`build` takes an inventory and rules whose conditions are nested values (`Both`, `Either`, `No`, atoms) and writes them
as the flat, hash-consed IR.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct, field
from msgspec.structs import replace

from policy_lang.ir import (
    VERSION,
    Action,
    All,
    AnyOf,
    Atom,
    Attr,
    Body,
    Cell,
    CellRule,
    Clause,
    Const,
    Effect,
    Endpoint,
    Exclusive,
    FieldSchema,
    Grpc,
    Guard,
    Http,
    Kind,
    Lit,
    LogDuty,
    Need,
    Now,
    Obligation,
    Operand,
    Place,
    Program,
    Relation,
    Rule,
    Service,
    SetHeader,
    Shift,
    Signal,
    Value,
    Workload,
    attrs_of,
    operands_of,
)
from policy_lang.ir.tables import Table
from policy_lang.meaning.patterns import Pattern, parse_pattern
from policy_lang.request import Path, canonical_path
from policy_lang.typesystem import Scalar, SetType, Type
from policy_lang.verdict import (
    ANONYMOUS,
    CAPABILITIES,
    NOWHERE,
    ActionCall,
    Caller,
    Capability,
    Facts,
    HttpCall,
    Json,
    Origin,
    Question,
)

PLACE = Place("test.pol", 1, 1)
NOW_MS = 1_767_225_600_000
STRINGS = SetType(Scalar.STRING)

# ---------------------------------------------------------------- conditions


class No(Struct, frozen=True):
    atom: Atom


class Both(Struct, frozen=True):
    parts: tuple[Condition, ...]


class Either(Struct, frozen=True):
    parts: tuple[Condition, ...]


Condition = Atom | No | Both | Either
ALWAYS = Both(())
NEVER = Either(())


class WrittenNeed(Struct, frozen=True):
    condition: Condition
    challenge: str
    within_s: int | None = None


class WrittenRule(Struct, frozen=True):
    """A rule with its conditions, one a clause, on endpoints by id for kinds. `log` is one more of what it must."""

    id: str
    effect: Effect
    when: tuple[Condition, ...] = (ALWAYS,)
    on: tuple[str, ...] = ()
    kinds: tuple[str | None, ...] = ()
    needs: tuple[WrittenNeed, ...] = ()
    log: LogDuty | None = None
    must: tuple[Obligation, ...] = ()
    should: tuple[Obligation, ...] = ()
    shadow: bool = False


class _Tables(Struct):
    atoms: dict[Atom, int] = field(default_factory=dict)
    guards: dict[Guard, int] = field(default_factory=dict)
    bodies: dict[Body, int] = field(default_factory=dict)

    def guard(self, condition: Condition) -> int:
        match condition:
            case Both(parts):
                node: Guard = All(tuple(self.guard(part) for part in parts))
            case Either(parts):
                node = AnyOf(tuple(self.guard(part) for part in parts))
            case No(atom):
                node = Lit(self._atom(atom), negated=True)
            case _:
                node = Lit(self._atom(condition), negated=False)
        return self.guards.setdefault(node, len(self.guards))

    def _atom(self, atom: Atom) -> int:
        return self.atoms.setdefault(atom, len(self.atoms))

    def body(self, rule: WrittenRule) -> int:
        clauses = tuple(Clause(f"when {n}", f"clause {n}", self.guard(c)) for n, c in enumerate(rule.when, start=1))
        needs = tuple(Need(n.challenge, self.guard(n.condition), n.challenge, n.within_s) for n in rule.needs)
        body = Body(clauses, needs, (*rule.must, *(() if rule.log is None else (rule.log,))), rule.should)
        return self.bodies.setdefault(body, len(self.bodies))


def build(
    services: Sequence[Service],
    endpoints: Sequence[Endpoint],
    rules: Sequence[WrittenRule],
    kinds: Sequence[Kind] = (),
    relations: Sequence[Relation] = (),
    signals: Sequence[Signal] = (),
    workloads: Sequence[Workload] = (),
    casbin: Sequence[Table] = (),
) -> Program:
    """A program; a rule without `on` is on every endpoint, one without `kinds` for every caller that can call it."""
    tables = _Tables()
    groups: dict[tuple[str, str | None], dict[str, list[int]]] = {
        (each.id, kind): {"deny": [], "allow": [], "require": [], "shadow": []}
        for each in endpoints
        for kind in callers(each, services, kinds)
    }
    bodies = [tables.body(rule) for rule in rules]
    for index in sorted(range(len(rules)), key=lambda at: (reads_signal(rules[at]), rules[at].id)):
        rule = rules[index]
        for (endpoint_id, kind), group in groups.items():
            if (not rule.on or endpoint_id in rule.on) and (not rule.kinds or kind in rule.kinds):
                group["shadow" if rule.shadow else rule.effect].append(index)
    places = {each.id: index for index, each in enumerate(endpoints)}
    cells = [
        Cell(places[endpoint_id], kind, *(tuple(CellRule(at, bodies[at]) for at in each) for each in group.values()))
        for (endpoint_id, kind), group in groups.items()
    ]
    return Program(
        version=VERSION,
        modules=("m",),
        kinds=tuple(kinds),
        relations=tuple(relations),
        signals=tuple(signals),
        workloads=tuple(workloads),
        services=tuple(services),
        endpoints=tuple(endpoints),
        atoms=tuple(tables.atoms),
        guards=tuple(tables.guards),
        rules=tuple(Rule(each.id, each.effect, f"because of {each.id}", PLACE, each.shadow) for each in rules),
        bodies=tuple(tables.bodies),
        cells=tuple(cells),
        tables=tuple(casbin),
    )


def callers(endpoint: Endpoint, services: Sequence[Service], kinds: Sequence[Kind]) -> list[str | None]:
    """Who can call an endpoint: nobody, tokens, and of an action the subjects its service accepts."""
    accepted = next((each.accepts for each in services if each.id == endpoint.service), ())
    subjects = accepted if isinstance(endpoint.route, Action) else ()
    return [*(each.id for each in kinds if each.form == "token" or each.id in subjects), None]


def reads_signal(rule: WrittenRule) -> bool:
    """Whether a rule is primary only after those that read no signal."""
    atoms = (atom for each in (*rule.when, *(need.condition for need in rule.needs)) for atom in atoms_in(each))
    operands: list[Operand] = [operand for atom in atoms for operand in operands_of(atom)]
    operands += [each.value for each in (*rule.must, *rule.should) if isinstance(each, SetHeader)]
    return any(attr.root == "signal" for operand in operands for attr in attrs_of(operand))


def atoms_in(condition: Condition) -> list[Atom]:
    """The atoms of a condition."""
    match condition:
        case Both(parts) | Either(parts):
            return [atom for part in parts for atom in atoms_in(part)]
        case No(atom):
            return [atom]
        case _:
            return [condition]


# ---------------------------------------------------------------- inventory


def endpoint(
    id_: str,
    pattern: str,
    methods: Sequence[str] = ("GET",),
    scopes: Sequence[str] = (),
    query: Sequence[FieldSchema] = (),
    headers: Sequence[FieldSchema] = (),
) -> Endpoint:
    """An endpoint with a path; its service is the part of the id before the dot."""
    parsed = parse_pattern(pattern)
    assert isinstance(parsed, Pattern), parsed
    route = Http(tuple(methods), parsed.segments, parsed.trailing_slash)
    plain = Endpoint(id_, id_.partition(".")[0], route, pattern, tuple(scopes), (), (), (), (), (), False, PLACE)
    return replace(plain, query=tuple(query), headers=tuple(headers))


def grpc(id_: str, service_name: str, method: str, scopes: Sequence[str] = ()) -> Endpoint:
    """An endpoint that is a gRPC method."""
    return replace(endpoint(id_, "/", scopes=scopes), route=Grpc(service_name, method))


def action(
    id_: str, name: str, resource: str, properties: Sequence[FieldSchema] = (), scopes: Sequence[str] = ()
) -> Endpoint:
    """An endpoint that is an action on a type of resource."""
    plain = endpoint(id_, "/", scopes=scopes)
    return replace(plain, route=Action(name, resource), written=f"{name} on {resource}", properties=tuple(properties))


def service(
    id_: str,
    audiences: Sequence[str] | None = None,
    hosts: Sequence[str] | None = None,
    accepts: Sequence[str] = (),
    observe_until_ms: int | None = None,
    *,
    query_strict: bool = False,
) -> Service:
    """A service whose audience is its name and whose host is `NAME.example`, where not said otherwise."""
    return Service(
        id_,
        (id_,) if audiences is None else tuple(audiences),
        (f"{id_}.example",) if hosts is None else tuple(hosts),
        tuple(accepts),
        observe_until_ms,
        query_strict,
        (),
    )


def token_kind(
    id_: str,
    issuer: str,
    claims: Sequence[FieldSchema] = (),
    role_claim: str | None = None,
    exclusive: Sequence[Exclusive] = (),
) -> Kind:
    """A kind of principal that a token proves."""
    return Kind(id_, "token", issuer, tuple(claims), role_claim, tuple(exclusive))


def subject_kind(
    id_: str,
    type_: str,
    properties: Sequence[FieldSchema] = (),
    role_claim: str | None = None,
    exclusive: Sequence[Exclusive] = (),
) -> Kind:
    """A kind of principal that an authenticated caller asserts."""
    return Kind(id_, "subject", type_, tuple(properties), role_claim, tuple(exclusive))


def claim(name: str, declared: Type, *source: str, optional: bool = False, private: bool = False) -> FieldSchema:
    """A claim or a parameter, under its own name where no way to it is given."""
    return FieldSchema(name, declared, optional, private, source or (name,))


def token(name: str) -> Attr:
    return Attr("token", name)


def capture(name: str) -> Attr:
    return Attr("path", name)


def signal(name: str) -> Attr:
    return Attr("signal", f"m.{name}")


def ago(ms: int) -> Operand:
    """So long before now."""
    return Shift(NOW, -1, Const(ms))


NOW = Now()

# ---------------------------------------------------------------- questions


def path(target: str) -> Path:
    """A canonical path."""
    found = canonical_path(target)
    assert isinstance(found, Path), found
    return found


def ask(
    target: str,
    claims: Mapping[str, Json] | None = None,
    *,
    kind: str = "user",
    service_id: str = "s",
    method: str = "GET",
    host: str = "",
    headers: Mapping[str, Sequence[str]] | None = None,
    facts: Facts | None = None,
    unread: Iterable[str] = (),
    multi_audience: bool = False,
    origin: Origin = NOWHERE,
    signals: Mapping[str, Value] | None = None,
    capabilities: frozenset[Capability] = CAPABILITIES,
) -> Question:
    """A question by a caller with these claims, or by nobody where there are none."""
    caller = ANONYMOUS if claims is None else Caller(kind, claims, multi_audience, frozenset(unread))
    given = {name: tuple(values) for name, values in (headers or {}).items()}
    call = HttpCall(method, path(target), host, given)
    return Question(service_id, call, caller, NOW_MS, facts or {}, origin, signals or {}, capabilities)


def act(
    name: str,
    resource: str,
    claims: Mapping[str, Json] | None = None,
    *,
    properties: Mapping[str, Json] | None = None,
    resource_id: str = "r1",
    kind: str = "employee",
    service_id: str = "d",
    facts: Facts | None = None,
    unread: Iterable[str] = (),
) -> Question:
    """A question about an action, by a caller with these properties or by nobody."""
    caller = ANONYMOUS if claims is None else Caller(kind, claims, unread=frozenset(unread))
    call = ActionCall(name, resource, resource_id, properties or {})
    return Question(service_id, call, caller, NOW_MS, facts or {})
