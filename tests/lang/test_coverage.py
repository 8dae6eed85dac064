"""Coverage counts what a person would: whom cases name that decided, which written conditions came out both ways."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from policy_lang.compile import compile_policy
from policy_lang.trials.coverage import Condition, Coverage, RuleCoverage
from policy_lang.trials.runner import run_tests

HEAD = """module m
token user {
  issuer "https://id.example"
  claim sub: string
  claim groups: set of string optional
  claim old: bool optional
}
token partner { issuer "https://p.example" claim sub: string }
signal risk: int 0..100 from "context.risk" key token.sub within 5ms else unknown
service s { audience "s" host "s.example"
  endpoint one GET /one
  endpoint two GET /two
  endpoint shut GET /shut closed
}
"""
GIVEN = 'given token user { sub: "u", groups: ["g"], aud: ["s"] }\n'


def covered(rules: str, block: str, given: str = GIVEN) -> Coverage:
    compiled = compile_policy({"m.pol": f'{HEAD}{rules}\ntest "t" {{\n{given}{block}\n}}\n'.encode()})
    return Coverage.of(compiled.program, run_tests(compiled.program, compiled.tests), compiled.written)


def rule(coverage: Coverage, name: str) -> RuleCoverage:
    return next(each for each in coverage.rules if each.id == f"m.{name}")


def seen(coverage: Coverage, name: str) -> Mapping[tuple[str, str], tuple[int, int, int]]:
    conditions = rule(coverage, name).conditions
    return {(each.label, each.text): (each.true, each.false, each.unknown) for each in conditions}


ALLOW = 'allow a for any user on s.one, s.two when token.sub == "u" because "-"\n'


def test_without_cases_nothing_is_shown() -> None:
    coverage = covered(ALLOW, "")
    assert (rule(coverage, "a").named, rule(coverage, "a").applied, rule(coverage, "a").blocked) == (0, 0, 0)
    assert [each.message for each in coverage.findings()] == [
        "no passing test names rule `m.a` after `by`",
        "endpoint `s.one` was never called in a test",
        "endpoint `s.two` was never called in a test",
    ]
    assert {each.code for each in coverage.findings()} == {"W813"}
    assert {each.place.file for each in coverage.findings()} == {"m.pol"}


def test_all_is_shown() -> None:
    block = (
        "call s GET /one expect allow by a\n"
        'call s GET /two with token.sub = "v" expect deny by default\n'
        'call s GET /one with token.sub = "v" expect deny by default\n'
    )
    coverage = covered(ALLOW, block)
    assert (rule(coverage, "a").named, rule(coverage, "a").applied, rule(coverage, "a").blocked) == (1, 1, 2)
    assert seen(coverage, "a") == {("when 1", 'token.sub == "u"'): (1, 2, 0)}
    assert coverage.findings() == ()
    one = next(each for each in coverage.endpoints if each.id == "s.one")
    assert (one.allowed, one.stepped_up, one.refused, one.closed) == (1, 0, 1, False)


def test_a_case_that_names_only_the_decision_shows_not_who_made_it() -> None:
    coverage = covered(ALLOW, "call s GET /one expect allow\n")
    assert (rule(coverage, "a").named, rule(coverage, "a").applied) == (0, 1)


def test_a_case_that_fails_shows_not_who_decided() -> None:
    coverage = covered(ALLOW, "call s GET /one expect allow by a and log full\n")
    assert (rule(coverage, "a").named, rule(coverage, "a").applied) == (0, 1)


def test_a_rule_named_among_several_that_decided_has_decided() -> None:
    both = ALLOW + 'allow b for any user on s.one because "-"\n'
    coverage = covered(both, "call s GET /one expect allow by b, a\n")
    assert (rule(coverage, "a").named, rule(coverage, "b").named) == (1, 1)


def test_a_condition_is_seen_where_the_rule_comes_to_it() -> None:
    chained = 'allow a for any user on s.one when token.sub == "u" when token.sub != "w" because "-"\n'
    coverage = covered(chained, 'call s GET /one with token.sub = "v" expect deny\n')
    assert seen(coverage, "a") == {
        ("when 1", 'token.sub == "u"'): (0, 1, 0),
        ("when 2", 'token.sub != "w"'): (0, 0, 0),
    }


def test_a_rule_is_not_looked_at_where_another_step_decided_before() -> None:
    rules = ALLOW + 'deny d for any user on s.one when token.sub == "u" because "-"\n'
    coverage = covered(rules, "call s GET /one expect deny by d\ncall s GET /none expect deny by route\n")
    assert (rule(coverage, "a").applied, rule(coverage, "a").blocked) == (0, 0)
    assert (rule(coverage, "d").named, rule(coverage, "d").applied) == (1, 1)


def test_each_atom_of_a_condition_counts() -> None:
    either = (
        'allow a for any user on s.one when token.sub == "u" or token.sub == "v" and not token has old because "-"\n'
    )
    coverage = covered(either, 'call s GET /one expect allow by a\ncall s GET /one with token.sub = "w" expect deny\n')
    whole = 'token.sub == "u" or token.sub == "v" and not token has old'
    assert seen(coverage, "a") == {
        ("when 1", whole): (1, 1, 0),
        ("when 1", 'token.sub == "u"'): (1, 1, 0),
        ("when 1", 'token.sub == "v"'): (0, 2, 0),
        ("when 1", "token has old"): (0, 2, 0),
    }
    lacking: list[Condition] = list(rule(coverage, "a").half_seen)
    assert [(each.text, each.lacks, each.is_atom) for each in lacking] == [
        ('token.sub == "v"', ("true",), True),
        ("token has old", ("true",), True),
    ]


def test_a_rule_that_no_case_came_to_is_one_finding() -> None:
    rules = ALLOW + 'deny d for any partner on s when token.sub == "u" because "-"\n'
    found = [each.message for each in covered(rules, "call s GET /one expect allow by a").findings()]
    assert [each for each in found if "`m.d`" in each] == ["no passing test names rule `m.d` after `by`"]


def test_a_clause_that_is_half_seen_is_one_finding() -> None:
    rules = 'allow a for any user on s.one when token.sub == "u" or token has old because "-"\n'
    found = covered(rules, "call s GET /one expect allow by a").findings()
    assert [each.message for each in found if "`m.a`" in each.message] == [
        '`token.sub == "u" or token has old` (when 1 of `m.a`) was never false in a test'
    ]


def test_a_for_is_one_condition() -> None:
    roles = 'workload w = "spiffe://x/y"\nroles for user from token.groups { role r }\n'
    rules = f'{roles}allow a for role r via w on s.one because "-"\n'
    block = (
        'call s GET /one with token.groups = ["r"] with request.peer = w expect allow by a\ncall s GET /one expect deny'
    )
    assert seen(covered(rules, block), "a") == {("for", "role r via w"): (1, 1, 0)}


def test_what_is_known_before_the_call_is_no_condition() -> None:
    coverage = covered('deny d for anyone on s.one because "-"\n', "call s GET /one expect deny by d\n")
    assert rule(coverage, "d").conditions == ()


def test_an_unless_counts_by_the_condition_it_names() -> None:
    rules = 'deny d for any user on s.one unless token.sub == "u" because "-"\n'
    block = 'call s GET /one expect deny by default\ncall s GET /one with token.sub = "v" expect deny by d\n'
    assert seen(covered(rules, block), "d") == {("unless 1", 'token.sub == "u"'): (1, 1, 0)}
    assert seen(covered(rules, block.splitlines()[0]), "d") == {("unless 1", 'token.sub == "u"'): (1, 0, 0)}


def test_one_condition_in_the_cells_of_two_kinds_is_one() -> None:
    either = 'deny d for any user, any partner on s when token.sub == "u" because "-"\n'
    coverage = covered(
        either,
        'call s GET /one expect deny by d\ncall s GET /two with token.sub = "v" expect deny by default\n',
    )
    assert seen(coverage, "d") == {("when 1", 'token.sub == "u"'): (1, 1, 0)}


def test_an_unknown_is_neither_true_nor_false() -> None:
    coverage = covered(
        'deny d for any user on s.one when signal.risk > 5 because "-"\n',
        "call s GET /one expect deny by d\n",
    )
    assert seen(coverage, "d") == {("when 1", "signal.risk > 5"): (0, 0, 1)}
    assert rule(coverage, "d").named == 1


def test_a_need_is_a_condition_and_a_step_up_a_decision() -> None:
    rules = (
        ALLOW + 'require r for any user on s.one needs token has old and token.old else challenge "new" because "-"\n'
    )
    block = "call s GET /one expect step_up new by r\ncall s GET /one with token.old = true expect allow by a\n"
    coverage = covered(rules, block)
    assert rule(coverage, "r").named == 1
    assert seen(coverage, "r")["needs 1", 'token has old and token.old else challenge "new"'] == (1, 1, 0)


def test_a_require_has_decided_where_a_case_names_what_it_asks_for() -> None:
    rules = ALLOW + 'require r for any user on s must set header "x-sub" to token.sub must log full because "-"\n'
    assert rule(covered(rules, "call s GET /one expect allow by a"), "r").named == 0
    assert rule(covered(rules, "call s GET /one expect allow by a and log full"), "r").named == 1
    header = 'call s GET /one expect allow and set header "x-sub" to "u"'
    assert rule(covered(rules, header), "r").named == 1
    other = rules + 'require q for any user on s must remove header "x-old" because "-"\n'
    assert rule(covered(other, 'call s GET /one expect allow and remove header "x-old"'), "r").named == 0


def test_a_shadow_rule_need_not_decide() -> None:
    coverage = covered(
        'shadow deny d for any user on s.one when token.sub == "u" because "-"\n' + ALLOW,
        "call s GET /one expect allow by a\n",
    )
    assert (rule(coverage, "d").shadow, rule(coverage, "d").applied, rule(coverage, "d").named) == (True, 1, 0)
    messages = [each.message for each in coverage.findings() if "`m.d`" in each.message]
    assert messages == ['`token.sub == "u"` (when 1 of `m.d`) was never false in a test']


def test_a_path_that_is_not_canonical_reaches_nothing() -> None:
    coverage = covered(ALLOW, "call s GET /one//x expect deny by path\n")
    assert all(each.refused == 0 for each in coverage.endpoints)
    assert rule(coverage, "a").blocked == 0


def test_a_closed_endpoint_needs_no_case() -> None:
    assert not any("s.shut" in each.message for each in covered(ALLOW, "").findings())


def test_a_long_atom_is_cut() -> None:
    long = ", ".join(f'"{number}"' for number in range(1000))
    coverage = covered(
        f'allow a for any user on s.one when token.sub in [{long}] or token.sub == "u" because "-"\n',
        "call s GET /one expect allow by a\n",
    )
    assert max(len(each.text) for each in rule(coverage, "a").conditions if each.is_atom) < 300


# ---------------------------------------------------------------- what was written at once

ORG = """module m
setting recent: duration = 10m
enum tier = low < middle < high
token user { issuer "https://id.example" claim sub: string claim groups: set of string optional
  claim at: time claim amr: set of string claim one: tier claim other: tier
  factor key at token.at when token.amr overlaps ["hwk"] }
