"""Links under a condition that has no value: nobody is granted anything by one, and deny rows deny by it."""

from __future__ import annotations

import random
from collections import Counter
from typing import get_args

import pytest
from msgspec.structs import replace

from policy_lang.casbin.program import compile_casbin
from policy_lang.ir import tables
from policy_lang.ir.tables import Link, Mode, RoleGraph, Row, Table, TableEffect, Vote
from policy_lang.meaning.tables import Said, TableMeaning
from policy_lang.plan.tables import TablePlan

IN_DOUBT, HOLDS, OVER = ("no time", "_"), ("_", "_"), ("_", "2000-01-01 00:00:00")
NOW_MS = 1_800_000_000_000
NAMES = ("alice", "bob", "staff", "admin", "nobody")


def table(effect: TableEffect, mode: Mode, rows: tuple[Row, ...], *links: Link) -> Table:
    held = tables.Linked(0, (tables.Parameter(0), tables.Column(0)))
    same = tables.Comparison("eq", tables.Parameter(1), tables.Column(1))
    graph = RoleGraph("g", False, links)
    return Table("", mode, effect, ("sub", "act"), ("sub", "act"), tables.And((held, same)), rows, (graph,))


DOUBTED = Link("alice", "admin", condition=IN_DOUBT)
BY_NAME: dict[str, tuple[TableEffect, tuple[Vote, ...], Said]] = {
    "an allow row passes over": ("allow_override", ("allow",), Said(None, None)),
    "a deny row denies": ("allow_and_deny", ("allow", "deny"), Said("deny", 1)),
    "a deny row denies where all else is allowed": ("deny_override", ("deny",), Said("deny", 0)),
    "an allow row before a deny row does not end it": ("priority", ("allow", "deny"), Said("deny", 1)),
    "a deny row ends it": ("priority", ("deny", "allow"), Said("deny", 0)),
}


@pytest.mark.parametrize("case", BY_NAME)
def test_what_is_in_doubt(case: str) -> None:
    effect, votes, want = BY_NAME[case]
    asked = table(effect, "compat", tuple(Row(("admin", "GET"), vote) for vote in votes), DOUBTED)
    for said in (TableMeaning.of(asked).said, TablePlan.of(asked).said):
        assert said(("alice", "GET"), now_ms=NOW_MS) == want


def test_a_program_denies_by_a_condition_that_is_no_time() -> None:
    model = """
[request_definition]
r = sub, act
[policy_definition]
p = sub, act, eft
[role_definition]
g = _, _, (_, _)
[policy_effect]
e = some(where (p.eft == allow)) && !some(where (p.eft == deny))
[matchers]
m = g(r.sub, p.sub) && r.act == p.act
"""
    policy = "p, alice, GET, allow\np, suspended, GET, deny\ng, alice, suspended, tomorrow, _\n"
    program = compile_casbin(model, policy, mode="compat", zone="UTC")
    assert program.enforce_ex("alice", "GET") == (False, ("suspended", "GET", "deny"))
    assert program.updated(remove=[("g", "alice", "suspended", "tomorrow", "_")]).enforce("alice", "GET")


@pytest.mark.parametrize("effect", get_args(TableEffect))
@pytest.mark.parametrize("mode", get_args(Mode))
def test_the_plan_says_what_the_definition_says_of_links_in_doubt(effect: TableEffect, mode: Mode) -> None:
    """For drawn graphs, a third of their links in doubt: said(plan) = said(meaning), also after a change of links."""
    draw, seen = random.Random(f"{effect} {mode}"), Counter[str]()
    for _ in range(40):
        rows = tuple(
            Row((draw.choice(NAMES), draw.choice(("GET", "PUT"))), draw.choice(get_args(Vote))) for _ in range(12)
        )
        asked = table(effect, mode, rows, *_links(draw, 6))
        plan = TablePlan.of(asked)
        for _ in range(2):
            meaning, certain = TableMeaning.of(asked), TableMeaning.of(_without_doubt(asked))
            for request in ((name, act) for name in NAMES for act in ("GET", "PUT")):
                want = meaning.said(request, now_ms=NOW_MS)
                assert plan.said(request, now_ms=NOW_MS) == want, (asked, request)
                seen[str(want.vote)] += 1
                seen["doubt decides"] += want != certain.said(request, now_ms=NOW_MS)
            links = (*asked.graphs[0].links[1:], *_links(draw, 1))
            asked = replace(asked, graphs=(replace(asked.graphs[0], links=links),))
            plan = plan.changed(asked)
    assert seen["allow"] > 20
    assert effect == "allow_override" or min(seen["deny"], seen["doubt decides"]) > 20


def _links(draw: random.Random, count: int) -> tuple[Link, ...]:
    return tuple(
        Link(draw.choice(NAMES), draw.choice(NAMES), condition=draw.choice((IN_DOUBT, HOLDS, OVER, ())))
        for _ in range(count)
    )


def _without_doubt(of: Table) -> Table:
    graph = of.graphs[0]
    links = tuple(link for link in graph.links if link.condition != IN_DOUBT)
    return replace(of, graphs=(replace(graph, links=links),))
