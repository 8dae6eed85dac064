"""Small programs built by hand, so that the tests of evaluators need no compiler.

`build` takes an inventory and rules whose conditions are nested values (`Both`, `Either`, `No`, atoms) and writes them
as the flat, hash-consed IR.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from policy_lang.ir import (
    VERSION,
    All,
    AnyOf,
    Atom,
    Attr,
    Cell,
    CellRule,
    Clause,
    Effect,
    Endpoint,
    FieldSchema,
    Guard,
    Kind,
    Lit,
    LogDuty,
    Need,
    Place,
    Program,
    Relation,
    Rule,
    Service,
)
from policy_lang.patterns import Pattern, parse_pattern
from policy_lang.request import Path, canonical_path
from policy_lang.typesystem import Scalar, SetType, Type
from policy_lang.verdict import ANONYMOUS, Caller, Facts, Json, Question

PLACE = Place("test.pol", 1, 1)
NOW_MS = 1_767_225_600_000
STRINGS = SetType(Scalar.STRING)

# ---------------------------------------------------------------- conditions


@dataclass(frozen=True, slots=True)
class No:
    atom: Atom


@dataclass(frozen=True, slots=True)
class Both:
    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Either:
    parts: tuple[Condition, ...]


Condition = Atom | No | Both | Either
ALWAYS = Both(())
NEVER = Either(())


@dataclass(frozen=True, slots=True)
class WrittenNeed:
    condition: Condition
    challenge: str
    within_s: int | None = None


@dataclass(frozen=True, slots=True)
class WrittenRule:
    """A rule with its conditions, one a clause, on endpoints by id for kinds."""

    id: str
    effect: Effect
    when: tuple[Condition, ...] = (ALWAYS,)
    on: tuple[str, ...] = ()
    kinds: tuple[str | None, ...] = ()
    needs: tuple[WrittenNeed, ...] = ()
    log: LogDuty | None = None


@dataclass(slots=True)
class _Tables:
    atoms: dict[Atom, int] = field(default_factory=dict)
    guards: dict[Guard, int] = field(default_factory=dict)

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


def build(
    services: Sequence[Service],
    endpoints: Sequence[Endpoint],
    rules: Sequence[WrittenRule],
    kinds: Sequence[Kind] = (),
    relations: Sequence[Relation] = (),
) -> Program:
    """A program; a rule without `on` is on every endpoint, one without `kinds` for every kind and the anonymous."""
    tables = _Tables()
    written: dict[tuple[str, str | None], dict[Effect, list[CellRule]]] = {}
    callers: tuple[str | None, ...] = (*(kind.id for kind in kinds), None)
    for index, rule in enumerate(rules):
        clauses = tuple(Clause(f"when {n}", f"clause {n}", tables.guard(c)) for n, c in enumerate(rule.when, start=1))
        needs = tuple(Need(n.challenge, tables.guard(n.condition), n.challenge, n.within_s) for n in rule.needs)
        for endpoint in rule.on or tuple(each.id for each in endpoints):
            for kind in rule.kinds or callers:
                cell = written.setdefault((endpoint, kind), {"deny": [], "allow": [], "require": []})
                cell[rule.effect].append(CellRule(index, clauses, needs))
    cells = [
        Cell(index, kind, *(tuple(groups[effect]) for effect in ("deny", "allow", "require")))
        for index, endpoint in enumerate(endpoints)
        for kind in callers
        if (groups := written.get((endpoint.id, kind))) is not None
    ]
    return Program(
        version=VERSION,
        modules=("m",),
        kinds=tuple(kinds),
        relations=tuple(relations),
        services=tuple(services),
        endpoints=tuple(endpoints),
        atoms=tuple(tables.atoms),
        guards=tuple(tables.guards),
        rules=tuple(Rule(rule.id, rule.effect, f"because of {rule.id}", PLACE, rule.log) for rule in rules),
        cells=tuple(cells),
    )


# ---------------------------------------------------------------- inventory


def endpoint(
    id_: str,
    pattern: str,
    methods: Sequence[str] = ("GET",),
    scopes: Sequence[str] = (),
    query: Sequence[FieldSchema] = (),
) -> Endpoint:
    """An endpoint; its service is the part of the id before the dot."""
    parsed = parse_pattern(pattern)
    assert isinstance(parsed, Pattern), parsed
    return Endpoint(
        id=id_,
        service=id_.partition(".")[0],
        methods=tuple(methods),
        route=pattern,
        segments=parsed.segments,
        trailing_slash=parsed.trailing_slash,
        scopes=tuple(scopes),
        labels=(),
        query=tuple(query),
        place=PLACE,
    )


def service(id_: str, audiences: Sequence[str] | None = None, hosts: Sequence[str] | None = None) -> Service:
    """A service whose audience is its name and whose host is `NAME.example`, where not said otherwise."""
    return Service(
        id_,
        (id_,) if audiences is None else tuple(audiences),
        (f"{id_}.example",) if hosts is None else tuple(hosts),
    )


def claim(name: str, declared: Type, *source: str, optional: bool = False, private: bool = False) -> FieldSchema:
    """A claim or a parameter, under its own name where no way to it is given."""
    return FieldSchema(name, declared, optional, private, source or (name,))


def token(name: str) -> Attr:
    return Attr("token", name)


def capture(name: str) -> Attr:
    return Attr("path", name)


# ---------------------------------------------------------------- questions


def path(target: str) -> Path:
    """A canonical path."""
    found = canonical_path(target)
    assert isinstance(found, Path), found
    return found


def ask(
    target: str,
    claims: dict[str, Json] | None = None,
    *,
    kind: str = "user",
    service_id: str = "s",
    method: str = "GET",
    host: str = "",
    facts: Facts | None = None,
    unread: Iterable[str] = (),
    multi_audience: bool = False,
) -> Question:
    """A question by a caller with these claims, or by nobody where there are none."""
    caller = ANONYMOUS if claims is None else Caller(kind, claims, multi_audience, frozenset(unread))
    return Question(service_id, method, path(target), host, caller, NOW_MS, {} if facts is None else facts)
