"""What tables say: effects over Kleene's truths, each expression on each sort of value, objects that mean no good."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from types import SimpleNamespace

import pytest
from msgspec.structs import replace

from policy_lang.ir import tables
from policy_lang.ir.table_validity import DEEPEST, check_table
from policy_lang.ir.tables import Expression, Link, Mode, RoleGraph, Row, Table, TableEffect, Vote
from policy_lang.meaning.object_values import MOST_MEMBERS, plain
from policy_lang.meaning.tables import NOTHING, Said, TableMeaning
from policy_lang.meaning.values import FALSE, TRUE, UNKNOWN
from policy_lang.verdict import Truth3
from tests.casbin.table_draws import (
    HOSTILE,
    ONE_OF_EACH,
    Agreeing,
    Colour,
    Equal,
    Level,
    Person,
    Raising,
    Shadowing,
    Vague,
    cyclic,
)

NOW = 1_767_225_600_000  # 2026-01-01 00:00:00 UTC

R, OTHER, P = tables.Parameter(0), tables.Parameter(1), tables.Column(0)
MODES: tuple[Mode, ...] = ("strict", "compat")


def table(
    matcher: Expression,
    rows: Sequence[Row] = (Row(("v",), "allow"),),
    effect: TableEffect = "allow_override",
    mode: Mode = "strict",
    graphs: tuple[RoleGraph, ...] = (),
    expressions: tuple[tuple[str, Expression | None], ...] = (),
    zone: str = "UTC",
) -> Table:
    """A table of the parameters `r` and `o` and the column `p`."""
    made = Table(
        "", mode, effect, ("r", "o"), ("p",), matcher, tuple(rows), graphs, expressions, ("own", "absent"), zone
    )
    check_table(made)
    return made


def truth(
    matcher: Expression, r: object = None, o: object = None, p: str = "v", mode: Mode = "strict", **more: object
) -> Truth3:
    """The condition of a table's only row."""
    functions = more.pop("functions", {})
    made = table(matcher, [Row((p,), "allow")], mode=mode, **more)  # type: ignore[arg-type]
    return TableMeaning.of(made, functions).truth_of_row(0, (r, o), now_ms=NOW)  # type: ignore[arg-type]


# ---------------------------------------------------------------- effects

MISSING = tables.Field(R, "nothing")
AS_WRITTEN = tables.Or(
    (
        tables.Comparison("eq", P, tables.Constant("T")),
        tables.And((tables.Comparison("eq", P, tables.Constant("U")), MISSING)),
    )
)
"""TRUE of a row T, UNKNOWN of a row U, FALSE of a row F."""


def rows(written: str) -> list[Row]:
    """Rows from words such as `+T` (allow, TRUE), `-U` (deny, UNKNOWN), `?T` (neither)."""
    votes: dict[str, Vote | None] = {"+": "allow", "-": "deny", "?": None}
    return [Row((word[1],), votes[word[0]]) for word in written.split()]


ALLOW: Vote = "allow"
DENY: Vote = "deny"
EFFECTS: dict[str, tuple[TableEffect, str, Said]] = {
    "allow_override without rows": ("allow_override", "", NOTHING),
    "allow_override: the first true allow row": ("allow_override", "+F +U +T +T", Said(ALLOW, 2)),
    "allow_override: no row is true": ("allow_override", "+F +U", NOTHING),
    "allow_override asks no deny row": ("allow_override", "-T -U +T", Said(ALLOW, 2)),
    "allow_override asks no row that is neither": ("allow_override", "?T ?U", NOTHING),
    "allow_and_deny without rows": ("allow_and_deny", "", NOTHING),
    "allow_and_deny: a later deny wins": ("allow_and_deny", "+T -F -T", Said(DENY, 2)),
    "allow_and_deny: an unknown deny denies": ("allow_and_deny", "+T -F -U -T", Said(DENY, 2)),
    "allow_and_deny: all denies are false": ("allow_and_deny", "-F +F +T", Said(ALLOW, 2)),
    "allow_and_deny: nothing is true": ("allow_and_deny", "-F +F +U ?T", NOTHING),
    "deny_override without rows": ("deny_override", "", NOTHING),
    "deny_override: nobody denies": ("deny_override", "-F +F ?U", Said(ALLOW, None)),
    "deny_override: an unknown deny denies": ("deny_override", "+T -F -U", Said(DENY, 2)),
    "deny_override of a row that is neither": ("deny_override", "?T", Said(ALLOW, None)),
    "priority without rows": ("priority", "", NOTHING),
    "priority: the first is an allow": ("priority", "+F -F +T -T", Said(ALLOW, 2)),
    "priority: the first is a deny": ("priority", "+F -T +T", Said(DENY, 1)),
    "priority: an unknown allow is passed over": ("priority", "+U +T", Said(ALLOW, 1)),
    "priority: an unknown deny ends it": ("priority", "+U -U +T", Said(DENY, 1)),
    "priority: nothing is true": ("priority", "+F -F ?T", NOTHING),
}


