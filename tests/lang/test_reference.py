"""The definition, step by step: what refuses, what asks for more, what allows, and by whom it says so."""

from __future__ import annotations

from dataclasses import replace

import pytest

from policy_lang.ir import (
    NORMAL_LOG,
    Age,
    Has,
    Kind,
    LogDuty,
    Lookup,
    Member,
    Relation,
    Truth,
)
from policy_lang.reference import Reference, decide
from policy_lang.typesystem import Scalar
from policy_lang.verdict import Challenge, Json, Question, Truth3, Verdict
from tests.lang.programs import (
    ALWAYS,
    NEVER,
    NOW_MS,
    STRINGS,
    Both,
    No,
    WrittenNeed,
    WrittenRule,
    ask,
    build,
    capture,
    claim,
    endpoint,
    service,
    token,
)

USER = Kind(
    "user",
    "https://id.example",
    (
        claim("sub", Scalar.STRING),
        claim("accounts", STRINGS, optional=True),
        claim("suspended", Scalar.BOOL, optional=True),
        claim("auth_time", Scalar.TIME, optional=True),
    ),
)
ADMIN = Kind("admin", "https://admin.example", ())
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
