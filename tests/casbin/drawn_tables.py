"""Tables, changes of them, and requests, drawn from a seed: every kind of expression, effect and value, odd ones too.

Names are few, so that rows match, roles are held and unknowns meet deny rows. The tables keep the invariant of
`ir.tables`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import get_args

from msgspec.structs import replace

from policy_lang.ir import tables
from policy_lang.ir.tables import Expression, FunctionName, Link, Mode, RoleGraph, Row, Table, TableEffect

SUB, OBJ, ACT, DOM, RULE = range(5)
PARAMETERS = ("sub", "obj", "act", "dom")
COLUMNS = ("sub", "obj", "act", "dom", "rule")

NAMES = ("alice", "bob", "carol", "admin", "editor", "staff", "user:*", "user:7", "", "é", r"^\w+$")
PATHS = (
    "/a/1",
    "/a/1/b",
    "/a//b",
    "/a",
    "/",
    "/a/b?x=1",
    "/a/\n",
    "/a/\u0663",
    "/a/é",
    "/a/\x0b",
    "/c/d",
    "10.0.0.7",
    "10.1.2.3",
    "::ffff:10.0.0.9",
    "::1",
    "no",
)
PATTERNS = (
    *("/a/:id", "/a/{id}", "/a/*", "/a/:id/b", "/a/{x}/{x}", "*", "/a/*/b", "/a", "/**", "/a/{b,c}", "/[a-c]/:id"),
    *(
        "^/a/[0-9]+$",
        r"^/a/\d$",
        r"^/a/\W",
        r"/a/\S",
        r"^/\w\b",
        "/a/(",
        "10.0.0.0/8",
        "10.0.0.0/24",
        "10.0.0.7",
        "10.0.0.1/8",
        "::ffff:10.0.0.0/104",
        "::/0",
        "/a/1",
        "/c*",
        "/.*",
        "/:x/:y",
    ),
)
ACTS = ("GET", "POST", "GE", "(GET|POST)", "^G", ".*", "P+(", "*", r"^\w+$")
DOMAINS = ("one", "two", "*", "on*", "é", r"^\w")
RULES = ("r.sub.age > 18", "r.obj == p.obj", "true", "1 + 1", "not readable", "eval(p.rule)", "g(r.sub, p.sub)")
ZONE_TIMES = ("2000-01-01 00:00:00", "2100-01-01 00:00:00", "_", "never")
NOW_MS = 1_800_000_000_000

P0, P1, P2, P3 = (tables.Parameter(place) for place in range(4))
C0, C1, C2, C3 = (tables.Column(place) for place in range(4))

WRITTEN: Mapping[str, Expression | None] = {
    "r.sub.age > 18": tables.Comparison("gt", tables.Field(P0, "age"), tables.Constant(18)),
    "r.obj == p.obj": tables.Comparison("eq", P1, C1),
    "true": tables.Constant(value=True),
    "1 + 1": tables.Arithmetic("+", tables.Constant(1), tables.Constant(1)),
    "not readable": None,
    "eval(p.rule)": tables.Written(RULE),
    "g(r.sub, p.sub)": tables.Linked(0, (P0, C0)),
}
ROWLESS = ("r.sub.age > 18", "true", "1 + 1", "not readable")


@dataclass(frozen=True, slots=True)
class Person:
    """An attribute-carrying value of an embedding program."""

    age: object
    name: str = "alice"


class Contrary:
    """Equal to whatever is asked, or raising when it is."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, *, raises: bool) -> None:
        self._raises = raises

    def __eq__(self, other: object) -> bool:
        if self._raises:
            raise RuntimeError
        return other == "admin"


def _own(first: object, second: object) -> object:
    """Somebody's own function: a truth, a text, or an exception."""
    match first, second:
        case str(), str():
            return first[:1] == second[:1]
        case dict(), _:
            raise KeyError("no such thing")
        case _:
            return "text"


FUNCTIONS: Mapping[str, Callable[..., object]] = {"own": _own}