@pytest.mark.parametrize("case", EFFECTS)
def test_effects(case: str) -> None:
    effect, written, wanted = EFFECTS[case]
    meaning = TableMeaning.of(table(AS_WRITTEN, rows(written), effect, "compat"))
    assert meaning.said(({}, None), now_ms=NOW) == wanted


def test_a_disjunct_that_reads_no_row_is_asked_of_rows_only() -> None:
    root = tables.Comparison("eq", R, tables.Constant("root"))
    for effect in ("allow_override", "allow_and_deny", "priority"):
        assert TableMeaning.of(table(root, [], effect)).said(("root", ""), now_ms=NOW) == NOTHING
        assert TableMeaning.of(table(root, rows("-F +F"), effect)).said(("root", ""), now_ms=NOW).vote is not None


@pytest.mark.parametrize("request_", [(), ("v",), ("v", "v", "v")], ids=["none", "too few", "too many"])
def test_a_request_of_another_length_has_no_values(request_: tuple[object, ...]) -> None:
    """Neither is the first value taken for the first parameter, nor does a deny row let it pass."""
    equal = tables.Comparison("eq", R, P)
    two = [Row(("v",), "allow"), Row(("w",), "deny")]
    meaning = TableMeaning.of(table(equal, two, "allow_and_deny"))
    assert meaning.said(("v", "v"), now_ms=NOW) == Said(ALLOW, 0)
    assert meaning.truth_of_row(0, request_, now_ms=NOW) is UNKNOWN
    assert meaning.said(request_, now_ms=NOW) == Said(DENY, 1)


# ---------------------------------------------------------------- expressions


def eq(left: Expression, right: Expression) -> Expression:
    return tables.Comparison("eq", left, right)


def number(value: tables.TableScalar) -> Expression:
    return tables.Constant(value)


COMPARED: dict[str, tuple[str, object, object, Truth3]] = {
    "equal strings": ("eq", "a", "a", TRUE),
    "strings that differ": ("eq", "a", "A", FALSE),
    "whole and fractional numbers": ("eq", 1, 1.0, TRUE),
    "a boolean and a number": ("eq", True, 1, FALSE),
    "a boolean and a number differ": ("ne", False, 0, TRUE),
    "a number and its text": ("eq", 1, "1", FALSE),
    "nothing": ("eq", None, "a", UNKNOWN),
    "nothing and nothing": ("eq", None, None, UNKNOWN),
    "nothing is not unequal": ("ne", None, "a", UNKNOWN),
    "no number": ("eq", float("nan"), float("nan"), UNKNOWN),
    "no number is not unequal": ("ne", float("nan"), 1, UNKNOWN),
    "a string and a list": ("eq", "a", ["a"], FALSE),
    "a string is no mapping": ("ne", "a", {}, TRUE),
    "two lists": ("eq", ["a"], ["a"], UNKNOWN),
    "a string and an object": ("eq", "a", object(), UNKNOWN),
    "an enum by its text": ("eq", Colour.RED, "red", TRUE),
    "an enum by its number": ("le", Level.TWO, 2, TRUE),
    "numbers in order": ("lt", 1, 1.5, TRUE),
    "a number is not less than itself": ("lt", 2, 2, FALSE),
    "at most": ("le", 2, 2, TRUE),
    "more": ("gt", "b", "a", TRUE),
    "at least": ("ge", "a", "b", FALSE),
    "strings by code point": ("lt", "\uffff", "\U00010000", TRUE),
    "a string and a number in order": ("lt", "1", 2, UNKNOWN),
    "booleans in order": ("lt", False, True, UNKNOWN),
    "no number in order": ("ge", float("nan"), 1, UNKNOWN),
    "an infinite number in order": ("gt", float("inf"), 1, UNKNOWN),
    "numbers of any size": ("lt", 1.5, 10**400, TRUE),
    "a boolean and a number in order": ("lt", True, 2, UNKNOWN),
    "a boolean and a string": ("eq", True, "True", FALSE),
    "a boolean and a string in order": ("lt", True, "a", UNKNOWN),
    "a list with a boolean and one with a number": ("eq", [True], [1], UNKNOWN),
    "a string and a list that says it is": ("eq", "a", Agreeing("b"), FALSE),
}

