"""Plans of tables made by hand: what an index must not miss, what a change shares, and that size does not matter."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping, Sequence

import pytest
from msgspec import Struct
from msgspec.structs import replace

from policy_lang.ir import tables
from policy_lang.ir.tables import Expression, Link, RoleGraph, Row, Table, TableEffect
from policy_lang.meaning.tables import NOTHING, Said, TableMeaning
from policy_lang.plan.table_index import SMALL
from policy_lang.plan.table_slots import realigned
from policy_lang.plan.tables import TablePlan

R_SUB, R_OBJ, R_ACT = (tables.Parameter(place) for place in range(3))
P_SUB, P_OBJ, P_ACT = (tables.Column(place) for place in range(3))
NAMES = ("sub", "obj", "act")

EQUAL_ACTS = tables.Comparison("eq", R_ACT, P_ACT)
RBAC = tables.And((tables.Linked(0, (R_SUB, P_SUB)), tables.BuiltIn("keyMatch2", (R_OBJ, P_OBJ)), EQUAL_ACTS))
ACL = tables.And((tables.Comparison("eq", R_SUB, P_SUB), tables.Comparison("eq", R_OBJ, P_OBJ), EQUAL_ACTS))


def table(
    matcher: Expression,
    rows: Sequence[Row],
    links: Sequence[Link] = (),
    effect: TableEffect = "allow_override",
    mode: tables.Mode = "strict",
) -> Table:
    return Table("", mode, effect, NAMES, NAMES, matcher, tuple(rows), (RoleGraph("g", False, tuple(links)),))


def allow(*values: str) -> Row:
    return Row(values, "allow")


def deny(*values: str) -> Row:
    return Row(values, "deny")


def said(of: Table, *request: object) -> Said:
    """What the plan says, which is what the definition says."""
    answer = TablePlan.of(of).said(request, now_ms=0)
    assert answer == TableMeaning.of(of).said(request, now_ms=0)
    return answer


class Case(Struct, frozen=True):
    table: Table
    request: tuple[object, ...]
    said: Said


BOTH = [
    deny("alice", "/b", "GET"),
    allow("alice", "/a", "GET"),
    deny("alice", "/a", "GET"),
    allow("alice", "/a", "GET"),
]
MANY = [allow(f"user{n}", "/a", "GET") for n in range(50)]
SURE = tables.Constant(value=True)
ROOT = tables.Comparison("eq", R_SUB, tables.Constant("root"))

CASES: Mapping[str, Case] = {
    "a table without rows says nothing, not even in compat by a matcher that reads no row": Case(
        table(SURE, [], effect="deny_override", mode="compat"), ("a", "b", "c"), NOTHING
    ),
    "the first allow row is named": Case(table(ACL, BOTH), ("alice", "/a", "GET"), Said("allow", 1)),
    "under allow_and_deny any deny row counts before any allow row": Case(
        table(ACL, BOTH, effect="allow_and_deny"), ("alice", "/a", "GET"), Said("deny", 2)
    ),
    "under priority the first row counts": Case(
        table(ACL, BOTH, effect="priority"), ("alice", "/a", "GET"), Said("allow", 1)
    ),
    "under deny_override whoever is not denied is allowed by no row": Case(
        table(ACL, BOTH, effect="deny_override", mode="compat"), ("bob", "/a", "GET"), Said("allow", None)
    ),
    "a missing value leaves every deny row possible: the first one denies": Case(
        table(ACL, BOTH, effect="priority"), (None, "/a", "GET"), Said("deny", 2)
    ),
    "a missing value grants nothing": Case(table(ACL, MANY), (None, "/a", "GET"), NOTHING),
    "a value of another type is unequal, and no crash": Case(table(ACL, MANY), (7, "/a", "GET"), NOTHING),
    "a value that cannot be hashed is unequal, and no crash": Case(table(ACL, MANY), (["user1"], "/a", "GET"), NOTHING),
    "a request of the wrong length grants nothing": Case(table(ACL, MANY), ("user1", "/a"), NOTHING),
    "a disjunct that reads no row grants by the first allow row": Case(
        table(tables.Or((ACL, ROOT)), [deny("x", "/", "GET"), *MANY]), ("root", "/z", "PUT"), Said("allow", 1)
    ),
    "a disjunct that reads nothing but the row is worked out beforehand": Case(
        table(
            tables.Or((ACL, tables.Comparison("eq", P_ACT, tables.Constant("*")))), [*MANY, allow("nobody", "/", "*")]
        ),
        ("anybody", "/z", "PUT"),
        Said("allow", 50),
    ),
    "a row of neither vote says nothing": Case(
        table(ACL, [Row(("a", "b", "c"), None), allow("a", "b", "c")]), ("a", "b", "c"), Said("allow", 1)
    ),
    "whoever holds a role by way of another has its rows": Case(
        table(RBAC, [allow("admin", "/a/:id", "GET")], [Link("alice", "staff"), Link("staff", "admin")]),
        ("alice", "/a/1", "GET"),
        Said("allow", 0),
    ),
    "a pattern that cannot be read leaves its deny row possible": Case(
        table(
            tables.And((EQUAL_ACTS, tables.BuiltIn("regexMatch", (R_OBJ, P_OBJ)))),
            [*(deny("x", f"^/{n}$", "GET") for n in range(9)), deny("x", "(", "GET"), allow("x", ".*", "GET")],
            effect="priority",
        ),
        ("x", "/none", "GET"),
        Said("deny", 9),
    ),
    "the constants 1 and True stay two": Case(
        table(
            tables.Or(
                (
                    tables.And((ACL, tables.Comparison("eq", tables.Constant(1), tables.Constant(value=True)))),
                    tables.And((ACL, tables.Comparison("eq", tables.Constant(1), tables.Constant(1)))),
                )
            ),
            [allow("a", "b", "c")],
        ),
        ("a", "b", "c"),
        Said("allow", 0),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_plan_says(case: str) -> None:
    asked = CASES[case]
    assert said(asked.table, *asked.request) == asked.said


def test_a_matcher_of_too_many_conjunctions_is_answered_all_the_same() -> None:
    either = [
        tables.Or((tables.Comparison("eq", R_SUB, tables.Constant(f"a{n}")), tables.Comparison("eq", P_SUB, R_SUB)))
        for n in range(9)
    ]
    of = table(tables.And((*either, EQUAL_ACTS)), MANY)
    assert said(of, "user7", "/", "GET") == Said("allow", 7)
    assert said(of, "a1", "/", "GET") == NOTHING


class Counting:
    """A mapping that counts how often it is asked: as many rows as were looked at."""

    def __init__(self) -> None:
        self.asked = 0

    def function(self, value: object) -> bool:
        """Somebody's own function."""
        self.asked += 1
        return value != "never"


