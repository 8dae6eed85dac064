"""Small programs and questions of every kind, as hypothesis strategies.

The inventory is fixed; rules, claims, facts and what is at hand of them vary. Most atoms are well typed, some are not,
for evaluators are total on both.
"""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import strategies as st

from policy_lang.ir import (
    Age,
    Atom,
    Attr,
    Compare,
    Const,
    Cover,
    Effect,
    Empty,
    Has,
    Kind,
    Like,
    LogDuty,
    Lookup,
    Member,
    Now,
    Operand,
    Overlap,
    Program,
    Relation,
    Shift,
    Truth,
)
from policy_lang.typesystem import IntType, Scalar
from policy_lang.verdict import ANONYMOUS, Caller, Facts, Json, Question, Row
from tests.lang.programs import (
    ALWAYS,
    NEVER,
    NOW_MS,
    STRINGS,
    Both,
    Condition,
    Either,
    No,
    WrittenNeed,
    WrittenRule,
    build,
    capture,
    claim,
    endpoint,
    path,
    service,
    token,
)

# ---------------------------------------------------------------- inventory

KINDS = (
    Kind(
        "user",
        "https://id.example",
        (
            claim("sub", Scalar.STRING),
            claim("accounts", STRINGS, optional=True),
            claim("suspended", Scalar.BOOL, optional=True),
            claim("auth_time", Scalar.TIME, optional=True),
            claim("level", IntType(0, 5), "profile", "level", optional=True),
            claim("email", Scalar.STRING, "profile", "email", optional=True, private=True),
        ),
    ),
    Kind("machine", "https://machines.example", (claim("name", Scalar.STRING, optional=True),)),
)
RELATIONS = (
    Relation("m.shared", (("account", Scalar.STRING), ("user", Scalar.STRING))),
    Relation("m.blocked", (("user", Scalar.STRING),)),
)
SERVICES = (service("s"), service("t"), service("n", audiences=()))
ENDPOINTS = (
    endpoint("s.account", "/accounts/{account}", ["GET", "POST"]),
    endpoint("s.scoped", "/scoped/{account}", scopes=["read"]),
    endpoint("s.paged", "/paged", query=[claim("limit", IntType(1, 9), optional=True)]),
    endpoint("n.open", "/open"),
)

# ---------------------------------------------------------------- conditions

SUB, ACCOUNTS, SUSPENDED, LEVEL, LIMIT = (
    token("sub"),
    token("accounts"),
    token("suspended"),
    token("level"),
    Attr("query", "limit"),
)
WELL_TYPED: tuple[Atom, ...] = (
    Truth(SUSPENDED),
    Compare("eq", SUB, Const("u1")),
    Compare("eq", capture("account"), Const("a1")),
    Compare("lt", LEVEL, Const(3)),
    Compare("le", LIMIT, Const(5)),
    Compare("eq", Attr("request", "method"), Const("GET")),
    Compare("lt", Shift(Now(), -1, Const(60_000)), token("auth_time")),
    Member(capture("account"), ACCOUNTS),
    Overlap(ACCOUNTS, Const(frozenset({"a1", "a9"}))),
    Cover(ACCOUNTS, Const(frozenset({"a1", "a2"}))),
    Empty(ACCOUNTS),
    Empty(token("scope")),
    Like(token("email"), "*@shop.example"),
    Has(ACCOUNTS),
    Has(SUSPENDED),
    Has(token("email")),
    Lookup("m.shared", (capture("account"), SUB)),
    Lookup("m.blocked", (SUB,)),
    Age(token("auth_time"), 300_000),
    Age(token("auth_time"), None),
)