COMPARED_BY_PYTHON: dict[str, Truth3] = {
    "two lists": TRUE,
    "a string and an object": FALSE,
    "a boolean and a number": TRUE,
    "a boolean and a number differ": FALSE,
    "booleans in order": TRUE,
    "a boolean and a number in order": TRUE,
    "a list with a boolean and one with a number": TRUE,
    "a string and a list that says it is": TRUE,
}
"""What compat says otherwise."""


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", COMPARED)
def test_comparisons(case: str, mode: Mode) -> None:
    op, left, right, wanted = COMPARED[case]
    if mode == "compat":
        wanted = COMPARED_BY_PYTHON.get(case, wanted)
    assert truth(tables.Comparison(op, R, OTHER), left, right, mode=mode) is wanted  # type: ignore[arg-type]


def test_the_equality_of_an_object_is_asked_in_compat_only() -> None:
    equal = eq(R, P)
    assert truth(equal, Equal()) is UNKNOWN
    assert truth(equal, Equal(), mode="compat") is TRUE
    assert truth(equal, Vague(), mode="compat") is UNKNOWN
    assert truth(equal, Raising(), mode="compat") is UNKNOWN
    assert truth(eq(R, OTHER), cyclic(), cyclic(), mode="compat") is UNKNOWN


WITHIN: dict[str, tuple[object, object, Truth3]] = {
    "in a list": ("a", ["b", "a"], TRUE),
    "not in a list": ("a", ["b"], FALSE),
    "in a tuple": (1, (1.0,), TRUE),
    "in a set": ("a", {"a"}, TRUE),
    "in the keys of a mapping": ("a", {"a": 1}.keys(), UNKNOWN),
    "in a range": (3, range(5), UNKNOWN),
    "in as many as are looked through": ("a", ["a"] * MOST_MEMBERS, TRUE),
    "in more than that": ("a", ["a"] * (MOST_MEMBERS + 1), UNKNOWN),
    "true is not one": (True, [1], FALSE),
    "one is not true in a set": (1, frozenset({True}), FALSE),
    "in an empty list": ("a", [], FALSE),
    "nothing in an empty list": (None, [], UNKNOWN),
    "in a list that may have it": ("a", ["b", None], UNKNOWN),
    "in a list that has it, whatever else": ("a", [None, "a"], TRUE),
    "an enum in a list": ("red", [Colour.RED], TRUE),
    "in a mapping": ("a", {"a": 1}, UNKNOWN),
    "in bytes": (97, b"a", UNKNOWN),
    "in a number": (1, 1, UNKNOWN),
    "in nothing": ("a", None, UNKNOWN),
}

WITHIN_BY_PYTHON = frozenset({"true is not one", "one is not true in a set"})
"""To Python they are the same."""


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", WITHIN)
def test_within(case: str, mode: Mode) -> None:
    item, among, wanted = WITHIN[case]
    if mode == "compat" and case in WITHIN_BY_PYTHON:
        wanted = TRUE
    assert truth(tables.Within(R, OTHER), item, among, mode=mode) is wanted


def test_a_string_within_a_string_is_for_compat() -> None:
    inside = tables.Within(R, P)
    assert truth(inside, "li", p="alice") is UNKNOWN
    assert truth(inside, "li", p="alice", mode="compat") is TRUE
    assert truth(inside, "x", p="alice", mode="compat") is FALSE
    assert truth(inside, 1, p="1", mode="compat") is UNKNOWN


def test_a_list_of_expressions() -> None:
    listed = tables.Within(R, tables.Listed((number("a"), P, OTHER)))
    assert truth(listed, "v") is TRUE
    assert truth(listed, "x", "y") is FALSE
    assert truth(listed, "x") is UNKNOWN
    assert truth(tables.Within(R, tables.Listed(())), "x") is FALSE