def test_few_rows_are_asked_of_many() -> None:
    rows = [allow(f"user{n % 500}", f"/area{n}/:id", "GET") for n in range(5_000)]
    counting = Counting()
    matcher = tables.And((RBAC, tables.Own("f", (P_OBJ,)), tables.Own("g", (P_OBJ, P_SUB))))
    plan = TablePlan.of(table(matcher, rows), {"f": counting.function, "g": lambda obj, sub: bool(obj and sub)})
    assert plan.said(("user7", "/area507/1", "GET"), now_ms=0) == Said("allow", 507)
    assert plan.said(("user7", "/area508/1", "GET"), now_ms=0) == NOTHING
    assert counting.asked <= 2 * SMALL


def test_a_function_that_raises_leaves_a_row_unknown() -> None:
    def raises(_: object) -> bool:
        raise RuntimeError

    own = tables.And((ACL, tables.Own("f", (P_SUB,))))
    for row, want in ((allow("a", "b", "c"), NOTHING), (deny("a", "b", "c"), Said("deny", 0))):
        plan = TablePlan.of(table(own, [row], effect="priority"), {"f": raises})
        assert plan.said(("a", "b", "c"), now_ms=0) == want


# ---------------------------------------------------------------- changes


def test_a_changed_plan_is_the_plan_of_the_changed_table() -> None:
    drawn = random.Random(7)
    rows = [allow(f"role{n % 40}", f"/area{n}/:id", drawn.choice(("GET", "PUT"))) for n in range(200)]
    links = [Link(f"user{n}", f"role{n % 40}") for n in range(100)]
    of = table(RBAC, rows, links, effect="priority")
    plan = TablePlan.of(of)
    for step in range(60):
        rows.insert(
            drawn.randint(0, len(rows)), drawn.choice((allow, deny))(f"role{step % 45}", f"/new{step}/*", "GET")
        )
        del rows[drawn.randrange(len(rows))]
        links[drawn.randrange(len(links))] = Link(f"user{step}", f"role{drawn.randrange(45)}")
        graphs = (replace(of.graphs[0], links=tuple(links)),)
        of = replace(of, rows=tuple(rows), graphs=graphs)
        plan = plan.changed(of)
        afresh = TablePlan.of(of)
        for _ in range(5):
            row = drawn.choice(rows).values
            request = (f"user{drawn.randrange(100)}", row[1].replace(":id", "1").replace("*", "1"), row[2])
            assert plan.said(request, now_ms=0) == afresh.said(request, now_ms=0)


