"""Programs as bytes: the round trip, and bytes that are no program."""

from __future__ import annotations

import copy
import gc
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from policy_lang import ir
from policy_lang.compile import compile_policy
from policy_lang.ir import codec as ir_codec
from policy_lang.ir import tables
from policy_lang.ir.printer import print_program
from policy_lang.ir.reading import MOST_TERMS
from policy_lang.ir.validity import check_program
from policy_lang.typesystem import INT_MAX, INT_MIN, EnumType, IntType, RoleType, Scalar, SetType
from tests.lang.programs import (
    ALWAYS,
    NOW,
    STRINGS,
    Both,
    Condition,
    Either,
    No,
    WrittenNeed,
    WrittenRule,
    action,
    ago,
    build,
    capture,
    claim,
    endpoint,
    grpc,
    service,
    signal,
    subject_kind,
    token,
    token_kind,
)

EXAMPLES = Path(__file__).parents[2] / "policies" / "examples"

SECRECY = EnumType("m.secrecy", ("public", "internal"), ordered=True)
USER = token_kind(
    "user",
    "https://id.example",
    [
        claim("sub", Scalar.STRING, private=True),
        claim("roles", STRINGS, "realm", "roles", optional=True),
        claim("at", Scalar.TIME, optional=True),
        claim("level", IntType(-3, 5), optional=True),
        claim("n", IntType(), optional=True),
        claim("f", Scalar.BOOL, optional=True),
        claim("flags", SetType(Scalar.BOOL), optional=True),
        claim("numbers", SetType(IntType()), optional=True),
    ],
    "roles",
    [ir.Exclusive("a", frozenset({"a", "a2"}), "b", frozenset({"b"}))],
)
EMPLOYEE = subject_kind("employee", "employee", [claim("secrecy", SECRECY), claim("ip", Scalar.IP, optional=True)])
SIGNALS = (
    ir.Signal("m.risk", IntType(0, 100), "context.risk", ("token.sub", "endpoint"), 5, None),
    ir.Signal("m.calm", Scalar.BOOL, "context.calm", (), 1, fallback=False),
    ir.Signal("m.seen", STRINGS, "context.seen", (), 1, frozenset({"x", "é"})),
)
ENDPOINTS = (
    replace(
        endpoint(
            "s.one",
            "/caf%C3%A9/{a}/{n: int}/{u: uuid}/*/",
            ["GET", "POST"],
            scopes=["r", "w"],
            query=[claim("page", IntType(1, 9), optional=True)],
            headers=[claim("device", Scalar.STRING, "x-device", optional=True)],
        ),
        labels=("m.money", "m.pii"),
        tags=(("env", "prod"), ("owner", "o")),
    ),
    replace(endpoint("s.two", "/**", ["ANY"]), closed=True),
    grpc("s.call", "s.v1.S", "Call"),
    action("d.read", "read", "document", [claim("department", Scalar.STRING, "meta", "department", optional=True)]),
    endpoint("n.root", "/"),
)
SERVICES = (
    replace(service("s", ["s", "t"], ["s.example", "[::1]"], (), 99, query_strict=True), tags=(("env", "prod"),)),
    service("d", [], [], ["employee"]),
    service("n", []),
)
RELATIONS = (ir.Relation("m.rows", (("a", Scalar.STRING), ("n", IntType()), ("role", RoleType(("reader", "keeper"))))),)
RANGES = ((0, 5), (2**127, 2**128 - 1))
CONDITIONS: tuple[Condition, ...] = (
    ir.Truth(token("f")),
    ir.Compare("eq", capture("a"), ir.Const('"é\U0001f600\\ud800')),
    No(ir.Compare("lt", token("n"), ir.Const(INT_MIN))),
    ir.Compare("le", ago(5), ir.Shift(token("at"), 1, ir.Const(INT_MAX))),
    Both((ir.Member(token("level"), ir.Const(frozenset({1, 2}))), Either((ir.Empty(token("roles")), ALWAYS)))),
    ir.Overlap(token("roles"), ir.Const(frozenset[str]())),
    ir.Cover(token("flags"), ir.Const(frozenset({True}))),
    ir.Cover(ir.Const(frozenset({1})), token("numbers")),
    ir.Like(ir.Attr("header", "device"), "x*"),
    ir.InNetwork(ir.Attr("request", "ip"), "office", RANGES),
    ir.InNetwork(ir.Attr("request", "ip"), "nothing", ()),
    ir.Lookup("m.rows", (token("sub"), ir.Const(3), ir.Const("keeper"))),
    ir.Age(token("at"), 300_000),
    ir.Age(token("at"), None),
    ir.Compare("le", ir.Attr("query", "page"), capture("n")),
    ir.Vote("m.acl", "allow", (token("sub"), ir.Const("x"))),
)
TABLE = tables.Table(
    id="m.acl",
    mode="strict",
    effect="allow_override",
    parameters=("sub", "obj"),
    columns=("sub",),
    matcher=tables.Comparison("eq", tables.Parameter(0), tables.Column(0)),
    rows=(tables.Row(("alice",), "allow", 1),),
    file="p.csv",
)
OF_SUBJECTS: tuple[Condition, ...] = (
    ir.Has(ir.Attr("subject", "ip")),
    ir.Compare("eq", ir.Attr("resource", "department"), ir.Attr("subject", "id")),
)
RULES = (
    WrittenRule(
        "m.b",
        "allow",
        CONDITIONS,
        on=("s.one",),
        kinds=("user",),
        should=(ir.SetHeader("x-a", ir.Const(True)), ir.Alert("ops")),
    ),
    WrittenRule("m.a", "deny", (ir.Compare("le", signal("risk"), ir.Const(1)),), must=(ir.Answer(404),)),
    WrittenRule("m.d", "deny", (ALWAYS,), on=("s.one",), must=(ir.LogDuty("minimal", strict=False), ir.Alert("soc"))),
    WrittenRule(
        "m.c",
        "require",
        kinds=("user",),
        needs=(WrittenNeed(ir.Age(token("at"), 300_000), "mfa", 300), WrittenNeed(Either(()), "device")),
        must=(
            ir.SetHeader("x-b", NOW),
            ir.SetHeader("x-c", ir.Const(1)),
            ir.RemoveHeader("x-d"),
            ir.Redact(("/a", "/b~1")),
            ir.IssueToken(None),
            ir.IssueToken(("r",)),
            ir.IssueToken(()),
            ir.Alert("soc"),
            ir.LogDuty("full", strict=True),
        ),
        should=(ir.Redact(()),),
    ),
    WrittenRule("m.s", "deny", shadow=True, must=(ir.Answer(503),), on=("s.two", "d.read")),
    WrittenRule("m.e", "allow", on=("s.two", "s.call", "n.root"), kinds=("user",)),
    WrittenRule("m.f", "allow", OF_SUBJECTS, on=("d.read",), kinds=("employee",)),
)
PROGRAM = build(
    SERVICES,
    ENDPOINTS,
    RULES,
    [USER, EMPLOYEE],
    RELATIONS,
    SIGNALS,
    [ir.Workload("m.edge", "spiffe://prod/edge")],
    [TABLE],
)
BYTES = ir_codec.dump(PROGRAM)
DOCUMENT: dict[str, Any] = json.loads(BYTES)