SUMS: dict[str, tuple[str, object, object, object]] = {
    "plus": ("+", 1, 2, 3),
    "strings joined": ("+", "a", "b", "ab"),
    "minus": ("-", 1, 2.5, -1.5),
    "times": ("*", 3, 4, 12),
    "divided": ("/", 7, 2, 3.5),
    "remainder": ("%", 7, 4, 3),
    "remainder with the sign of the divisor": ("%", -7, 4, 1),
    "by nought": ("/", 1, 0, None),
    "remainder by nought": ("%", 1, 0.0, None),
    "beyond all numbers": ("*", 1e308, 10, None),
    "beyond all fractions": ("/", 10**400, 3, None),
    "an endless number": ("+", float("inf"), 1, None),
    "booleans": ("+", True, 1, None),
    "a string and a number": ("+", "a", 1, None),
    "a string so many times": ("*", "a", 3, None),
    "a format": ("%", "%s", 1, None),
    "lists": ("+", [1], [2], None),
    "nothing": ("+", None, 1, None),
}


@pytest.mark.parametrize("case", SUMS)
def test_arithmetic(case: str) -> None:
    op, left, right, wanted = SUMS[case]
    made = tables.Arithmetic(op, R, OTHER)  # type: ignore[arg-type]
    if wanted is None:
        assert truth(tables.Comparison("ne", made, number(7)), left, right, mode="compat") is UNKNOWN
    else:
        assert truth(eq(made, number(wanted)), left, right) is TRUE  # type: ignore[arg-type]


def test_connectives_are_kleenes() -> None:
    yes, no, unknown = number(True), number(False), MISSING
    assert truth(tables.And((unknown, no))) is FALSE
    assert truth(tables.And((unknown, yes))) is UNKNOWN
    assert truth(tables.Or((unknown, yes))) is TRUE
    assert truth(tables.Or((unknown, no))) is UNKNOWN
    assert truth(tables.Not(unknown)) is UNKNOWN
    assert truth(tables.Not(yes)) is FALSE
    assert truth(tables.And(())) is TRUE
    assert truth(tables.Or(())) is FALSE
    assert truth(eq(tables.Not(no), yes)) is TRUE
    assert truth(eq(tables.Not(unknown), yes)) is UNKNOWN


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("value", ["", "yes", 0, 1, 1.5, [1], Person()], ids=repr)
def test_only_a_boolean_is_a_truth(value: object, mode: Mode) -> None:
    assert truth(R, value, mode=mode) is UNKNOWN
    assert truth(tables.Not(R), value, mode=mode) is UNKNOWN
    assert truth(R, True, mode=mode) is TRUE


# ---------------------------------------------------------------- parts of values

PARTS: dict[str, tuple[object, str, bool, bool]] = {
    "an item of a mapping": ({"Age": 19}, "Age", True, True),
    "an item of a mapping that begins with a bar": ({"_x": 19}, "_x", True, True),
    "no item": ({}, "Age", False, False),
    "null": ({"Age": None}, "Age", False, False),
    "an item called as a method of mappings": ({"items": 19}, "items", True, False),
    "an item called as no method": ({"Items": 19}, "Items", True, True),
    "an item called as an attribute of the mapping": (Shadowing(Age=19), "Age", True, True),
    "an attribute of a mapping": (Shadowing(), "Age", False, True),
    "an attribute of a mapping that begins with a bar": (Shadowing(_x=19), "_x", True, False),
    "a field of a dataclass": (Person(), "Age", True, True),
    "a field that begins with a bar": (Person(), "_x", False, False),
    "a property of a dataclass": (Person(), "Older", False, True),
    "a method": (Person(), "method", False, False),
    "no field": (Person(), "Height", False, False),
    "an attribute of an object": (SimpleNamespace(Age=19), "Age", False, True),
    "the dictionary of an object": (SimpleNamespace(Age=19), "__dict__", False, False),
    "the class of a string": ("alice", "__class__", False, False),
    "a method of a string": ("alice", "upper", False, False),
    "a part of a number": (3, "real", False, False),
    "a part of a list": ([], "append", False, False),
    "the frame of a generator": ((each for each in "ab"), "gi_frame", False, False),
    "the code of a function": (test_only_a_boolean_is_a_truth, "f_globals", False, False),
    "a module": (SimpleNamespace(os=sys), "os", False, False),
    "a part of nothing": (None, "Age", False, False),
}