def test_a_change_leaves_the_plan_before_it_as_it_was() -> None:
    of = table(RBAC, MANY)
    plan = TablePlan.of(of)
    more = plan.changed(replace(of, rows=(*of.rows, allow("new", "/n", "GET"))))
    fewer = more.changed(of)
    asked = ("new", "/n", "GET")
    assert [each.said(asked, now_ms=0) for each in (plan, more, fewer)] == [NOTHING, Said("allow", 50), NOTHING]


def test_a_small_change_of_a_large_table_shares_most_of_its_index() -> None:
    rows = [allow(f"user{n}", f"/area{part}", "GET") for n in range(300) for part in range(SMALL + 1)]
    of = table(ACL, rows)
    plan = TablePlan.of(of)
    more = plan.changed(replace(of, rows=(*of.rows, allow("user1", "/new", "GET"))))
    before, after = plan.allows.indexes[0].tree, more.allows.indexes[0].tree
    assert isinstance(before, dict)
    assert isinstance(after, dict)
    assert before.keys() == after.keys()
    assert sum(after[key] is not before[key] for key in before) == 1
    assert more.stock.roles[0] is plan.stock.roles[0]


CHANGES: Mapping[str, tuple[Callable[[Table], Table], tuple[object, ...], Said]] = {
    "another matcher": (lambda of: replace(of, matcher=SURE), ("z", "z", "z"), Said("allow", 0)),
    "another effect": (lambda of: replace(of, effect="deny_override"), ("z", "z", "z"), Said("allow", None)),
    "no rows any more": (lambda of: replace(of, rows=()), ("user1", "/a", "GET"), NOTHING),
    "rows in another order": (
        lambda of: replace(of, rows=of.rows[::-1]), ("user1", "/a", "GET"), Said("allow", 48)
    ),
    "twenty times the rows": (
        lambda of: replace(of, rows=(*of.rows, *(allow("x", f"/{n}", "GET") for n in range(1_000)))),
        ("x", "/999", "GET"),
        Said("allow", 1_049),
    ),
    "a row that votes otherwise": (
        lambda of: replace(of, rows=(*of.rows[:1], replace(of.rows[1], vote="deny"), *of.rows[2:])),
        ("user1", "/a", "GET"),
        NOTHING,
    ),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_another_kind_counts_too(change: str) -> None:
    how, request, want = CHANGES[change]
    of = table(ACL, MANY, mode="compat")
    changed = how(of)
    assert TablePlan.of(of).changed(changed).said(request, now_ms=0) == want == said(changed, *request)


def test_an_expression_that_comes_with_a_row_is_asked() -> None:
    def written(*texts: str) -> tuple[tuple[str, Expression], ...]:
        meant: Mapping[str, Expression] = {"true": SURE, "r.obj == p.obj": tables.Comparison("eq", R_OBJ, P_OBJ)}
        return tuple((text, meant[text]) for text in texts)

    of = replace(table(tables.Written(2), [allow("a", "b", "true")]), expressions=written("true"))
    plan = TablePlan.of(of)
    rows = (allow("a", "x", "r.obj == p.obj"),)
    more = replace(of, rows=rows, expressions=written("true", "r.obj == p.obj"))
    assert plan.said(("q", "q", "q"), now_ms=0) == Said("allow", 0)
    assert plan.changed(more).said(("q", "x", "q"), now_ms=0) == Said("allow", 0)
    assert plan.changed(more).said(("q", "q", "q"), now_ms=0) == NOTHING


REALIGNED: Mapping[str, tuple[str, str, list[int], list[int]]] = {
    "nothing": ("abc", "abc", [0, 1, 2], []),
    "one more behind": ("abc", "abcd", [0, 1, 2, 3], []),
    "one in front": ("abc", "xabc", [3, 0, 1, 2], []),
    "one less": ("abc", "ac", [0, 2], [1]),
    "all gone": ("abc", "", [], [0, 1, 2]),
    "one moved is a new one": ("abcd", "bcda", [1, 2, 3, 4], [0]),
    "one of two that are alike": ("aba", "ba", [1, 2], [0]),
    "one more that is alike": ("aba", "abaa", [0, 1, 2, 3], []),
    "another one in the middle": ("abc", "axc", [0, 3, 2], [1]),
}


@pytest.mark.parametrize("case", REALIGNED)
def test_rows_keep_their_slots_through_a_change(case: str) -> None:
    before, after, slots, gone = REALIGNED[case]
    found = realigned(
        [allow(name) for name in before], [allow(name) for name in after], range(len(before)), len(before)
    )
    assert sorted(found.slots) == sorted(slots)
    assert {slot for slot, _ in found.gone} == set(gone)
    held = {**dict(enumerate(before)), **{slot: row.values[0] for slot, row in found.added}}
    assert "".join(held[slot] for slot in found.slots) == after
    assert len({*found.slots, *(slot for slot, _ in found.gone)}) == len(found.slots) + len(found.gone)


# ---------------------------------------------------------------- hostile


def test_many_slashes_against_a_deep_pattern_cost_little_work() -> None:
    of = table(tables.BuiltIn("keyMatch2", (R_OBJ, P_OBJ)), [allow("x", "/*/*/*/*/*/*/x", "x")], mode="compat")
    assert said(of, "x", "/" * 4_000, "x") == NOTHING
    assert said(of, "x", "/a/b/c/d/e/f/x", "x") == Said("allow", 0)


def test_a_pattern_of_thousands_of_segments_is_indexed() -> None:
    deep = "/:a" * 1_200
    of = table(tables.BuiltIn("keyMatch2", (R_OBJ, P_OBJ)), [allow("x", deep, "x"), allow("x", f"{deep}/b", "x")])
    assert said(of, "x", "/v" * 1_200 + "/b", "x") == Said("allow", 1)


def test_names_asked_about_are_not_kept_without_end() -> None:
    plan = TablePlan.of(table(RBAC, [allow("admin", "/a/:id", "GET")] * (SMALL + 1), [Link("alice", "admin")]))
    for number in range(10_000):
        plan.said(("alice", f"/a/{number}", "GET"), now_ms=0)
        plan.said((f"unknown{number}", "/a/1", "GET"), now_ms=0)
    kept = plan.stock.patterns[0]._kept
    assert 0 < len(kept.entries) <= 4_096
    assert len(plan.stock.roles[0].closures.kept.entries) < 10


def test_many_threads_get_the_same_answers() -> None:
    rows = [allow(f"role{n % 10}", f"/area{n}/:id", "GET") for n in range(200)]
    plan = TablePlan.of(table(RBAC, rows, [Link(f"user{n}", f"role{n}") for n in range(10)]))
    requests = [(f"user{n % 11}", f"/area{n}/{n}", "GET") for n in range(200)]
    want = [TableMeaning.of(plan.table).said(request, now_ms=0) for request in requests]
    wrong: list[int] = []

    def ask() -> None:
        for _ in range(10):
            wrong.extend(n for n, each in enumerate(requests) if plan.said(each, now_ms=0) != want[n])

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert any(each.vote == "allow" for each in want)
