"""Programs of any size for the benchmarks, built as the compiler builds them, without its front end.

Two arrangements of N rules (issue "Speed is designed in", language.md 6.2):

    spread  N / 10 endpoints with ten rules each: nine allows for one role each on the caller's own account, one deny
    one     all on ONE endpoint: allows told apart by tenant, and 32 that no index can tell apart
"""

from __future__ import annotations

from msgspec import Struct

from policy_lang import ir
from policy_lang.checking.guards import Every, Formula, Interner, Leaf
from policy_lang.request import Path, canonical_path
from policy_lang.typesystem import Scalar, SetType
from policy_lang.verdict import Caller, HttpCall, Question

PLACE = ir.Place("benchmark.pol", 1, 1)
ROLES = [f"role{number}" for number in range(9)]
UNINDEXABLE = 32


class Load(Struct, frozen=True):
    """A program and questions for it, all of them allowed."""

    name: str
    rules: int
    program: ir.Program
    questions: tuple[Question, ...]


def spread(rules: int) -> Load:
    """Rules over many endpoints."""
    builder = _Builder()
    endpoints = [
        builder.endpoint(f"e{n}", (ir.Fixed("accounts"), _ACCOUNT, ir.Fixed(f"r{n}"))) for n in range(rules // 10)
    ]
    own = ir.Member(ir.Attr("path", "account"), ir.Attr("token", "accounts"))
    for endpoint in endpoints:
        for role in ROLES:
            held = ir.Overlap(ir.Attr("token", "roles"), ir.Const(frozenset((role, "admin"))))
            builder.rule("allow", endpoint, Every((Leaf(held), Leaf(own))))
        builder.rule("deny", endpoint, Leaf(ir.Truth(ir.Attr("token", "suspended"))))
    questions = tuple(
        _question(f"/accounts/a1/r{number % len(endpoints)}", {"roles": [ROLES[number % 9]], "accounts": ["a1", "a2"]})
        for number in range(0, 997 * 64, 997)
    )
    return Load("spread", rules, builder.program(), questions)


def one(rules: int) -> Load:
    """All rules on one endpoint."""
    builder = _Builder()
    endpoint = builder.endpoint("only", (ir.Fixed("t"), _ACCOUNT))
    for number in range(rules - UNINDEXABLE):
        tenant = ir.Compare("eq", ir.Attr("token", "tenant"), ir.Const(f"t{number}"))
        held = ir.Overlap(ir.Attr("token", "roles"), ir.Const(frozenset((ROLES[number % 9], "admin"))))
        builder.rule("allow", endpoint, Every((Leaf(tenant), Leaf(held))))
    for number in range(UNINDEXABLE):
        builder.rule("allow", endpoint, Leaf(ir.Like(ir.Attr("token", "tenant"), f"*-{number}")))
    questions = tuple(
        _question("/t/a1", {"tenant": f"t{number}", "roles": [ROLES[number % 9]]})
        for number in (each % (rules - UNINDEXABLE) for each in range(0, 997 * 64, 997))
    )
    return Load("one endpoint", rules, builder.program(), questions)


_ACCOUNT = ir.Capture("account", "string")
_TEXTS = SetType(Scalar.STRING)


def _question(path: str, claims: dict[str, object]) -> Question:
    whole = {"sub": "u1", "roles": [], "accounts": [], "tenant": "none", "suspended": False, "aud": ["api"], **claims}
    canonical = canonical_path(path)
    if not isinstance(canonical, Path):
        raise TypeError(f"not canonical: {path}")
    caller = Caller("user", whole)  # type: ignore[arg-type]
    return Question("api", HttpCall("GET", canonical, "api.example"), caller, 1_767_225_600_000, {})


class _Builder:
    """Collects endpoints and rules of one service for one kind of token."""

    def __init__(self) -> None:
        self._interner = Interner()
        self._endpoints: list[ir.Endpoint] = []
        self._rules: list[ir.Rule] = []
        self._bodies: list[ir.Body] = []
        self._groups: dict[int, dict[ir.Effect, list[ir.CellRule]]] = {}

    def endpoint(self, name: str, segments: tuple[ir.Segment, ...]) -> int:
        route = ir.Http(("GET",), segments, trailing_slash=False)
        index = len(self._endpoints)
        self._endpoints.append(
            ir.Endpoint(f"api.{name}", "api", route, name, (), (), (), (), (), (), closed=False, place=PLACE)
        )
        self._groups[index] = {"deny": [], "allow": [], "require": []}
        return index

    def rule(self, effect: ir.Effect, endpoint: int, formula: Formula) -> None:
        index = len(self._rules)
        self._rules.append(ir.Rule(f"bench.r{index:07}", effect, "because", PLACE, shadow=False))
        clause = ir.Clause("when 1", "as measured", self._interner.guard(formula))
        self._bodies.append(ir.Body((clause,), (), (), ()))
        self._groups[endpoint][effect].append(ir.CellRule(index, index))

    def program(self) -> ir.Program:
        claims = (
            _claim("sub", Scalar.STRING),
            _claim("roles", _TEXTS),
            _claim("accounts", _TEXTS),
            _claim("tenant", Scalar.STRING),
            _claim("suspended", Scalar.BOOL),
        )
        cells = [
            ir.Cell(index, "user", tuple(group["deny"]), tuple(group["allow"]), tuple(group["require"]), ())
            for index, group in self._groups.items()
        ]
        cells += [ir.Cell(index, None, (), (), (), ()) for index in self._groups]
        return ir.Program(
            version=ir.VERSION,
            modules=("bench",),
            kinds=(ir.Kind("user", "token", "https://id.example", claims, None, ()),),
            relations=(),
            signals=(),
            workloads=(),
            services=(ir.Service("api", ("api",), ("api.example",), (), None, query_strict=False, tags=()),),
            endpoints=tuple(self._endpoints),
            atoms=self._interner.atoms,
            guards=self._interner.guards,
            rules=tuple(self._rules),
            bodies=tuple(self._bodies),
            cells=tuple(cells),
        )


def _claim(name: str, declared: Scalar | SetType) -> ir.FieldSchema:
    return ir.FieldSchema(name, declared, optional=False, private=False, source=(name,))