@pytest.mark.parametrize("case", PARTS)
def test_parts(case: str) -> None:
    of, name, strict, compat = PARTS[case]
    there = tables.Or((eq(tables.Field(R, name), number(1)), tables.Not(eq(tables.Field(R, name), number(1)))))
    assert (truth(there, of) is TRUE) is strict
    assert (truth(there, of, mode="compat") is TRUE) is compat


def test_an_attribute_of_a_mapping_goes_before_its_item_in_compat() -> None:
    """As in pycasbin; in strict a mapping is its items."""
    aged = eq(tables.Field(R, "Age"), number(7))
    assert truth(aged, Shadowing(Age=19)) is FALSE
    assert truth(aged, Shadowing(Age=19), mode="compat") is TRUE


def test_parts_of_parts() -> None:
    way = tables.Field(tables.Field(R, "a"), "b")
    assert truth(eq(way, P), {"a": {"b": "v"}}) is TRUE
    assert truth(eq(way, P), {"a": "b"}) is UNKNOWN


def test_asking_leaves_a_mapping_as_it_is() -> None:
    of: defaultdict[str, int] = defaultdict(int)
    assert truth(eq(tables.Field(R, "Age"), number(0)), of, mode="compat") is UNKNOWN
    assert not of


# ---------------------------------------------------------------- functions, roles, expressions of rows


def test_functions_of_somebodys_own() -> None:
    asked: list[tuple[object, ...]] = []

    def noting(*arguments: object) -> object:
        asked.append(arguments)
        return True

    own = tables.Own("own", (R, P))
    given: dict[str, tuple[Callable[..., object], Truth3]] = {
        "true": (lambda r, p: r == p, TRUE),
        "false": (lambda r, p: r != p, FALSE),
        "raises": (lambda r, p: r / p, UNKNOWN),
        "takes other arguments": (lambda: True, UNKNOWN),
        "a string": (lambda *_: "yes", UNKNOWN),
        "no scalar": (lambda *_: [True], UNKNOWN),
        "nothing": (lambda *_: None, UNKNOWN),
        "an object that raises": (lambda *_: Raising(), UNKNOWN),
    }
    for name, (function, wanted) in given.items():
        assert truth(own, "v", functions={"own": function}) is wanted, name
    assert truth(eq(own, number("yes")), "v", functions={"own": lambda *_: "yes"}) is TRUE
    assert truth(tables.Comparison("ne", own, number(1)), "v", functions={"own": lambda *_: [1]}) is UNKNOWN
    assert truth(own, "v", functions={"other": noting}) is UNKNOWN
    assert truth(own, None, functions={"own": noting}) is UNKNOWN
    assert not asked
    assert truth(own, [1], functions={"own": noting}) is TRUE
    assert asked == [([1], "v")]


def test_casbins_functions_take_strings() -> None:
    fits = tables.BuiltIn("keyMatch", (R, P))
    assert truth(fits, "/a/b", p="/a/*") is TRUE
    assert truth(fits, "/b", p="/a/*") is FALSE
    for value in (None, 1, ["/a/b"], *HOSTILE.values()):
        if type(plain(value)) is not str:
            assert truth(fits, value, p="/a/*") is UNKNOWN
    assert truth(eq(tables.BuiltIn("keyGet", (R, P)), number("b")), "/a/b", p="/a/*") is TRUE


def test_time_is_that_of_the_zone() -> None:
    now = tables.BuiltIn("timeMatch", (P, number("_")))
    assert truth(now, p="2026-01-01 00:30:00") is FALSE
    assert truth(now, p="2026-01-01 00:30:00", zone="Europe/Zurich") is TRUE
    assert truth(now, p="2026-01-01 00:30:00", zone="Nowhere/At/All") is UNKNOWN


