"""Slips in rules: what is written, and what the message says to write instead.

Each is told where the grammar stops, once, and nothing else is said of the policy round it.
"""

from __future__ import annotations

import pytest

from policy_lang.diagnostics import Diagnostic
from policy_lang.syntax import slip_expressions, slip_rules
from tests.lang.slip_programs import only, remedy, silent


def of_a_condition(written: str) -> Diagnostic:
    return only(a_rule=f'for any user on api.read when {written} because "b"')


def of_a_clause(written: str) -> Diagnostic:
    return only(a_rule=f"for any user on api {written}")


def of_a_rule(written: str) -> Diagnostic:
    return only(a_rule=written)


HEADS = {
    'allow b {\n for any user on api because "b"\n}': "delete them: each clause starts with its own word",
    "allow {\n input.x == 1\n}": 'write `allow NAME for … on … when … because "…"`',
    "allow if { x }": 'write `allow NAME for … on … when … because "…"`',
    "allow = true": 'write `allow NAME for … on … when … because "…"`',
    "allow b if true": "write `when`",
    "allow b: for anyone": "delete it",
    'allow "b" for anyone': "write `b`",
    "allow b when: true": "delete it: `when …`",
    "allow b() for anyone": "say whom it is for by `for`, and on what by `on`",
    'allow for any user on api because "b"': "write one before its clauses, such as `admins_read`",
    'allow AdminsRead for anyone on api because "b"': "names and words are: write `admins_read`",
    'allow adminsRead for anyone on api because "b"': "names and words are: write `admins_read`",
    'allow admins-read for anyone on api because "b"': "write `admins_read`",
    'allow Role for anyone on api because "b"': "names are, and `role` is a reserved word: choose another",
}


@pytest.mark.parametrize("written", HEADS)
def test_how_a_rule_begins(written: str) -> None:
    assert remedy(only(a_declaration=written)) == HEADS[written]