_OPERANDS: tuple[Operand, ...] = (
    *(SUB, ACCOUNTS, SUSPENDED, LEVEL, LIMIT, capture("account"), Attr("request", "host")),
    *(Now(), Const(True), Const(2**63 - 1), Const(frozenset({1})), Shift(Now(), 1, Const(2**63 - 1))),
)
_operands = st.sampled_from(_OPERANDS)
_any_atoms: st.SearchStrategy[Atom] = st.one_of(
    st.builds(Compare, st.sampled_from(["eq", "lt", "le"]), _operands, _operands),
    st.builds(Member, _operands, _operands),
    st.builds(Overlap, _operands, _operands),
    st.builds(Cover, _operands, _operands),
    st.builds(Empty, _operands),
    st.builds(Truth, _operands),
    st.builds(Like, _operands, st.sampled_from(["*", "a*", "*1", "a*1"])),
    st.builds(Age, _operands, st.none() | st.integers(0, 10**6)),
    st.builds(Lookup, st.sampled_from(["m.shared", "m.other"]), st.lists(_operands, max_size=2).map(tuple)),
)
atoms: st.SearchStrategy[Atom] = st.integers(0, 9).flatmap(
    lambda die: _any_atoms if die == 0 else st.sampled_from(WELL_TYPED)
)
_leaves: st.SearchStrategy[Condition] = st.one_of(atoms, atoms.map(No), st.sampled_from([ALWAYS, NEVER]))
conditions: st.SearchStrategy[Condition] = st.recursive(
    _leaves,
    lambda below: st.one_of(
        st.lists(below, max_size=3).map(lambda parts: Both(tuple(parts))),
        st.lists(below, max_size=3).map(lambda parts: Either(tuple(parts))),
    ),
    max_leaves=5,
)

# ---------------------------------------------------------------- rules and programs

_LOGS = (None, LogDuty("minimal", strict=False), LogDuty("full", strict=False), LogDuty("normal", strict=True))
_mostly_always = st.integers(0, 4).flatmap(lambda die: conditions if die == 0 else st.just(ALWAYS))
_rarely_true = st.integers(0, 2).flatmap(lambda die: st.just(NEVER) if die == 0 else conditions)
_needs = st.lists(
    st.builds(WrittenNeed, conditions, st.sampled_from(["mfa", "device"]), st.sampled_from([None, 300])),
    min_size=1,
    max_size=2,
)


@st.composite
def rules(draw: st.DrawFn, effect: Effect, id_: str) -> WrittenRule:
    """A rule; allows and requires mostly apply and denies often do not, so that every outcome is frequent."""
    clause = _rarely_true if effect == "deny" else _mostly_always
    return WrittenRule(
        id=id_,
        effect=effect,
        when=tuple(draw(st.lists(clause, min_size=1, max_size=1 if effect == "deny" else 2))),
        on=tuple(draw(st.sampled_from([*([()] * 8), ("s.account",), ("s.scoped", "s.paged")]))),
        kinds=draw(st.sampled_from([*([()] * 8), ("user",), (None,)])),
        needs=tuple(draw(_needs)) if effect == "require" else (),
        log=None if effect == "allow" else draw(st.sampled_from(_LOGS)),
    )


_MORE: tuple[Effect, ...] = ("allow", "deny", "require")
_FIRST: tuple[tuple[Effect, ...], ...] = (
    ("allow",),
    ("allow", "deny"),
    ("allow", "require"),
    ("allow", "require", "require"),
)


@st.composite
def rule_sets(draw: st.DrawFn) -> tuple[WrittenRule, ...]:
    """Zero to three rules of each effect, in any order; ids say nothing of the effect."""
    effects: list[Effect] = [*draw(st.sampled_from(_FIRST)), *draw(st.lists(st.sampled_from(_MORE), max_size=3))]
    names = draw(st.permutations([f"m.r{number}" for number in range(len(effects))]))
    return tuple(draw(rules(effect, name)) for effect, name in zip(effects, names, strict=True))


def program_of(written: tuple[WrittenRule, ...]) -> Program:
    return build(SERVICES, ENDPOINTS, written, KINDS, RELATIONS)


# ---------------------------------------------------------------- questions

