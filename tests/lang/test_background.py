"""What a refusal says beyond its verdict: a closed endpoint, a caller without a token, the rules that contradict."""

from __future__ import annotations

import pytest

from policy_lang.compile import compile_policy
from policy_lang.meaning.background import NO_BACKGROUND, Background
from policy_lang.meaning.explain import sentence
from policy_lang.trials.runner import run_tests
from policy_lang.verdict import Verdict

POLICY = """module m
token user {{ issuer "https://id.example" claim sub: string claim mail: string }}
subject desk {{ type "desk" }}
service s {{ audience "s" host "s.example" {observe}
  endpoint open GET /open
  endpoint shut GET /shut closed
  endpoint scoped GET /scoped scope "read"
  endpoint issue GET /issue scope "a"
  endpoint header GET /header
  endpoint bare GET /bare
}}
service docs {{ audience none accepts desk endpoint read action "read" on "doc" scope "read" }}
allow all for anyone on s.open, s.scoped, s.issue, s.header because "A"
allow desks for any desk on docs because "D"
require narrow for any user on s.issue must issue token with scope "b" because "N"
require quiet for any user on s.issue must log full because "Q"
require other for any user on s.issue when token.sub == "nobody" must issue token with scope "a" because "O"
require one for any user on s.header must set header "x-who" to token.sub because "1"
require two for any user on s.header must set header "x-who" to token.mail because "2"
require three for any user on s.header must set header "x-else" to token.mail because "3"
shadow require four for any user on s.header must set header "x-who" to "4" because "4"
test "t" {{ {given} call {call} expect allow }}
"""
USER = 'given token user { sub: "secret-u", mail: "secret-m", aud: ["s"], scope: ["a"] }'
NOBODY = "given anonymous"
DESK = 'given subject desk { id: "d" }'


def told(call: str, given: str = USER, observe: str = "") -> tuple[Verdict, Background]:
    text = POLICY.format(call=call, given=given, observe=observe)
    compiled = compile_policy({"m.pol": text.encode()})
    (result,) = run_tests(compiled.program, compiled.tests)
    return result.verdict, Background.of(compiled.program, result.case.caller.kind, result.verdict)


SENTENCES = {
    "a closed endpoint": (
        ("s GET /shut",),
        "No rule may allow this, since `s.shut` is `closed` (default.no_cell_rule).",
    ),
    "a closed endpoint, to nobody": (
        ("s GET /shut", NOBODY),
        "No rule may allow this, since `s.shut` is `closed` (default.no_cell_rule).",
    ),
    "an endpoint without a rule": (("s GET /bare",), "No rule allowed this (default.no_cell_rule)."),
    "a scope that a token lacks": (
        ("s GET /scoped",),
        "The token lacks a scope that the endpoint asks for: `read` (scope.missing).",
    ),
    "a scope without a token": (
        ("s GET /scoped", NOBODY),
        "There is no token, and the endpoint asks for a scope: `read` (scope.missing).",
    ),
    "a scope of an asserted subject": (
        ('docs.read { id: "x" }', DESK),
        "There is no token, and the endpoint asks for a scope: `read` (scope.missing).",
    ),
    "a scope that nobody may be issued": (
        ("s GET /issue",),
        'No scope is left that all rules name and the caller holds: `b` (conflict.scope), by `m.narrow` "N".',
    ),
    "two values of a header": (
        ("s GET /header",),
        'Rules set a header to different values: `x-who` (conflict.header), by `m.one` "1"; `m.two` "2".',
    ),
    "a closed endpoint while observed": (
        ("s GET /shut", USER, "observe until 2999-01-01"),
        (
            "Allowed while the service is observed. Policy will refuse it: No rule may allow this, since `s.shut` is "
            "`closed` (default.no_cell_rule)."
        ),
    ),
    "an allow": (("s GET /open",), 'Allowed by `m.all` "A".'),
}


@pytest.mark.parametrize("case", SENTENCES)
def test_the_sentence_for(case: str) -> None:
    asked, want = SENTENCES[case]
    verdict, background = told(*asked)
    assert sentence(verdict, background) == want
    assert "secret" not in sentence(verdict, background)


def test_only_rules_that_applied_and_speak_of_it_contradict() -> None:
    assert told("s GET /issue")[1].contradicting == ("m.narrow",)
    assert told("s GET /header")[1].contradicting == ("m.one", "m.two")
    assert told("s GET /open")[1].contradicting == ()


def test_without_a_background_the_plain_words_stand() -> None:
    verdict, _ = told("s GET /shut")
    assert sentence(verdict) == sentence(verdict, NO_BACKGROUND) == "No rule allowed this (default.no_cell_rule)."