CONDITIONS = {
    "token.email is not null": "write `token has email`",
    "token has email and has(token.email)": "write `token has email`",
    "token has token.email": "write `token has email`",
    "token.email is not none": "write `token has email`",
    "token.email != None": "write `token has email`",
    "exists token.email": "write `token has email`",
    "role in [admin, editor]": "write `(role admin or role editor)`",
    'role in ["admin"]': "write `role admin`",
    'role == "admin"': "write `role admin`",
    "role == admin": "write `role admin`",
    "role admin, editor": "write `role admin or role editor`, or `and` where both are meant",
    'role "admin"': "write `admin`",
    "not role in [admin]": "write `role admin`",
    "role not in [admin]": "write `not role admin`",
    'request.headers["x"] == "a"': 'write `header.x`, declared `header x: TYPE optional from "x"`',
    'token["sub"] == "a"': "write `token.sub`, a name that is declared",
    'header["x"] == "a"': 'write `header.x`, declared `header x: TYPE optional from "x"`',
    'token.sub in ("a", "b")': 'write `["a", "b"]`',
    'token.sub in {"a"}': 'write `["a"]`',
    'token.sub in "a", "b"': 'write `["a", "b"]`',
    'token.sub in ["a" "b"]': "write `,` between them",
    'token.sub == ("a", "b")': 'write `in ["a", "b"]`',
    'token.sub in set("a")': 'write `["a"]`',
    'token.roles contains "a"': 'write `"a" in token.roles`, of a string `like "*text*"`',
    'token.roles.contains("a")': 'write `"a" in token.roles`, of a string `like "*text*"`',
    'token.roles has "admin"': 'write `"admin" in token.roles`',
    'token.roles[0] == "a"': "ask for a member: `x in token.roles`",
    "any(token.roles)": 'write `"x" in token.SET`, or `token.SET overlaps ["x", "y"]`',
    'token.roles includes "a"': 'write `"a" in token.roles`, of a string `like "*text*"`',
    'token.email.startswith("a")': 'write `token.email like "a*"`',
    'token.sub.startsWith("a")': 'write `token.sub like "a*"`',
    'token.sub.lower() == "a"': "texts are compared as they are: compare with each spelling, joined by `or`",
    "token.roles.size() > 0": "nothing is counted; `token.roles is empty` asks of a set whether it has members",
    'regex.match("a", token.sub)': 'write `x like "prefix*"`',
    'like(token.sub, "a*")': 'write `token.sub like "a*"`',
    'like "a*"': 'write `token.NAME like "a*"`',
    "token.sub like /a/": 'write a pattern in quotes, `"prefix*"`',
    "token.sub like 'a*'": "write `\"` for `'`",
    'token.sub matches "a"': 'write `like "prefix*"`',
    'token.sub =~ "a"': 'write `like "prefix*"`',
    'token.sub ~ "a"': 'write `like "prefix*"`',
    'token.sub ends with "a"': 'write `like "*a"`',
    'token.sub endswith "a"': 'write `like "*a"`',
    'token.sub starts_with "a"': 'write `like "a*"`',
    'token.sub not like "a*"': 'write `not token.sub like "a*"`',
    "token.age between 1 and 5": "write `(token.age >= 1 and token.age <= 5)`",
    "now between 2026-01-01 and 2026-02-01": "write `(now >= 2026-01-01 and now <= 2026-02-01)`",
    "some r in token.roles": 'write `"x" in token.SET`, or `token.SET overlaps ["x", "y"]`',
    'some r in token.roles { r == "a" }': 'write `"x" in token.SET`, or `token.SET overlaps ["x", "y"]`',
    "any(r in token.roles)": 'write `"x" in token.SET`, or `token.SET overlaps ["x", "y"]`',
    "shared[token.sub]": "write `shared(token.sub)`, with a value for each column",
    "data.shared(token.sub)": "write `shared(token.sub)`, with a value for each column",
    "data.shared[token.sub]": "write `shared(token.sub)`, with a value for each column",
    "(path.id, token.sub) in shared": "write `shared(path.id, token.sub)`",
    "exists r in token.roles": 'write `"x" in token.SET`, or `token.SET overlaps ["x", "y"]`',
    "if token.age > 5 then true else false": "write `a and b or not a and c`, or two rules",
    "token.age > 5 ? true : false": "write `a and b or not a and c`, or two rules",
    "if token.age > 5": "write `a and b or not a and c`, or two rules",
    "every r in token.roles": 'write `"x" in token.SET`, or `token.SET overlaps ["x", "y"]`',
    "for r in token.roles": 'write `"x" in token.SET`, or `token.SET overlaps ["x", "y"]`',
    "token.age > 5 then true": "write `a and b or not a and c`, or two rules",
    "case when token.age > 1 then true end": "write `a and b or not a and c`, or two rules",
    "token.age > 5.0": "count in a smaller unit",
    "now > 2026-01-01 00:00:00": "write `2026-01-01T00:00:00Z`",
    "token.age is 5": "write `==`",
    'token.sub is "a"': "write `==`",
    "request.method == GET": 'write `"GET"`',
    "request.method in [GET]": 'write `"GET"`',
    "token.sub == True": "names and words are: write `true`",
    "now - token.auth_time < 5 minutes": "write `5m`",
    "now - token.auth_time < 5min": "write `5m`",
    "now - token.auth_time < 5 m": "write `5m`",
    "now.hour in 8..18": "write `x >= 1 and x <= 5`",
    "now in 08:00..18:00": "compare instants such as `2026-01-31T08:00:00Z`, or ask a signal",
    "now between 08:00 and 18:00": "compare instants such as `2026-01-31T08:00:00Z`, or ask a signal",
    "time.hour > 8": "`now` is the instant of the call; compare it with others",
    "now > 08:00": "compare instants such as `2026-01-31T08:00:00Z`, or ask a signal",
    "now.hour() > 8": "compare instants such as `2026-01-31T08:00:00Z`, or ask a signal",
    "token.email == None": "write `not token has email`",
    "token.roles is not empty": "write `not token.roles is empty`",
    "token is not user": "write `not token is user`",
    'token.sub is not "a"': "write `!=` to compare; `not x is empty` asks of a set",
    'token has "email"': "write `token has email`",
    'role != "admin"': "write `not role admin`",
    'token.sub != ("a", "b")': 'write `not in ["a", "b"]`',
    'token.email.endswith("a")': 'write `token.email like "*a"`',
    'token.sub.endsWith("a")': 'write `token.sub like "*a"`',
    'token.sub between "a"': "write `(x >= 1 and x <= 5)`",
    "now > 2026-01-01T00:00:00": "write `2026-01-01T00:00:00Z`",
    "now > 2026-01-01T00:00:00+02:00": "reckon it in UTC, such as `2026-01-31T12:00:00Z`",
    "token.sub.trim()": "a condition or a relation is asked by its plain name: `trim(…)`",
    'token.sub ilike "a*"': "write `like`",
    "token.age not between 1 and 5": "write `not (token.age >= 1 and token.age <= 5)`",
    "(path.id, token.sub) not in shared": "write `not shared(path.id, token.sub)`",
    "not role in [admin, editor]": "write `(role admin or role editor)`",
    "role not in [admin, editor]": "write `not (role admin or role editor)`",
    "token.isSuspended": 'write `token.is_suspended`, declared by `claim is_suspended: TYPE from "isSuspended"`',
}


@pytest.mark.parametrize("written", CONDITIONS)
def test_a_condition(written: str) -> None:
    assert remedy(of_a_condition(written)) == CONDITIONS[written]