_accounts = st.sampled_from(["a1", "a2", "a3"])
_AUDIENCES: tuple[Json, ...] = (*(["s"] * 12), ["s", "elsewhere"], "t")
_audiences = st.sampled_from(_AUDIENCES)
_subjects: st.SearchStrategy[Json] = st.sampled_from(["u1", "u2"])
_scopes: st.SearchStrategy[Json] = st.sampled_from(["read", "read", "read write", ""])
_good_claims: st.SearchStrategy[dict[str, Json]] = st.fixed_dictionaries(
    {
        "sub": _subjects,
        "aud": _audiences,
        "scope": _scopes,
    },
    optional={
        "accounts": st.lists(_accounts, max_size=3),
        "suspended": st.booleans(),
        "auth_time": st.integers(NOW_MS // 1000 - 400, NOW_MS // 1000 + 60),
        "profile": st.fixed_dictionaries(
            {},
            optional={
                "level": st.integers(0, 5),
                "email": st.sampled_from(["u1@shop.example", "u1@home.example"]),
                "more": st.just([None]),
            },
        ),
        "undeclared": st.just({"a": 1}),
    },
)
_bad_claims: st.SearchStrategy[dict[str, Json]] = st.fixed_dictionaries(
    {},
    optional={
        "sub": st.sampled_from(["u1", 1, None]),
        "aud": st.sampled_from(["s", "t", ["s", "t"], [], None]),
        "scope": st.sampled_from(["read", 5]),
        "accounts": st.sampled_from(["a1", ["a1", 1], ["a1"]]),
        "profile": st.sampled_from(["x", None, {"level": 9}, {"level": "1"}, {"email": {}}, {"level": 1}]),
        "name": st.sampled_from(["n", 5]),
    },
)
all_facts: st.SearchStrategy[dict[str, frozenset[Row]]] = st.fixed_dictionaries(
    {
        "m.shared": st.frozensets(st.tuples(_accounts, st.sampled_from(["u1", "u2"])), max_size=4),
        "m.blocked": st.frozensets(st.tuples(st.sampled_from(["u1", "u2"])), max_size=1),
    }
)
some_facts: st.SearchStrategy[Facts] = st.tuples(all_facts, st.sets(st.sampled_from(["m.shared", "m.blocked"]))).map(
    lambda drawn: {name: rows for name, rows in drawn[0].items() if name not in drawn[1]}
)
_targets = st.one_of(
    _accounts.map(lambda account: f"/accounts/{account}"),
    _accounts.map(lambda account: f"/scoped/{account}"),
    st.sampled_from(["/paged", "/paged?limit=5", "/paged?limit=7"]),
)
_bad_targets = st.sampled_from(["/nowhere", "/paged?limit=0", "/paged?limit=1&limit=2", "/paged?x=%00", "/open"])


def asked(target: str, caller: Caller, facts: Facts, service_id: str = "s", method: str = "GET") -> Question:
    host = "s.example" if target.startswith("/accounts") else ""
    return Question(service_id, method, path(target), host, caller, NOW_MS, facts)


def good_callers(claims: Mapping[str, Json]) -> Caller:
    return Caller("user", claims)


conforming: st.SearchStrategy[Question] = st.builds(asked, _targets, st.builds(good_callers, _good_claims), all_facts)
"""Questions that reach the rules, with all facts at hand."""

questions: st.SearchStrategy[Question] = st.integers(0, 9).flatmap(
    lambda die: (
        st.builds(
            asked,
            _targets | _bad_targets,
            st.builds(
                Caller,
                st.sampled_from(["user", "machine", "ghost", None]),
                _good_claims | _bad_claims,
                st.booleans(),
            ),
            some_facts,
            st.sampled_from(["s", "s", "n", "x"]),
            st.sampled_from(["GET", "HEAD", "POST"]),
        )
        if die == 0
        else st.builds(asked, _targets, st.builds(good_callers, _good_claims) | st.just(ANONYMOUS), some_facts)
    )
)
"""Questions of every kind."""

programs: st.SearchStrategy[Program] = rule_sets().map(program_of)
