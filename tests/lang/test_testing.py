"""The runner asks each case as a call would ask, and passes it only where everything it names is so."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from policy_lang.compile import compile_policy
from policy_lang.ir import Attr
from policy_lang.trials.cases import TestCase, WireCall
from policy_lang.trials.runner import TestResult, run_tests

POLICY = """module m
token user {
  issuer "https://id.example"
  claim sub: string
  claim accounts: set of string optional
  claim at: time optional
}
subject staff { type "staff" property room: string optional }
roles for user from token.accounts { role red role blue exclusive red, blue }
signal risk: int 0..100 from "context.risk" key token.sub within 5ms else unknown
service s {
  audience "s" host "s.example"
  header device: string optional
  endpoint account GET /accounts/{account} scope "read"
  endpoint money POST /money
  endpoint loud GET /loud query page: int optional
  endpoint rpc grpc p.S/M
}
service bare { audience "bare" endpoint a GET /a }
service acts { audience none accepts staff endpoint see action "see" on "room" property of: string optional }
service seen { audience none host "seen.example" observe until 2027-01-01 endpoint a GET /a }
allow owner for any user on s.account when token has accounts and path.account in token.accounts because "-"
allow other for any user on s.account when token has accounts and path.account in token.accounts because "-"
allow all for any user on s.money, s.loud, s.rpc, bare because "-" should alert "soc"
allow sees for any staff on acts when resource has of and subject has room and resource.of == subject.room because "-"
deny risky for any user on s.rpc when signal.risk >= 50 must answer 429 must log full should alert "soc" because "-"
deny banned for any user on s.money when token.sub == "banned" must answer 404 because "-"
require mfa for any user on s.money needs token.sub == "strong" else challenge "mfa" because "-"
require device for any user on s.money needs token.sub == "strong" else challenge "device" because "-"
require loud for any user on s.loud
  must log full strict must remove header "x-old" must redact "/b", "/a" must issue token with scope "read"
  must set header "x-sub" to token.sub must set header "x-now" to now should set header "x-hint" to "h"
  should remove header "x-gone" should redact "/e"
  because "-"
