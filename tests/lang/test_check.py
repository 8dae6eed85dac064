"""Types and presence: what a person is told, and the law that a checked rule means what it says.

The table of mistakes is tests/golden/check/{types,rules}.chunks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from policy_lang.compile import compile_policy, sources_of
from policy_lang.diagnostics import CompileError, Diagnostic, render
from policy_lang.reference import decide
from policy_lang.request import Path, canonical_path
from policy_lang.verdict import Caller, Json, Question

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
        ("E310", "`path.a` does not exist on `s.two`"),
        ("E310", "`path.a` does not exist on `s.two`"),
    ]


def test_every_clause_of_a_rule_is_checked_in_one_run() -> None:
    text = HEAD + 'allow r for any user on s when token.o == "x" when token.sub == 1 unless path.b == "x" because "-"'
    assert [each.code for each in refused(text)] == ["E330", "E301", "E310"]


def test_a_condition_nobody_uses_may_stand_anywhere() -> None:
    text = HEAD + 'condition c = token.o == "x"\n'
    assert refused(text) == ()


# ---------------------------------------------------------------- the law


@dataclass(frozen=True)
class Call:
    """One call, as the plain model below sees it."""

    kind: str | None
    claims: Mapping[str, Json]
    endpoint: str
    capture: str
    query: int | None
    rows: frozenset[tuple[str]]


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

USER = {"sub": ["x", "y", "z"], "o": ["x", "y", None], "n": [0, 3, 7], "f": [True, False]}
PARTNER = {"sub": ["x", "y"]}


@st.composite
def calls(draw: st.DrawFn) -> Call:
    kind = draw(st.sampled_from(["user", "user", "partner", None]))
    shape: Mapping[str, list[Json]] = {"user": USER, "partner": PARTNER, None: {}}[kind]  # type: ignore[assignment]
    drawn = {name: draw(st.sampled_from(values)) for name, values in shape.items()}
    endpoint = draw(st.sampled_from(["one", "two"]))
    return Call(
        kind=kind,
        claims={name: value for name, value in drawn.items() if value is not None},
        endpoint=endpoint,
        capture=draw(st.sampled_from(["x", "y"] if endpoint == "one" else ["1", "3"])),
        query=draw(st.sampled_from([None, 1, 3])) if endpoint == "one" else None,
        rows=frozenset(draw(st.sets(st.sampled_from([("x",), ("y",)])))),
    )


def policy(subjects: str, clauses: list[tuple[str, Expression]]) -> str:
    written = " ".join(f"{word} {expression[0]}" for word, expression in clauses)
    return f"""module m
        token user {{ issuer "https://id.example"
          claim sub: string claim o: string optional claim n: int claim f: bool }}
        token partner {{ issuer "https://partner.example" claim sub: string }}
        relation rows (a: string)
        condition same (a: string) = a == "x"
        condition given_o (a: string) = token has o and token.o == a
        service s {{ audience "s" host "s.example"
          endpoint one GET /one/{{a}} query page: int optional
          endpoint two GET /two/{{b: int}} }}
        allow r for {subjects} on s {written} because "-"
    """


def question(call: Call) -> Question:
    target = f"/{call.endpoint}/{call.capture}"
    path = canonical_path(target if call.query is None else f"{target}?page={call.query}")
    assert isinstance(path, Path)
    claims = {**call.claims, "aud": "s"} if call.kind is not None else {}
    return Question("s", "GET", path, "s.example", Caller(call.kind, claims), 0, {"m.rows": call.rows})


CLAUSES = st.lists(st.tuples(st.sampled_from(["when", "unless"]), EXPRESSIONS), min_size=1, max_size=3)


@given(
    st.sampled_from(["any user", "any user", "any user, any partner", "anyone"]),
    CLAUSES,
    st.lists(calls(), min_size=12, max_size=12),
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_checked_rule_reads_nothing_missing_and_means_what_it_says(
    subjects: str, clauses: list[tuple[str, Expression]], asked: list[Call]
) -> None:
    """For every rule and every call: checked(rule) => decide(rule, call) = meaning(rule, call), and it is defined."""
    text = policy(subjects, clauses)
    try:
        program = compile_policy({"m.pol": text.encode()}).program
    except CompileError as error:
        event("refused")
        assert {each.code for each in error.diagnostics} <= {"E310", "E330"}
        return
    event("checked")
    admitted = {"any user": {"user"}, "any user, any partner": {"user", "partner"}}.get(
        subjects, {"user", "partner", None}
    )
    for call in asked:
        wanted = call.kind in admitted and all(meaning(call) == (word == "when") for word, (_, meaning) in clauses)
        verdict = decide(program, question(call))
        assert (verdict.outcome == "allow") == wanted, (text, call, verdict)


@given(CLAUSES, calls())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_is_unknown_comes_only_from_facts_that_are_not_at_hand(
    clauses: list[tuple[str, Expression]], call: Call
) -> None:
    """Dropping the facts never turns a refusal into an allow."""
    try:
        program = compile_policy({"m.pol": policy("any user", clauses).encode()}).program
    except CompileError:
        return
    with_facts = decide(program, question(call))
    without = decide(program, replace(question(call), facts={}))
    assert not (without.outcome == "allow" and with_facts.outcome != "allow")


def test_a_label_is_used_where_any_module_filters_by_it() -> None:
    owner = b"""module owner
label money
token user {
  issuer "https://id.example"
  claim sub: string
}
service shop {
  audience "shop"
  host "shop.example"
  endpoint pay POST /pay tagged money
}
allow users_pay for any user on shop because "users pay"
"""
    guard = b"""module guard
label money
deny nobody_pays on any endpoint tagged money because "not now"
"""
    assert compile_policy({"owner.pol": owner, "guard.pol": guard}).warnings == ()
    (unused,) = compile_policy({"owner.pol": owner}).warnings
    assert unused.code == "W806"