def test_a_program_comes_back_as_it_was() -> None:
    again = ir_codec.load(BYTES)
    assert again == PROGRAM
    assert print_program(again) == print_program(PROGRAM)
    assert ir_codec.dump(again) == BYTES


@pytest.mark.parametrize("folder", sorted(filter(Path.is_dir, EXAMPLES.iterdir())), ids=lambda path: path.name)
def test_whole_policies_come_back(folder: Path) -> None:
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    program = compile_policy(files).program
    assert ir_codec.load(ir_codec.dump(program)) == program


EMPTY = build([], [], [])


def test_the_empty_program_comes_back() -> None:
    assert ir_codec.load(ir_codec.dump(EMPTY)) == EMPTY


def test_the_form_is_canonical() -> None:
    canonical = json.dumps(DOCUMENT, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    assert canonical.encode("ascii") == BYTES


def test_groups_that_cells_share_are_read_once() -> None:
    cells = [cell for cell in ir_codec.load(BYTES).cells if cell.endpoint and cell.kind == "user" and cell.allow]
    assert len({id(cell.allow) for cell in cells}) == 1
    assert len(cells) > 1


def test_sets_are_written_in_one_order() -> None:
    """Two sets that were filled in another order, so that their own order may differ."""
    words = [f"w{n}" for n in range(50)]
    one, other = frozenset(words), frozenset(reversed(words))
    assert ir_codec.dump(with_constant(one)) == ir_codec.dump(with_constant(other))


def with_constant(value: ir.Value) -> ir.Program:
    atom = ir.Member(ir.Attr("token", "x"), ir.Const(value))
    return replace(EMPTY, atoms=(atom,), guards=(ir.Lit(0, negated=True),))


SCALARS = st.booleans() | st.integers(INT_MIN, INT_MAX) | st.text(st.characters(exclude_categories=["Cs"]))
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=3)
VALUES = SCALARS | st.frozensets(st.booleans()) | st.frozensets(st.integers(-5, 5)) | st.frozensets(TEXTS)


