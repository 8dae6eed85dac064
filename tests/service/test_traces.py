"""A trace for a person: literals of the language, the word a clause is told by, settings, and what stays hidden."""

from __future__ import annotations

import pytest

from pdp.cli.traces import HOW, Told, rule_text
from policy_lang.compile import compile_policy, settings_mentioned
from policy_lang.trials.runner import run_tests
from policy_lang.verdict import ClauseTrace, RuleTrace, Truth3

POLICY = """module m
setting big: int = 1000
setting recent: duration = 10m
enum tier = silver < gold
token user {
  issuer "https://id.example"
  claim sub: string
  claim at: time
  claim dept: string optional
  claim tier: tier
  claim mail: string optional private
  factor key at token.at
}
roles for user from none { role viewer role editor includes viewer }
relation team_role (who: string, team: string, role: role)
signal idle: duration from "context.idle" key token.sub within 5ms else unknown
service s { audience "s" host "s.example" endpoint one POST /one/{n: int} query amount: int query fast: bool }
allow all for any user on s because "A"
"""
GIVEN = """
test "t" {
  given now 2026-12-20T10:00:00Z
  given token user { sub: "a\\u{9b}2", at: now - 20m, tier: gold, mail: "canary", aud: ["s"] }
  given request { ip: 10.0.0.1 }
"""

CLAUSES: dict[str, tuple[str, list[str]]] = {
    "a time": (
        "when token.at < 2026-12-20T10:00:00Z",
        ["passes   when 1: token.at < 2026-12-20T10:00:00Z", "token.at = 2026-12-20T09:40:00Z"],
    ),
    "now": (
        "when now - token.at > 1h30m",
        [
            "fails    when 1: now - token.at > 1h30m",
            "now = 2026-12-20T10:00:00Z",
            "token.at = 2026-12-20T09:40:00Z",
        ],
    ),
    "a text, an integer and a truth": (
        'when token.sub != "x" and path.n == 5 and query.fast',
        [
            'passes   when 1: token.sub != "x" and path.n == 5 and query.fast',
            'token.sub = "a\\u{9b}2"',
            "path.n = 5",
            "query.fast = true",
        ],
    ),
    "an enum, an address": (
        "when token.tier == gold and request.ip == 10.0.0.1",
        [
            "passes   when 1: token.tier == gold and request.ip == 10.0.0.1",
            "token.tier = gold",
            "request.ip = 10.0.0.1",
        ],
    ),
    "a role in a row": (
        "when team_role(token.sub, token.sub, editor)",
        [
            "fails    when 1: team_role(token.sub, token.sub, editor)",
            'token.sub = "a\\u{9b}2"',
            "team_role(token.sub, token.sub, editor) = false",
        ],
    ),
    "a setting": (
        "when query.amount >= big",
        [
            "fails    when 1: query.amount >= big, failed at `query.amount >= 1000`",
            "query.amount = 500",
            "big = 1000",
        ],
    ),
    "a setting of a factor": (
        "unless factor key within recent",
        [
            "passes   unless 1: factor key within recent",
            "token.at = 2026-12-20T09:40:00Z",
            "now = 2026-12-20T10:00:00Z",
            "recent = 10m",
        ],
    ),
    "an absent claim behind an unless": (
        'unless token has dept and token.dept == "x"',
        ['passes   unless 1: token has dept and token.dept == "x"', "token.dept = (absent)"],
    ),
    "a reading that nobody has": (
        "when signal.idle > 10m",
        ["unknown  when 1: signal.idle > 10m", "signal.idle = (unknown)"],
    ),
    "a private claim": (
        'when token has mail and token.mail != "x"',
        ['passes   when 1: token has mail and token.mail != "x"', "token.mail = (private)"],
    ),
}


@pytest.mark.parametrize("case", CLAUSES)
def test_a_clause_with(case: str) -> None:
    clause, want = CLAUSES[case]
    rule = f'deny d for any user on s {clause} because "D"\n'
    call = "  call s POST /one/5?amount=500&fast=true expect allow\n}\n"
    files = {"m.pol": (POLICY + rule + GIVEN + call).encode()}
    compiled = compile_policy(files)
    (result,) = run_tests(compiled.program, compiled.tests)
    trace = next(each for each in result.verdict.rules if each.id == "m.d")
    told = Told.of(compiled.program, "user", "s.one", settings_mentioned(files))
    shown = rule_text(trace, values=True, private=frozenset({"token.mail"}), told=told)
    assert [line.strip() for line in shown.splitlines()[2:]] == want
    assert "canary" not in shown
    without = rule_text(trace, values=False, private=frozenset({"token.mail"}), told=told)
    assert [line.strip() for line in without.splitlines()[2:]] == want[:1]


def test_every_truth_has_a_word_of_its_own() -> None:
    assert HOW.keys() == set(Truth3)
    assert len(set(HOW.values())) == len(Truth3)


def test_a_row_that_nobody_can_look_up_is_unknown_and_not_absent() -> None:
    clause = ClauseTrace("when 1", "r(token.sub)", Truth3.UNKNOWN, "r(token.sub)", (("r(token.sub)", None),))
    trace = RuleTrace("m.r", "deny", "", "m.pol:1", applies=True, clauses=(clause,))
    shown = rule_text(trace, values=True, private=frozenset())
    assert shown.splitlines()[1:] == ["    unknown  when 1: r(token.sub)", "             r(token.sub) = (unknown)"]
