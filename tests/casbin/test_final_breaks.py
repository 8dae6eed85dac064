"""Names that end with a line break: no answer where pycasbin's may differ, and none that opens anything."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from policy_lang.casbin.program import compile_casbin
from policy_lang.ir.tables import FunctionName, Link, Mode, RoleGraph
from policy_lang.meaning.final_breaks import is_left_open
from policy_lang.meaning.key_functions import call
from policy_lang.meaning.local_time import LocalTime
from policy_lang.meaning.role_graphs import Roles
from policy_lang.meaning.values import FALSE, TRUE, UNKNOWN
from policy_lang.verdict import Truth3
from tests.casbin.kind import ALLOW_AND_DENY, Settings, Trial, model
from tests.casbin.oracle import Oracle

NOON = LocalTime.of(int(datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp() * 1000), "UTC")

OPEN: dict[str, tuple[FunctionName, tuple[str, ...]]] = {
    "keyMatch2": ("keyMatch2", ("/a\n", "/a")),
    "keyMatch3": ("keyMatch3", ("/a/b\n", "/a/*")),
    "keyMatch4": ("keyMatch4", ("/a/b\n", "/a/{x}")),
    "keyMatch5, before the query": ("keyMatch5", ("/a\n?x=1", "/a")),
    "regexMatch": ("regexMatch", ("GET\n", "^GET$")),
    "keyGet2": ("keyGet2", ("/a/b\n", "/a/:x", "x")),
    "keyGet3": ("keyGet3", ("/a/b\n", "/a/{x}", "x")),
}


@pytest.mark.parametrize("case", OPEN)
@pytest.mark.parametrize("mode", ["strict", "compat"])
def test_there_is_no_value(case: str, mode: Mode) -> None:
    function, arguments = OPEN[case]
    assert call(function, arguments, mode=mode, now=NOON) is None


SAID: dict[str, tuple[FunctionName, tuple[str, ...], object]] = {
    "keyMatch compares beginnings": ("keyMatch", ("/a/b\n", "/a/*"), True),
    "globMatch ends where the name ends": ("globMatch", ("/a\n", "/a"), False),
    "a break within the name": ("keyMatch2", ("/a\nb", "/:x"), True),
    "a break in the query": ("keyMatch5", ("/a?x=1\n", "/a"), True),
    "another end of a line": ("keyMatch2", ("/a\r", "/a"), False),
}


@pytest.mark.parametrize("case", SAID)
@pytest.mark.parametrize("mode", ["strict", "compat"])
def test_what_does_not_depend_on_it_is_said(case: str, mode: Mode) -> None:
    function, arguments, wanted = SAID[case]
    assert call(function, arguments, mode=mode, now=NOON) == wanted
    assert not is_left_open(function, arguments[0])


REFUSED: dict[str, tuple[str, tuple[str, ...]]] = {
    "a row that denies": ("keyMatch2(r.obj, p.obj)", ("p, /a/*, allow", "p, /*, allow", "p, /a/*/x, deny")),
    "a row that denies, by an expression": (
        "regexMatch(r.obj, p.obj)",
        ("p, ^/, allow", "p, ^/a/b/x$, deny"),
    ),
    "a negation": ("!keyMatch3(r.obj, p.obj)", ("p, /a/*, allow",)),
    "an expression": ("!regexMatch(r.obj, p.obj)", ("p, ^/a/b/x$, allow",)),
    "a role by its pattern": ("!g(r.obj, p.obj)", ("p, closed, allow", "g, /a/*, closed")),
    "a part of the name": ("keyGet3(r.obj, p.obj, 'x') != 'x'", ("p, /a/b/{x}, allow",)),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("mode", ["strict", "compat"])
def test_what_casbin_refuses_is_refused(case: str, mode: Mode) -> None:
    matcher, lines = REFUSED[case]
    text = model(matcher, request="obj", policy="obj, eft", effect=ALLOW_AND_DENY, roles={"g": "_, _"})
    name = "/a/b/x\n"
    settings = Settings({"g": "keyMatch2"})
    assert Oracle.of(Trial(text, lines, lambda _: (name,)), settings).answer((name,)) == "no"
    program = compile_casbin(text, "\n".join(lines), mode=mode, matching=settings.matching)
    assert not program.enforce(name)


HELD = RoleGraph(
    "g",
    True,
    (Link("/book/:id", "books", "/one"), Link("/pen/*", "pens", "/one"), Link("/book/*", "all", "/one")),
    "keyMatch2",
    "keyMatch2",
)

ASKED: dict[str, tuple[str, str, str, Truth3]] = {
    "a wildcard that holds the break": ("/book/1\n", "books", "/one", TRUE),
    "one that does not": ("/pen/1\n", "pens", "/one", UNKNOWN),
    "another pattern": ("/book/1\n", "pens", "/one", UNKNOWN),
    "the name itself": ("/pen/1\n", "/pen/1\n", "/one", TRUE),
    "a domain": ("/pen/1", "pens", "/one\n", UNKNOWN),
    "a role": ("/pen/1", "pens\n", "/one", UNKNOWN),
    "no break": ("/pen/1", "books", "/one", FALSE),
}


@pytest.mark.parametrize("case", ASKED)
@pytest.mark.parametrize("mode", ["strict", "compat"])
def test_roles_that_may_be_held_are_in_doubt(case: str, mode: Mode) -> None:
    member, role, domain, wanted = ASKED[case]
    for asked_about in (None, frozenset({role, "other"})):
        roles = Roles.of(HELD, asked_about, mode=mode)
        assert roles.linked(member, role, domain, now=NOON) is wanted
        if asked_about:
            assert (role in roles.held(member, domain, now=NOON)) is (wanted is TRUE)
            assert (role in roles.doubted(member, domain, now=NOON)) is (wanted is UNKNOWN)