@given(VALUES)
def test_constants_keep_their_type(value: ir.Value) -> None:
    data = ir_codec.dump(with_constant(value))
    (atom,) = ir_codec.load(data).atoms
    assert isinstance(atom, ir.Member)
    assert isinstance(atom.among, ir.Const)
    assert atom.among == ir.Const(value)
    assert type(atom.among.value) is type(value)
    assert ir_codec.dump(with_constant(atom.among.value)) == data


def test_true_and_one_are_two_constants() -> None:
    atoms = tuple(
        ir.Compare("eq", ir.Const(value), ir.Const(other)) for value in (True, 1, False, 0) for other in (1, True)
    )
    again = ir_codec.load(ir_codec.dump(replace(EMPTY, atoms=atoms)))
    assert [repr(atom) for atom in again.atoms] == [repr(atom) for atom in atoms]


TYPES = (
    IntType(),
    IntType(-1, 5),
    *Scalar,
    SECRECY,
    EnumType("m.e", ("one",), ordered=False),
    *(SetType(each) for each in Scalar),
    SetType(IntType(0, 1)),
    SetType(SECRECY),
)


def test_types_come_back() -> None:
    fields = tuple(ir.FieldSchema(f"f{n}", each, True, False, ("x",)) for n, each in enumerate(TYPES))
    columns = (*((f"f{n}", each) for n, each in enumerate(TYPES[:4])), ("role", RoleType(("a", "b"))))
    program = replace(EMPTY, kinds=(token_kind("k", "i", fields),), relations=(ir.Relation("m.r", columns),))
    assert ir_codec.load(ir_codec.dump(program)) == program


def test_the_printed_program_names_all_there_is() -> None:
    printed = print_program(PROGRAM)
    for line in (
        'subject employee type "employee"',
        '  property secrecy: m.secrecy (public < internal) from "secrecy"',
        "  roles from roles",
        '  exclusive a "a" "a2", b "b"',
        "relation m.rows (a: string, n: int, role: role (reader | keeper))",
        "signal m.risk: int 0..100 from context.risk key token.sub endpoint within 5ms else unknown",
        'signal m.seen: set of string from context.seen within 1ms else ["x", "\\u00e9"]',
        'workload m.edge "spiffe://prod/edge"',
        "  observe until 99",
        "  query strict",
        "  accepts employee",
        "endpoint s.call grpc s.v1.S/Call at test.pol:1:1",
        'endpoint d.read action "read" on "document" at test.pol:1:1',
        "  closed",
        '  header device: string optional from "x-device"',
        '  must set header "x-b" to now',
        '  must issue token with scope "r"',
        "  must answer 404",
        '  should alert "ops"',
        'table m.acl strict allow_override zone UTC from "p.csv"',
        "  shadow deny m.s body 4",
    ):
        assert f"{line}\n" in printed
    assert "request.ip in office [::-::5, 8000::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]\n" in printed


# ---------------------------------------------------------------- what is no program


def changed(*way: Any, to: Any) -> bytes:
    """The document with one value replaced."""
    document = copy.deepcopy(DOCUMENT)
    at: Any = document
    for step in way[:-1]:
        at = at[step]
    at[way[-1]] = to
    return json.dumps(document).encode()


