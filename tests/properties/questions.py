"""Small programs and questions of every kind, as hypothesis strategies.

The inventory is fixed; rules, claims, facts, readings, origins and what is at hand of them vary. Most atoms are well
typed, some are not, for evaluators are total on both. No strategy is made while another draws: making one takes longer
than drawing from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from hypothesis import strategies as st

from policy_lang.ir import (
    Age,
    Alert,
    Answer,
    Atom,
    Attr,
    Compare,
    Const,
    Cover,
    Effect,
    Empty,
    Exclusive,
    Has,
    InNetwork,
    IssueToken,
    Like,
    LogDuty,
    Lookup,
    Member,
    Now,
    Obligation,
    Operand,
    Overlap,
    Program,
    Redact,
    Relation,
    RemoveHeader,
    SetHeader,
    Shift,
    Signal,
    Truth,
    Value,
)
from policy_lang.typesystem import EnumType, IntType, RoleType, Scalar
from policy_lang.verdict import (
    ANONYMOUS,
    CAPABILITIES,
    NOWHERE,
    ActionCall,
    Caller,
    Facts,
    HttpCall,
    Json,
    Origin,
    Question,
    Row,
)
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
    action,
    build,
    capture,
    claim,
    endpoint,
    grpc,
    path,
    service,
    signal,
    subject_kind,
    token,
    token_kind,
)

# ---------------------------------------------------------------- inventory

PLAN = EnumType("m.plan", ("free", "team", "firm"), ordered=True)
OBSERVED_MS = NOW_MS + 60_000
"""Until when the service `o` is observed."""

KINDS = (
    token_kind(
        "user",
        "https://id.example",
        (
            claim("sub", Scalar.STRING),
            claim("accounts", STRINGS, optional=True),
            claim("suspended", Scalar.BOOL, optional=True),
            claim("auth_time", Scalar.TIME, optional=True),
            claim("level", IntType(0, 5), "profile", "level", optional=True),
            claim("email", Scalar.STRING, "profile", "email", optional=True, private=True),
            claim("plan", PLAN, optional=True),
            claim("roles", STRINGS, optional=True),
        ),
        "roles",
        (Exclusive("auditor", frozenset({"auditor"}), "admin", frozenset({"admin", "root"})),),
    ),
    token_kind("machine", "https://machines.example", (claim("name", Scalar.STRING, optional=True),)),
    subject_kind("employee", "employee", (claim("department", Scalar.STRING, optional=True),)),
)
RELATIONS = (
    Relation("m.shared", (("account", Scalar.STRING), ("user", Scalar.STRING))),
    Relation("m.blocked", (("user", Scalar.STRING),)),
    Relation("m.member", (("user", Scalar.STRING), ("role", RoleType(("reader", "keeper"))))),
)
SIGNALS = (
    Signal("m.risk", IntType(0, 100), "context.risk", ("token.sub",), 5, None),
    Signal("m.calm", Scalar.BOOL, "context.calm", (), 5, fallback=False),
)
SERVICES = (
    service("s"),
    service("t"),
    service("n", audiences=()),
    service("d", accepts=("employee",)),
    service("o", observe_until_ms=OBSERVED_MS, query_strict=True),
)
ENDPOINTS = (
    endpoint("s.account", "/accounts/{account}", ["GET", "POST"]),
    endpoint("s.scoped", "/scoped/{account}", scopes=["read"]),
    endpoint("s.paged", "/paged", query=[claim("limit", IntType(1, 9), optional=True)]),
    endpoint(
        "s.headed",
        "/headed/{account}",
        headers=[
            claim("device", Scalar.STRING, "x-device", optional=True),
            claim("version", IntType(1, 9), "x-version"),
        ],
    ),
    grpc("s.call", "s.v1.S", "Call"),
    endpoint("n.open", "/open"),
    action("d.read", "read", "document", [claim("department", Scalar.STRING, optional=True)]),
    action("d.seal", "seal", "document", scopes=["read"]),
    endpoint("o.account", "/accounts/{account}"),
)

# ---------------------------------------------------------------- conditions

SUB, ACCOUNTS, SUSPENDED, LEVEL, ROLES = (
    token("sub"),
    token("accounts"),
    token("suspended"),
    token("level"),
    token("roles"),
)
LIMIT, PEER, IP, DEVICE = (
    Attr("query", "limit"),
    Attr("request", "peer"),
    Attr("request", "ip"),
    Attr("header", "device"),
)
POD = 0xFFFF << 32 | 10 << 24
PODS = InNetwork(IP, "pods", ((POD, POD + 0xFFFF), (1 << 127, (1 << 127) + 5)))
WELL_TYPED: tuple[Atom, ...] = (
    Truth(SUSPENDED),
    Compare("eq", SUB, Const("u1")),
    Compare("eq", capture("account"), Const("a1")),
    Compare("lt", LEVEL, Const(3)),
    Compare("le", LIMIT, Const(5)),
    Compare("eq", Attr("request", "method"), Const("GET")),
    Compare("lt", Shift(Now(), -1, Const(60_000)), token("auth_time")),
    Compare("lt", Now(), Const(NOW_MS + 90_000)),
    Compare("le", Const(NOW_MS + 30_000), Now()),
    Compare("eq", PEER, Const("spiffe://prod/edge")),
    Compare("eq", DEVICE, Const("d1")),
    Compare("eq", Attr("resource", "department"), Const("legal")),
    Compare("eq", Attr("subject", "id"), Const("e1")),
    Compare("lt", signal("risk"), Const(60)),
    Truth(signal("calm")),
    Truth(Attr("request", "tls")),
    Member(capture("account"), ACCOUNTS),
    Member(token("plan"), Const(frozenset({"team", "firm"}))),
    Overlap(ACCOUNTS, Const(frozenset({"a1", "a9"}))),
    Overlap(ROLES, Const(frozenset({"auditor", "lead"}))),
    Cover(ACCOUNTS, Const(frozenset({"a1", "a2"}))),
    Empty(ACCOUNTS),
    Empty(token("scope")),
    Like(token("email"), "*@shop.example"),
    Has(ACCOUNTS),
    Has(SUSPENDED),
    Has(token("email")),
    Has(DEVICE),
    PODS,
    Lookup("m.shared", (capture("account"), SUB)),
    Lookup("m.blocked", (SUB,)),
    Lookup("m.member", (Attr("subject", "id"), Const("reader"))),
    Age(token("auth_time"), 300_000),
    Age(token("auth_time"), None),
)

_OPERANDS: tuple[Operand, ...] = (
    *(SUB, ACCOUNTS, SUSPENDED, LEVEL, LIMIT, IP, PEER, capture("account"), Attr("request", "host"), signal("risk")),
    *(Now(), Const(True), Const(2**63 - 1), Const(frozenset({1})), Shift(Now(), 1, Const(2**63 - 1))),
    *(Shift(Now(), -1, token("auth_time")), Shift(Const(NOW_MS + 40_000), -1, Now())),
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
    st.builds(InNetwork, _operands, st.just("pods"), st.just(PODS.ranges)),
    st.builds(Has, st.sampled_from([IP, Attr("request", "host"), signal("risk"), Attr("subject", "department")])),
    st.builds(Age, _operands, st.none() | st.integers(0, 10**6)),
    st.builds(Lookup, st.sampled_from(["m.shared", "m.other"]), st.lists(_operands, max_size=2).map(tuple)),
)
_well_typed: st.SearchStrategy[Atom] = st.sampled_from(WELL_TYPED)
atoms: st.SearchStrategy[Atom] = st.integers(0, 9).flatmap(lambda die: _any_atoms if die == 0 else _well_typed)
_leaves: st.SearchStrategy[Condition] = st.one_of(atoms, atoms.map(No), st.sampled_from([ALWAYS, NEVER]))


def _joined(below: st.SearchStrategy[Condition]) -> st.SearchStrategy[Condition]:
    parts = st.lists(below, max_size=3).map(tuple)
    return st.tuples(st.booleans(), parts).map(lambda drawn: Both(drawn[1]) if drawn[0] else Either(drawn[1]))


conditions: st.SearchStrategy[Condition] = st.sampled_from(
    [_leaves, _leaves, _leaves, _joined(_leaves), _joined(_leaves | _joined(_leaves))]
).flatmap(lambda shape: shape)
"""Up to three levels deep; st.recursive is several times slower."""

# ---------------------------------------------------------------- rules and programs

_LOGS = (LogDuty("minimal", strict=False), LogDuty("full", strict=False), LogDuty("normal", strict=True))
_HEADERS: tuple[Obligation, ...] = (
    SetHeader("x-subject", Const("fixed")),
    SetHeader("x-subject", SUB),
    SetHeader("x-mask", Const("contact")),
    SetHeader("x-ip", IP),
    SetHeader("x-at", token("auth_time")),
    SetHeader("x-now", Now()),
    RemoveHeader("x-subject"),
    RemoveHeader("x-trace"),
    Redact(("/email", "/name")),
    Redact(("/email",)),
    Alert("soc"),
    Alert("ops"),
)
_TOKENS = (IssueToken(None), IssueToken(("read",)), IssueToken(("admin", "write")))
_MUST: Mapping[Effect, tuple[Obligation, ...]] = {
    "allow": (),
    "deny": (*_LOGS, Answer(403), Answer(404), Answer(451), Alert("soc"), Alert("ops")),
    "require": (*_LOGS, *_HEADERS, *_TOKENS, *_TOKENS),
}
_SHOULD: Mapping[Effect, tuple[Obligation, ...]] = {
    "allow": _HEADERS,
    "deny": (Alert("soc"), Alert("net")),
    "require": _HEADERS,
}
_always: st.SearchStrategy[Condition] = st.just(ALWAYS)
_never: st.SearchStrategy[Condition] = st.just(NEVER)
_mostly_always = st.integers(0, 4).flatmap(lambda die: conditions if die == 0 else _always)
_often_true = st.sampled_from([_never, _always, conditions, conditions]).flatmap(lambda shape: shape)
_needs = st.lists(
    st.builds(WrittenNeed, conditions, st.sampled_from(["mfa", "device"]), st.sampled_from([None, 300])),
    min_size=1,
    max_size=2,
)


def _some(among: tuple[Obligation, ...], least: int = 0) -> st.SearchStrategy[tuple[Obligation, ...]]:
    """A few of them, mostly none where none is enough."""
    return st.lists(st.sampled_from(among), min_size=least, max_size=2).map(tuple) if among else st.just(())


_EFFECTS: tuple[Effect, ...] = ("allow", "deny", "require")
_must = {(effect, least): _some(_MUST[effect], least) for effect in _EFFECTS for least in (0, 1)}
_should = {effect: _some(_SHOULD[effect]) for effect in _EFFECTS}
_when = {
    "allow": st.lists(_mostly_always, min_size=1, max_size=2),
    "deny": st.lists(_often_true, min_size=1, max_size=1),
    "require": st.lists(_mostly_always, min_size=1, max_size=2),
}
_mostly = st.sampled_from([True, True, True, False])
_in_shadow = st.integers(0, 11).map(lambda die: die == 0)
_on = st.sampled_from([*[()] * 8, ("s.account",), ("s.scoped", "s.paged", "d.read")])
_kinds = st.sampled_from([*[()] * 8, ("user",), (None,)])


@st.composite
def rules(draw: st.DrawFn, effect: Effect, id_: str) -> WrittenRule:
    """A rule; allows and requires mostly apply and denies often do not, so that every outcome is frequent."""
    asks = effect == "require" and draw(_mostly)
    return WrittenRule(
        id=id_,
        effect=effect,
        when=tuple(draw(_when[effect])),
        on=draw(_on),
        kinds=draw(_kinds),
        needs=tuple(draw(_needs)) if asks else (),
        must=draw(_must[effect, 1 if effect == "require" and not asks else 0]),
        should=draw(_should[effect]),
        shadow=draw(_in_shadow),
    )


_FIRST: tuple[tuple[Effect, ...], ...] = (
    ("allow", "deny"),
    ("allow", "deny", "deny"),
    ("allow", "require"),
    ("allow", "require", "require"),
    ("allow", "require", "require"),
    ("allow", "allow", "require", "require"),
)
_first = st.sampled_from(_FIRST)
_more = st.lists(st.sampled_from(_EFFECTS), max_size=3)
_names = [st.permutations([f"m.r{number}" for number in range(count)]) for count in range(8)]
_rule = cache(rules)
_die = st.integers(0, 4)


@st.composite
def rule_sets(draw: st.DrawFn) -> tuple[WrittenRule, ...]:
    """Zero to three rules of each effect, in any order; ids say nothing of the effect."""
    effects: list[Effect] = [*draw(_first), *draw(_more)]
    names = draw(_names[len(effects)])
    drawn = [draw(_rule(effect, name)) for effect, name in zip(effects, names, strict=True)]
    if draw(_die):  # mostly something is allowed to everybody, so that what follows is reached
        drawn[0] = WrittenRule(names[0], "allow", should=drawn[0].should)
    return tuple(drawn)


def program_of(written: tuple[WrittenRule, ...]) -> Program:
    return build(SERVICES, ENDPOINTS, written, KINDS, RELATIONS, SIGNALS)


# ---------------------------------------------------------------- questions

_accounts = st.sampled_from(["a1", "a2", "a3"])
_subjects: st.SearchStrategy[Json] = st.sampled_from(["u1", "u2"])
_scopes: st.SearchStrategy[Json] = st.sampled_from(["read", "read", "read write", "read admin", ""])
_ROLES: list[Json] = [["lead"]] * 5
_ROLES += [["auditor"], ["admin", "lead"], [], ["auditor", "root"], ["auditor", "admin"]]


def _good_claims(audience: str) -> st.SearchStrategy[dict[str, Json]]:
    audiences: list[Json] = [[audience]] * 15
    audiences += [[audience, "elsewhere"], "x"]
    return st.fixed_dictionaries(
        {"sub": _subjects, "aud": st.sampled_from(audiences), "scope": _scopes},
        optional={
            "accounts": st.lists(_accounts, max_size=3),
            "suspended": st.booleans(),
            "auth_time": st.integers(NOW_MS // 1000 - 400, NOW_MS // 1000 + 60),
            "plan": st.sampled_from(["free", "team", "firm"]),
            "roles": st.sampled_from(_ROLES),
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
        "id": st.sampled_from(["e1", 1]),
        "aud": st.sampled_from(["s", "t", ["s", "t"], [], None]),
        "scope": st.sampled_from(["read", 5]),
        "accounts": st.sampled_from(["a1", ["a1", 1], ["a1"]]),
        "plan": st.sampled_from(["free", "gold", 1]),
        "department": st.sampled_from(["legal", 5]),
        "profile": st.sampled_from(["x", None, {"level": 9}, {"level": "1"}, {"email": {}}, {"level": 1}]),
        "name": st.sampled_from(["n", 5]),
    },
)
_employees: st.SearchStrategy[dict[str, Json]] = st.fixed_dictionaries(
    {"id": st.sampled_from(["e1", "e2"])}, optional={"department": st.sampled_from(["legal", "hr"]), "more": st.just(1)}
)
RELATION_IDS = tuple(relation.id for relation in RELATIONS)
all_facts: st.SearchStrategy[dict[str, frozenset[Row]]] = st.fixed_dictionaries(
    {
        "m.shared": st.frozensets(st.tuples(_accounts, st.sampled_from(["u1", "u2"])), max_size=4),
        "m.blocked": st.frozensets(st.tuples(st.sampled_from(["u1", "u2"])), max_size=1),
        "m.member": st.frozensets(st.tuples(st.sampled_from(["e1", "e2"]), st.just("reader")), max_size=2),
    }
)
some_facts: st.SearchStrategy[Facts] = st.tuples(all_facts, st.sets(st.sampled_from(RELATION_IDS))).map(
    lambda drawn: {name: rows for name, rows in drawn[0].items() if name not in drawn[1]}
)
all_signals: st.SearchStrategy[dict[str, Value]] = st.fixed_dictionaries(
    {"m.risk": st.sampled_from([0, 59, 60, 100]), "m.calm": st.booleans()}
)
some_signals: st.SearchStrategy[dict[str, Value]] = st.tuples(all_signals, st.sets(st.sampled_from(["m.risk"]))).map(
    lambda drawn: {name: value for name, value in drawn[0].items() if name not in drawn[1]}
)
_ips = st.sampled_from(["10.0.3.4", "10.1.0.0", "203.0.113.9", "8000::1"])
_peers = st.sampled_from(["", "spiffe://prod/edge", "spiffe://prod/batch"])
all_origins = st.builds(Origin, _ips, _peers, _peers, st.booleans())
some_origins = all_origins | st.builds(Origin, st.none(), _peers, _peers, st.none()) | st.just(NOWHERE)
_all_capabilities = st.just(CAPABILITIES)
_some_capabilities = st.frozensets(st.sampled_from(sorted(CAPABILITIES)))
capabilities = st.integers(0, 19).flatmap(lambda die: _some_capabilities if die in {7, 11} else _all_capabilities)


def _http(target: str, method: str = "GET", headers: Mapping[str, tuple[str, ...]] | None = None) -> HttpCall:
    host = "s.example" if target.startswith("/scoped") else ""
    return HttpCall(method, path(target), host, headers or {})


_headers: st.SearchStrategy[dict[str, tuple[str, ...]]] = st.fixed_dictionaries(
    {"x-version": st.sampled_from([("1",), ("9",)])},
    optional={"x-device": st.sampled_from([("d1",), ("d2",)]), "cookie": st.just(("secret",))},
)
_http_calls: st.SearchStrategy[HttpCall] = st.one_of(
    st.builds(_http, _accounts.map(lambda account: f"/accounts/{account}"), st.sampled_from(["GET", "POST", "HEAD"])),
    st.builds(_http, _accounts.map(lambda account: f"/scoped/{account}")),
    st.builds(_http, st.sampled_from(["/paged", "/paged?limit=5", "/paged?limit=7"])),
    st.builds(_http, _accounts.map(lambda account: f"/headed/{account}"), headers=_headers),
    st.just(_http("/s.v1.S/Call", "POST", {"content-type": ("application/grpc",), "cookie": ("secret",)})),
)
_bad_headers: st.SearchStrategy[dict[str, tuple[str, ...]]] = st.fixed_dictionaries(
    {}, optional={"x-version": st.sampled_from([("1", "1"), ("x",), ("1",)]), "x-device": st.just(("a", "b"))}
)
_bad_calls: st.SearchStrategy[HttpCall | ActionCall] = st.one_of(
    st.builds(
        _http,
        st.sampled_from(
            ["/nowhere", "/paged?limit=0", "/paged?limit=1&limit=2", "/paged?x=%00", "/open", "/paged%2Fx"]
        ),
    ),
    st.builds(_http, st.just("/headed/a1"), headers=_bad_headers),
    st.builds(_http, st.sampled_from(["/s.v1.S/Call", "/s.v1.S/Call?a"]), st.sampled_from(["GET", "POST"])),
    st.just(ActionCall("burn", "document", "d1")),
    st.just(ActionCall("read", "document", "d1", {"department": 5})),
)
_actions: st.SearchStrategy[ActionCall] = st.builds(
    ActionCall,
    st.sampled_from(["read", "read", "seal"]),
    st.just("document"),
    st.sampled_from(["d1", "d2"]),
    st.fixed_dictionaries({}, optional={"department": st.sampled_from(["legal", "hr"]), "more": st.just([1])}),
)
_observed: st.SearchStrategy[HttpCall] = st.builds(
    _http,
    st.sampled_from(
        ["/accounts/a1", "/accounts/a2", "/accounts/a3", "/accounts/a1?x=1", "/nowhere", "/accounts/a%2Fb"]
    ),
)


def _users(audience: str) -> st.SearchStrategy[Caller]:
    return st.builds(Caller, st.just("user"), _good_claims(audience))


_employee_callers = st.builds(Caller, st.just("employee"), _employees)


def _asking(
    facts: st.SearchStrategy[Facts], origins: st.SearchStrategy[Origin], signals: st.SearchStrategy[dict[str, Value]]
) -> st.SearchStrategy[Question]:
    """Questions that mostly reach the rules."""

    def asking(
        service_id: str,
        calls: st.SearchStrategy[HttpCall] | st.SearchStrategy[ActionCall],
        who: st.SearchStrategy[Caller],
    ) -> st.SearchStrategy[Question]:
        now_ms = st.sampled_from([NOW_MS, NOW_MS, NOW_MS, NOW_MS + 30_000, NOW_MS + 90_000])
        return st.builds(Question, st.just(service_id), calls, who, now_ms, facts, origins, signals, capabilities)

    of_s = asking("s", _http_calls, _users("s"))
    of_nobody = asking("s", _http_calls, st.just(ANONYMOUS))
    of_d = asking("d", _actions, _employee_callers | _users("d"))
    of_o = asking("o", _observed, _users("o"))
    return st.sampled_from([of_s] * 7 + [of_nobody, of_d, of_d, of_o]).flatmap(lambda drawn: drawn)


conforming: st.SearchStrategy[Question] = _asking(all_facts, all_origins, all_signals)
"""Questions with all there is at hand, which mostly reach the rules."""

_odd: st.SearchStrategy[Question] = st.builds(
    Question,
    st.sampled_from(["s", "s", "d", "n", "o", "x"]),
    _http_calls | _bad_calls | _actions,
    st.builds(
        Caller,
        st.sampled_from(["user", "machine", "employee", "ghost", None]),
        _good_claims("s") | _bad_claims,
        st.booleans(),
    ),
    st.just(NOW_MS),
    some_facts,
    some_origins,
    some_signals,
    capabilities,
)
_plain = _asking(some_facts, some_origins, some_signals)
questions: st.SearchStrategy[Question] = st.integers(0, 19).flatmap(lambda die: _odd if die == 7 else _plain)
"""Questions of every kind."""

programs: st.SearchStrategy[Program] = rule_sets().map(program_of)