@dataclass(slots=True)
class Draw:
    """Draws from one seed."""

    random: random.Random

    @classmethod
    def of(cls, seed: str) -> Draw:
        return cls(random.Random(seed))

    # ---------------------------------------------------------------- tables

    def table(self, most_rows: int = 24) -> Table:
        """A table with rows, links and row expressions."""
        mode: Mode = self.random.choice(get_args(Mode))
        effect: TableEffect = self.random.choice(get_args(TableEffect))
        allowed = self._texts()
        rows = tuple(self.row(allowed) for _ in range(self.random.choice((0, 1, 5, most_rows, most_rows))))
        graphs = tuple(self._graph(name, mode) for name in ("g", "g2"))
        expressions = tuple((text, WRITTEN[text]) for text in allowed)
        matcher = self.matcher()
        return Table(
            "", mode, effect, PARAMETERS, COLUMNS, matcher, rows, graphs, expressions, ("own", "missing"), "UTC"
        )

    def row(self, rules: tuple[str, ...]) -> Row:
        """A row, of either vote or of none."""
        pick = self.random.choice
        values = (pick(NAMES), pick(PATTERNS), pick(ACTS), pick(DOMAINS), pick(rules))
        return Row(values, pick(("allow", "allow", "deny", "deny", None)))

    def changed(self, table: Table) -> Table:
        """The table with some rows and links taken out, put in and moved."""
        pick = self.random.random
        rules = tuple(text for text, _ in table.expressions)
        rows = [row for row in table.rows if pick() > 0.1]
        for _ in range(self.random.randrange(3)):
            rows.insert(self.random.randint(0, len(rows)), self.row(rules))
        if rows and pick() < 0.2:
            rows.append(rows.pop(0))
        graphs = tuple(
            replace(graph, links=(*(link for link in graph.links if pick() > 0.1), *self._links(graph, 1)))
            for graph in table.graphs
        )
        return replace(table, rows=tuple(rows), graphs=graphs)

    def _texts(self) -> tuple[str, ...]:
        return ROWLESS if self.random.random() < 0.5 else RULES

    def _graph(self, name: str, mode: Mode) -> RoleGraph:
        pick = self.random.choice
        matching: FunctionName | None = pick((None, None, "keyMatch", "keyMatch2", "regexMatch"))
        domain_matching: FunctionName | None = pick((None, "keyMatch", "regexMatch"))
        graph = RoleGraph(name, pick((True, False)), (), matching, domain_matching, 3 if mode == "compat" else None)
        return replace(graph, links=self._links(graph, self.random.randrange(10)))

    def _links(self, graph: RoleGraph, count: int) -> tuple[Link, ...]:
        pick = self.random.choice
        return tuple(
            Link(
                pick(NAMES),
                pick((*NAMES, "/a/*")),
                pick(DOMAINS) if graph.domains else "",
                (pick(ZONE_TIMES), pick(ZONE_TIMES)) if self.random.random() < 0.3 else (),
            )
            for _ in range(count)
        )

    # ---------------------------------------------------------------- matchers

    def matcher(self, depth: int = 3) -> Expression:
        """Conjunctions of what tables ask, most of the time; anything, sometimes."""
        roll = self.random.random()
        if depth == 0 or roll < 0.15:
            return self.condition()
        if roll < 0.25:
            return tables.Not(self.matcher(depth - 1))
        parts = tuple(self.matcher(depth - 1) for _ in range(self.random.randint(1, 4)))
        return tables.Or(parts) if roll < 0.45 else tables.And(parts)

    def condition(self) -> Expression:
        """One condition."""
        common: tuple[Expression, ...] = (
            tables.Comparison("eq", P0, C0),
            tables.Comparison("eq", C2, P2),
            tables.Comparison("eq", P3, C3),
            tables.Linked(0, (P0, C0)),
            tables.Linked(0, (P0, C0, P3)),
            tables.Linked(0, (P0, C0, C3)),
            tables.Linked(1, (P1, C1)),
            tables.BuiltIn(self._pattern_function(), (P1, C1)),
            tables.BuiltIn("regexMatch", (P2, C2)),
            tables.Within(C0, P0),
        )
        rare: tuple[Expression, ...] = (
            tables.Comparison("eq", C2, tables.Constant("*")),
            tables.Comparison("eq", C2, tables.Constant(value=self.random.choice((1, True, 1.5)))),
            tables.Comparison("eq", P0, tables.Constant("admin")),
            tables.Comparison(self.random.choice(("lt", "ge", "ne")), P0, C0),
            tables.Comparison("gt", tables.Field(P0, "age"), tables.Constant(18)),
            tables.Comparison("eq", tables.Field(P0, "name"), C0),
            tables.Comparison("eq", P0, tables.BuiltIn("keyGet2", (P1, C1, tables.Constant("id")))),
            tables.Comparison("eq", tables.Arithmetic("+", P0, tables.Constant("")), C0),
            tables.Comparison("eq", tables.Own("own", (P0, tables.Constant(value=self.random.random() < 0.5))), C0),
            tables.Linked(0, (C0, P0)),
            tables.Linked(0, (C0, tables.Constant("admin"))),
            tables.BuiltIn(self._pattern_function(), (P1, P2)),
            tables.BuiltIn(self._pattern_function(), (P1, tables.Constant(self.random.choice(PATTERNS)))),
            tables.BuiltIn("timeMatch", (tables.Constant("_"), tables.Constant(self.random.choice(ZONE_TIMES)))),
            tables.Within(P2, tables.Listed((tables.Constant("GET"), C2))),
            tables.Within(P0, C0),
            tables.Within(C0, tables.Listed((P0, P3, tables.Constant("admin")))),
            tables.Own("own", (P0, C0)),
            tables.Own("missing", (P0,)),
            tables.Written(RULE),
            tables.Constant(value=self.random.choice((True, False, 1))),
            P2,
        )
        return self.random.choice(common if self.random.random() < 0.7 else rare)

    def _pattern_function(self) -> FunctionName:
        functions: tuple[FunctionName, ...] = (
            *("keyMatch", "keyMatch2", "keyMatch3", "keyMatch4", "keyMatch5", "globMatch", "regexMatch", "ipMatch"),
        )
        return self.random.choice(functions)

    # ---------------------------------------------------------------- requests

    def request(self) -> tuple[object, ...]:
        """A request: strings, or with a value of another kind, or of the wrong length."""
        pick = self.random.choice
        values: list[object] = [pick(NAMES), pick(PATHS), pick(("GET", "POST", "PUT", "é")), pick(DOMAINS)]
        roll = self.random.random()
        if roll < 0.35:
            values[self.random.randrange(4)] = pick(self._odd())
        return tuple(values[:3]) if roll > 0.97 else tuple(values)

    def _odd(self) -> tuple[object, ...]:
        return (
            *(
                None,
                True,
                1,
                2.5,
                float("nan"),
                b"GET",
                [],
                ["GET", "*"],
                {"GET"},
                ["admin", "bob"],
                ["bob", None],
                {"age": 19, "name": "bob"},
            ),
            *(
                Person(20),
                Person("old"),
                Contrary(raises=True),
                Contrary(raises=False),
                object(),
                type("S", (str,), {})("bob"),
                (Contrary(raises=False), "alice", 1),
            ),
        )
