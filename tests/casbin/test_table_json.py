"""Tables within serialised programs: the round trip, what is refused, and the printed form."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from policy_lang.ir import Program, codec, tables
from policy_lang.ir.printer import print_program
from policy_lang.ir.table_validity import DEEPEST, check_tables
from policy_lang.ir.tables import Expression, Link, RoleGraph, Row, Table
from tests.casbin.table_draws import ONE_OF_EACH, SCALARS, drawn_tables
from tests.lang.programs import build

EMPTY = build([], [], [])


def program(*of: Table) -> Program:
    return replace(EMPTY, tables=of)


def returned(*of: Table) -> tuple[Table, ...]:
    return codec.load(codec.dump(program(*of))).tables


def test_a_table_comes_back_as_it_was() -> None:
    """Compared as text: in Python 1 is 1.0 and True."""
    data = codec.dump(program(ONE_OF_EACH))
    again = codec.load(data)
    assert again.tables == (ONE_OF_EACH,)
    assert repr(again.tables) == repr((ONE_OF_EACH,))
    assert codec.dump(again) == data


@given(drawn_tables())
def test_any_table_comes_back(table: Table) -> None:
    """For all t: load(dump(t)) = t, to the type and the last bit of each number."""
    assert repr(returned(table)) == repr((table,))


@given(SCALARS)
def test_constants_keep_their_type(value: tables.TableScalar) -> None:
    (table,) = returned(replace(ONE_OF_EACH, matcher=tables.Constant(value)))
    assert isinstance(table.matcher, tables.Constant)
    assert type(table.matcher.value) is type(value)
    assert repr(table.matcher.value) == repr(value)


SMALLEST = Table("m.t", "strict", "allow_override", (), (), tables.Or(()), ())


def test_small_tables_come_back() -> None:
    rows = (Row((), "allow", 1), Row((), "deny", 0))
    for table in (SMALLEST, replace(SMALLEST, rows=rows), replace(SMALLEST, graphs=(RoleGraph("g", False, ()),))):
        assert returned(table) == (table,)


def test_tables_keep_their_order() -> None:
    two = (replace(SMALLEST, id="m.b"), replace(SMALLEST, id="m.a"))
    assert returned(*two) == two


def test_many_rows_come_back() -> None:
    rows = tuple(Row((f"user{n}", f"/data/{n}/:id"), "deny" if n % 7 == 0 else "allow", n) for n in range(20_000))
    table = replace(SMALLEST, columns=("sub", "obj"), rows=rows)
    assert returned(table) == (table,)


NO_FORM = {
    "not a number": float("nan"),
    "infinite": float("inf"),
    "infinite the other way": float("-inf"),
    "a negative nought": -0.0,
    "more than 64 bits": 2**63,
    "less than 64 bits": -(2**63) - 1,
}


@pytest.mark.parametrize("case", NO_FORM)
def test_constants_without_a_form_are_not_written(case: str) -> None:
    constant = tables.Constant(NO_FORM[case])
    for table in (
        replace(SMALLEST, matcher=tables.Not(constant)),
        replace(SMALLEST, expressions=(("x", constant),)),
    ):
        with pytest.raises(ValueError, match="has no form"):
            codec.dump(program(table))


# ---------------------------------------------------------------- what is no table

BYTES = codec.dump(program(ONE_OF_EACH))
DOCUMENT: dict[str, Any] = json.loads(BYTES)
ID, MODE, EFFECT, PARAMETERS, COLUMNS, MATCHER, ROWS, GRAPHS, TEXTS, OWN, ZONE, FILE = range(12)


def changed(*way: int | str, to: object) -> bytes:
    """The document with one value of its table replaced."""
    document = copy.deepcopy(DOCUMENT)
    at: Any = document["tables"][0]
    for step in way[:-1]:
        at = at[step]
    at[way[-1]] = to
    return json.dumps(document).encode()


def matcher(written: object) -> bytes:
    return changed(MATCHER, to=written)


def deep(depth: int) -> list[object]:
    written: Any = ["parameter", 0]
    for _ in range(depth - 1):
        written = ["not", written]
    return written  # type: ignore[no-any-return]


ROW = [1, 1, "alice", "garbage"]
LINK = [1, "alice", "admin", ""]
REFUSED = {
    "no table": json.dumps({**DOCUMENT, "tables": [None]}).encode(),
    "no tables": json.dumps({**DOCUMENT, "tables": None}).encode(),
    "a program without tables": json.dumps({k: v for k, v in DOCUMENT.items() if k != "tables"}).encode(),
    "a field too few": json.dumps({**DOCUMENT, "tables": [DOCUMENT["tables"][0][:-1]]}).encode(),
    "a table twice": json.dumps({**DOCUMENT, "tables": DOCUMENT["tables"] * 2}).encode(),
    "an id that is none": changed(ID, to=1),
    "an unknown mode": changed(MODE, to="lax"),
    "a mode that is a list": changed(MODE, to=["strict"]),
    "an unknown effect": changed(EFFECT, to="allow"),
    "parameters that are none": changed(PARAMETERS, to="sub"),
    "a parameter too few": changed(PARAMETERS, to=["sub"]),
    "a column too few": changed(COLUMNS, to=["sub"]),
    "a column too many": changed(COLUMNS, to=["sub", "obj", "act"]),
    "a zone that is none": changed(ZONE, to=None),
    "a file that is none": changed(FILE, to=1),
    "own functions that are none": changed(OWN, to=[1]),
    "an own function twice": changed(OWN, to=["own", "own"]),
    "an own function that is not named": changed(OWN, to=[]),
    "rows that are none": changed(ROWS, to={}),
    "a row that is none": changed(ROWS, 0, to="alice"),
    "a row with a value too few": changed(ROWS, 0, to=ROW[:-1]),
    "a row with a value too many": changed(ROWS, 0, to=[*ROW, "x"]),
    "a value that is no text": changed(ROWS, 0, 2, to=1),
    "a value that is nothing": changed(ROWS, 0, 2, to=None),
    "a row of a line below 0": changed(ROWS, 0, 0, to=-1),
    "a row of half a line": changed(ROWS, 0, 0, to=1.5),
    "a row of line true": changed(ROWS, 0, 0, to=True),
    "a row of a line beyond 64 bits": changed(ROWS, 0, 0, to=2**63),
    "an unknown vote": changed(ROWS, 0, 1, to=3),
    "a vote below 0": changed(ROWS, 0, 1, to=-1),
    "a vote that is true": changed(ROWS, 0, 1, to=True),
    "a vote in words": changed(ROWS, 0, 1, to="allow"),
    "an expression of a row that is not there": changed(ROWS, 0, 3, to="r.sub == 1"),
    "an expression twice": changed(TEXTS, to=[*DOCUMENT["tables"][0][TEXTS], ["garbage", None], ["garbage", None]]),
    "an expression that is half": changed(TEXTS, 0, to=["x"]),
    "an expression of a row that asks for another": changed(TEXTS, 0, 1, to=["eval", 1]),
    "an expression of a row that asks for another within": changed(TEXTS, 0, 1, to=["not", ["eval", 1]]),
    "a list as an expression of a row": changed(TEXTS, 0, 1, to=["list"]),
    "an expression of a row out of range": changed(TEXTS, 0, 1, to=["parameter", 3]),
    "strict that allows by default": changed(MODE, to="strict"),
    "graphs that are none": changed(GRAPHS, to=None),
    "a graph too few": changed(GRAPHS, to=DOCUMENT["tables"][0][GRAPHS][:1]),
    "a graph of another arity": changed(GRAPHS, 0, to=DOCUMENT["tables"][0][GRAPHS][1]),
    "domains that are none": changed(GRAPHS, 0, 1, to=0),
    "an unknown matching function": changed(GRAPHS, 1, 3, to="keyMatch6"),
    "matching by a function of no pattern": changed(GRAPHS, 1, 3, to="keyGet"),
    "matching by time": changed(GRAPHS, 1, 4, to="timeMatch"),
    "matching of domains where there are none": changed(GRAPHS, 0, 4, to="keyMatch"),
    "a way of less than no links": changed(GRAPHS, 0, 5, to=-1),
    "links that are none": changed(GRAPHS, 0, 2, to=None),
    "a link that is none": changed(GRAPHS, 0, 2, 0, to=None),
    "a link of two names": changed(GRAPHS, 0, 2, 0, to=LINK[:-1]),
    "half a condition": changed(GRAPHS, 0, 2, 0, to=[*LINK, "_"]),
    "a condition too long": changed(GRAPHS, 0, 2, 0, to=[*LINK, "_", "_", "_"]),
    "a name that is no text": changed(GRAPHS, 0, 2, 0, 1, to=None),
    "a link of a line below 0": changed(GRAPHS, 0, 2, 0, 0, to=-1),
    "a link in a domain where there are none": changed(GRAPHS, 0, 2, 0, 3, to="one"),
    "no expression": matcher(None),
    "an object as an expression": matcher({}),
    "an empty list": matcher([]),
    "an unknown tag": matcher(["xor", True, False]),
    "a tag that is none": matcher([1, True]),
    "a parameter out of range": matcher(["parameter", 3]),
    "a parameter below 0": matcher(["parameter", -1]),
    "a parameter of true": matcher(["parameter", True]),
    "a parameter without a place": matcher(["parameter"]),
    "a column out of range": matcher(["not", ["column", 2]]),
    "an expression of no column": matcher(["eval", 2]),
    "a graph out of range": matcher(["linked", 2, "a", "b"]),
    "a graph below 0": matcher(["linked", -1, "a", "b"]),
    "a role without a domain": matcher(["linked", 1, "a", "b"]),
    "a role in a domain too many": matcher(["linked", 0, "a", "b", "c"]),
    "an unknown function": matcher(["call", "keyMatch6", "a", "b"]),
    "a function without arguments": matcher(["call", "keyMatch"]),
    "a function with an argument too many": matcher(["call", "keyMatch", "a", "b", "c"]),
    "an unnamed own function": matcher(["own", "other"]),
    "a comparison of one": matcher(["eq", "a"]),
    "a comparison of three": matcher(["eq", "a", "b", "c"]),
    "a sum of one": matcher(["+", 1]),
    "a negation of two": matcher(["not", True, True]),
    "a list by itself": matcher(["list", "a"]),
    "a list on the left of in": matcher(["in", ["list"], ["list"]]),
    "a list in a list": matcher(["in", "a", ["list", ["list"]]]),
    "a list among conditions": matcher(["and", ["list"]]),
    "a field without a name": matcher(["field", ["parameter", 0]]),
    "a field of a number": matcher(["field", ["parameter", 0], 1]),
    "a number beyond 64 bits": matcher(2**63),
    "an infinite number": BYTES.replace(b"5e-324", b"1e400"),
    "a negative nought": BYTES.replace(b"5e-324", b"-0.0"),
    "a nought below all numbers": BYTES.replace(b"5e-324", b"-1e-400"),
    "not a number": BYTES.replace(b"5e-324", b"NaN"),
    "half a character": BYTES.replace(b'"x,y"', b'"\\ud800"'),
    "expressions too deep": matcher(deep(DEEPEST + 1)),
    "expressions far too deep": BYTES.replace(b'"rules/policy.csv"', b"[" * 100_000 + b"]" * 100_000),
    "expressions too deep for the stack": matcher(None).replace(b"null", b'["not",' * 900 + b"true" + b"]" * 900, 1),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_table_is_refused(case: str) -> None:
    assert REFUSED[case] != BYTES
    with pytest.raises(ValueError, match=r"."):
        codec.load(REFUSED[case])


OPEN_IN_STRICT: dict[str, Table] = {
    "allowing by default": replace(SMALLEST, effect="deny_override"),
    "a row without a vote": replace(SMALLEST, rows=(Row((), None),)),
    "an expression that says nothing": replace(SMALLEST, expressions=(("x", None),)),
}


@pytest.mark.parametrize("case", OPEN_IN_STRICT)
def test_strict_has_nothing_open(case: str) -> None:
    table = OPEN_IN_STRICT[case]
    with pytest.raises(ValueError, match=r"table 'm\.t': .*strict"):
        check_tables([table])
    check_tables([replace(table, mode="compat")])


def test_an_expression_of_the_greatest_depth_comes_back() -> None:
    table = codec.load(matcher(deep(DEEPEST))).tables[0]
    assert returned(table) == (table,)


def test_errors_name_the_place() -> None:
    for data, place in (
        (changed(MATCHER, 1, 0, to="xor"), r"program\.tables\[0\]\[5\]\[1\]: not an expression"),
        (changed(ROWS, 0, 1, to=3), r"program\.tables\[0\]\[6\]: not a list of rows"),
        (matcher(["column", 9]), r"table 'm\.t': column 9 does not exist: there are 2"),
    ):
        with pytest.raises(ValueError, match=place):
            codec.load(data)


ODD: Sequence[object] = (None, True, 0, 1, 3, -1, 2**70, 1.5, "", "not", [], {}, ["parameter", 1], ["list"])


@given(st.data())
def test_a_table_with_one_value_replaced_is_refused_or_sound(data: st.DataObject) -> None:
    """Whatever is loaded is a table that keeps the invariant, and comes back."""
    document = copy.deepcopy(DOCUMENT)
    at: Any = document["tables"][0]
    while True:
        key = data.draw(st.integers(0, len(at) - 1))
        if not (isinstance(at[key], list) and at[key] and data.draw(st.integers(0, 9))):
            break
        at = at[key]
    at[key] = data.draw(st.sampled_from(ODD))
    try:
        loaded = codec.load(json.dumps(document).encode())
    except ValueError:
        return
    check_tables(loaded.tables)
    assert repr(returned(*loaded.tables)) == repr(loaded.tables)
    assert print_program(loaded)


@given(st.integers(0, len(BYTES) - 1), st.integers(0, 255))
def test_a_table_with_one_byte_replaced_is_refused_or_sound(at: int, byte: int) -> None:
    try:
        loaded = codec.load(BYTES[:at] + bytes([byte]) + BYTES[at + 1 :])
    except ValueError:
        return
    assert repr(returned(*loaded.tables)) == repr(loaded.tables)


# ---------------------------------------------------------------- printing


def printed(expression: Expression) -> str:
    lines = print_program(program(replace(ONE_OF_EACH, matcher=expression))).splitlines()
    return next(line for line in lines if line.startswith("  matcher ")).removeprefix("  matcher ")


def test_the_printed_table_names_all_there_is() -> None:
    text = print_program(program(ONE_OF_EACH, SMALLEST))
    for line in (
        'table m.t compat priority zone Europe/Zurich from "rules/policy.csv"',
        "  parameters sub, obj, act",
        "  columns sub, obj",
        "  own own",
        "  graph g",
        '    "alice" has "admin" line 3',
        '    "admin" has "/a/*" while timeMatch("_", "2030-01-01 00:00:00")',
        "  graph g2 by domain names by keyMatch domains by keyMatch2 at most 9 links",
        '    "*" has "GET" in "*"',
        '  expression "r.sub.Age > 18": (r.sub.Age > 18)',
        '  expression "r.act == p.sub": nothing',
        '  row 0 line 1 allow "alice", "r.sub.Age > 18"',
        '  row 2 no vote "", "r.act == p.sub"',
        "table m.t strict allow_override zone UTC",
        "  parameters none",
        "  matcher false",
    ):
        assert f"{line}\n" in text


def test_expressions_are_printed_as_in_a_matcher() -> None:
    sub, name = tables.Parameter(0), tables.Column(0)
    cases: dict[str, Expression] = {
        '(r.sub == "a")': tables.Comparison("eq", sub, tables.Constant("a")),
        "(1 >= 0.5)": tables.Comparison("ge", tables.Constant(1), tables.Constant(0.5)),
        "!(true)": tables.Not(tables.Constant(True)),
        "(r.sub in [p.sub, 1])": tables.Within(sub, tables.Listed((name, tables.Constant(1)))),
        "(g(r.sub, p.sub) && eval(p.obj))": tables.And((tables.Linked(0, (sub, name)), tables.Written(1))),
        "(keyMatch(r.sub, p.sub) || own())": tables.Or(
            (tables.BuiltIn("keyMatch", (sub, name)), tables.Own("own", ()))
        ),
        "((r.sub.Age % 2) != 0)": tables.Comparison(
            "ne", tables.Arithmetic("%", tables.Field(sub, "Age"), tables.Constant(2)), tables.Constant(0)
        ),
        "true": tables.And(()),
    }
    assert [printed(each) for each in cases.values()] == list(cases)


def test_links_are_part_of_what_is_compared() -> None:
    """A changed line, condition or domain is another table, in its bytes too."""
    graph = RoleGraph("g", True, (Link("a", "b", "d", ("_", "_"), 1),))
    others = (
        Link("a", "b", "d", ("_", "_"), 2),
        Link("a", "b", "e", ("_", "_"), 1),
        Link("a", "b", "d", (), 1),
    )
    written = {codec.dump(program(replace(SMALLEST, graphs=(graph,))))}
    written |= {codec.dump(program(replace(SMALLEST, graphs=(replace(graph, links=(each,)),)))) for each in others}
    assert len(written) == 4
