"""The runner asks each case as a call would ask, and passes it only where everything it names is so."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from policy_lang.cases import Expected, TestCase
from policy_lang.ir import Has, Kind, LogDuty, Member
from policy_lang.testing import run_tests
from policy_lang.typesystem import Scalar
from policy_lang.verdict import Json, Outcome
from tests.lang.programs import (
    NEVER,
    NOW_MS,
    PLACE,
    STRINGS,
    Both,
    WrittenNeed,
    WrittenRule,
    build,
    capture,
    claim,
    endpoint,
    service,
    token,
)

USER = Kind("user", "https://id.example", (claim("sub", Scalar.STRING), claim("accounts", STRINGS, optional=True)))
OWNS = Both((Has(token("accounts")), Member(capture("account"), token("accounts"))))
PROGRAM = build(
    [service("s"), service("bare", hosts=())],
    [
        endpoint("s.account", "/accounts/{account}"),
        endpoint("s.money", "/money", ["POST"]),
        endpoint("s.loud", "/loud"),
        endpoint("bare.a", "/a"),
    ],
    [
        WrittenRule("m.owner", "allow", (OWNS,), on=("s.account",)),
        WrittenRule("m.other", "allow", (OWNS,), on=("s.account",)),
        WrittenRule("m.all", "allow", on=("s.money", "s.loud", "bare.a")),
        WrittenRule(
            "m.mfa",
            "require",
            on=("s.money",),
            needs=(WrittenNeed(NEVER, "mfa", 300), WrittenNeed(NEVER, "device")),
        ),
        WrittenRule("m.loud", "require", on=("s.loud",), log=LogDuty("full", strict=True)),
    ],
    [USER],
)
GOOD: dict[str, Json] = {"sub": "u", "aud": "s", "accounts": ["a1"]}


def case(
    target: str,
    outcome: Outcome,
    *by: str,
    method: str = "GET",
    claims: dict[str, Json] | None = None,
    service_id: str = "s",
    challenge: str | None = None,
    log: LogDuty | None = None,
) -> TestCase:
    return TestCase(
        title="a title",
        place=PLACE,
        text=f"call s {method} {target}",
        kind="user",
        claims=GOOD if claims is None else claims,
        facts={},
        now_ms=NOW_MS,
        service=service_id,
        method=method,
        target=target,
        expected=Expected(outcome, by, challenge, log),
    )


FULL, FULL_STRICT = LogDuty("full", strict=False), LogDuty("full", strict=True)

PASSED: dict[str, TestCase] = {
    "the decision alone": case("/accounts/a1", "allow"),
    "by the primary rule": case("/accounts/a1", "allow", "m.other"),
    "by several of those that decided": case("/accounts/a1", "allow", "m.owner", "m.other"),
    "by a word": case("/accounts/a2", "deny", "default"),
    "an unset claim": case("/accounts/a1", "deny", "default", claims={"sub": "u", "aud": "s"}),
    "a path that is not canonical": case("/accounts/../a1", "deny", "path"),
    "an empty path": case("", "deny", "path"),
    "a path of no endpoint": case("/b", "deny", "route"),
    "a claim that does not conform": case("/accounts/a1", "deny", "schema", claims={"sub": 1}),
    "the wrong audience": case("/accounts/a1", "deny", "audience", claims={"sub": "u", "aud": "t"}),
    "a challenge": case("/money", "step_up", "m.mfa", method="POST", challenge="mfa"),
    "the other challenge": case("/money", "step_up", method="POST", challenge="device"),
    "a log level": case("/loud", "allow", log=FULL),
    "a strict log": case("/loud", "allow", log=FULL_STRICT),
    "a service without hosts is reached by none": case("/a", "deny", "route", service_id="bare"),
}


@pytest.mark.parametrize("name", PASSED)
def test_passed(name: str) -> None:
    [result] = run_tests(PROGRAM, [PASSED[name]])
    assert result.passed, (result.got, result.expected)


FAILED: dict[str, tuple[TestCase, str, str]] = {
    "another outcome": (case("/accounts/a2", "allow"), "deny by default (default.no_rule)", "allow"),
    "another decider": (
        case("/accounts/a2", "deny", "schema"),
        "deny by default (default.no_rule)",
        "deny by schema",
    ),
    "a rule that decided, and is not the primary one": (
        case("/accounts/a1", "allow", "m.owner"),
        "allow by m.other, m.owner (rule)",
        "allow by m.owner",
    ),
    "one of several names that did not decide": (
        case("/accounts/a1", "allow", "m.owner", "m.all"),
        "allow by m.other, m.owner (rule)",
        "allow by m.owner, m.all",
    ),
    "another challenge": (
        case("/money", "step_up", method="POST", challenge="login"),
        "step_up mfa device by m.mfa (rule)",
        "step_up login",
    ),
    "a challenge where none was asked": (
        case("/accounts/a1", "allow", challenge="mfa"),
        "allow by m.other, m.owner (rule)",
        "allow mfa",
    ),
    "a lower log level": (
        case("/loud", "allow", log=LogDuty("normal", strict=False)),
        "allow by m.all and log full strict (rule)",
        "allow and log normal",
    ),
    "a log that is not strict": (
        case("/accounts/a1", "allow", log=LogDuty("normal", strict=True)),
        "allow by m.other, m.owner and log normal (rule)",
        "allow and log normal strict",
    ),
    "a reason with a subject": (
        case("/accounts/a1", "allow", claims={"aud": "s"}),
        "deny by schema (schema.claim_missing: sub)",
        "allow",
    ),
    "a path that is not canonical": (case("/a//b", "allow"), "deny by path (path.empty_segment)", "allow"),
}


@pytest.mark.parametrize("name", FAILED)
def test_failed(name: str) -> None:
    asked, got, expected = FAILED[name]
    [result] = run_tests(PROGRAM, [asked])
    assert (result.passed, result.got, result.expected) == (False, got, expected)
    assert result.case is asked


def test_no_cases_give_no_results() -> None:
    assert list(run_tests(PROGRAM, [])) == []


def test_each_result_comes_before_the_next_case_is_taken() -> None:
    taken: list[str] = []

    def taking() -> Iterator[TestCase]:
        for target in ("/accounts/a1", "/accounts/a2"):
            taken.append(target)
            yield case(target, "allow")

    results = run_tests(PROGRAM, taking())
    assert next(results).passed
    assert taken == ["/accounts/a1"]
    assert not next(results).passed
    assert taken == ["/accounts/a1", "/accounts/a2"]