def without(name: str) -> bytes:
    return json.dumps({key: value for key, value in DOCUMENT.items() if key != name}).encode()


def first(name: str, tag: str) -> int:
    """The index of the first row of a table that begins with a tag."""
    return next(index for index, row in enumerate(DOCUMENT[name]) if isinstance(row, list) and row[:1] == [tag])


SHIFT, SET, NET = first("operands", "shift"), first("operands", "set"), first("others", "net")
LOOKUP, VOTE = first("others", "lookup"), first("others", "vote")
HAS = next(index for index in range(0, len(DOCUMENT["atoms"]), 3) if DOCUMENT["atoms"][index] == 8)
CONSTANT = next(index for index, each in enumerate(DOCUMENT["operands"]) if not isinstance(each, list))
PARTS = next(index for index, each in enumerate(DOCUMENT["guards"]) if each == 4 * 2 + 2)
DUTIES = {DOCUMENT["duties"][index][0]: index for index in range(len(DOCUMENT["duties"]))}
SUMS = range(len(DOCUMENT["operands"]) - 1, len(DOCUMENT["operands"]) + MOST_TERMS)
VERSION = f'"version":{ir.VERSION}'.encode()
ASKED = DUTIES[next(i for i, body in enumerate(PROGRAM.bodies) if body.needs)]

