"""Names of which functions say nothing: no answer where pycasbin's may differ, and none that opens anything."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from policy_lang.casbin.program import compile_casbin
from policy_lang.ir.tables import FunctionName, Link, Mode, RoleGraph
from policy_lang.meaning.key_functions import call
from policy_lang.meaning.key_patterns import Pattern, pattern
from policy_lang.meaning.local_time import LocalTime
from policy_lang.meaning.open_names import is_left_open
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
    "keyGet2, a digit of another script": ("keyGet2", ("/\u0663/a", r"/\d/:x", "x")),
    "keyGet3, a word of another script": ("keyGet3", ("/é/a", r"/\w/{x}", "x")),
    "regexMatch, a digit of another script": ("regexMatch", ("/\u0663", r"^/\d$")),
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


# ---------------------------------------------------------------- characters of which engines differ


def test_a_class_is_said_of_exactly_the_characters_that_are_of_it_in_all_engines() -> None:
    """For each class and code point c: None where Python's answer with the flag ASCII and a vertical tab is another."""
    for letter in "dDwWsS":
        read = pattern("regexMatch", rf"^\{letter}$", mode="strict")
        assert isinstance(read, Pattern)
        everywhere, of_ascii = re.compile(rf"^\{letter}\Z"), re.compile(rf"^\{letter}\Z", re.ASCII)
        for character in map(chr, range(0x20000)):
            said = everywhere.match(character) is not None
            alike = said is (of_ascii.match(character) is not None) and not (letter in "sS" and character == "\v")
            if character != "\n":
                assert read.fits(character) is (said if alike else None), (letter, character)


WORDS: tuple[Link, ...] = (Link("a", "é"), Link("b", r"^\w$"), Link("ü", "out"), Link(r"^\w$", "in"), Link("-", "é"))
BREAKS: tuple[Link, ...] = (Link("a", "r\n?x"), Link("r", "in"), Link("b", "r"), Link("c", "/:x"), Link("r\n?x", "out"))

WITHIN: dict[str, tuple[FunctionName, tuple[Link, ...], str, str, Truth3]] = {
    "a name of a link that a pattern leaves open": ("regexMatch", WORDS, "-", "in", UNKNOWN),
    "one that it fits": ("regexMatch", WORDS, "a", "in", TRUE),
    "a member that it leaves open": ("regexMatch", WORDS, "ä", "in", UNKNOWN),
    "a role that it leaves open": ("regexMatch", WORDS, "b", "ö", UNKNOWN),
    "a name that it does not fit": ("regexMatch", WORDS, "!", "in", FALSE),
    "a name of a link to which it may lead": ("regexMatch", WORDS, "b", "out", UNKNOWN),
    "a name of a link with a break": ("keyMatch5", BREAKS, "a", "in", UNKNOWN),
    "what it has for sure": ("keyMatch5", BREAKS, "a", "out", TRUE),
    "a name of a link that it fits, less the break": ("keyMatch5", BREAKS, "b", "out", UNKNOWN),
    "what a pattern leads to": ("keyMatch5", BREAKS, "d", "out", FALSE),
}


@pytest.mark.parametrize("case", WITHIN)
@pytest.mark.parametrize("mode", ["strict", "compat"])
def test_what_names_within_a_graph_leave_open_is_in_doubt(case: str, mode: Mode) -> None:
    function, links, member, role, wanted = WITHIN[case]
    whole = RoleGraph("g", False, links, function)
    for asked_about in (None, frozenset({role, "other"})):
        anew = Roles.of(whole, asked_about, mode=mode)
        later = Roles.of(replace(whole, links=links[:1]), asked_about, mode=mode).changed(links[1:], ())
        for roles in (anew, later):
            assert roles.linked(member, role, now=NOON) is wanted
            if asked_about:
                assert (role in roles.held(member, "", now=NOON)) is (wanted is TRUE)
                assert (role in roles.doubted(member, "", now=NOON)) is (wanted is UNKNOWN)


@pytest.mark.parametrize("longest", [1, 2, 3])
def test_what_is_in_doubt_is_no_longer_than_what_is_sure(longest: int) -> None:
    """A link that may lead to a name is one link, as one that does."""
    graphs = (RoleGraph("g", False, WORDS, "regexMatch"), RoleGraph("g", False, BREAKS, "keyMatch5"))
    for graph in graphs:
        roles = Roles.of(replace(graph, longest=longest), mode="strict")
        assert roles.linked("b", "out", now=NOON) is (UNKNOWN if longest > 1 else FALSE)


@pytest.mark.parametrize("mode", ["strict", "compat"])
def test_a_domain_that_a_pattern_leaves_open_is_in_doubt(mode: Mode) -> None:
    links = (Link("a", "sure", "/é"), Link("a", "admin", r"^/\w$"))
    graph = RoleGraph("g", True, links, None, "regexMatch")
    roles = Roles.of(graph, frozenset({"sure", "admin"}), mode=mode)
    assert roles.linked("a", "sure", "/é", now=NOON) is TRUE
    assert roles.linked("a", "admin", "/é", now=NOON) is UNKNOWN
    assert roles.held("a", "/é", now=NOON) == {"sure"}
    assert roles.doubted("a", "/é", now=NOON) == {"admin"}
    assert roles.linked("a", "admin", "/b", now=NOON) is TRUE
    assert roles.doubted("a", "-", now=NOON) == frozenset()


def test_an_address_is_left_open_by_no_network() -> None:
    """What is no address fits no network, in pycasbin too, which takes what its function raises for that."""
    roles = Roles.of(RoleGraph("g", False, (Link("10.0.0.0/8", "inside"),), "ipMatch"), mode="strict")
    assert roles.linked("10.1.2.3", "inside", now=NOON) is TRUE
    assert roles.linked("somebody", "inside", now=NOON) is FALSE
