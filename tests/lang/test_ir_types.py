"""Programs that are not typed: each is refused by name when it is loaded, and what is typed is let pass."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import pytest
from msgspec.structs import replace

from policy_lang import ir
from policy_lang.ir.atom_types import is_value
from policy_lang.ir.codec import dump, load
from policy_lang.ir.footprints import Footprints
from policy_lang.ir.reading import MOST_TERMS
from policy_lang.ir.tables import Constant, Table
from policy_lang.ir.validity import check_program
from policy_lang.typesystem import EnumType, IntType, RoleType, Scalar, ScalarType, SetType, Type
from tests.lang.programs import (
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

LEVEL = EnumType("m.level", ("low", "high"), ordered=True)
COLOUR = EnumType("m.colour", ("low", "high"), ordered=False)
CLAIMS = [
    claim("flag", Scalar.BOOL, optional=True),
    claim("sub", Scalar.STRING),
    claim("ref", Scalar.UUID),
    claim("at", Scalar.TIME),
    claim("long", Scalar.DURATION),
    claim("ip", Scalar.IP),
    claim("load", Scalar.WORKLOAD),
    claim("n", IntType(0, 5)),
    claim("level", LEVEL),
    claim("colour", COLOUR),
    claim("names", STRINGS),
    claim("refs", SetType(Scalar.UUID)),
    claim("numbers", SetType(IntType())),
]
USER = token_kind("user", "https://id.example", CLAIMS)
GUEST = token_kind("guest", "https://guests.example", [claim("sub", Scalar.UUID)])
EMPLOYEE = subject_kind("employee", "employee", [claim("team", Scalar.STRING)])
ENDPOINTS = [
    endpoint(
        "s.one",
        "/one/{name}/{n: int}/{ref: uuid}/{rest: opaque}",
        query=[claim("page", IntType(1, 9), optional=True)],
        headers=[claim("device", Scalar.STRING, "x-device")],
    ),
    endpoint("s.two", "/two/{name: int}"),
    grpc("s.call", "s.v1.S", "Call"),
    action("s.read", "read", "document", [claim("team", Scalar.STRING)]),
]
SERVICES = [service("s", accepts=["employee"])]
RELATIONS = [
    ir.Relation("m.rows", (("who", Scalar.STRING), ("ref", Scalar.UUID), ("role", RoleType(("reader", "keeper"))))),
    ir.Relation("m.none", ()),
]
SIGNALS = [
    ir.Signal("m.risk", IntType(0, 100), "context.risk", (), 5, None),
    ir.Signal("m.calm", Scalar.BOOL, "context.calm", (), 5, fallback=False),
]
OFFICE = ((0, 5),)
TABLE = Table("m.acl", "strict", "allow_override", tuple("abcde"), (), Constant(value=True), ())


def program(*rules: WrittenRule) -> ir.Program:
    return build(SERVICES, ENDPOINTS, rules, [USER, GUEST, EMPLOYEE], RELATIONS, SIGNALS, casbin=[TABLE])


def asking(condition: Condition, on: str = "s.one", kind: str | None = "user") -> ir.Program:
    """A program whose one rule stands in one cell."""
    return program(WrittenRule("m.r", "deny", (condition,), on=(on,), kinds=(kind,)))


def const(*members: ir.ScalarValue) -> ir.Const:
    return ir.Const(frozenset(members))


def request(name: str) -> ir.Attr:
    return ir.Attr("request", name)


def subject(name: str) -> ir.Attr:
    return ir.Attr("subject", name)


def resource(name: str) -> ir.Attr:
    return ir.Attr("resource", name)


def has(root: ir.Root, name: str) -> ir.Atom:
    return ir.Has(ir.Attr(root, name))


def eq(left: ir.Operand, right: ir.Operand) -> ir.Atom:
    return ir.Compare("eq", left, right)


def lt(left: ir.Operand, right: ir.Operand) -> ir.Atom:
    return ir.Compare("lt", left, right)


REF = "6f1c7c1e-3f0e-4a57-9d5f-0d6c8c7c2b11"
AGES = ir.Shift(NOW, -1, token("at"))

TYPED: dict[str, ir.Atom] = {
    "the truth of a claim": ir.Truth(token("flag")),
    "the truth of a signal": ir.Truth(signal("calm")),
    "the truth of the request": ir.Truth(request("tls")),
    "two strings": eq(token("sub"), capture("name")),
    "an opaque capture is a string": eq(token("sub"), capture("rest")),
    "two ids": eq(token("ref"), capture("ref")),
    "two integers of other ranges": eq(token("n"), capture("n")),
    "integers by order": lt(signal("risk"), capture("n")),
    "a constant out of the range": lt(token("n"), ir.Const(99)),
    "a parameter and a constant": ir.Compare("le", ir.Const(3), ir.Attr("query", "page")),
    "two bools": eq(token("flag"), ir.Const(True)),
    "a value of an enum": eq(token("level"), ir.Const("high")),
    "an id that is constant": eq(token("ref"), ir.Const(REF)),
    "an address that is constant": eq(token("ip"), ir.Const("10.0.0.1")),
    "a workload": eq(request("peer"), ir.Const("spiffe://prod/edge")),
    "two constants": eq(ir.Const("a"), ir.Const("b")),
    "a time and now": lt(token("at"), NOW),
    "a time and an instant": lt(token("at"), ir.Const(1_767_225_600_000)),
    "a time and a sum": lt(ago(5), token("at")),
    "a duration and a difference": lt(AGES, token("long")),
    "a duration and a constant difference": lt(ir.Shift(NOW, -1, ir.Const(5)), token("long")),
    "a sum of durations": lt(ir.Shift(token("long"), 1, ir.Const(5)), token("long")),
    "a sum of a sum": lt(ir.Shift(ir.Shift(NOW, -1, token("at")), 1, token("long")), ir.Const(7)),
    "a sum of constants": lt(ir.Shift(ir.Const(2**62), 1, ir.Const(2**62)), token("at")),
    "a string among strings": ir.Member(capture("name"), token("names")),
    "a constant among strings": ir.Member(ir.Const("x"), token("names")),
    "a string among constants": ir.Member(capture("name"), const("a", "b")),
    "anything among nothing": ir.Member(token("at"), const()),
    "a bool among bools": ir.Member(token("flag"), const(True)),
    "a constant among constants": ir.Member(ir.Const(1), const(1, 2)),
    "two sets overlap": ir.Overlap(token("names"), ir.Attr("token", "scope")),
    "a set and no members overlap": ir.Overlap(token("refs"), const()),
    "two constant sets overlap": ir.Overlap(const(1), const(2)),
    "no members overlap": ir.Overlap(const(), const("a")),
    "a set covers constants": ir.Cover(token("refs"), const(REF)),
    "constants cover a set": ir.Cover(const(1), token("numbers")),
    "an empty set": ir.Empty(token("aud")),
    "a constant set that is empty": ir.Empty(const()),
    "a string like a pattern": ir.Like(request("path"), "*a b*"),
    "a constant like a pattern": ir.Like(ir.Const("x"), "*"),
    "has of an optional claim": has("token", "flag"),
    "has of what is always there": has("path", "name"),
    "the address of the call in a network": ir.InNetwork(request("ip"), "office", OFFICE),
    "an address in no network": ir.InNetwork(token("ip"), "nothing", ()),
    "a row": ir.Lookup("m.rows", (token("sub"), capture("ref"), ir.Const("keeper"))),
    "a row of constants": ir.Lookup("m.rows", (ir.Const(""), ir.Const(REF), ir.Const("reader"))),
    "a row without columns": ir.Lookup("m.none", ()),
    "a vote on what a table is asked about": ir.Vote(
        "m.acl", "deny", (token("names"), token("n"), token("level"), ir.Const(1), request("peer"))
    ),
    "the age of a claim": ir.Age(token("at"), 5),
    "the age of a sum": ir.Age(ago(5), None),
    "the age of an instant": ir.Age(ir.Const(5), None),
}

UNTYPED: dict[str, tuple[ir.Atom, str]] = {
    "the truth of a string": (ir.Truth(token("sub")), r"a truth asks for `bool` and has token\.sub \(`string`\)"),
    "the truth of one": (ir.Truth(ir.Const(1)), "a truth asks for `bool` and has a constant"),
    "the truth of a set": (ir.Truth(const(True)), "a truth asks for `bool` and has a constant set of 1"),
    "the truth of now": (ir.Truth(NOW), r"has now \(`time`\)"),
    "an id and a string": (
        eq(token("ref"), token("sub")),
        r"`eq` of token\.ref \(`uuid`\) and token\.sub \(`string`\)",
    ),
    "an address and a string": (eq(token("ip"), capture("name")), "`eq` of"),
    "a workload and a string": (eq(request("peer"), token("sub")), "`eq` of"),
    "values of two enums": (eq(token("level"), token("colour")), "`eq` of"),
    "an enum and a string": (eq(token("level"), token("sub")), "`eq` of"),
    "a value that an enum has not": (eq(token("level"), ir.Const("higher")), "`eq` of"),
    "a constant that is no id": (eq(token("ref"), ir.Const("x")), "`eq` of"),
    "an id in upper case": (eq(token("ref"), ir.Const(REF.upper())), "`eq` of"),
    "a constant that is no address": (eq(token("ip"), ir.Const("10.0.0")), "`eq` of"),
    "an address that is not canonical": (eq(token("ip"), ir.Const("::ffff:10.0.0.1")), "`eq` of"),
    "a time and an integer": (eq(token("at"), token("n")), "`eq` of"),
    "a time and a duration": (lt(token("at"), token("long")), "`lt` of"),
    "an integer and a bool": (eq(token("n"), ir.Const(True)), "`eq` of"),
    "a bool and an integer": (eq(token("flag"), ir.Const(1)), "`eq` of"),
    "one and true": (eq(ir.Const(1), ir.Const(True)), "`eq` of a constant and a constant"),
    "two sets are compared": (eq(token("names"), token("names")), "`eq` of"),
    "a set and a constant set are compared": (eq(token("names"), const("a")), "`eq` of"),
    "two constant sets are compared": (eq(const("a"), const("a")), "`eq` of"),
    "strings by order": (lt(token("sub"), token("sub")), "`lt` of"),
    "constant strings by order": (lt(ir.Const("a"), ir.Const("b")), "`lt` of"),
    "bools by order": (ir.Compare("le", token("flag"), token("flag")), "`le` of"),
    "values of an ordered enum by order": (lt(token("level"), token("level")), "`lt` of"),
    "a time and a sum of durations": (lt(token("at"), ir.Shift(token("long"), 1, token("long"))), "`lt` of"),
    "a sum of strings": (lt(ir.Shift(token("sub"), 1, token("sub")), NOW), "a sum of what is no time and no duration"),
    "a sum of integers": (lt(ir.Shift(token("n"), 1, ir.Const(1)), NOW), "a sum of what is no time"),
    "a sum of two times": (lt(ir.Shift(NOW, 1, token("at")), NOW), "a sum of what is no time"),
    "a time less than a duration": (lt(ir.Shift(token("long"), -1, NOW), NOW), "a sum of what is no time"),
    "a sum with true": (lt(ir.Shift(NOW, 1, ir.Const(True)), NOW), "a sum of what is no time"),
    "a sum with a set": (lt(ir.Shift(NOW, 1, const(1)), NOW), "a sum of what is no time"),
    "a wrong sum within a sum": (lt(ir.Shift(ir.Shift(NOW, 1, NOW), -1, NOW), token("long")), "a sum of what is no"),
    "an id among strings": (ir.Member(token("ref"), token("names")), r"`member` of token\.ref and token\.names"),
    "a string among a string": (ir.Member(token("sub"), token("sub")), "`member` of"),
    "a set among sets": (ir.Member(token("names"), token("names")), r"`member` asks of a set \(token\.names\)"),
    "a constant set among sets": (ir.Member(const("a"), token("names")), r"of a set \(a constant set of 1\)"),
    "an integer among bools": (ir.Member(token("n"), const(True)), "`member` of"),
    "true among integers": (ir.Member(ir.Const(True), token("numbers")), "`member` of"),
    "one among true": (ir.Member(ir.Const(1), const(True)), "`member` of"),
    "a string among a constant": (ir.Member(token("sub"), ir.Const("a")), "`member` of"),
    "values that an enum has not": (ir.Member(token("level"), const("low", "none")), "`member` of"),
    "sets of two types overlap": (ir.Overlap(token("names"), token("refs")), r"`overlap` of token\.names and"),
    "a set and a string overlap": (ir.Overlap(token("names"), token("sub")), "`overlap` of"),
    "strings overlap": (ir.Overlap(token("sub"), token("sub")), "`overlap` of"),
    "a set and a constant overlap": (ir.Overlap(token("names"), ir.Const("a")), "`overlap` of"),
    "one and true overlap": (ir.Overlap(const(1), const(True)), "`overlap` of"),
    "a set covers what is of another type": (ir.Cover(token("numbers"), const("a")), "`cover` of"),
    "a string covers a set": (ir.Cover(token("sub"), token("names")), "`cover` of"),
    "an empty string": (ir.Empty(token("sub")), r"`empty` of token\.sub \(`string`\), which is no set"),
    "an empty constant": (ir.Empty(ir.Const("")), "`empty` of a constant, which is no set"),
    "an id like a pattern": (ir.Like(token("ref"), "a*"), "`like` asks for `string`"),
    "a set like a pattern": (ir.Like(token("names"), "a*"), "`like` asks for `string`"),
    "a number like a pattern": (ir.Like(ir.Const(1), "1*"), "`like` asks for `string`"),
    "a star within a pattern": (ir.Like(token("sub"), "a*b"), r"`like` with a `\*` within the pattern 'a\*b'"),
    "three stars": (ir.Like(token("sub"), "***"), "within the pattern"),
    "has of the request": (has("request", "ip"), r"`has` of request\.ip, which is never missing"),
    "has of a signal": (has("signal", "m.risk"), r"`has` of signal\.m\.risk, which is never missing"),
    "has of an unknown claim": (has("token", "ghost"), r"token\.ghost is not declared there"),
    "a bool in a network": (ir.InNetwork(token("flag"), "office", OFFICE), "the network 'office' asks for `ip`"),
    "a string in a network": (ir.InNetwork(token("sub"), "office", OFFICE), "the network 'office' asks for `ip`"),
    "a constant in a network": (ir.InNetwork(ir.Const("here"), "office", OFFICE), "and has a constant"),
    "a set in a network": (ir.InNetwork(const("10.0.0.1"), "office", OFFICE), "and has a constant set of 1"),
    "a row of another type": (
        ir.Lookup("m.rows", (token("ref"), token("ref"), ir.Const("keeper"))),
        r"a column of 'm\.rows' asks for `string` and has token\.ref",
    ),
    "a row of a set": (ir.Lookup("m.rows", (token("names"), token("ref"), ir.Const("keeper"))), "asks for `string`"),
    "a row of an unknown role": (
        ir.Lookup("m.rows", (token("sub"), token("ref"), ir.Const("owner"))),
        "asks for `role` and has a constant",
    ),
    "a row of a claim as a role": (ir.Lookup("m.rows", (token("sub"), token("ref"), token("sub"))), "for `role`"),
    "a vote on a time": (
        ir.Vote("m.acl", "allow", (token("at"), *(ir.Const(1),) * 4)),
        r"the table 'm\.acl' is asked of token\.at \(`time`\)",
    ),
    "a vote on a sum": (ir.Vote("m.acl", "allow", (*(ir.Const(1),) * 4, AGES)), r"is asked of a sum \(`duration`\)"),
    "a vote on now": (ir.Vote("m.acl", "allow", (*(ir.Const(1),) * 4, NOW)), "is asked of now"),
    "a vote on an unknown claim": (ir.Vote("m.acl", "allow", (*(ir.Const(1),) * 4, token("ghost"))), "not declared"),
    "the age of an integer": (ir.Age(token("n"), 5), r"an age asks for `time` and has token\.n"),
    "the age of a duration": (ir.Age(AGES, 5), r"an age asks for `time` and has a sum \(`duration`\)"),
    "the age of true": (ir.Age(ir.Const(True), None), "an age asks for `time`"),
}


@pytest.mark.parametrize("name", TYPED)
def test_what_is_typed_is_let_pass(name: str) -> None:
    written = asking(TYPED[name])
    assert load(dump(written)) == written


@pytest.mark.parametrize("name", UNTYPED)
def test_refuses_an_atom(name: str) -> None:
    atom, message = UNTYPED[name]
    with pytest.raises(ValueError, match=rf"^m\.r on s\.one for user: .*{message}"):
        load(dump(asking(atom)))


# ---------------------------------------------------------------- where a rule stands

READ: dict[str, tuple[ir.Atom, str, str | None]] = {
    "a claim by another kind": (eq(token("names"), const()), "s.one", "guest"),
    "a claim by nobody": (eq(token("sub"), ir.Const("a")), "s.one", None),
    "an implicit claim by nobody": (ir.Empty(token("aud")), "s.one", None),
    "a claim by a subject": (ir.Empty(token("aud")), "s.read", "employee"),
    "a property by a token": (eq(subject("team"), ir.Const("a")), "s.one", "user"),
    "the id of a subject by a token": (eq(subject("id"), ir.Const("a")), "s.one", "user"),
    "a property of the resource on a path": (eq(resource("id"), ir.Const("a")), "s.one", "user"),
    "an unknown property": (eq(resource("colour"), ir.Const("a")), "s.read", "user"),
    "a capture of another endpoint": (eq(capture("ref"), ir.Const(REF)), "s.two", "user"),
    "a capture of an action": (eq(capture("name"), ir.Const("a")), "s.read", "user"),
    "a capture of a method": (eq(capture("name"), ir.Const("a")), "s.call", "user"),
    "a parameter of another endpoint": (eq(ir.Attr("query", "page"), ir.Const(1)), "s.two", "user"),
    "a header by its outer name": (eq(ir.Attr("header", "x-device"), ir.Const("a")), "s.one", "user"),
    "an unknown signal": (eq(signal("ghost"), ir.Const(1)), "s.one", "user"),
    "an unknown attribute of the request": (eq(request("body"), ir.Const("a")), "s.one", "user"),
    "the path of an action": (eq(request("path"), ir.Const("a")), "s.read", "user"),
    "the method of an action": (eq(request("method"), ir.Const("a")), "s.read", "user"),
    "the host of an action": (eq(request("host"), ir.Const("a")), "s.read", "user"),
    "a name of nothing": (eq(token(""), ir.Const("a")), "s.one", "user"),
}


@pytest.mark.parametrize("name", READ)
def test_refuses_to_read(name: str) -> None:
    atom, on, kind = READ[name]
    with pytest.raises(ValueError, match=rf"^m\.r on {on} for {kind or 'nobody'}: .* is not declared there$"):
        check_program(asking(atom, on, kind))


def test_what_actions_and_subjects_have_is_let_pass() -> None:
    parts = (
        eq(subject("id"), resource("id")),
        eq(subject("team"), resource("team")),
        ir.InNetwork(request("ip"), "office", OFFICE),
        ir.Truth(request("tls")),
        eq(request("peer"), request("gateway")),
    )
    check_program(asking(Both(parts), "s.read", "employee"))


def test_a_method_has_what_a_path_has() -> None:
    check_program(asking(eq(request("path"), request("host")), "s.call", "user"))


def test_one_body_is_asked_in_every_cell() -> None:
    """A string by one kind of caller and an id by another; a string here and an integer there."""
    by_kind = WrittenRule("m.k", "allow", (eq(token("sub"), ir.Const("a")),), on=("s.one",), kinds=("user", "guest"))
    with pytest.raises(ValueError, match=r"^m\.k on s\.one for guest: `eq` of token\.sub \(`uuid`\) and a constant$"):
        check_program(program(by_kind))
    by_place = WrittenRule("m.p", "deny", (eq(capture("name"), ir.Const("a")),), on=("s.one", "s.two"), kinds=("user",))
    with pytest.raises(ValueError, match=r"^m\.p on s\.two for user: `eq` of path\.name \(`int`\) and a constant$"):
        check_program(program(by_place))


def test_a_body_that_other_cells_passed_is_asked_again_only_of_what_it_reads() -> None:
    """Typed alike in both cells though they differ in much else."""
    read = WrittenRule("m.k", "allow", (ir.Overlap(token("aud"), token("scope")),), kinds=("user", "guest"))
    check_program(program(read))


PLACES: dict[str, WrittenRule] = {
    "a second clause": WrittenRule("m.r", "allow", (Both(()), ir.Truth(token("sub")))),
    "a negation": WrittenRule("m.r", "allow", (No(ir.Truth(token("sub"))),)),
    "the depth of a guard": WrittenRule("m.r", "allow", (Both((Either((Both((ir.Truth(token("sub")),)),)),)),)),
    "a part that is never reached": WrittenRule("m.r", "allow", (Both((Either(()), ir.Truth(token("sub")))),)),
    "a need": WrittenRule("m.r", "require", needs=(WrittenNeed(ir.Truth(token("sub")), "mfa"),)),
    "a require rule": WrittenRule("m.r", "require", (ir.Truth(token("sub")),)),
    "a shadow rule": WrittenRule("m.r", "deny", (ir.Truth(token("sub")),), shadow=True),
    "a header that must be set": WrittenRule("m.r", "require", must=(ir.SetHeader("x-a", token("names")),)),
    "a header that should be set": WrittenRule("m.r", "allow", should=(ir.SetHeader("x-a", const("a")),)),
    "a header of an unknown claim": WrittenRule("m.r", "allow", should=(ir.SetHeader("x-a", token("ghost")),)),
    "a header of a wrong sum": WrittenRule("m.r", "require", must=(ir.SetHeader("x-a", ir.Shift(NOW, 1, NOW)),)),
}


@pytest.mark.parametrize("name", PLACES)
def test_asks_in(name: str) -> None:
    with pytest.raises(ValueError, match=r"^m\.r on s\.one for user: "):
        check_program(program(replace(PLACES[name], on=("s.one",), kinds=("user",))))


def test_a_header_may_be_any_scalar() -> None:
    values = (NOW, token("n"), token("flag"), ir.Const("a"), ago(5), AGES)
    must = tuple(ir.SetHeader(f"x-{n}", value) for n, value in enumerate(values))
    check_program(program(WrittenRule("m.r", "require", must=must, on=("s.one",), kinds=("user",))))


def test_what_no_cell_holds_is_not_asked() -> None:
    stray = asking(Both(()))
    check_program(replace(stray, atoms=(ir.Truth(token("ghost")),)))


def test_the_longest_sum_is_asked_in_no_time() -> None:
    """Each step of it may come to a time or to a duration."""
    operand: ir.Operand = ir.Const(1)
    for _ in range(MOST_TERMS - 1):
        operand = ir.Shift(operand, -1, ir.Const(1))
    check_program(asking(lt(operand, token("at"))))
    check_program(asking(lt(operand, token("long"))))
    with pytest.raises(ValueError, match="`lt` of"):
        check_program(asking(lt(operand, token("n"))))


def test_footprints_are_those_that_a_walk_finds() -> None:
    written = program(
        WrittenRule("m.a", "deny", tuple(TYPED.values())[:9], on=("s.one",), kinds=("user",)),
        WrittenRule("m.b", "require", needs=(WrittenNeed(ir.Truth(signal("calm")), "mfa"),), on=("s.two",)),
        WrittenRule("m.c", "allow", should=(ir.SetHeader("x-a", ago(5)), ir.SetHeader("x-b", token("at")))),
    )
    footprints = Footprints.of(written)
    for guard, footprint in enumerate(footprints.guards):
        atoms = ir.atoms_of(written, guard)
        read = {attr for atom in atoms for operand in ir.operands_of(atom) for attr in ir.attrs_of(operand)}
        assert set(footprints.read_by(footprint)) == read
    assert [footprints.read_by(body) for body in footprints.bodies[1:]] == [(signal("calm"),), (token("at"),)]
    signals = [attr for attr in footprints.attrs if attr.root == "signal"]
    assert sorted(footprints.read_by(footprints.signals), key=repr) == sorted(signals, key=repr)


# ---------------------------------------------------------------- what is declared


def with_kind(*kinds: ir.Kind) -> ir.Program:
    return build(SERVICES, ENDPOINTS, (), [*kinds, EMPLOYEE])


def with_relation(*columns: tuple[str, Type]) -> ir.Program:
    return build([], [], (), relations=[ir.Relation("m.x", columns)])


def with_signal(declared: Type, fallback: ir.Value | None = None, provider: str = "context.x") -> ir.Program:
    return build([], [], (), signals=[ir.Signal("m.x", declared, provider, (), 5, fallback)])


EMPTY_ENUM, TWICE = EnumType("m.e", (), ordered=False), EnumType("m.e", ("a", "a"), ordered=False)

DECLARED: dict[str, tuple[ir.Program, str]] = {
    "a claim that holds a role": (with_kind(token_kind("k", "i", [claim("r", RoleType(("a",)))])), "k: r holds roles"),
    "a claim that holds roles": (
        with_kind(token_kind("k", "i", [claim("r", SetType(RoleType(("a",))))])),
        "k: r holds roles",
    ),
    "an enum without values": (with_kind(token_kind("k", "i", [claim("e", EMPTY_ENUM)])), r"the enum 'm\.e' without"),
    "an enum with a value twice": (with_kind(token_kind("k", "i", [claim("e", TWICE)])), "or with one twice"),
    "an empty range": (with_kind(token_kind("k", "i", [claim("n", IntType(2, 1))])), "n is an integer of an empty"),
    "half a range": (with_kind(token_kind("k", "i", [claim("n", IntType(2))])), "or half a range"),
    "the other half of a range": (with_kind(token_kind("k", "i", [claim("n", IntType(None, 2))])), "or half a range"),
    "a set of an empty range": (with_kind(token_kind("k", "i", [claim("n", SetType(IntType(2, 1)))])), "an empty"),
    "a claim that is there anyway": (
        with_kind(token_kind("k", "i", [claim("aud", Scalar.STRING)])),
        "k: aud is there without being declared",
    ),
    "a property that is there anyway": (
        build(SERVICES, ENDPOINTS, (), [subject_kind("employee", "e", [claim("id", IntType())])]),
        "employee: id is there without",
    ),
    "a property of the resource that is there anyway": (
        build([service("s")], [action("s.a", "read", "x", [claim("id", IntType())])], ()),
        r"s\.a: id is there without",
    ),
    "a parameter that holds roles": (
        build([service("s")], [endpoint("s.a", "/", query=[claim("r", RoleType(("a",)))])], ()),
        r"s\.a: r holds roles",
    ),
    "a header of an empty enum": (
        build([service("s")], [endpoint("s.a", "/", headers=[claim("e", EMPTY_ENUM)])], ()),
        r"s\.a: e is of the enum",
    ),
    "roles from a number": (
        with_kind(token_kind("k", "i", [claim("n", IntType())], "n")),
        "kind k: the claim 'n' of type `int` gives no roles",
    ),
    "roles from ids": (with_kind(token_kind("k", "i", [claim("n", SetType(Scalar.UUID))], "n")), "gives no roles"),
    "roles of a subject from its audience": (
        build(SERVICES, ENDPOINTS, (), [subject_kind("employee", "e", [], "aud")]),
        "kind employee: the claim 'aud' that gives roles is not declared",
    ),
    "a column of sets": (with_relation(("c", STRINGS)), r"relation m\.x: the column 'c' holds sets"),
    "a column of no role": (with_relation(("c", RoleType(()))), r"m\.x: c holds roles, as columns of relations do"),
    "a column of an empty enum": (with_relation(("c", EMPTY_ENUM)), r"m\.x: c is of the enum"),
    "a column twice": (with_relation(("c", Scalar.IP), ("c", Scalar.IP)), r"the column of m\.x 'c' stands twice"),
    "a signal that is a role": (with_signal(RoleType(("a",))), r"signal: m\.x holds roles"),
    "a fallback of another type": (with_signal(IntType(), fallback=True), r"signal m\.x: its fallback is no `int`"),
    "a fallback that an enum has not": (with_signal(LEVEL, "none"), "its fallback is no `level`"),
    "a scalar that falls back to a set": (with_signal(Scalar.STRING, frozenset({"a"})), "no `string`"),
    "a set that falls back to a scalar": (with_signal(STRINGS, "a"), "no `set of string`"),
    "a set that falls back to numbers": (with_signal(STRINGS, frozenset({1})), "no `set of string`"),
    "a count that is a text": (with_signal(Scalar.STRING, None, "seen.run"), "what 'seen.run' counts is no `string`"),
}


@pytest.mark.parametrize("name", DECLARED)
def test_refuses_to_declare(name: str) -> None:
    declared, message = DECLARED[name]
    with pytest.raises(ValueError, match=message):
        load(dump(declared))


LET_PASS: dict[str, ir.Program] = {
    "roles from an enum": with_kind(token_kind("k", "i", [claim("r", LEVEL)], "r")),
    "roles from a set of an enum": with_kind(token_kind("k", "i", [claim("r", SetType(LEVEL))], "r")),
    "roles from scopes": with_kind(token_kind("k", "i", [], "scope")),
    "roles from the id of a subject": build(SERVICES, ENDPOINTS, (), [subject_kind("employee", "e", [], "id")]),
    "a claim by the name of a property": with_kind(token_kind("k", "i", [claim("id", IntType())])),
    "a property by the name of a claim": build(
        SERVICES, ENDPOINTS, (), [subject_kind("employee", "e", [claim("aud", Scalar.UUID)])]
    ),
    "a parameter and a header by such names": build(
        [service("s")], [endpoint("s.a", "/", query=[claim("id", Scalar.IP)], headers=[claim("aud", LEVEL)])], ()
    ),
    "a range of one": with_kind(token_kind("k", "i", [claim("n", IntType(3, 3))])),
    "columns of roles and of an enum": with_relation(("role", RoleType(("a",))), ("level", LEVEL)),
    "a fallback out of the range": with_signal(IntType(5, 9), 99),
    "a fallback of an enum": with_signal(SetType(LEVEL), frozenset({"low"})),
    "a fallback without members": with_signal(STRINGS, frozenset()),
    "a fallback of one member": with_signal(SetType(IntType()), frozenset({1})),
    "a count": with_signal(IntType(), None, "seen.run"),
}


@pytest.mark.parametrize("name", LET_PASS)
def test_lets_pass(name: str) -> None:
    assert load(dump(LET_PASS[name])) == LET_PASS[name]


# ---------------------------------------------------------------- the values of a type

VALUES: Sequence[ir.ScalarValue] = (True, 1, -(2**63), "", "low", REF, "10.0.0.1", "spiffe://a/b", "2001:db8::1")
LOOK: dict[ScalarType, Sequence[ir.ScalarValue]] = {
    Scalar.BOOL: VALUES[:1],
    IntType(5, 6): VALUES[1:3],
    Scalar.TIME: VALUES[1:3],
    Scalar.DURATION: VALUES[1:3],
    Scalar.STRING: VALUES[3:],
    Scalar.WORKLOAD: VALUES[3:],
    Scalar.UUID: (REF,),
    Scalar.IP: ("10.0.0.1", "2001:db8::1"),
    LEVEL: ("low",),
    RoleType(("low",)): ("low",),
}


@pytest.mark.parametrize("declared", LOOK, ids=repr)
def test_how_the_values_of_a_type_look(declared: ScalarType) -> None:
    for value in VALUES:
        looks = any(value is each for each in LOOK[declared])
        assert is_value(value, declared) is looks
        assert is_value(frozenset((value,)), SetType(declared)) is looks
        assert not is_value(frozenset((value,)), declared)
        assert not is_value(value, SetType(declared))
    assert is_value(frozenset(), SetType(declared))


def test_no_member_of_another_type_hides_in_a_set() -> None:
    for declared, value in product(LOOK, VALUES):
        if value not in LOOK[declared]:  # nor equal to one: True and 1 are one member
            assert not is_value(frozenset((LOOK[declared][-1], value)), SetType(declared))
