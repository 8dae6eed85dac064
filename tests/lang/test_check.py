"""Types and presence: what a person is told, and the law that a checked rule means what it says.

The table of mistakes is tests/golden/check/{types,rules}.chunks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace

from policy_lang import ir
from policy_lang.compile import compile_policy, sources_of
from policy_lang.diagnostics import CompileError, Diagnostic, render
from policy_lang.meaning.reference import decide
from policy_lang.request import Path, canonical_path
from policy_lang.verdict import Caller, HttpCall, Json, Origin, Question

# ---------------------------------------------------------------- what a person is told

HEAD = """module m
token user { issuer "https://id.example" claim sub: string claim o: string optional }
token partner { issuer "https://partner.example" claim sub: string }
service s { audience "s" host "s.example" endpoint one GET /one/{a} endpoint two GET /two/{b} }
"""


def refused(text: str) -> tuple[Diagnostic, ...]:
    try:
        compile_policy({"m.pol": text.encode()})
    except CompileError as error:
        return error.diagnostics
    return ()


def shown(text: str) -> str:
    return render(refused(text), sources_of({"m.pol": text.encode()}))


def test_a_mistake_in_a_condition_is_shown_where_it_stands_and_where_it_is_used() -> None:
    text = HEAD + 'condition c = token.o == "x"\nallow r for any user on s when c() because "-"\n'
    lines = shown(text).splitlines()
    assert lines[0] == "error[E330]: `token.o` may be missing here"
    assert any("m.pol:5:15" in line for line in lines)
    assert any("declared optional here" in line for line in lines)
    assert any("m.pol:6:32" in line for line in lines)
    assert any("in the condition that is used here" in line for line in lines)


def test_one_place_is_reported_once_however_many_environments_show_it() -> None:
    text = HEAD + 'deny r on s when path.a == "x" because "-"\ndeny q on s when path.a == "x" because "-"\n'
    assert [(each.code, each.message) for each in refused(text)] == [
        ("E310", "`path.a` does not exist on every endpoint of this rule"),
        ("E310", "`path.a` does not exist on every endpoint of this rule"),
    ]


def test_every_clause_of_a_rule_is_checked_in_one_run() -> None:
    text = HEAD + 'allow r for any user on s when token.o == "x" when token.sub == 1 unless path.b == "x" because "-"'
    assert [each.code for each in refused(text)] == ["E330", "E301", "E310"]


def test_a_condition_nobody_uses_may_stand_anywhere() -> None:
    text = HEAD + 'condition c = token.o == "x"\n'
    assert refused(text) == ()


def test_a_condition_that_grows_too_large_is_reported_once_however_many_rules_use_it() -> None:
    doubling = "".join(f"condition c{n + 1} = c{n} or not c{n}\n" for n in range(30))
    rules = "".join(f'deny d{n} for any user on s when c30 because "-"\n' for n in range(200))
    assert [each.code for each in refused(HEAD + 'condition c0 = token.sub == "x"\n' + doubling + rules)] == ["E801"]


# ---------------------------------------------------------------- the law


class Call(Struct, frozen=True):
    """One call, as the plain model below sees it."""

    kind: str | None
    claims: Mapping[str, Json]
    endpoint: str
    capture: str
    query: int | None
    rows: frozenset[tuple[str]]
    roles: frozenset[tuple[str, str]]
    origin: Origin
    risk: int


class MissingInputError(Exception):
    """The model read what is not there."""


def claim(call: Call, name: str) -> Json:
    if name not in call.claims:
        raise MissingInputError(name)
    return call.claims[name]


def capture(call: Call, endpoint: str) -> str:
    if call.endpoint != endpoint:
        raise MissingInputError(endpoint)
    return call.capture


def parameter(call: Call) -> int:
    if call.query is None:
        raise MissingInputError("page")
    return call.query


SIZES = ("small", "medium", "large")


def size(call: Call, name: str) -> int:
    return SIZES.index(str(claim(call, name)))


def has_role(call: Call, *values: str) -> bool:
    groups = call.claims.get("groups", []) if call.kind == "user" else []
    assert isinstance(groups, list)
    return any(value in groups for value in values)


Meaning = Callable[[Call], bool]
Expression = tuple[str, Meaning]

LEAVES: list[Expression] = [
    ("token is user", lambda c: c.kind == "user"),
    ("token is partner", lambda c: c.kind == "partner"),
    ("token has o", lambda c: "o" in c.claims),
    ("token has sub", lambda c: "sub" in c.claims),
    ("path has a", lambda c: c.endpoint == "one"),
    ("query has page", lambda c: c.query is not None),
    ("true", lambda _: True),
    ("1 == 2", lambda _: False),
    ('token.sub == "x"', lambda c: claim(c, "sub") == "x"),
    ('token.sub != "x"', lambda c: claim(c, "sub") != "x"),
    ('token.sub in ["x", "y"]', lambda c: claim(c, "sub") in ("x", "y")),
    ('token.sub like "x*"', lambda c: str(claim(c, "sub")).startswith("x")),
    ('token.o == "x"', lambda c: claim(c, "o") == "x"),
    ("token.n < 3", lambda c: int(str(claim(c, "n"))) < 3),
    ("token.n >= 3", lambda c: int(str(claim(c, "n"))) >= 3),
    ("3 > token.n", lambda c: int(str(claim(c, "n"))) < 3),
    ("token.f", lambda c: claim(c, "f") is True),
    ("token.f == false", lambda c: claim(c, "f") is False),
    ('path.a == "x"', lambda c: capture(c, "one") == "x"),
    ("path.b in [1, 2]", lambda c: int(capture(c, "two")) in (1, 2)),
    ("query.page <= 2", lambda c: parameter(c) <= 2),
    ("rows(token.sub)", lambda c: (claim(c, "sub"),) in c.rows),
    ("same(token.sub)", lambda c: claim(c, "sub") == "x"),
    ('given_o("y")', lambda c: "o" in c.claims and c.claims["o"] == "y"),
    ("token is user and token.n == 3", lambda c: c.kind == "user" and claim(c, "n") == 3),
    ('token has o and token.o == "x"', lambda c: "o" in c.claims and c.claims["o"] == "x"),
    ('path has a and path.a == "x"', lambda c: c.endpoint == "one" and c.capture == "x"),
    ('request.path like "*/x"', lambda c: c.capture == "x"),
    ("role reader", lambda c: has_role(c, "reader", "W")),
    ("role writer", lambda c: has_role(c, "W")),
    ("request.ip in office", lambda c: c.origin.ip == "192.0.2.7"),
    ("request.ip == 192.0.2.7", lambda c: c.origin.ip == "192.0.2.7"),
    ("request.peer == edge", lambda c: c.origin.peer == "spiffe://prod/edge"),
    ("request.peer in [edge, batch]", lambda c: c.origin.peer != ""),
    ("request.tls", lambda c: c.origin.tls is True),
    ("token.size < medium", lambda c: size(c, "size") < 1),
    ("medium <= token.size", lambda c: size(c, "size") >= 1),
    ("token.size in [small, large]", lambda c: claim(c, "size") != "medium"),
    ("token.size < token.other", lambda c: size(c, "size") < size(c, "other")),
    ("token.size >= token.other", lambda c: size(c, "size") >= size(c, "other")),
    ("endpoint.size > medium", lambda c: c.endpoint == "one"),
    ("endpoint has stage", lambda c: c.endpoint == "two"),
    ("service.size == medium", lambda _: True),
    ("service has size", lambda _: True),
    ("signal.risk > limit", lambda c: c.risk > 50),
    ("member(token.sub, reader)", lambda c: any((claim(c, "sub"), role) in c.roles for role in ("reader", "writer"))),
    ("member(token.sub, writer)", lambda c: (claim(c, "sub"), "writer") in c.roles),
    ("is_member(token.sub, writer)", lambda c: (claim(c, "sub"), "writer") in c.roles),
    ("inside", lambda c: c.origin.ip == "192.0.2.7"),
]


def negation(inner: Expression) -> Expression:
    return f"not ({inner[0]})", lambda c: not inner[1](c)


def conjunction(parts: list[Expression]) -> Expression:
    return " and ".join(f"({text})" for text, _ in parts), lambda c: all(meaning(c) for _, meaning in parts)


def disjunction(parts: list[Expression]) -> Expression:
    return " or ".join(f"({text})" for text, _ in parts), lambda c: any(meaning(c) for _, meaning in parts)


def combined(inner: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    several = st.lists(inner, min_size=2, max_size=3)
    return inner.map(negation) | several.map(conjunction) | several.map(disjunction)


EXPRESSIONS = st.recursive(st.sampled_from(LEAVES), combined, max_leaves=6)

USER: Mapping[str, list[Json]] = {
    "sub": ["x", "y", "z"],
    "o": ["x", "y", None],
    "n": [0, 3, 7],
    "f": [True, False],
    "size": [*SIZES],
    "other": [*SIZES],
    "groups": [["reader"], ["W", "x"], [], None],
}
ORIGINS = st.builds(
    Origin,
    ip=st.sampled_from(["192.0.2.7", "8.8.8.8"]),
    peer=st.sampled_from(["", "spiffe://prod/edge", "spiffe://prod/batch"]),
    tls=st.booleans(),
)
# Made once: making a strategy takes longer than drawing from it.
WHO: st.SearchStrategy[str | None] = st.sampled_from(["user", "user", "partner", None])
SHAPES: Mapping[str | None, st.SearchStrategy[dict[str, Json]]] = {
    "user": st.fixed_dictionaries({name: st.sampled_from(values) for name, values in USER.items()}),
    "partner": st.fixed_dictionaries({"sub": st.sampled_from(["x", "y"])}),
    None: st.just({}),
}
ENDPOINTS = st.sampled_from(["one", "two"])
CAPTURES = {"one": st.sampled_from(["x", "y"]), "two": st.sampled_from(["1", "3"])}
QUERIES = st.sampled_from([None, 1, 3])
ROWS = st.frozensets(st.sampled_from([("x",), ("y",)]))
MEMBERS = st.frozensets(st.sampled_from([("x", "reader"), ("x", "writer"), ("y", "reader")]))
RISKS = st.sampled_from([0, 50, 51])


@st.composite
def calls(draw: st.DrawFn) -> Call:
    kind = draw(WHO)
    drawn = draw(SHAPES[kind])
    endpoint = draw(ENDPOINTS)
    return Call(
        kind=kind,
        claims={name: value for name, value in drawn.items() if value is not None},
        endpoint=endpoint,
        capture=draw(CAPTURES[endpoint]),
        query=draw(QUERIES) if endpoint == "one" else None,
        rows=draw(ROWS),
        roles=draw(MEMBERS),
        origin=draw(ORIGINS),
        risk=draw(RISKS),
    )


def policy(subjects: str, clauses: list[tuple[str, Expression]]) -> str:
    written = " ".join(f"{word} {expression[0]}" for word, expression in clauses)
    return f"""module m
        setting limit: int = 50
        enum size = small < medium < large
        network office = 192.0.2.0/24
        workload edge = "spiffe://prod/edge"
        workload batch = "spiffe://prod/batch"
        signal risk: int 0..100 from "context.risk" key token.sub within 5ms else unknown
        token user {{ issuer "https://id.example"
          claim sub: string claim o: string optional claim n: int claim f: bool
          claim size: size claim other: size claim groups: set of string optional }}
        token partner {{ issuer "https://partner.example" claim sub: string }}
        roles for user from token.groups {{ role reader role writer from "W" includes reader }}
        relation member (who: string, as: role)
        condition is_member (who: string, as: role) = member(who, as)
        condition inside = request.ip in office
        relation rows (a: string)
        condition same (a: string) = a == "x"
        condition given_o (a: string) = token has o and token.o == a
        service s {{ audience "s" host "s.example" tag size = medium
          endpoint one GET /one/{{a}} query page: int optional tag size = large
          endpoint two GET /two/{{b: int}} tag stage = "beta" }}
        allow r for {subjects} on s {written} because "-"
    """


def question(call: Call) -> Question:
    target = f"/{call.endpoint}/{call.capture}"
    path = canonical_path(target if call.query is None else f"{target}?page={call.query}")
    assert isinstance(path, Path)
    claims = {**call.claims, "aud": "s"} if call.kind is not None else {}
    return Question(
        service="s",
        call=HttpCall("GET", path, "s.example"),
        caller=Caller(call.kind, claims),
        now_ms=0,
        facts={"m.rows": call.rows, "m.member": call.roles},
        origin=call.origin,
        signals={"m.risk": call.risk},
    )


TWO_SERVICES = """module m
token user { issuer "https://id.example" claim sub: string }
service s { audience "s" host "s.example" tag owner = "team" endpoint one GET /one }
service t { audience "t" host "t.example" endpoint one GET /one tag owner = "team" endpoint two GET /two }
"""


@pytest.mark.parametrize(
    ("root", "reached"), [("service", {"s.one"}), ("endpoint", {"s.one", "t.one"})], ids=["service", "endpoint"]
)
def test_a_tag_that_only_some_have_is_asked_of_endpoints_and_of_services(root: str, reached: set[str]) -> None:
    rule = f'deny d on any endpoint when {root} has owner and {root}.owner == "team" because "-"'
    program = compile_policy({"m.pol": f"{TWO_SERVICES}{rule}".encode()}).program
    assert {program.endpoints[cell.endpoint].id for cell in program.cells if cell.deny} == reached


def test_a_tag_that_only_some_services_have_is_not_read_without_asking() -> None:
    with pytest.raises(CompileError) as refused:
        compile_policy({"m.pol": f'{TWO_SERVICES}deny d on t.two when service.owner == "team" because "-"'.encode()})
    assert [each.code for each in refused.value.diagnostics] == ["E310"]


CLAUSES = st.lists(st.tuples(st.sampled_from(["when", "unless"]), EXPRESSIONS), min_size=1, max_size=3)


SUBJECTS: Mapping[str, Meaning] = {
    "any user": lambda c: c.kind == "user",
    "any user, any partner": lambda c: c.kind is not None,
    "anyone": lambda _: True,
    "role reader": lambda c: has_role(c, "reader", "W"),
    "any user via edge": lambda c: c.kind == "user" and c.origin.peer == "spiffe://prod/edge",
    "role writer or reader, workload batch": lambda c: (
        has_role(c, "reader", "W") or c.origin.peer == "spiffe://prod/batch"
    ),
}


@given(
    st.sampled_from([*SUBJECTS, "any user", "any user"]),
    CLAUSES,
    st.lists(calls(), min_size=12, max_size=12),
)
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_checked_rule_reads_nothing_missing_and_means_what_it_says(
    subjects: str, clauses: list[tuple[str, Expression]], asked: list[Call]
) -> None:
    """For every rule and every call: checked(rule) => decide(rule, call) = meaning(rule, call), and it is defined."""
    text = policy(subjects, clauses)
    try:
        program = compile_policy({"m.pol": text.encode()}).program
    except CompileError as error:
        event("refused")
        assert {each.code for each in error.diagnostics} <= {"E310", "E312", "E330"}
        return
    event("checked")
    for call in asked:
        wanted = SUBJECTS[subjects](call) and all(meaning(call) == (word == "when") for word, (_, meaning) in clauses)
        verdict = decide(program, question(call))
        assert (verdict.outcome == "allow") == wanted, (text, call, verdict)


@given(CLAUSES, calls())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_is_unknown_comes_only_from_data_that_is_not_at_hand(
    clauses: list[tuple[str, Expression]], call: Call
) -> None:
    """Dropping facts, signals, the address and TLS never turns a refusal into an allow. No peer is a peer, "none"
    (language.md 4.4), and stays.
    """
    try:
        program = compile_policy({"m.pol": policy("any user", clauses).encode()}).program
    except CompileError:
        return
    asked = question(call)
    with_facts = decide(program, asked)
    origin = replace(asked.origin, ip=None, tls=None)
    without = decide(program, replace(asked, facts={}, signals={}, origin=origin))
    assert not (without.outcome == "allow" and with_facts.outcome != "allow")


OWNER = b"""module owner
label money
enum size = small < large
token user {
  issuer "https://id.example"
  claim sub: string
  claim at: time
  factor login at token.at
}
service shop {
  audience "shop"
  host "shop.example"
  endpoint pay POST /pay tagged money
}
allow users_pay for any user on shop because "users pay"
"""


def test_what_another_module_imports_is_used_and_the_import_is_asked_for() -> None:
    guard = b"""module guard
