"""Headers have one spelling in a policy, and those that carry the call cannot be had by another one."""

from __future__ import annotations

import pytest

from policy_lang.compile import compile_policy
from policy_lang.diagnostics import CompileError

HEAD = """module m
token user { issuer "https://id.example" claim sub: string }
service s { audience "s" host "s.example" endpoint one GET /one }
allow a for any user on s because "-"
"""

CLASHES = {
    "two that set": 'must set header "x-b" to "1" must set header "x_b" to "1"',
    "one sets, one removes": 'must remove header "x-b" must set header "x_b" to "1"',
    "two that remove": 'must remove header "x-b" must remove header "x_b"',
    "a duty and an advice": 'must set header "x-b" to "1" should set header "x_b" to "1"',
    "in another case besides": 'must set header "X-B-C" to "1" must set header "x-b_c" to "1"',
}
SAME = {
    "one name": 'must set header "x-b" to "1" must remove header "x-b"',
    "one name in two cases": 'must set header "X-B" to "1" must remove header "x-b"',
    "two names": 'must set header "x-b" to "1" must remove header "x-bb"',
    "one with an underscore": 'must set header "x_b" to "1"',
    "no header": "must log full",
}


def errors(text: str) -> list[str]:
    try:
        compile_policy({"m.pol": f"{HEAD}{text}".encode()})
    except CompileError as error:
        return [each.code for each in error.diagnostics]
    return []


@pytest.mark.parametrize("case", CLASHES)
def test_a_header_that_is_spelt_twice_is_refused(case: str) -> None:
    assert errors(f"require r on s {CLASHES[case]}") == ["E519"]


@pytest.mark.parametrize("case", SAME)
def test_a_header_that_is_spelt_once_is_taken(case: str) -> None:
    assert errors(f"require r on s {SAME[case]}") == []


def test_every_other_spelling_is_held_against_the_first() -> None:
    rules = "".join(f'require r{n} on s must set header "{name}" to "1"\n' for n, name in enumerate(("x-b", "x_b") * 2))
    assert errors(rules) == ["E519", "E519"]


@pytest.mark.parametrize("name", ["content_length", "X_Original_Url", "x_portcullis_decision", "x-envoy_peer"])
def test_a_header_that_no_rule_may_touch_is_none_by_another_spelling(name: str) -> None:
    assert errors(f'require r on s must remove header "{name}"') == ["E512"]