require page for any user on s.loud when query has page must set header "x-page" to query.page because "-"
"""
GIVEN = """given token user { sub: "u", aud: ["s"], scope: ["read", "write"], accounts: ["a1"], at: 2026-01-01 }
given signal risk = 1
"""


def results(written: str, given: str = GIVEN) -> list[TestResult]:
    compiled = compile_policy({"m.pol": f'{POLICY}\ntest "a title" {{\n{given}\n{written}\n}}\n'.encode()})
    return list(run_tests(compiled.program, compiled.tests))


PASSED: dict[str, str] = {
    "the decision alone": "call s GET /accounts/a1 expect allow",
    "by the primary rule": "call s GET /accounts/a1 expect allow by other",
    "by several of those that decided": "call s GET /accounts/a1 expect allow by owner, other",
    "by a word": "call s GET /accounts/a2 expect deny by default",
    "an unset claim": "call s GET /accounts/a1 with token.accounts = unset expect deny by default",
    "a path that is not canonical": "call s GET /accounts/../a1 expect deny by path",
    "a path of no endpoint": "call s GET /b expect deny by route",
    "another host": 'call s GET /loud with request.host = "x.example" expect deny by route',
    "a claim that is missing": "call s GET /accounts/a1 with token.sub = unset expect deny by schema",
    "a parameter of another type": "call s GET /loud?page=x expect deny by schema",
    "the wrong audience": 'call s GET /accounts/a1 with token.aud = ["t"] expect deny by audience',
    "roles that exclude each other": 'call s GET /loud with token.accounts = ["red", "blue"] expect deny by exclusive',
    "a scope that is missing": "call s GET /accounts/a1 with token.scope = [] expect deny by scope",
    "a status": 'call s POST /money with token.sub = "banned" expect deny by banned and answer 404',
    "a signal": "call s grpc p.S/M with signal.risk = 50 expect deny by risky and answer 429 and log full",
    "a signal that fails": 'call s grpc p.S/M with signal.risk = unknown expect deny by risky and alert "soc"',
    "gRPC": "call s.rpc expect allow by all",
    "a gRPC call with a path of its own is none": "call s POST /p.S/M expect deny by route",
    "a challenge": "call s POST /money expect step_up device by device",
    "another of its challenges": "call s POST /money expect step_up mfa by mfa, device",
    "a log level": "call s GET /loud expect allow and log full",
    "a strict log": "call s GET /loud expect allow and log full strict",
    "a header from a claim": 'call s GET /loud expect allow and set header "X-Sub" to token.sub',
    "a header as text": 'call s GET /loud expect allow and set header "x-sub" to "u"',
    "a header from a parameter": 'call s GET /loud?page=3 expect allow and set header "x-page" to query.page',
    "a header from a number": 'call s GET /loud?page=3 expect allow and set header "x-page" to 3',
    "a header from an instant": 'call s GET /loud expect allow and set header "x-now" to now',
    "a header from an instant that a claim holds": 'call s GET /loud expect allow and set header "x-now" to token.at',
    "a header from one worked out": 'call s GET /loud expect allow and set header "x-now" to (token.at + 1h - 1h)',
    "a header from a literal instant": 'call s GET /loud expect allow and set header "x-now" to 2026-01-01',
    "a header from one worked out, without parentheses": (
        'call s GET /loud expect allow and set header "x-now" to token.at + 1h - 1h and log full'
    ),
    "a header that goes": 'call s GET /loud expect allow and remove header "x-old"',
    "one of the redactions": 'call s GET /loud expect allow and redact "/a"',
    "a token": "call s GET /loud expect allow and issue token",
    "a token with its scope": 'call s GET /loud expect allow and issue token with scope "read"',
    "an alert that should be": 'call s GET /loud expect allow and alert "soc"',
    "several": 'call s GET /loud expect allow by all and log full and redact "/a", "/b" and remove header "x-old"',
    "a service without hosts is reached by none": 'call bare GET /a with token.aud = ["bare"] expect deny by route',
    "a service that is observed": "call seen GET /a with token.aud = unset expect deny by audience",
}


@pytest.mark.parametrize("name", PASSED)
def test_passed(name: str) -> None:
    [result] = results(PASSED[name])
    assert result.passed, (result.got, result.expected)


CALLERS: dict[str, tuple[str, str]] = {
    "nobody": ("given anonymous", "call s GET /loud expect deny by default"),
    "nobody, unsaid": ("", "call s GET /loud expect deny by default"),
    "nobody at a service that is observed": ("", "call seen GET /a expect allow by observe"),
    "a subject": (
        'given subject staff { id: "e", room: "r" }',
        'call acts.see { id: "x", of: "r" } expect allow by sees',
    ),
    "a subject with another property": (
        'given subject staff { id: "e", room: "r" }',
        'call acts.see { id: "x", of: "q" } expect deny by default',
    ),
    "a subject where none is accepted": ('given subject staff { id: "e" }', "call s GET /loud expect deny by audience"),
    "a subject without an id": ("given subject staff { }", 'call acts.see { id: "x" } expect deny by schema'),
}


@pytest.mark.parametrize("name", CALLERS)
def test_called_by(name: str) -> None:
    given, written = CALLERS[name]
    [result] = results(written, given)
    assert result.passed, (result.got, result.expected)


LOUD = (
    ' and log full strict and set header "x-now" to "2026-01-01T00:00:00Z" and set header "x-sub" to "u"'
    ' and remove header "x-old" and redact "/a", "/b" and issue token with scope "read"'
    ' and set header "x-hint" to "h" and remove header "x-gone" and redact "/e" and alert "soc" (rule)'
)
FAILED: dict[str, tuple[str, str, str]] = {
    "another outcome": ("call s GET /accounts/a2 expect allow", "deny by default (default.no_rule)", "allow"),
    "another decider": (
        "call s GET /accounts/a2 expect deny by schema",
        "deny by default (default.no_rule)",
        "deny by schema",
    ),
    "a rule that decided, and is not the primary one": (
        "call s GET /accounts/a1 expect allow by owner",
        "allow by m.other, m.owner (rule)",
        "allow by m.owner",
    ),
    "one of several names that did not decide": (
        "call s GET /accounts/a1 expect allow by owner, all",
        "allow by m.other, m.owner (rule)",
        "allow by m.owner, m.all",
    ),
    "a challenge that is met": (
        'call s POST /money with token.sub = "strong" expect step_up mfa',
        "allow by m.all (rule)",
        "step_up mfa",
    ),
    "the wrong of two deciders of a step-up": (
        "call s POST /money expect step_up mfa by mfa, all",
        "step_up device mfa by m.device, m.mfa (rule)",
        "step_up mfa by m.mfa, m.all",
    ),
    "a lower log level": (
        "call s GET /loud expect allow and log normal",
        f"allow by m.all{LOUD}",
        "allow and log normal",
    ),
    "a log that is not strict": (
        "call s POST /money expect deny and log normal strict",
        "step_up device mfa by m.device, m.mfa and log normal (rule)",
        "deny and log normal strict",
    ),
    "a header with another value": (
        'call s GET /loud expect allow and set header "x-now" to token.sub',
        f"allow by m.all{LOUD}",
        'allow and set header "x-now" to token.sub ("x-now": "u")',
    ),
    "a header from what is not there": (
        'call s GET /loud expect allow and set header "x-sub" to header.device',
        f"allow by m.all{LOUD}",
        'allow and set header "x-sub" to header.device ("x-sub": no value)',
    ),
    "a header of a call that was not routed": (
        'call s GET /b expect deny and set header "x-sub" to token.sub',
        "deny by route and log normal (route.endpoint)",
        'deny and set header "x-sub" to token.sub ("x-sub": no value)',
    ),
    "a header that stays": (
        'call s GET /loud expect allow and remove header "x-new"',
        f"allow by m.all{LOUD}",
        'allow and remove header "x-new"',
    ),
    "a header that only should be set": (
        'call s GET /loud expect allow and set header "x-hint" to "h"',
        f"allow by m.all{LOUD}",
        'allow and set header "x-hint" to "h"',
    ),
    "a header that only should go": (
        'call s GET /loud expect allow and remove header "x-gone"',
        f"allow by m.all{LOUD}",
        'allow and remove header "x-gone"',
    ),
    "what only should be redacted": (
        'call s GET /loud expect allow and redact "/e"',
        f"allow by m.all{LOUD}",
        'allow and redact "/e"',
    ),
    "what is not redacted": (
        'call s GET /loud expect allow and redact "/a", "/c"',
        f"allow by m.all{LOUD}",
        'allow and redact "/a", "/c"',
    ),
    "a token of other scopes": (
        'call s GET /loud expect allow and issue token with scope "read", "write"',
        f"allow by m.all{LOUD}",
        'allow and issue token with scope "read", "write"',
    ),
    "a token where none is issued": (
        "call s.rpc expect allow and issue token",
        'allow by m.all and log normal and alert "soc" (rule)',
        "allow and issue token",
    ),
    "an alert of another channel": (
        'call s.rpc expect allow and alert "noc"',
        'allow by m.all and log normal and alert "soc" (rule)',
        'allow and alert "noc"',
    ),
    "another status": (
        'call s POST /money with token.sub = "banned" expect deny and answer 403',
        "deny by m.banned and log normal and answer 404 (rule)",
        "deny and answer 403",
    ),
    "a reason with a subject": (
        "call s GET /accounts/a1 with token.sub = unset expect allow",
        "deny by schema (schema.claim_missing: sub)",
        "allow",
    ),
    "a path that is not canonical": (
        "call s GET /a//b expect allow",
        "deny by path (path.empty_segment)",
        "allow",
    ),
}


@pytest.mark.parametrize("name", FAILED)
def test_failed(name: str) -> None:
    written, got, expected = FAILED[name]
    [result] = results(written)
    assert (result.passed, result.got, result.expected) == (False, got, expected)


def test_a_header_is_compared_with_what_its_own_case_makes() -> None:
    both = results(
        'call s GET /loud expect allow and set header "x-sub" to token.sub\n'
        'call s GET /loud with token.sub = "v" expect allow and set header "x-sub" to token.sub\n'
        'call s GET /loud with token.sub = "v" expect allow and set header "x-sub" to "u"\n'
    )
    assert [result.passed for result in both] == [True, True, False]


def test_what_cannot_be_read_meets_no_expectation() -> None:
    written = f'{POLICY}test "t" {{ {GIVEN} call s GET /loud expect allow and set header "x-sub" to token.sub }}'
    compiled = compile_policy({"m.pol": written.encode()})
    [case] = compiled.tests
    odd = replace(case.expected.headers[0], value=Attr("token", "nothing"))
    [result] = run_tests(compiled.program, [replace(case, expected=replace(case.expected, headers=(odd,)))])
    assert not result.passed


def test_no_cases_give_no_results() -> None:
    assert results("") == []


def test_each_result_comes_before_the_next_case_is_taken() -> None:
    written = f'{POLICY}test "t" {{ {GIVEN} call s GET /accounts/a1 expect allow }}'
    compiled = compile_policy({"m.pol": written.encode()})
    [first] = compiled.tests
    taken: list[str] = []

    def taking() -> Iterator[TestCase]:
        for target in ("/accounts/a1", "/accounts/a2"):
            taken.append(target)
            yield replace(first, call=WireCall("GET", target))

    running = run_tests(compiled.program, taking())
    assert next(running).passed
    assert taken == ["/accounts/a1"]
    assert not next(running).passed
    assert taken == ["/accounts/a1", "/accounts/a2"]


NEAR = """deny far for any user on s.loud when token.sub == "x" when token.sub == "y" because "-"
deny near for any user on s.loud when token.sub == "u" when token.sub == "y" because "-"
deny elsewhere for any user on s.rpc when token.sub == "u" because "-"
shadow deny quiet for any user on s.loud because "-"
"""
NEAR_MISSES: dict[str, tuple[str, str | None]] = {
    "a deny that did not apply": ("call s GET /loud expect deny", "m.near"),
    "a step-up that was not asked for": (
        'call s POST /money with token.sub = "strong" expect step_up mfa',
        "m.device",
    ),
    "a deny, of a step-up": ("call s POST /money expect deny", "m.banned"),
    "a case that names the rule, which is shown anyway": ("call s GET /loud expect deny by far", None),
    "a case that names a word": ("call s GET /loud expect deny by default", None),
    "a refusal, of which the nearest allow is shown": ("call s GET /accounts/a2 expect allow", None),
    "a refusal of another kind": ("call s GET /accounts/a2 expect step_up mfa", None),
    "an endpoint that no rule denies": ("call s GET /accounts/a1 expect deny", None),
    "a path that is not canonical": ("call s GET /loud//x expect step_up mfa", None),
    "a case that passes": ("call s GET /loud expect allow", None),
}


@pytest.mark.parametrize("name", NEAR_MISSES)
def test_the_rule_that_came_nearest_is_told_of(name: str) -> None:
    case, want = NEAR_MISSES[name]
    compiled = compile_policy({"m.pol": f'{POLICY}{NEAR}\ntest "t" {{\n{GIVEN}{case}\n}}\n'.encode()})
    (result,) = run_tests(compiled.program, compiled.tests)
    assert (None if result.near_miss is None else result.near_miss.id) == want
    assert result.passed is (name == "a case that passes")


def test_all_clauses_of_the_nearest_are_told() -> None:
    compiled = compile_policy(
        {"m.pol": f'{POLICY}{NEAR}\ntest "t" {{\n{GIVEN}call s GET /loud expect deny\n}}\n'.encode()}
    )
    (result,) = run_tests(compiled.program, compiled.tests)
    assert result.near_miss is not None
    assert [clause.truth.value for clause in result.near_miss.clauses] == ["true", "true", "false"]