import owner (money, size, user)
deny nobody_pays on any endpoint tagged money because "not now"
"""
    found = compile_policy({"owner.pol": OWNER, "guard.pol": guard}).warnings
    assert [(each.span.source, each.code, each.message) for each in found] == [
        ("guard.pol", "W806", "the import `size` is not used"),
        ("guard.pol", "W806", "the import `user` is not used"),
    ]


def test_an_import_is_used_by_a_value_of_the_enum_or_a_factor_of_the_kind() -> None:
    guard = b"""module guard
import owner (size, user)
condition tiny (s: size) = s == small
require fresh on any endpoint needs factor login within 5m
deny odd on any endpoint when tiny(large) because "-"
"""
    found = compile_policy({"owner.pol": OWNER, "guard.pol": guard}).warnings
    assert [each.code for each in found if "import" in each.message] == []


def test_a_condition_of_another_module_is_read_with_its_own_names() -> None:
    owner = OWNER + b"""workload edge = "spiffe://owner/edge"\ncondition from_edge = request.peer == edge\n"""
    guard = b"""module guard
import owner (from_edge)
workload edge = "spiffe://guard/edge"
deny outside on any endpoint unless from_edge because "-"
deny inside for workload edge on any endpoint because "-"
"""
    program = compile_policy({"owner.pol": owner, "guard.pol": guard}).program
    peer = ir.Attr("request", "peer")
    assert set(program.atoms) == {
        ir.Compare("eq", peer, ir.Const("spiffe://owner/edge")),
        ir.Compare("eq", peer, ir.Const("spiffe://guard/edge")),
    }