roles for user from token.groups { role viewer role editor includes viewer role admin includes editor }
relation team_role (who: string, team: string, role: role)
condition holds (r: role) = team_role(token.sub, path.team, r)
service s { audience "s" host "s.example" endpoint one GET /one/{team} }
"""
WRITTEN: dict[str, tuple[str, list[str]]] = {
    "a row with a role": ("team_role(token.sub, path.team, viewer)", []),
    "two rows": (
        "team_role(token.sub, path.team, viewer) or team_role(token.sub, path.team, admin)",
        ["team_role(token.sub, path.team, viewer)", "team_role(token.sub, path.team, admin)"],
    ),
    "a row in a condition, by its argument": (
        'holds(viewer) and token.sub != "x"',
        ["team_role(token.sub, path.team, viewer)", 'token.sub == "x"'],
    ),
    "a factor": ("factor key within 10m", []),
    "a factor as fresh as a setting says": (
        'factor key within recent or token.sub == "u"',
        ["factor key within recent", 'token.sub == "u"'],
    ),
    "no factor": ('not factor key and token.sub == "u"', ["factor key", 'token.sub == "u"']),
    "a role": ('role viewer and token.sub == "u"', ["role viewer", 'token.sub == "u"']),
    "two roles": ("role viewer and not role admin", ["role viewer", "role admin"]),
    "a role, and the claim that gives it": (
        "token has groups and role viewer",
        ["token has groups", "role viewer"],
    ),
    "a claim that happens to give a role": (
        'token has groups and token.groups overlaps ["admin"]',
        ["token has groups", 'token.groups overlaps ["admin"]'],
    ),
    "an order of two inputs": (
        'token.one < token.other or token.sub == "u"',
        ["token.one < token.other", 'token.sub == "u"'],
    ),
}


@pytest.mark.parametrize("case", WRITTEN)
def test_what_was_written_at_once_is_one_condition(case: str) -> None:
    clause, parts = WRITTEN[case]
    rules = f'allow a for any user on s when {clause} because "-"\nallow b for role admin on s because "-"\n'
    coverage = Coverage.of(
        (compiled := compile_policy({"m.pol": (ORG + rules).encode()})).program, (), compiled.written
    )
    assert [each.text for each in rule(coverage, "a").conditions] == [clause, *parts]


def test_a_factor_that_is_needed_is_one_condition() -> None:
    rules = 'allow a for any user on s because "-"\nrequire r for any user on s needs factor key within recent\n'
    compiled = compile_policy({"m.pol": (ORG + rules).encode()})
    coverage = Coverage.of(compiled.program, (), compiled.written)
    assert [each.text for each in rule(coverage, "r").conditions] == ["factor key within recent"]


def test_a_role_by_any_row_that_gives_it_counts_as_the_one_that_was_written() -> None:
    rules = 'allow a for any user on s when team_role(token.sub, path.team, viewer) and token.sub == "u" because "-"\n'
    block = (
        'test "t" { given token user { sub: "u", at: now, amr: [], one: low, other: low, aud: ["s"] }\n'
        'given fact team_role ("u", "t", editor)\n'
        "call s GET /one/t expect allow by a\ncall s GET /one/x expect deny by default }\n"
    )
    compiled = compile_policy({"m.pol": (ORG + rules + block).encode()})
    coverage = Coverage.of(compiled.program, run_tests(compiled.program, compiled.tests), compiled.written)
    assert seen(coverage, "a")["when 1", "team_role(token.sub, path.team, viewer)"] == (1, 1, 0)
    assert [each.message for each in coverage.findings()] == [
        '`token.sub == "u"` (when 1 of `m.a`) was never false in a test'
    ]


def test_a_require_is_named_by_what_it_asks_for_too() -> None:
    rules = ALLOW + 'require r for any user on s must log full because "-"\n'
    found = [each.message for each in covered(rules, "call s GET /one expect allow by a").findings()]
    assert "no passing test names rule `m.r` after `by`, or an obligation of it" in found
