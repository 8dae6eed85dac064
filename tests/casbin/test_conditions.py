"""Links alike but for their conditions: refused in strict, in compat the last one holds, as in Casbin itself."""

from __future__ import annotations

import itertools
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_lang.casbin.conditions import clashes, clashes_with, last_conditions
from policy_lang.casbin.program import CasbinProgram, compile_casbin
from policy_lang.diagnostics import CompileError
from policy_lang.ir.tables import Link, Mode
from tests.casbin.kind import Settings, Trial
from tests.casbin.oracle import Oracle

MODEL = """
[request_definition]
r = sub, act
[policy_definition]
p = sub, act{priority}
[role_definition]
g = _, _{domain}, (_, _)
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = g(r.sub, p.sub{in_domain}) && r.act == p.act
"""
PLAIN = MODEL.format(priority="", domain="", in_domain="")
DOMAINS = MODEL.format(priority="", domain=", _", in_domain=", r.act")
RANKED = MODEL.format(priority=", priority", domain="", in_domain="")

OVER = "_, 2020-01-01 00:00:00"
NOT_YET = "2090-01-01 00:00:00, _"
ALWAYS = "_, _"


def compiled(policy: str, mode: Mode, model: str = PLAIN) -> CasbinProgram:
    return compile_casbin(model, policy, mode=mode, zone="UTC")


def links(*conditions: str) -> str:
    return "p, admin, GET\n" + "".join(f"g, alice, admin, {condition}\n" for condition in conditions)


# ---------------------------------------------------------------- by name

CLASHES: dict[str, tuple[str, bool]] = {
    "first always, then until a time": (links(ALWAYS, OVER), False),
    "first until a time, then always": (links(OVER, ALWAYS), True),
    "first over, then not yet": (links(OVER, NOT_YET), False),
    "the same three times, the middle one always": (links(OVER, ALWAYS, OVER), False),
}


@pytest.mark.parametrize("case", CLASHES)
def test_strict_refuses_and_in_compat_the_last_holds(case: str) -> None:
    policy, allowed = CLASHES[case]
    with pytest.raises(CompileError) as refused:
        compiled(policy, "strict")
    assert {each.code for each in refused.value.diagnostics} == {"E609"}
    program = compiled(policy, "compat")
    assert {each.code for each in program.diagnostics} == {"W609"}
    assert program.enforce("alice", "GET") is allowed


ALIKE: dict[str, str] = {
    "the same condition twice": links(ALWAYS, ALWAYS),
    "another member": links(ALWAYS) + f"g, bob, admin, {OVER}\n",
    "another role": links(ALWAYS) + f"g, alice, editor, {OVER}\n",
    "no conditions asked of rows": "p, admin, GET\np, admin, PUT\n",
}


@pytest.mark.parametrize("case", ALIKE)
def test_nothing_is_said_of_what_is_not_alike(case: str) -> None:
    assert compiled(ALIKE[case], "strict").diagnostics == ()


def test_links_of_two_domains_are_not_alike() -> None:
    program = compiled(f"p, admin, GET\np, admin, PUT\ng, alice, admin, GET, {ALWAYS}\ng, alice, admin, PUT, {OVER}\n",
                       "strict", DOMAINS)  # fmt: skip
    assert [program.enforce("alice", act) for act in ("GET", "PUT")] == [True, False]


# ---------------------------------------------------------------- changes


def _record(condition: str) -> tuple[str, ...]:
    return ("g", "alice", "admin", *condition.split(", "))


def test_an_added_link_with_another_condition_is_refused_in_strict() -> None:
    for model, policy in ((PLAIN, links(ALWAYS)), (RANKED, "p, admin, GET, 1\ng, alice, admin, _, _\n")):
        with pytest.raises(CompileError) as refused:
            compiled(policy, "strict", model).updated(add=[_record(OVER)])
        assert [each.code for each in refused.value.diagnostics] == ["E609"]


def test_in_compat_the_added_one_holds_until_it_is_removed() -> None:
    program = compiled(links(ALWAYS), "compat")
    changed = program.updated(add=[_record(OVER)])
    assert [each.code for each in changed.diagnostics] == ["W609"]
    assert (program.enforce("alice", "GET"), changed.enforce("alice", "GET")) == (True, False)
    assert changed.updated(remove=[_record(OVER)]).enforce("alice", "GET")
    assert not changed.updated(remove=[_record(ALWAYS)]).enforce("alice", "GET")


def test_one_condition_can_take_the_place_of_another() -> None:
    changed = compiled(links(ALWAYS), "strict").updated(remove=[_record(ALWAYS)], add=[_record(OVER)])
    assert not changed.enforce("alice", "GET")
    assert not changed.updated(remove=[_record(OVER)]).enforce("alice", "GET")


# ---------------------------------------------------------------- laws

LINKS = st.lists(
    st.builds(
        Link,
        st.sampled_from("ab"),
        st.sampled_from("rs"),
        st.sampled_from(("", "d")),
        st.sampled_from((("_", "_"), ("_", "x"), ("y", "_"))),
    ),
    max_size=8,
).map(tuple)


@given(LINKS)
def test_of_links_alike_the_last_condition_is_left(among: tuple[Link, ...]) -> None:
    """For each member, role and domain: the conditions left are those of its last link; and nothing clashes then."""
    left = last_conditions(among)
    last = {(link.member, link.role, link.domain): link.condition for link in among}
    assert {(link.member, link.role, link.domain): link.condition for link in left} == last
    assert all(link.condition == last[link.member, link.role, link.domain] for link in left)
    assert (left is among) is not any(True for _ in clashes(among))


@given(LINKS, LINKS)
def test_what_clashes_with_links_that_are_there(there: tuple[Link, ...], more: tuple[Link, ...]) -> None:
    """more clashes with there <=> some link of more is under another condition than the last one alike of there."""
    last = {(link.member, link.role, link.domain): link.condition for link in there}
    want = [link for link in more if last.get((link.member, link.role, link.domain), link.condition) != link.condition]
    assert list(clashes_with(there, more)) == want


# ---------------------------------------------------------------- Casbin itself


def _nothing(_: random.Random) -> tuple[object, ...]:
    return ()


def test_compat_says_what_casbin_says_of_links_under_several_conditions() -> None:
    """For drawn policies with links alike: enforce = pycasbin's."""
    draw, seen, told = random.Random(609), Counter[bool](), 0
    for _ in range(150):
        pairs = [("alice", "staff"), ("staff", "admin"), ("bob", "admin"), ("alice", "admin")]
        rows = [f"g, {m}, {r}, {draw.choice((OVER, ALWAYS, NOT_YET))}" for m, r in draw.choices(pairs, k=5)]
        trial = Trial(PLAIN, ("p, admin, GET", "p, staff, PUT", *rows), _nothing)
        ours, theirs = compiled(trial.policy, "compat"), Oracle.of(trial, Settings(time_conditions=True))
        told += bool(ours.diagnostics)
        for request in itertools.product(("alice", "bob", "staff"), ("GET", "PUT")):
            assert ours.enforce(*request) is (theirs.answer(request) == "yes"), (trial.lines, request)
            seen[ours.enforce(*request)] += 1
    assert told > 50
    assert min(seen.values()) > 200