REFUSED = {
    "nothing": b"",
    "not JSON": b"program",
    "not ASCII": '"é"'.encode(),
    "not UTF-8": b"\xff",
    "a number": b"1",
    "a list": b"[]",
    "an empty object": b"{}",
    "deeper than any program": b"[" * 200_000 + b"]" * 200_000,
    "a type deeper than any program": changed("kinds", 0, 3, 0, 1, to=None).replace(
        b"null", b'["set",' * 50_000 + b'["int",null,null]' + b"]" * 50_000, 1
    ),
    "a key twice": BYTES.replace(b'{"atoms"', b"{" + VERSION + b',"atoms"', 1),
    "the version before": changed("version", to=ir.VERSION - 1),
    "a version to come": changed("version", to=ir.VERSION + 1),
    "version true": changed("version", to=True),
    "no version": without("version"),
    "no cells": without("cells"),
    "a key more": json.dumps({**DOCUMENT, "more": []}).encode(),
    "a text that is none": changed("texts", 0, to=5),
    "texts that are none": changed("texts", to="abc"),
    "half a character": BYTES.replace(b'"texts":["', b'"texts":["\\ud800', 1),
    "halves in the wrong order": BYTES.replace(b'"texts":["', b'"texts":["\\udc00\\ud800', 1),
    "not a number": BYTES.replace(VERSION, b'"version":NaN', 1),
    "an integer of 5,000 digits": BYTES.replace(VERSION, b'"version":' + b"2" * 5000, 1),
    "an unknown atom": changed("atoms", 0, to=10),
    "an atom of minus one": changed("atoms", 0, to=-1),
    "an atom of true": changed("atoms", 0, to=True),
    "an atom of a fraction": changed("atoms", 0, to=1.0),
    "an atom cut short": changed("atoms", to=DOCUMENT["atoms"][:-1]),
    "an atom of an operand that does not exist": changed("atoms", 1, to=10**6),
    "an atom of an operand beyond 64 bits": changed("atoms", 1, to=2**70),
    "an atom of a second operand that does not exist": changed("atoms", 5, to=10**6),
    "an atom of one operand with two": changed("atoms", HAS + 2, to=1),
    "has of a constant": changed("atoms", HAS + 1, to=CONSTANT),
    "another atom that does not exist": changed("atoms", slice(0, 3), to=[9, 99, 0]),
    "an unknown operand": changed("operands", 0, to=["signal", "risk"]),
    "an operand that is null": changed("operands", 0, to=None),
    "an operand without a tag": changed("operands", 0, to=[]),
    "an unknown root": changed("operands", 0, to=["attr", "cookie", "x"]),
    "an input without a name": changed("operands", 0, to=["attr", "token"]),
    "a set of two types": changed("operands", SET, to=["set", 1, True]),
    "a set with a member twice": changed("operands", SET, to=["set", 1, 1]),
    "a set with null": changed("operands", SET, to=["set", None]),
    "a set of sets": changed("operands", SET, to=["set", ["set"]]),
    "a set beyond 64 bits": changed("operands", SET, to=["set", 2**63]),
    "a fraction": changed("operands", CONSTANT, to=1.5),
    "an integer beyond 64 bits": changed("operands", CONSTANT, to=2**63),
    "a sign of two": changed("operands", SHIFT, 2, to=2),
    "a sign of true": changed("operands", SHIFT, 2, to=True),
    "a sum of itself": changed("operands", SHIFT, 1, to=SHIFT),
    "a sum of a later operand": changed("operands", SHIFT, 3, to=SHIFT + 1),
    "a sum of minus one": changed("operands", SHIFT, 3, to=-1),
    "a sum that doubles itself": changed("operands", to=[*DOCUMENT["operands"], *(["shift", n, 1, n] for n in SUMS)]),
    "a sum without end": changed("operands", to=[*DOCUMENT["operands"], *(["shift", n, 1, 0] for n in SUMS)]),
    "an unknown relation": changed("others", LOOKUP, 1, to="m.none"),
    "a lookup with too few arguments": changed("others", LOOKUP, to=["lookup", "m.rows", 0]),
    "a lookup of what does not exist": changed("others", LOOKUP, 2, to=10**6),
    "a vote of an unknown table": changed("others", VOTE, 1, to="m.none"),
    "a vote that is none": changed("others", VOTE, 2, to="perhaps"),
    "a vote on too few arguments": changed("others", VOTE, to=["vote", "m.acl", "allow", 0]),
    "a vote on what does not exist": changed("others", VOTE, 3, to=10**6),
    "a vote of a table that is not there": changed("tables", to=[]),
    "an address that is no number": changed("others", NET, 3, to="xyz"),
    "an address in upper case": changed("others", NET, 4, to="A"),
    "an address with a zero in front": changed("others", NET, 3, to="00"),
    "an address beyond 128 bits": changed("others", NET, -1, to="1" + "0" * 32),
    "half a range": changed("others", NET, to=DOCUMENT["others"][NET][:-1]),
    "a range the wrong way round": changed("others", NET, 3, to="6"),
    "ranges that touch": changed("others", NET, 5, to="6"),
    "ranges that do not ascend": changed("others", NET, to=[*DOCUMENT["others"][NET][:3], "8", "9", "1", "2"]),
    "an age below zero": changed("others", first("others", "age"), 2, to=-1),
    "an unknown other atom": changed("others", 0, to=["regex", 0, "x"]),
    "a guard of an atom that does not exist": changed("guards", 0, to=4 * 1000),
    "a guard of atom minus one": changed("guards", 0, to=-4),
    "a guard of itself": changed("guards", PARTS + 1, to=10**6),
    "a guard of true": changed("guards", PARTS + 1, to=True),
    "guards cut short": changed("guards", to=[*DOCUMENT["guards"], 4 * 3 + 2, 0]),
    "an unknown effect": changed("rules", 1, to=3),
    "a rule whose id does not exist": changed("rules", 0, to=10**6),
    "a shadow of two": changed("rules", 6, to=2),
    "a line of minus one": changed("rules", 4, to=-1),
    "two denies of one id": changed("rules", 14, to=DOCUMENT["rules"][7]),
    "two endpoints of one id": changed("endpoints", 1, 0, to="s.one"),
    "an endpoint of an unknown service": changed("endpoints", 0, 1, to="nowhere"),
    "an endpoint without a place": changed("endpoints", 0, to=[]),
    "an unknown route": changed("endpoints", 0, 2, to=["soap", "x"]),
    "all that follows, and more": changed("endpoints", 0, 2, 2, to=[["rest"], ["any"]]),
    "a pattern without a method": changed("endpoints", 0, 2, 1, to=[]),
    "an unknown segment": changed("endpoints", 0, 2, 2, to=[["glob", "*"]]),
    "a capture twice": changed("endpoints", 0, 2, 2, to=[["int", "x"]] * 2),
    "a header in upper case": changed("endpoints", 0, 8, 0, 4, to=["X-Device"]),
    "a header in two steps": changed("endpoints", 0, 8, 0, 4, to=["x", "device"]),
    "a property on a path": changed("endpoints", 0, 9, to=DOCUMENT["endpoints"][3][9]),
    "an action twice": changed("endpoints", 1, to=["d.twin", *DOCUMENT["endpoints"][3][1:]]),
    "an unknown type": changed("kinds", 0, 3, 0, 1, to=["regex"]),
    "a set of sets of int": changed("kinds", 0, 3, 0, 1, to=["set", ["set", ["int", None, None]]]),
    "a claim that comes from nowhere": changed("kinds", 0, 3, 0, 4, to=[]),
    "a claim twice": changed("kinds", 0, 3, 0, 0, to="at"),
    "a kind of another form": changed("kinds", 0, 1, to="cookie"),
    "two kinds of one issuer": changed("kinds", 1, to=["other", *DOCUMENT["kinds"][0][1:]]),
    "roles from an unknown claim": changed("kinds", 0, 4, to="groups"),
    "exclusive roles from nowhere": changed("kinds", 0, 4, to=None),
    "a service that accepts a token": changed("services", 1, 3, to=["user"]),
    "two signals of one id": changed("signals", 1, 0, to="m.risk"),
    "a clause of a text that does not exist": changed("clauses", 1, to=10**6),
    "a clause of a guard that does not exist": changed("clauses", 2, to=999),
    "clauses cut short": changed("clauses", to=DOCUMENT["clauses"][:-1]),
    "a body of a clause that does not exist": changed("bodies", 1, to=999),
    "bodies cut short": changed("bodies", to=DOCUMENT["bodies"][:-1]),
    "a need of a guard that does not exist": changed("duties", ASKED, 1, 0, 1, to=999),
    "needs on a deny": changed("duties", DUTIES[1], 1, to=DOCUMENT["duties"][ASKED][1]),
    "an answer of a require": changed("duties", ASKED, 2, 0, to=["answer", 404]),
    "an answer of 200": changed("duties", DUTIES[1], 2, 0, to=["answer", 200]),
    "an answer of an allow": changed("duties", DUTIES[0], 3, 0, to=["answer", 404]),
    "advice to log": changed("duties", DUTIES[0], 3, 0, to=["log", "full", False]),
    "what an allow must": changed("duties", DUTIES[0], 2, to=[["alert", "x"]]),
    "an unknown log level": changed("duties", ASKED, 2, -1, to=["log", "loud", False]),
    "a header of an operand that does not exist": changed("duties", ASKED, 2, 0, to=["set", "x", 10**6]),
    "a header of minus one": changed("duties", ASKED, 2, 0, to=["set", "x", -1]),
    "a header to set in upper case": changed("duties", ASKED, 2, 0, 1, to="X-B"),
    "a header to set with a line end": changed("duties", ASKED, 2, 0, 1, to="x-b\n"),
    "a header to remove without a name": changed("duties", ASKED, 2, 2, 1, to=""),
    "pointers that are not sorted": changed("duties", ASKED, 2, 3, to=["redact", "/b", "/a"]),
    "a pointer twice": changed("duties", ASKED, 2, 3, to=["redact", "/a", "/a"]),
    "scopes that are not sorted": changed("duties", ASKED, 2, 5, to=["issue", ["b", "a"]]),
    "an unknown obligation": changed("duties", ASKED, 2, 0, to=["log_in"]),
    "duties of a body that does not exist": changed("duties", 0, 0, to=999),
    "duties that are no list": changed("duties", 0, 2, to=0),
    "a cell of an endpoint that does not exist": changed("cells", 0, to=99),
    "a cell of an unknown kind": changed("cells", 1, to=3),
    "a cell of a subject on a path": changed("cells", 1, to=2),
    "two cells of one place": changed("cells", to=[*DOCUMENT["cells"], *DOCUMENT["cells"][-6:]]),
    "a cell that is missing": changed("cells", to=DOCUMENT["cells"][:-6]),
    "a group that does not exist": changed("cells", 2, to=99),
    "an allow among the denies": changed("cells", 2, to=DOCUMENT["cells"][3]),
    "a deny among the shadows": changed("cells", 5, to=DOCUMENT["cells"][2]),
    "a shadow rule among the denies": changed("rules", 7 * 1 + 6, to=1),
    "a rule that does not exist": changed("placed", 0, to=99),
    "a body that does not exist": changed("placed", 1, to=99),
    "a rule twice in a group": changed("groups", to=[2, 0, 0, *DOCUMENT["groups"][1 + DOCUMENT["groups"][0] :]]),
    "a group out of order": changed(
        "groups", slice(1, 1 + DOCUMENT["groups"][0]), to=DOCUMENT["groups"][DOCUMENT["groups"][0] : 0 : -1]
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refuses(name: str) -> None:
    with pytest.raises(ValueError, match=r".") as raised:
        ir_codec.load(REFUSED[name])
    assert raised.type in {ValueError, json.JSONDecodeError, UnicodeDecodeError}
    assert gc.isenabled()


def test_an_error_names_its_place() -> None:
    for data, place in (
        (changed("kinds", 0, 3, 0, 1, to=["regex"]), r"program\.kinds\[0\]\[3\]\[0\]\[1\]: not a type"),
        (changed("operands", SHIFT, 3, to=SHIFT), rf"program\.operands\[{SHIFT}\]: not an operand"),
        (changed("rules", 8, to=3), r"program\.rules\[8\]: not an index: there are 3"),
        (changed("duties", 0, 2, to=0), r"program\.duties\[0\]\[2\]: not a list"),
    ):
        with pytest.raises(ValueError, match=place):
            ir_codec.load(data)


def test_the_primary_order_is_asked_of_every_group() -> None:
    """`m.a` reads a signal, so it stands behind `m.d`; without the signal it stands before it."""
    place = next(index for index, cell in enumerate(PROGRAM.cells) if len(cell.deny) == 2)
    cell = PROGRAM.cells[place]
    assert [PROGRAM.rules[each.rule].id for each in cell.deny] == ["m.d", "m.a"]
    turned = replace(cell, deny=cell.deny[::-1])
    cells = (*PROGRAM.cells[:place], turned, *PROGRAM.cells[place + 1 :])
    with pytest.raises(ValueError, match="not in the order in which rules are primary"):
        check_program(replace(PROGRAM, cells=cells))


def test_the_longest_sum_is_let_pass() -> None:
    operand: ir.Operand = ir.Now()
    for _ in range(MOST_TERMS - 1):
        operand = ir.Shift(operand, 1, ir.Const(1))
    program = replace(EMPTY, atoms=(ir.Compare("lt", operand, ir.Const(0)),))
    assert ir_codec.load(ir_codec.dump(program)) == program


@given(st.binary(max_size=64) | st.text("[]{}:,\"'01 atoms", max_size=64).map(str.encode))
def test_any_bytes_are_a_program_or_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        ir_codec.load(data)


@given(st.data())
def test_a_program_with_one_value_replaced_is_refused_or_sound(data: st.DataObject) -> None:
    """Whatever is loaded can be dumped again and is the same program: nothing unsound is half accepted."""
    document = copy.deepcopy(DOCUMENT)
    at: Any = document
    while True:
        key = data.draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(len(at))))
        if isinstance(at[key], list | dict) and at[key] and data.draw(st.integers(0, 9)):
            at = at[key]
        else:
            break
    at[key] = data.draw(st.sampled_from([None, True, 0, 1, 2, 3, -1, 10**6, 2**70, 1.5, "", "all", [], {}, ["now"]]))
    try:
        program = ir_codec.load(json.dumps(document).encode())
    except ValueError:
        return
    check_program(program)
    assert ir_codec.load(ir_codec.dump(program)) == program


@given(st.integers(0, len(BYTES) - 1), st.integers(0, 255))
def test_a_program_with_one_byte_replaced_is_refused_or_sound(at: int, byte: int) -> None:
    """The same for bytes."""
    try:
        program = ir_codec.load(BYTES[:at] + bytes([byte]) + BYTES[at + 1 :])
    except ValueError:
        return
    assert ir_codec.load(ir_codec.dump(program)) == program
