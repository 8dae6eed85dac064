"""The definition, step by step: what refuses, what asks for more, what allows, and by whom it says so."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from policy_lang.ir import (
    NORMAL_LOG,
    Age,
    Alert,
    Answer,
    Attr,
    Compare,
    Const,
    Exclusive,
    Has,
    IssueToken,
    Kind,
    LogDuty,
    Lookup,
    Member,
    Obligation,
    Redact,
    Relation,
    RemoveHeader,
    SetHeader,
    Truth,
)
from policy_lang.meaning.reference import Reference, decide
from policy_lang.typesystem import Scalar
from policy_lang.verdict import (
    CAPABILITIES,
    NO_DUTIES,
    Capability,
    Challenge,
    Duties,
    Header,
    Json,
    Observed,
    Question,
    Truth3,
    Verdict,
)
from tests.lang.programs import (
    ALWAYS,
    NEVER,
    NOW,
    NOW_MS,
    STRINGS,
    Both,
    No,
    WrittenNeed,
    WrittenRule,
    act,
    action,
    ask,
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

USER = token_kind(
    "user",
    "https://id.example",
    (
        claim("sub", Scalar.STRING),
        claim("accounts", STRINGS, optional=True),
        claim("suspended", Scalar.BOOL, optional=True),
        claim("auth_time", Scalar.TIME, optional=True),
    ),
)
ADMIN = token_kind("admin", "https://admin.example")
SHARED = Relation("m.shared", (("account", Scalar.STRING), ("user", Scalar.STRING)))
SERVICES = (
    service("s"),
    service("t", audiences=("t", "both")),
    service("u", audiences=("u", "both")),
    service("n", audiences=()),
)
ENDPOINTS = (
    endpoint("s.account", "/accounts/{account}"),
    endpoint("s.scoped", "/scoped", scopes=["b", "a"]),
    endpoint("s.paged", "/paged", query=[claim("limit", Scalar.STRING)]),
    endpoint("t.a", "/a"),
    endpoint("u.a", "/a"),
    endpoint("n.a", "/a"),
)

OWNS = Both((Has(token("accounts")), Member(capture("account"), token("accounts"))))
SUSPENDED = Both((Has(token("suspended")), Truth(token("suspended"))))
SHARES = Lookup("m.shared", (capture("account"), token("sub")))
FRESH = Age(token("auth_time"), 300_000)

ALLOW_ALL = WrittenRule("m.all", "allow")
GOOD: dict[str, Json] = {"sub": "u1", "aud": "s"}


def under(*rules: WrittenRule, question: Question) -> Verdict:
    return decide(build(SERVICES, ENDPOINTS, rules, [USER, ADMIN], [SHARED]), question)


def decided(verdict: Verdict) -> tuple[str, tuple[str, ...], str]:
    return verdict.outcome, verdict.by, verdict.reason


# ---------------------------------------------------------------- before the rules

BASELINES: dict[str, tuple[Question, tuple[str, str, str], tuple[str, ...]]] = {
    "an undeclared service": (ask("/a", GOOD, service_id="x"), ("route", "route.service", ""), ()),
    "an undeclared path": (ask("/b", GOOD), ("route", "route.endpoint", ""), ()),
    "another host": (ask("/scoped", GOOD, host="t.example"), ("route", "route.host", ""), ()),
    "a missing claim": (ask("/accounts/a", {"aud": "s"}), ("schema", "schema.claim_missing", "sub"), ("route",)),
    "a malformed optional claim": (
        ask("/accounts/a", {**GOOD, "suspended": "x"}),
        ("schema", "schema.claim_type", "suspended"),
        ("route",),
    ),
    "a kind that is not declared": (
        ask("/accounts/a", GOOD, kind="ghost"),
        ("schema", "schema.kind", "ghost"),
        ("route",),
    ),
    "a kind without a name": (ask("/accounts/a", GOOD, kind=""), ("schema", "schema.kind", ""), ("route",)),
    "a missing parameter": (ask("/paged", GOOD), ("schema", "schema.query_missing", "limit"), ("route",)),
    "the query before the claims": (ask("/paged", {}), ("schema", "schema.query_missing", "limit"), ("route",)),
    "a control in the query": (ask("/accounts/a?x=%00", GOOD), ("schema", "schema.query_control", ""), ("route",)),
    "a token without an audience": (
        ask("/accounts/a", {"sub": "u"}),
        ("audience", "audience.missing", ""),
        ("route", "schema"),
    ),
    "a token with an empty audience": (
        ask("/accounts/a", {"sub": "u", "aud": []}),
        ("audience", "audience.missing", ""),
        ("route", "schema"),
    ),
    "a token for another service": (
        ask("/accounts/a", {"sub": "u", "aud": "t"}),
        ("audience", "audience.mismatch", ""),
        ("route", "schema"),
    ),
    "an audience that only starts alike": (
        ask("/accounts/a", {"sub": "u", "aud": "s/"}),
        ("audience", "audience.mismatch", ""),
        ("route", "schema"),
    ),
    "a token for two services": (
        ask("/accounts/a", {"sub": "u", "aud": ["s", "t"]}),
        ("audience", "audience.several", ""),
        ("route", "schema"),
    ),
    "a shared audience and another service's own": (
        ask("/a", {"sub": "u", "aud": ["both", "u"]}, service_id="t"),
        ("audience", "audience.several", ""),
        ("route", "schema"),
    ),
    "a token for two other services is first of all not for us": (
        ask("/accounts/a", {"sub": "u", "aud": ["t", "u"]}),
        ("audience", "audience.mismatch", ""),
        ("route", "schema"),
    ),
    "several services, though the issuer may, and none is this one": (
        ask("/accounts/a", {"sub": "u", "aud": ["t", "u"]}, multi_audience=True),
        ("audience", "audience.mismatch", ""),
        ("route", "schema"),
    ),
    "a token where none is taken": (
        ask("/a", {"sub": "u", "aud": "n"}, service_id="n"),
        ("audience", "audience.none_taken", ""),
        ("route", "schema"),
    ),
    "an audience that is not at hand": (
        ask("/accounts/a", {"sub": "u"}, unread=["aud"]),
        ("audience", "audience.missing", ""),
        ("route", "schema"),
    ),
    "scopes missing": (
        ask("/scoped", {**GOOD, "scope": "c"}),
        ("scope", "scope.missing", "a b"),
        ("route", "schema", "audience"),
    ),
    "one scope missing": (
        ask("/scoped", {**GOOD, "scope": "a"}),
        ("scope", "scope.missing", "b"),
        ("route", "schema", "audience"),
    ),
    "scopes that are not at hand": (
        ask("/scoped", GOOD, unread=["scope"]),
        ("scope", "scope.missing", "a b"),
        ("route", "schema", "audience"),
    ),
    "nobody has a scope": (ask("/scoped"), ("scope", "scope.missing", "a b"), ("route", "schema")),
}


@pytest.mark.parametrize("case", BASELINES)
def test_baselines_refuse_though_a_rule_allows_everything(case: str) -> None:
    question, want, passed = BASELINES[case]
    verdict = under(ALLOW_ALL, question=question)
    assert (verdict.outcome, (*verdict.by, verdict.reason, verdict.subject)) == ("deny", want)
    assert verdict.baselines == passed


PASSES: dict[str, Question] = {
    "the service's own audience": ask("/accounts/a", GOOD),
    "audiences nobody declared": ask("/accounts/a", {"sub": "u", "aud": ["s", "elsewhere"]}),
    "an audience that two services share": ask("/a", {"sub": "u", "aud": "both"}, service_id="t"),
    "both names of one service": ask("/a", {"sub": "u", "aud": ["both", "t"]}, service_id="t"),
    "several services by an issuer that may": ask("/accounts/a", {"sub": "u", "aud": ["s", "t"]}, multi_audience=True),
    "nobody, who has no audience": ask("/accounts/a"),
    "nobody, where no token is taken": ask("/a", service_id="n"),
    "all scopes and more": ask("/scoped", {**GOOD, "scope": ["a", "b", "c"]}),
    "the host by name": ask("/accounts/a", GOOD, host="s.example"),
    "HEAD": ask("/accounts/a", GOOD, method="HEAD"),
}


@pytest.mark.parametrize("case", PASSES)
def test_baselines_let_pass(case: str) -> None:
    assert decided(under(ALLOW_ALL, question=PASSES[case])) == ("allow", ("m.all",), "rule")


def test_baselines_are_stated_in_order() -> None:
    assert under(ALLOW_ALL, question=ask("/accounts/a", GOOD)).baselines == ("route", "schema", "audience", "scope")
    assert under(ALLOW_ALL, question=ask("/accounts/a")).baselines == ("route", "schema", "scope")


# ---------------------------------------------------------------- rules

RULES: dict[str, tuple[tuple[WrittenRule, ...], Question, tuple[str, tuple[str, ...], str]]] = {
    "no rules": ((), ask("/accounts/a", GOOD), ("deny", ("default",), "default.no_cell_rule")),
    "no rule for the caller's kind": (
        (replace(ALLOW_ALL, kinds=("user",)),),
        ask("/accounts/a", {"aud": "s"}, kind="admin"),
        ("deny", ("default",), "default.no_cell_rule"),
    ),
    "no rule for nobody": (
        (replace(ALLOW_ALL, kinds=("user",)),),
        ask("/accounts/a"),
        ("deny", ("default",), "default.no_cell_rule"),
    ),
    "only a require": (
        (WrittenRule("m.r", "require"),),
        ask("/accounts/a", GOOD),
        ("deny", ("default",), "default.no_cell_rule"),
    ),
    "an allow that is true": ((ALLOW_ALL,), ask("/accounts/a", GOOD), ("allow", ("m.all",), "rule")),
    "an allow that is false": (
        (WrittenRule("m.a", "allow", (OWNS,)),),
        ask("/accounts/a", {**GOOD, "accounts": ["b"]}),
        ("deny", ("default",), "default.no_rule"),
    ),
    "an allow on an absent claim": (
        (WrittenRule("m.a", "allow", (OWNS,)),),
        ask("/accounts/a", GOOD),
        ("deny", ("default",), "default.no_rule"),
    ),
    "one false clause of two": (
        (WrittenRule("m.a", "allow", (ALWAYS, NEVER)),),
        ask("/accounts/a", GOOD),
        ("deny", ("default",), "default.no_rule"),
    ),
    "an unknown allow grants nothing": (
        (WrittenRule("m.a", "allow", (SHARES,)),),
        ask("/accounts/a", GOOD),
        ("deny", ("default",), "default.no_rule"),
    ),
    "an unknown allow under not grants nothing": (
        (WrittenRule("m.a", "allow", (No(SHARES),)),),
        ask("/accounts/a", GOOD),
        ("deny", ("default",), "default.no_rule"),
    ),
    "a fact that is there": (
        (WrittenRule("m.a", "allow", (SHARES,)),),
        ask("/accounts/a", GOOD, facts={"m.shared": frozenset({("a", "u1")})}),
        ("allow", ("m.a",), "rule"),
    ),
    "a fact that is not there": (
        (WrittenRule("m.a", "allow", (SHARES,)),),
        ask("/accounts/a", GOOD, facts={"m.shared": frozenset({("b", "u1")})}),
        ("deny", ("default",), "default.no_rule"),
    ),
    "a deny that is true": (
        (ALLOW_ALL, WrittenRule("m.d", "deny", (SUSPENDED,))),
        ask("/accounts/a", {**GOOD, "suspended": True}),
        ("deny", ("m.d",), "rule"),
    ),
    "a deny that is false": (
        (ALLOW_ALL, WrittenRule("m.d", "deny", (SUSPENDED,))),
        ask("/accounts/a", {**GOOD, "suspended": False}),
        ("allow", ("m.all",), "rule"),
    ),
    "an unknown deny refuses": (
        (ALLOW_ALL, WrittenRule("m.d", "deny", (SHARES,))),
        ask("/accounts/a", GOOD),
        ("deny", ("m.d",), "rule"),
    ),
    "an unknown deny with a false clause does not": (
        (ALLOW_ALL, WrittenRule("m.d", "deny", (SHARES, NEVER))),
        ask("/accounts/a", GOOD),
        ("allow", ("m.all",), "rule"),
    ),
    "a deny on a claim that is not at hand refuses": (
        (ALLOW_ALL, WrittenRule("m.d", "deny", (SUSPENDED,))),
        ask("/accounts/a", GOOD, unread=["suspended"]),
        ("deny", ("m.d",), "rule"),
    ),
    "denies come before scopes": (
        (ALLOW_ALL, WrittenRule("m.d", "deny")),
        ask("/scoped", GOOD),
        ("deny", ("m.d",), "rule"),
    ),
    "audience comes before denies": (
        (ALLOW_ALL, WrittenRule("m.d", "deny")),
        ask("/accounts/a", {"sub": "u", "aud": "t"}),
        ("deny", ("audience",), "audience.mismatch"),
    ),
    "all denies are named, the first by id is primary": (
        (WrittenRule("m.z", "deny"), WrittenRule("m.b", "deny", (NEVER,)), WrittenRule("m.a", "deny"), ALLOW_ALL),
        ask("/accounts/a", GOOD),
        ("deny", ("m.a", "m.z"), "rule"),
    ),
    "all allows are named": (
        (WrittenRule("m.z", "allow"), WrittenRule("m.b", "allow", (NEVER,)), WrittenRule("m.a", "allow")),
        ask("/accounts/a", GOOD),
        ("allow", ("m.a", "m.z"), "rule"),
    ),
    "a require without needs asks for nothing": (
        (ALLOW_ALL, WrittenRule("m.r", "require")),
        ask("/accounts/a", GOOD),
        ("allow", ("m.all",), "rule"),
    ),
    "a need that is met": (
        (ALLOW_ALL, WrittenRule("m.r", "require", needs=(WrittenNeed(FRESH, "mfa", 300),))),
        ask("/accounts/a", {**GOOD, "auth_time": NOW_MS // 1000 - 60}),
        ("allow", ("m.all",), "rule"),
    ),
    "a need that is not": (
        (ALLOW_ALL, WrittenRule("m.r", "require", needs=(WrittenNeed(FRESH, "mfa", 300),))),
        ask("/accounts/a", {**GOOD, "auth_time": NOW_MS // 1000 - 301}),
        ("step_up", ("m.r",), "rule"),
    ),
    "an unknown need is not met": (
        (ALLOW_ALL, WrittenRule("m.r", "require", needs=(WrittenNeed(SHARES, "mfa"),))),
        ask("/accounts/a", GOOD),
        ("step_up", ("m.r",), "rule"),
    ),
    "a require that does not apply": (
        (ALLOW_ALL, WrittenRule("m.r", "require", (NEVER,), needs=(WrittenNeed(NEVER, "mfa"),))),
        ask("/accounts/a", GOOD),
        ("allow", ("m.all",), "rule"),
    ),
    "an unknown require applies": (
        (ALLOW_ALL, WrittenRule("m.r", "require", (SHARES,), needs=(WrittenNeed(NEVER, "mfa"),))),
        ask("/accounts/a", GOOD),
        ("step_up", ("m.r",), "rule"),
    ),
    "who would be refused anyway is not asked for more": (
        (WrittenRule("m.a", "allow", (NEVER,)), WrittenRule("m.r", "require", needs=(WrittenNeed(NEVER, "mfa"),))),
        ask("/accounts/a", GOOD),
        ("deny", ("default",), "default.no_rule"),
    ),
    "only rules with an unmet need step up": (
        (
            ALLOW_ALL,
            WrittenRule("m.z", "require", needs=(WrittenNeed(NEVER, "mfa"),)),
            WrittenRule("m.b", "require", needs=(WrittenNeed(ALWAYS, "mfa"),)),
            WrittenRule("m.a", "require", needs=(WrittenNeed(ALWAYS, "x"), WrittenNeed(NEVER, "device"))),
        ),
        ask("/accounts/a", GOOD),
        ("step_up", ("m.a", "m.z"), "rule"),
    ),
}


@pytest.mark.parametrize("case", RULES)
def test_rules(case: str) -> None:
    rules, question, want = RULES[case]
    assert decided(under(*rules, question=question)) == want


def test_challenges_are_those_of_unmet_needs_each_once() -> None:
    mfa, device = WrittenNeed(NEVER, "mfa", 300), WrittenNeed(NEVER, "device")
    rules = (
        ALLOW_ALL,
        WrittenRule("m.b", "require", needs=(mfa, WrittenNeed(NEVER, "mfa", 60))),
        WrittenRule("m.a", "require", needs=(WrittenNeed(ALWAYS, "login"), device, mfa)),
    )
    verdict = under(*rules, question=ask("/accounts/a", GOOD))
    assert verdict.challenges == (Challenge("device", None), Challenge("mfa", 300), Challenge("mfa", 60))


LOUD, QUIET, STRICT = LogDuty("full", strict=False), LogDuty("minimal", strict=False), LogDuty("minimal", strict=True)
UNMET = (WrittenNeed(NEVER, "mfa"),)

LOGS: dict[str, tuple[tuple[WrittenRule, ...], LogDuty]] = {
    "nobody speaks": ((ALLOW_ALL,), NORMAL_LOG),
    "a require that applies": ((ALLOW_ALL, WrittenRule("m.r", "require", log=LOUD)), LOUD),
    "a require that does not": ((ALLOW_ALL, WrittenRule("m.r", "require", (NEVER,), log=LOUD)), NORMAL_LOG),
    "an unknown require": ((ALLOW_ALL, WrittenRule("m.r", "require", (SHARES,), log=LOUD)), LOUD),
    "minimal alone": ((ALLOW_ALL, WrittenRule("m.r", "require", log=QUIET)), QUIET),
    "the highest level and strict win": (
        (
            ALLOW_ALL,
            WrittenRule("m.a", "require", log=STRICT),
            WrittenRule("m.b", "require", log=LOUD),
            WrittenRule("m.c", "require", log=QUIET),
        ),
        LogDuty("full", strict=True),
    ),
    "on step-up, requires that apply, met or not": (
        (ALLOW_ALL, WrittenRule("m.a", "require", needs=UNMET), WrittenRule("m.b", "require", log=LOUD)),
        LOUD,
    ),
    "on a refusal, the denies that decide": (
        (
            WrittenRule("m.a", "deny", log=STRICT),
            WrittenRule("m.b", "deny", (NEVER,), log=LOUD),
            WrittenRule("m.c", "require", log=LOUD),
        ),
        STRICT,
    ),
    "on a refusal by default, nobody": ((WrittenRule("m.a", "require", log=LOUD),), NORMAL_LOG),
}


@pytest.mark.parametrize("case", LOGS)
def test_log_duty(case: str) -> None:
    rules, want = LOGS[case]
    assert under(*rules, question=ask("/accounts/a", GOOD)).log == want


def test_a_refusal_by_default_names_the_nearest_allow() -> None:
    rules = (
        WrittenRule("m.far", "allow", (NEVER, NEVER, ALWAYS)),
        WrittenRule("m.near_z", "allow", (ALWAYS, ALWAYS, NEVER)),
        WrittenRule("m.near_a", "allow", (SHARES, ALWAYS, ALWAYS)),
    )
    assert under(*rules, question=ask("/accounts/a", GOOD)).nearest == "m.near_a"
    assert under(question=ask("/accounts/a", GOOD)).nearest is None
    assert under(ALLOW_ALL, *rules, question=ask("/accounts/a", GOOD)).nearest is None


# ---------------------------------------------------------------- traces


def test_the_trace_of_an_allow_that_failed() -> None:
    rule = WrittenRule("m.a", "allow", (NEVER, OWNS, SHARES))
    verdict = under(rule, question=ask("/accounts/a", {**GOOD, "accounts": ["b"]}))
    [trace] = verdict.rules
    assert (trace.id, trace.effect, trace.applies, trace.place) == ("m.a", "allow", False, "test.pol:1")
    assert [(clause.truth, clause.failed) for clause in trace.clauses] == [
        (Truth3.FALSE, "false"),
        (Truth3.FALSE, "path.account in token.accounts"),
        (Truth3.UNKNOWN, "shared(path.account, token.sub)"),
    ]
    assert trace.clauses[1].reads == (("token.accounts", frozenset({"b"})), ("path.account", "a"))
    assert trace.clauses[2].reads == (
        ("path.account", "a"),
        ("token.sub", "u1"),
        ("shared(path.account, token.sub)", None),
    )


def test_a_deny_is_traced_up_to_its_first_false_clause() -> None:
    rules = (ALLOW_ALL, WrittenRule("m.d", "deny", (SHARES, NEVER, ALWAYS)))
    verdict = under(*rules, question=ask("/accounts/a", GOOD, facts={"m.shared": frozenset()}))
    assert [(rule.id, len(rule.clauses)) for rule in verdict.rules] == [("m.d", 1), ("m.all", 1)]
    [clause] = verdict.rules[0].clauses
    assert clause.reads[-1] == ("shared(path.account, token.sub)", False)


def test_the_trace_holds_what_was_looked_at_in_order() -> None:
    rules = (
        WrittenRule("m.r", "require", needs=(WrittenNeed(ALWAYS, "mfa"),)),
        WrittenRule("m.z", "deny", (NEVER,)),
        WrittenRule("m.y", "deny", (NEVER,)),
        ALLOW_ALL,
    )
    allowed = under(*rules, question=ask("/accounts/a", GOOD))
    assert [rule.id for rule in allowed.rules] == ["m.y", "m.z", "m.all", "m.r"]
    assert [clause.label for clause in allowed.rules[-1].clauses] == ["when 1", "needs 1"]
    scoped = under(*rules, question=ask("/scoped", GOOD))
    assert [rule.id for rule in scoped.rules] == ["m.y", "m.z"]
    denied = under(WrittenRule("m.d", "deny"), *rules, question=ask("/accounts/a", GOOD))
    assert [rule.id for rule in denied.rules] == ["m.d", "m.y", "m.z"]


def test_a_kept_evaluator_says_the_same() -> None:
    program = build(SERVICES, ENDPOINTS, [ALLOW_ALL, WrittenRule("m.d", "deny", (SUSPENDED,))], [USER, ADMIN])
    kept = Reference.of(program)
    for question in (ask("/accounts/a", GOOD), ask("/accounts/a", {**GOOD, "suspended": True}), ask("/x")):
        assert kept.decide(question) == decide(program, question)


# ---------------------------------------------------------------- subjects (step 3)

EMPLOYEE = subject_kind("employee", "employee", [claim("department", Scalar.STRING, optional=True)])
VISITOR = subject_kind("visitor", "visitor")
DOCUMENTS = (
    service("d", audiences=(), hosts=("d.example",), accepts=("employee",)),
    service("s"),
)
DOCUMENT_ENDPOINTS = (
    action("d.read", "read", "document", [claim("department", Scalar.STRING, optional=True)]),
    action("d.scoped", "seal", "document", scopes=["seal"]),
    endpoint("d.page", "/page"),
    grpc("d.call", "d.v1.D", "Call"),
    action("s.read", "read", "note"),
)


def under_documents(*rules: WrittenRule, question: Question) -> Verdict:
    kinds = [USER, EMPLOYEE, VISITOR]
    return decide(build(DOCUMENTS, DOCUMENT_ENDPOINTS, rules, kinds), question)


ASSERTED: dict[str, Json] = {"id": "e1"}
GRPC_HEADERS = {"content-type": ["application/grpc"]}
TAKEN: dict[str, tuple[Question, tuple[str, tuple[str, ...], str]]] = {
    "a subject that is accepted": (act("read", "document", ASSERTED), ("allow", ("m.all",), "rule")),
    "nobody": (act("read", "document"), ("allow", ("m.all",), "rule")),
    "a subject of another kind": (
        act("read", "document", ASSERTED, kind="visitor"),
        ("deny", ("audience",), "audience.subject"),
    ),
    "a subject at a service that takes none": (
        act("read", "note", ASSERTED, service_id="s"),
        ("deny", ("audience",), "audience.subject"),
    ),
    "a subject on a path": (
        ask("/page", ASSERTED, kind="employee", service_id="d"),
        ("deny", ("audience",), "audience.subject"),
    ),
    "a subject on a gRPC method": (
        ask("/d.v1.D/Call", ASSERTED, kind="employee", service_id="d", method="POST", headers=GRPC_HEADERS),
        ("deny", ("audience",), "audience.subject"),
    ),
    "a subject has no scope": (act("seal", "document", ASSERTED), ("deny", ("scope",), "scope.missing")),
    "a token at an action": (
        act("read", "note", GOOD, kind="user", service_id="s"),
        ("allow", ("m.all",), "rule"),
    ),
    "a token at an action where none is taken": (
        act("read", "document", {"sub": "u", "aud": "d"}, kind="user"),
        ("deny", ("audience",), "audience.none_taken"),
    ),
    "a subject without an id": (act("read", "document", {}), ("deny", ("schema",), "schema.subject_missing")),
    "a subject of a kind nobody declared": (
        act("read", "document", ASSERTED, kind="ghost"),
        ("deny", ("schema",), "schema.kind"),
    ),
    "a malformed resource before a malformed subject": (
        act("read", "document", {}, properties={"department": 5}),
        ("deny", ("schema",), "schema.resource_type"),
    ),
    "an action nobody declared": (act("burn", "document", ASSERTED), ("deny", ("route",), "route.action")),
}


@pytest.mark.parametrize("case", TAKEN)
def test_who_may_be_asserted_where(case: str) -> None:
    question, want = TAKEN[case]
    assert decided(under_documents(ALLOW_ALL, question=question)) == want


def test_properties_of_subject_and_resource_are_compared() -> None:
    same = Compare("eq", Attr("subject", "department"), Attr("resource", "department"))
    mine = Compare("eq", Attr("resource", "id"), Const("d1"))
    me = Compare("eq", Attr("subject", "id"), Const("e1"))
    rule = WrittenRule("m.a", "allow", (same, mine, me), on=("d.read",))
    legal = {"id": "e1", "department": "legal"}
    asked = act("read", "document", legal, properties={"department": "legal"}, resource_id="d1")
    other = act("read", "document", legal, properties={"department": "hr"}, resource_id="d1")
    assert under_documents(rule, question=asked).outcome == "allow"
    assert under_documents(rule, question=other).outcome == "deny"


# ---------------------------------------------------------------- exclusive roles (step 4)

AUDITOR_ADMIN = Exclusive("auditor", frozenset({"audit", "audit-eu"}), "admin", frozenset({"adm"}))
CLERK_CASHIER = Exclusive("clerk", frozenset({"clerk"}), "cashier", frozenset({"cash"}))
ROLED = token_kind(
    "user", "https://id.example", [claim("roles", STRINGS, optional=True)], "roles", [CLERK_CASHIER, AUDITOR_ADMIN]
)
SINGLE = token_kind("user", "https://id.example", [claim("roles", Scalar.STRING)], "roles", [AUDITOR_ADMIN])

EXCLUSIVE: dict[str, tuple[Kind, dict[str, Json], tuple[str, ...], tuple[str, str, str]]] = {
    "no role": (ROLED, {"roles": []}, (), ("allow", "rule", "")),
    "no claim": (ROLED, {}, (), ("allow", "rule", "")),
    "one of two": (ROLED, {"roles": ["audit", "x"]}, (), ("allow", "rule", "")),
    "two ways to one role": (ROLED, {"roles": ["audit", "audit-eu"]}, (), ("allow", "rule", "")),
    "roles of two pairs": (ROLED, {"roles": ["audit", "cash"]}, (), ("allow", "rule", "")),
    "a pair": (ROLED, {"roles": ["audit-eu", "adm"]}, (), ("deny", "exclusive.roles", "auditor admin")),
    "two pairs, of which the first is told": (
        ROLED,
        {"roles": ["audit", "adm", "clerk", "cash"]},
        (),
        ("deny", "exclusive.roles", "clerk cashier"),
    ),
    "a claim that is not at hand": (ROLED, {}, ("roles",), ("deny", "exclusive.unknown", "roles")),
    "a single role": (SINGLE, {"roles": "audit"}, (), ("allow", "rule", "")),
}


@pytest.mark.parametrize("case", EXCLUSIVE)
def test_exclusive_roles(case: str) -> None:
    kind, claims, unread, want = EXCLUSIVE[case]
    program = build(SERVICES, ENDPOINTS, [ALLOW_ALL], [kind])
    verdict = decide(program, ask("/accounts/a", {"aud": "s", **claims}, unread=unread))
    assert (verdict.outcome, verdict.reason, verdict.subject) == want
    stated = ("route", "schema", "audience") + (("exclusive", "scope") if verdict.outcome == "allow" else ())
    assert verdict.baselines == stated


def test_exclusive_roles_come_before_denies_and_after_the_audience() -> None:
    program = build(SERVICES, ENDPOINTS, [WrittenRule("m.d", "deny")], [ROLED])
    both: dict[str, Json] = {"roles": ["clerk", "cash"]}
    assert decide(program, ask("/accounts/a", {**both, "aud": "s"})).by == ("exclusive",)
    assert decide(program, ask("/accounts/a", {**both, "aud": "t"})).by == ("audience",)
    assert decide(program, ask("/accounts/a")).by == ("m.d",)


# ---------------------------------------------------------------- obligations and capabilities (step 9)

SUBJECT, TRACE = SetHeader("x-subject", token("sub")), RemoveHeader("x-trace")
SOC, MASK = Alert("soc"), Redact(("/email",))


def require(name: str, *must: Obligation, should: tuple[Obligation, ...] = ()) -> WrittenRule:
    return WrittenRule(f"m.{name}", "require", must=must, should=should)


def test_duties_are_those_of_all_requires_that_apply() -> None:
    rules = (
        ALLOW_ALL,
        require("a", SUBJECT, SOC),
        require("b", TRACE, MASK, LOUD),
        replace(require("c", SetHeader("x-never", Const("y"))), when=(NEVER,)),
        replace(require("d", Redact(("/name",))), when=(SHARES,)),
    )
    verdict = under(*rules, question=ask("/accounts/a", GOOD))
    duties = Duties((Header("x-subject", "u1"),), ("x-trace",), ("/email", "/name"), None, ("soc",))
    assert (verdict.outcome, verdict.duties, verdict.advice, verdict.log) == ("allow", duties, NO_DUTIES, LOUD)


def test_advice_is_that_of_the_granting_allows_and_the_requires() -> None:
    rules = (
        replace(ALLOW_ALL, should=(SetHeader("x-a", Const("1")),)),
        WrittenRule("m.not", "allow", (NEVER,), should=(SOC,)),
        require("a", SUBJECT, should=(Alert("ops"), SetHeader("x-subject", Const("other")))),
    )
    verdict = under(*rules, question=ask("/accounts/a", GOOD))
    assert verdict.duties == Duties((Header("x-subject", "u1"),))
    assert verdict.advice == Duties((Header("x-a", "1"),), alerts=("ops",))


def test_a_step_up_has_no_duties() -> None:
    rules = (ALLOW_ALL, require("a", SUBJECT, LOUD, should=(SOC,)), WrittenRule("m.b", "require", needs=UNMET))
    verdict = under(*rules, question=ask("/accounts/a", GOOD))
    assert (verdict.outcome, verdict.duties, verdict.advice, verdict.log) == ("step_up", NO_DUTIES, NO_DUTIES, LOUD)


def test_a_deny_answers_and_alerts_for_all_that_apply() -> None:
    rules = (
        WrittenRule("m.a", "deny", must=(Answer(403), SOC), should=(Alert("ops"), SOC)),
        WrittenRule("m.b", "deny", must=(Answer(404), LOUD)),
        WrittenRule("m.c", "deny", (NEVER,), must=(Answer(503), Alert("never"))),
    )
    verdict = under(*rules, question=ask("/accounts/a", GOOD))
    assert (verdict.by, verdict.status, verdict.log) == (("m.a", "m.b"), 404, LOUD)
    assert (verdict.duties, verdict.advice) == (Duties(alerts=("soc",)), Duties(alerts=("ops",)))


STEP_UP = WrittenRule("m.step", "require", needs=UNMET)
REFUSED: dict[str, tuple[tuple[WrittenRule, ...], frozenset[Capability], tuple[str, str, str]]] = {
    "two values for one header": (
        (require("a", SUBJECT), require("b", SetHeader("x-subject", Const("x")))),
        CAPABILITIES,
        ("conflict", "conflict.header", "x-subject"),
    ),
    "a header of what is not known": (
        (require("a", SetHeader("x-ip", Attr("request", "ip"))),),
        CAPABILITIES,
        ("conflict", "conflict.value", "x-ip"),
    ),
    "a gateway that sets no header": (
        (require("a", SUBJECT),),
        CAPABILITIES - {"set_header"},
        ("capability", "capability.set_header", ""),
    ),
    "a gateway that redacts nothing": (
        (require("a", MASK),),
        frozenset({"set_header"}),
        ("capability", "capability.redact", ""),
    ),
    "a gateway that cannot step up": (
        (STEP_UP,),
        CAPABILITIES - {"step_up"},
        ("capability", "capability.step_up", ""),
    ),
    "a conflict is told before a lack": (
        (require("a", SetHeader("x-ip", Attr("request", "ip"))),),
        frozenset(),
        ("conflict", "conflict.value", "x-ip"),
    ),
    "scopes that the token has not": (
        (require("a", IssueToken(("w",))),),
        CAPABILITIES,
        ("conflict", "conflict.scope", "w"),
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_done_is_refused(case: str) -> None:
    rules, able, want = REFUSED[case]
    verdict = under(ALLOW_ALL, *rules, question=ask("/accounts/a", GOOD, capabilities=able))
    assert (verdict.outcome, (*verdict.by, verdict.reason, verdict.subject)) == ("deny", want)
    assert (verdict.duties, verdict.log, verdict.challenges) == (NO_DUTIES, NORMAL_LOG, ())


def test_what_is_not_asked_for_need_not_be_able() -> None:
    rules = (ALLOW_ALL, require("a", LOUD, SOC, should=(SUBJECT, MASK, TRACE)))
    verdict = under(*rules, question=ask("/accounts/a", GOOD, capabilities=frozenset()))
    assert verdict.outcome == "allow"
    denied = under(
        WrittenRule("m.d", "deny", must=(Answer(404),)), question=ask("/accounts/a", GOOD, capabilities=frozenset())
    )
    assert decided(denied) == ("deny", ("m.d",), "rule")


def test_a_token_is_issued_to_nobody_without_one() -> None:
    rules = (ALLOW_ALL, require("a", IssueToken(None)))
    assert decided(under(*rules, question=ask("/accounts/a"))) == ("deny", ("capability",), "capability.issue_token")
    verdict = under(*rules, question=ask("/scoped", {**GOOD, "scope": "a b c"}))
    assert (verdict.outcome, verdict.duties.token_scopes) == ("allow", ("a", "b"))


# ---------------------------------------------------------------- shadow, primary order


def test_shadow_rules_are_told_and_have_no_say() -> None:
    rules = (
        ALLOW_ALL,
        WrittenRule("m.z", "deny", shadow=True, must=(Answer(404), SOC), log=LOUD),
        WrittenRule("m.y", "require", needs=UNMET, shadow=True, should=(SOC,)),
        WrittenRule("m.x", "allow", (SHARES,), shadow=True),
        WrittenRule("m.w", "deny", (SHARES,), shadow=True),
        WrittenRule("m.v", "deny", (NEVER,), shadow=True),
    )
    verdict = under(*rules, question=ask("/accounts/a", GOOD))
    assert decided(verdict) == ("allow", ("m.all",), "rule")
    assert verdict.shadow == ("m.w", "m.y", "m.z")
    assert (verdict.duties, verdict.advice, verdict.status, verdict.log) == (NO_DUTIES, NO_DUTIES, None, NORMAL_LOG)
    assert [(rule.id, rule.shadow) for rule in verdict.rules] == [
        ("m.all", False),
        *((f"m.{name}", True) for name in "vwxyz"),
    ]


def test_shadow_rules_alone_allow_nothing_and_are_told_on_refusals() -> None:
    allowing = WrittenRule("m.x", "allow", shadow=True)
    assert under(allowing, question=ask("/accounts/a", GOOD)).by == ("default",)
    for rules in ((), (WrittenRule("m.d", "deny"),), (WrittenRule("m.a", "allow", (NEVER,)),)):
        assert under(allowing, *rules, question=ask("/accounts/a", GOOD)).shadow == ("m.x",)
    assert under(allowing, question=ask("/nowhere", GOOD)).shadow == ()


def test_rules_that_read_no_signal_are_primary() -> None:
    risky = Compare("le", Const(1), signal("risk"))
    rules = (WrittenRule("m.a", "deny", (risky,)), WrittenRule("m.b", "deny"), WrittenRule("m.c", "deny", (risky,)))
    assert under(*rules, question=ask("/accounts/a", GOOD)).by == ("m.b", "m.a", "m.c")


# ---------------------------------------------------------------- observe (point J)

LATER = NOW_MS + 1000


def observing(*rules: WrittenRule, question: Question, until_ms: int = LATER) -> Verdict:
    services = [replace(each, observe_until_ms=until_ms) for each in SERVICES]
    return decide(build(services, ENDPOINTS, rules, [USER, ADMIN], [SHARED]), question)


PASSED: dict[str, tuple[tuple[WrittenRule, ...], Question, Observed]] = {
    "route": ((), ask("/nowhere", GOOD), Observed("deny", ("route",), "route.endpoint")),
    "schema": ((), ask("/accounts/a", {"aud": "s"}), Observed("deny", ("schema",), "schema.claim_missing", "sub")),
    "scope": ((ALLOW_ALL,), ask("/scoped", GOOD), Observed("deny", ("scope",), "scope.missing", "a b")),
    "default": ((), ask("/accounts/a"), Observed("deny", ("default",), "default.no_cell_rule")),
    "a rule": (
        (WrittenRule("m.d", "deny", must=(Answer(404), SOC)),),
        ask("/accounts/a", GOOD),
        Observed("deny", ("m.d",), "rule"),
    ),
    "a step-up": ((ALLOW_ALL, STEP_UP), ask("/accounts/a", GOOD), Observed("step_up", ("m.step",), "rule")),
}


@pytest.mark.parametrize("case", PASSED)
def test_what_policy_refuses_passes_while_observed(case: str) -> None:
    rules, question, want = PASSED[case]
    verdict = observing(*rules, question=question)
    assert decided(verdict) == ("allow", ("observe",), "observe")
    assert verdict.observed == want
    assert (verdict.subject, verdict.status, verdict.challenges) == ("", None, ())
    assert (verdict.duties, verdict.advice, verdict.valid_until_ms) == (NO_DUTIES, NO_DUTIES, LATER)
    ended = observing(*rules, question=question, until_ms=NOW_MS)
    assert (ended.outcome, ended.by, ended.reason, ended.subject) == (want.outcome, want.by, want.reason, want.subject)
    assert ended.observed is None


STILL: dict[str, tuple[tuple[WrittenRule, ...], Question, str]] = {
    "a host that is not the service's": ((), ask("/scoped", GOOD, host="x.example"), "route"),
    "an undeclared path with a token for another service": ((), ask("/nowhere", {"sub": "u", "aud": "t"}), "route"),
    "a claim that is absent from such a token": ((), ask("/accounts/a", {"aud": "t"}), "schema"),
    "a claim that is absent, and an audience that is none": ((), ask("/accounts/a", {"aud": 5}), "schema"),
    "path": ((ALLOW_ALL,), ask("/accounts/a%2Fb", GOOD), "path"),
    "audience": ((ALLOW_ALL,), ask("/accounts/a", {"sub": "u", "aud": "t"}), "audience"),
    "conflict": (
        (ALLOW_ALL, require("a", SUBJECT), require("b", SetHeader("x-subject", Const("x")))),
        ask("/accounts/a", GOOD),
        "conflict",
    ),
    "capability": (
        (ALLOW_ALL, require("a", SUBJECT)),
        ask("/accounts/a", GOOD, capabilities=frozenset()),
        "capability",
    ),
    "a service nobody declared": ((ALLOW_ALL,), ask("/accounts/a", GOOD, service_id="x"), "route"),
}


@pytest.mark.parametrize("case", STILL)
def test_what_is_refused_though_observed(case: str) -> None:
    rules, question, by = STILL[case]
    verdict = observing(*rules, question=question)
    assert (verdict.outcome, verdict.by, verdict.observed) == ("deny", (by,), None)


def test_exclusive_roles_pass_while_observed() -> None:
    services = [replace(each, observe_until_ms=LATER) for each in SERVICES]
    program = build(services, ENDPOINTS, [ALLOW_ALL], [ROLED])
    verdict = decide(program, ask("/accounts/a", {"aud": "s", "roles": ["clerk", "cash"]}))
    assert verdict.observed == Observed("deny", ("exclusive",), "exclusive.roles", "clerk cashier")


def test_what_passes_observed_is_logged_normally_at_least() -> None:
    quiet = observing(WrittenRule("m.d", "deny", log=STRICT), question=ask("/accounts/a", GOOD))
    assert quiet.log == LogDuty("normal", strict=True)
    loud = observing(WrittenRule("m.d", "deny", log=LOUD), question=ask("/accounts/a", GOOD))
    assert loud.log == LOUD


def test_an_allow_of_an_observed_service_is_its_own() -> None:
    verdict = observing(ALLOW_ALL, require("a", SUBJECT), question=ask("/accounts/a", GOOD))
    assert (decided(verdict), verdict.observed) == (("allow", ("m.all",), "rule"), None)
    assert verdict.duties == Duties((Header("x-subject", "u1"),))
    assert verdict.valid_until_ms is None


# ---------------------------------------------------------------- horizon


def test_the_horizon_is_told_by_every_verdict_that_reached_the_rules() -> None:
    until = WrittenRule("m.until", "allow", (Compare("lt", NOW, Const(LATER)),))
    assert under(until, question=ask("/accounts/a", GOOD)).valid_until_ms == LATER
    assert under(until, WrittenRule("m.d", "deny"), question=ask("/accounts/a", GOOD)).valid_until_ms == LATER
    assert under(until, question=ask("/scoped", GOOD)).valid_until_ms == LATER
    assert under(until, question=ask("/accounts/a", {"aud": "s"})).valid_until_ms is None
    assert under(until, question=ask("/accounts/a", {"sub": "u", "aud": "t"})).valid_until_ms is None
    assert under(replace(until, shadow=True), question=ask("/accounts/a", GOOD)).valid_until_ms == LATER
    assert under(ALLOW_ALL, question=ask("/accounts/a", GOOD)).valid_until_ms is None