SUBJECTS_AND_TARGETS = {
    'for any user\n  on api when: token.age > 5 because "b"': "delete it: `when …`",
    'for: any user on api because "b"': "delete it: `for …`",
    '{ for any user on api because "b" }': "delete them: each clause starts with its own word",
    'priority 5 for any user on api because "b"': "delete it",
    'for any user on api // c\n because "b"': "write `#`",
    'for any user, on api because "b"': "delete the comma",
    'for any user on api.* because "b"': "write `on api`",
    'for any user on * because "b"': "write `on any endpoint`, or `on SERVICE`",
    'for any user on GET /users/{id} because "b"': "write `on SERVICE GET /users/{id}`",
    'for any user on "api" because "b"': "write `api`",
    'for any user on any because "b"': "write `on any endpoint`",
    'for any user on api GET because "b"': "write `on api GET /**`, or the path that is meant",
    'for any user on api /users/** because "b"': "write `on api METHOD /users/**`, `ANY` for every method",
    'for any user on api: GET /users/{id} because "b"': "write `on api GET /users/{id}`",
    'for any user on api.GET /x because "b"': "write `on api GET /x`",
    'for any user on endpoint read because "b"': "write `on SERVICE.read`",
    'for any user on endpoint api.read because "b"': "write `on api.read`",
    'for any user on service api because "b"': "write `on api`",
    'for any user on api "/users/{id}" because "b"': "write `on api METHOD /users/{id}`, `ANY` for every method",
    'for any user on api GET "/users/{id}" because "b"': "write `/users/{id}`",
    'for any user on POST https://a/x because "b"': "write `on SERVICE POST /x`; the host is the service's",
    'for any user on api * /x because "b"': "write `on api ANY /x`",
    'for any user on api GET,POST /x because "b"': "write `GET | POST`",
    'for any user on api tagged "x" because "b"': "write `x`",
    'for any user and role admin on api because "b"': "write `for role admin`",
    'for any user or role admin on api because "b"': "write `for any user, role admin`",
    'for any user with role admin on api because "b"': "write `for role admin`",
    'for user on api because "b"': "write `any user` for a token, `role user` for a role",
    'for admin on api because "b"': "write `any admin` for a token, `role admin` for a role",
    'for role "admin" on api because "b"': "write `admin`",
    'for roles admin on api because "b"': "write `for role admin`",
    'for role admin and editor on api because "b"': "for both, write `for role admin` and `when role editor`",
    'for role [admin, editor] on api because "b"': "write `role admin or editor`",
    'for * on api because "b"': "write `for anyone`, or `for any KIND`",
    'for any on api because "b"': "write `for any KIND`, or `for anyone`",
    'for all users on api because "b"': "write `for any KIND`, or `for anyone`",
    'for any user where token.age > 1 on api because "b"': "write `when`",
    'for role admin, editor on api because "b"': "write `any editor` for a token, `role editor` for a role",
    'for any user in role admin on api because "b"': "write `for role admin`",
    'to any user on api because "b"': "write `for`",
    'for everyone on api because "b"': "write `anyone`",
    'for any token user on api because "b"': "write `for any user`",
    'for token user on api because "b"': "write `for any user`",
    'for user.role == admin on api because "b"': "write `any user` for a token, `role user` for a role",
    'for any role admin on api because "b"': "write `for role admin`",
    'for any user has role admin on api because "b"': "write `for role admin`",
    'for any user on /users/{id} because "b"': "write `on SERVICE METHOD /users/{id}`, `ANY` for every method",
}


@pytest.mark.parametrize("written", SUBJECTS_AND_TARGETS)
def test_for_whom_and_on_what(written: str) -> None:
    assert remedy(of_a_rule(written)) == SUBJECTS_AND_TARGETS[written]


CLAUSES = {
    'needs mfa because "b"': 'write `needs factor mfa`; behind a condition write `else challenge "…"`',
    'factor mfa because "b"': "write `needs factor mfa` in a `require`, or `when factor mfa`",
    'needs factor "mfa" because "b"': "write `mfa`",
    'needs factor mfa within 300 because "b"': "write `300s`, or `m`, `h`, `d` for the unit",
    'needs factor mfa < 5m because "b"': "write `factor mfa within 5m`",
    'needs role admin because "b"': 'write `else challenge "…"` behind it, or `needs factor NAME`',
    'require factor mfa because "b"': "write `needs factor mfa`",
    'with mfa because "b"': "write `when`",
    'until end because "b"': "write a date such as `2026-01-31`",
    'must log because "b"': "write `log minimal`, `log normal` or `log full`",
    'log full because "b"': "write `must` before it",
    'priority 5 because "b"': "delete it",
    '-- c\n because "b"': "write `#`",
    'because: "b"': "delete it: `because …`",
    'reason "b"': "write `because`",
    "because 'b'": "write `\"` for `'`",
    "because b": 'write `"` before and behind it',
    'where token.age > 1 because "b"': "write `when`",
    'until "2026-01-01" because "b"': "write it as `2026-01-31`",
    'with factor mfa because "b"': "write `when`",
}


@pytest.mark.parametrize("written", CLAUSES)
def test_a_clause(written: str) -> None:
    assert remedy(of_a_clause(written)) == CLAUSES[written]


def test_every_row_of_the_tables_is_told_by_one_of_these() -> None:
    slips = [*map(of_a_condition, CONDITIONS), *map(of_a_rule, SUBJECTS_AND_TARGETS), *map(of_a_clause, CLAUSES)]
    slips += [only(a_declaration=written) for written in HEADS]
    assert silent((*slip_expressions.ROWS, *slip_rules.ROWS), slips) == []