def test_roles() -> None:
    plain_graph = RoleGraph(
        "g", False, (Link("alice", "admin"), Link("bob", "admin", "", ("_", "1999-01-01 00:00:00")))
    )
    by_domain = RoleGraph("g2", True, (Link("alice", "admin", "one"),))
    graphs = (plain_graph, by_domain)
    has = tables.Linked(0, (R, P))
    assert truth(has, "alice", p="admin", graphs=graphs) is TRUE
    assert truth(has, "bob", p="admin", graphs=graphs) is FALSE
    assert truth(has, "admin", p="admin", graphs=graphs) is TRUE
    assert truth(has, ["alice"], p="admin", graphs=graphs) is UNKNOWN
    assert truth(has, None, p="admin", graphs=graphs) is UNKNOWN
    has = tables.Linked(1, (R, P, OTHER))
    assert truth(has, "alice", "one", p="admin", graphs=graphs) is TRUE
    assert truth(has, "alice", "two", p="admin", graphs=graphs) is FALSE
    assert truth(has, "alice", 1, p="admin", graphs=graphs) is UNKNOWN


def test_expressions_of_rows() -> None:
    known: tuple[tuple[str, Expression | None], ...] = (
        ("r == p", eq(R, P)),
        ("nonsense", None),
        ("true", number(True)),
    )
    written = tables.Written(0)
    for mode in MODES:
        texts = known if mode == "compat" else (known[0], known[2])
        assert truth(written, "r == p", p="r == p", mode=mode, expressions=texts) is TRUE
        assert truth(written, "x", p="r == p", mode=mode, expressions=texts) is FALSE
        assert truth(written, None, p="r == p", mode=mode, expressions=texts) is UNKNOWN
    assert truth(written, "x", p="nonsense", mode="compat", expressions=known) is UNKNOWN
    assert truth(eq(written, number(True)), p="true", expressions=(known[2],)) is TRUE


def test_an_expression_of_a_row_within_itself_says_nothing() -> None:
    """No table that is loaded has one; one that is made by hand must not go on for ever."""
    endless = replace(table(number(True)), matcher=tables.Written(0), expressions=(("v", tables.Written(0)),))
    assert TableMeaning.of(endless).said(("a", "b"), now_ms=NOW) == NOTHING
    unknown = replace(endless, expressions=())
    assert TableMeaning.of(unknown).said(("a", "b"), now_ms=NOW) == NOTHING


# ---------------------------------------------------------------- totality


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_objects_get_an_answer(case: str, mode: Mode) -> None:
    """In each place of each expression, and as an item of a sequence and of a mapping."""
    hostile = HOSTILE[case]
    meaning = TableMeaning.of(replace(ONE_OF_EACH, mode=mode), {"own": lambda each: each})
    for expression in (*ONE_OF_EACH.matcher.parts, number(True)):  # type: ignore[union-attr]
        for value in (hostile, [hostile], (hostile, "alice"), {"Age": hostile}):
            for request in ((value, "/a", "x"), ("alice", value, "x"), (value, value, value)):
                for row in range(len(ONE_OF_EACH.rows)):
                    found = meaning.asked(row, request, now_ms=NOW).truth(expression)
                    assert found in {TRUE, FALSE, UNKNOWN}
                meaning.said(request, now_ms=NOW)


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_object_is_no_known_value(case: str) -> None:
    """But for the strings and numbers among them."""
    hostile = HOSTILE[case]
    if not issubclass(type(plain(hostile)), str | int):
        assert truth(eq(R, number("alice")), hostile) is not TRUE
        assert truth(tables.Comparison("lt", R, number("zoe")), hostile) is UNKNOWN
        assert truth(eq(tables.Field(R, "Age"), number(19)), hostile) is UNKNOWN


def test_the_deepest_table_is_asked_within_the_stack() -> None:
    """One that is loaded, with an expression as deep in a row, asked from where a service would stand."""
    functions: Expression = R
    for _ in range(DEEPEST - 1):
        functions = tables.BuiltIn("keyGet", (functions, number("/*")))
    connectives: Expression = tables.Written(0)
    for _ in range((DEEPEST - 1) // 2):
        connectives = tables.Not(tables.Or((connectives, number(False))))
    deep = table(connectives, expressions=(("v", functions),))
    with pytest.raises(ValueError, match="more than 100 deep"):
        check_table(replace(deep, matcher=tables.Not(tables.Not(deep.matcher))))

    def from_depth(depth: int) -> Truth3:
        if depth:
            return from_depth(depth - 1)
        return TableMeaning.of(deep).truth_of_row(0, ("a", "b"), now_ms=NOW)

    assert from_depth(200) is UNKNOWN
